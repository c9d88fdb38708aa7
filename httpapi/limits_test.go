package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/persistence"
)

// raw sends bytes on a connection of its own and reads one response.
func (a *api) raw(request string) reply {
	a.t.Helper()
	conn := a.dial()
	if _, err := io.WriteString(conn, request); err != nil {
		a.t.Fatal(err)
	}
	return a.readReply(conn, request)
}

func (a *api) dial() net.Conn {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	return conn
}

func (a *api) readReply(conn net.Conn, request string) reply {
	a.t.Helper()
	line, _, _ := strings.Cut(request, "\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		a.t.Fatalf("%.80s: %v", line, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatalf("%.80s: %v", line, err)
	}
	r := reply{t: a.t, what: fmt.Sprintf("%.80s", line), status: response.StatusCode, header: response.Header, closes: response.Close, body: string(content)}
	r.check("")
	return r
}

func TestABodyOver64KiBIsTooLarge(t *testing.T) {
	a := startAPI(t)
	padded := func(n int) string {
		const body = `{"wallet_address":"aitbc1wallet_padded"}`
		return body + strings.Repeat(" ", n-len(body))
	}
	a.call("POST", "/api/users/login", padded(64<<10)).is(200)
	a.call("POST", "/api/users/login", padded(64<<10+1)).refused(413, "too_large", "")
	chunked := func(n int) string {
		return fmt.Sprintf("POST /api/users/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, padded(n))
	}
	a.raw(chunked(1000)).is(200)
	a.raw(chunked(64<<10+1)).refused(413, "too_large", "")
	// It is refused by what it says, before it is read.
	a.raw("POST /api/users/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n{").refused(413, "too_large", "")
}

func TestAHeaderOver8KiBIsTooLarge(t *testing.T) {
	a := startAPI(t)
	a.call("GET", "/healthz", "", "X-Padding", strings.Repeat("a", 7<<10)).is(200)
	a.raw("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Padding: "+strings.Repeat("a", 9<<10)+"\r\n\r\n").refused(431, "header_too_large", "")
	a.raw("GET /"+strings.Repeat("a", 9<<10)+" HTTP/1.1\r\nHost: x\r\n\r\n").refused(431, "header_too_large", "")
}

func TestBytesThatAreNotHTTPAreRefused(t *testing.T) {
	a := startAPI(t)
	for _, request := range []string{
		"nonsense\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
		"POST /api/users/login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
		"POST /api/users/login HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
	} {
		r := a.raw(request)
		r.refused(400, "malformed", "")
		if !r.closes {
			t.Errorf("%q: the connection stays open", request)
		}
	}
}

func TestAMethodThatAPathDoesNotTakeIsNamedWithThoseItDoes(t *testing.T) {
	a := startAPI(t)
	allowed := map[string][]string{}
	for _, e := range a.server.table() {
		allowed[e.pattern] = append(allowed[e.pattern], e.method)
	}
	for pattern, methods := range allowed {
		path := strings.ReplaceAll(pattern, "{id}", stranger)
		want := append([]string{"OPTIONS"}, methods...)
		if slices.Contains(methods, "GET") {
			want = append(want, "HEAD")
		}
		slices.Sort(want)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} {
			if slices.Contains(methods, method) {
				continue
			}
			r := a.call(method, path, "")
			r.refused(405, "method_not_allowed", "")
			if got := r.header.Get("Allow"); got != strings.Join(want, ", ") {
				t.Errorf("%s: Allow is %q, want %q", r.what, got, want)
			}
		}
		if r := a.call("OPTIONS", path, "").is(204); r.header.Get("Allow") != strings.Join(want, ", ") {
			t.Errorf("%s: Allow is %q", r.what, r.header.Get("Allow"))
		}
	}
}

func TestAPathIsTakenAsItCame(t *testing.T) {
	a := startAPI(t)
	for _, path := range []string{
		"/nothing", "/api", "/api/", "/api/users", "/api/users/me/", "/api//users/me", "/API/users/me", "/api/./users/me",
		"/x/../api/users/me", "/api%2Fusers/me", "/api/users/%6de", "//", "/..", "/a/b/c/d/e/f/g/h/i/j/k", "/%00", "/%zz",
	} {
		a.raw("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n").refused(404, "not_found", "")
	}
	a.raw("GET /healthz?x=1 HTTP/1.1\r\nHost: x\r\n\r\n").is(200)
	a.raw("GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n").is(200)
}

func TestASlowClientIsEndedAndHoldsNobodyUp(t *testing.T) {
	a := startAPI(t, func(c *apiConfig) { c.http.ReadTimeout = 300 * time.Millisecond })
	starts := []string{
		"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"POST /api/users/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"POST /api/users/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{",
	}
	const each = 20
	var ended sync.WaitGroup
	var answered atomic.Int32
	for _, start := range starts {
		for range each {
			conn := a.dial()
			ended.Go(func() {
				// A byte now and then: the whole request has a time, not each byte.
				if _, err := io.WriteString(conn, start); err != nil {
					t.Error(err)
					return
				}
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && response.StatusCode == http.StatusRequestTimeout {
						answered.Add(1)
					}
					_, _ = io.Copy(io.Discard, conn)
				}()
				deadline := time.After(20 * time.Second)
				for {
					select {
					case <-tick.C:
						_, _ = io.WriteString(conn, "a")
					case <-gone:
						return
					case <-deadline:
						t.Error("a slow client was never ended")
						return
					}
				}
			})
		}
	}
	for range 20 {
		a.call("GET", "/healthz", "").is(200)
	}
	ended.Wait()
	if n := int(answered.Load()); n != each*len(starts) {
		t.Errorf("%d of %d slow clients were told why", n, each*len(starts))
	}
}

func TestConnectionsBeyondTheLimitAreRefused(t *testing.T) {
	a := startAPI(t, func(c *apiConfig) { c.http.MaxConnections = 2 })
	var held []net.Conn
	for range 2 {
		conn := a.dial()
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a.readReply(conn, "GET /healthz").is(200)
		held = append(held, conn)
	}
	third := a.dial()
	response, err := http.ReadResponse(bufio.NewReader(third), nil)
	if err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the third connection got %v, %v", response, err)
	}
	if _, err := io.WriteString(held[0], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	a.readReply(held[0], "GET /healthz").is(200)
}

// gatedLog is a Log whose appends can be held and made to fail.
type gatedLog struct {
	persistence.Log
	gate   sync.RWMutex // held for writing: no append gets through
	broken atomic.Bool
}

func (l *gatedLog) Append(seq uint64, frame []byte) error {
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.broken.Load() {
		return errors.New("the disk is gone")
	}
	return l.Log.Append(seq, frame)
}

func TestAFullQueueIsA503ThatChangesNothing(t *testing.T) {
	var log *gatedLog
	const queue, clients = 3, 20
	a := startAPI(t, func(c *apiConfig) {
		c.queue = queue
		c.log = func(inner persistence.Log) persistence.Log { log = &gatedLog{Log: inner}; return log }
	})
	u := a.funded("aitbc1wallet_crowd")
	log.gate.Lock()
	release := sync.OnceFunc(log.gate.Unlock)
	defer release()
	replies := make(chan reply, clients)
	for i := range clients {
		go func() {
			replies <- u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, "Idempotency-Key", fmt.Sprint(i))
		}()
	}
	// All but those that fit are answered while nothing can be written; reads go on.
	for range clients - queue {
		r := <-replies
		r.refused(503, "unavailable", "")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if held := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).text("held"); held != "0" {
		t.Errorf("%s is shown as held before it is durable", held)
	}
	a.call("POST", "/api/users/login", `{"wallet_address":"aitbc1wallet_late"}`).refused(503, "unavailable", "")
	release()
	for range queue {
		(<-replies).is(201)
	}
	if held := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).text("held"); held != fmt.Sprint(queue) {
		t.Errorf("%s is held, want %d", held, queue)
	}
	fresh := 0
	for i := range clients {
		r := u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, "Idempotency-Key", fmt.Sprint(i)).is(201)
		if r.header.Get("Idempotent-Replayed") == "" {
			fresh++
		}
	}
	if fresh != clients-queue {
		t.Errorf("%d of the retries were new, want %d", fresh, clients-queue)
	}
}

func TestAFailedWriteIsA503WithAnUnknownOutcome(t *testing.T) {
	var log *gatedLog
	a := startAPI(t, func(c *apiConfig) {
		c.log = func(inner persistence.Log) persistence.Log { log = &gatedLog{Log: inner}; return log }
	})
	u := a.funded("aitbc1wallet_unlucky")
	before := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body
	log.broken.Store(true)
	for range 2 {
		r := u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`)
		r.refused(503, "outcome_unknown", "")
		if !strings.Contains(r.body, "Idempotency-Key") || r.header.Get("Retry-After") == "" {
			t.Errorf("the answer does not say what to do: %s", r.body)
		}
		log.broken.Store(false)
	}
	if after := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body; after != before {
		t.Errorf("a reader sees %s, was %s", after, before)
	}
	a.call("POST", "/api/users/login", `{"wallet_address":"aitbc1wallet_unlucky"}`).refused(503, "outcome_unknown", "")
}

// TestATokenIsCheckedAlikeWhoeverItsUser stands in for a measurement, which noise
// would decide: none of the ways to be refused allocates, so none of them does
// work that another does not.
func TestATokenIsCheckedAlikeWhoeverItsUser(t *testing.T) {
	a := startAPI(t)
	u, gone := a.login("aitbc1wallet_alike"), a.login("aitbc1wallet_alike")
	gone.as("POST", "/api/users/logout", "").is(200)
	for name, token := range map[string]string{
		"live": u.token, "logged out": gone.token, "wrong secret": u.token[:len(u.token)-8] + "AAAAAAAA", "no such user": "AAAA" + u.token[4:],
	} {
		raw := []byte(token)
		if len(raw) != actors.TokenLength {
			t.Fatalf("a token has %d characters", len(raw))
		}
		if n := testing.AllocsPerRun(100, func() { a.exchange.Authenticate(raw) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
