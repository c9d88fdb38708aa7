package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
)

// twins are two services that differ in one thing: whether they have event loops. Their
// clocks stand still and their random numbers are the same, so that what they answer to
// the same bytes is the same to the byte.
type twins struct {
	loops, plain *api
	user         client // of both
}

func startTwins(t testing.TB) *twins {
	t.Helper()
	start := func(plain bool) *api {
		return startAPI(t, func(c *apiConfig) {
			c.plain = plain
			c.server = func(s *Server) {
				s.idPrefix = "id-"
				s.idNext.Store(1_000_000_000) // and so always of as many digits
			}
			begun := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
			c.now = func() time.Time { return begun }
			c.actors = func(made *actors.Config) { made.Random = &repeatable{source: rand.NewChaCha8([32]byte{1})} }
		})
	}
	tw := &twins{loops: start(false), plain: start(true)}
	if !eventually(func() bool { return tw.loops.server.loops.Load() != nil }) {
		t.Fatal("there are no event loops")
	}
	tw.user = tw.loops.funded("aitbc1wallet_twin")
	if other := tw.plain.funded("aitbc1wallet_twin"); other.id != tw.user.id || other.token != tw.user.token {
		t.Fatalf("the twins' users are %s and %s", tw.user.id, other.id)
	}
	return tw
}

func eventually(is func() bool) bool {
	for begun := time.Now(); !is(); runtime.Gosched() {
		if time.Since(begun) > 10*time.Second {
			return false
		}
	}
	return true
}

// repeatable is a source of the same numbers every time, for any goroutine.
type repeatable struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func (r *repeatable) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(b)
}

// after is sent behind what is tried. Its answer shows that the connection was left open.
const after = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: after\r\n\r\n"

// converse sends request in pieces that end at the cuts, and after behind it, and
// returns all that the service sends before it closes the connection.
func (a *api) converse(t *testing.T, request []byte, cuts ...int) string {
	t.Helper()
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	received := make(chan string)
	go func() {
		all, err := io.ReadAll(conn)
		if late, ok := err.(net.Error); ok && late.Timeout() {
			all = append(all, "... and nothing more in 20 s"...)
		}
		received <- string(all)
	}()
	all := append(bytes.Clone(request), after...)
	begin := 0
	for _, cut := range append(cuts, len(all)) {
		if cut = min(max(cut, begin), len(all)); cut > begin {
			_, _ = conn.Write(all[begin:cut]) // the service may have closed it
			begin = cut
			for range 100 {
				runtime.Gosched()
			}
		}
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	return <-received
}

var varies = regexp.MustCompile("(?m)^Date: .*\r\n|id-1[0-9]{9}")

// same sends request to both, and returns what both answer but for the date and the id
// that the service gives it.
func (tw *twins) same(t *testing.T, name string, request []byte, cuts ...int) string {
	t.Helper()
	loops, plain := varies.ReplaceAllString(tw.loops.converse(t, request, cuts...), ""), varies.ReplaceAllString(tw.plain.converse(t, request, cuts...), "")
	if strings.Contains(plain, "\nprocess_") { // the metrics, which differ
		return plain
	}
	if loops != plain {
		t.Errorf("%s: %.300q cut at %v\nby the loops: %.1500q\nwithout:      %.1500q", name, request, cuts, loops, plain)
	}
	return plain
}

// conversations are bytes that a client may send, by what they are.
func conversations(u *client) map[string]string {
	const (
		get   = "GET /api/exchange/rates HTTP/1.1\r\n"
		host  = "Host: x\r\n"
		rates = get + host + "\r\n"
		other = "GET /api/exchange/terms HTTP/1.1\r\n" + host + "\r\n"
		body  = `{"amount":12.5}`
		json  = "Content-Type: application/json\r\n"
	)
	token := "X-Session-Token: " + u.token + "\r\n"
	balance := "GET /api/users/" + u.id + "/balance HTTP/1.1\r\n" + host + token + "\r\n"
	post := "POST /api/users/" + u.id + "/deposits HTTP/1.1\r\n" + host + token + json
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	deposit := post + length + "\r\n" + body
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	operator := "Authorization: Bearer " + operatorKey + "\r\n"
	of := func(target string) string { return "GET " + target + " HTTP/1.1\r\n" + host + token + "\r\n" }

	all := map[string]string{
		"rates": rates, "market": "GET /api/exchange/market-stats HTTP/1.1\r\n" + host + "\r\n", "profile": of("/api/users/me"),
		"balance": balance, "deposit": deposit, "history": of("/api/users/" + u.id + "/transactions"), "terms": other,
		"nothing": "", "an empty line": "\r\n" + rates, "empty lines": "\r\n\r\n\r\n" + rates, "an empty line behind": deposit + "\r\n" + rates,
		"garbage": "\x00\x01\x02\x03 garbage\r\n\r\n", "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",

		"HTTP/1.0": "GET /api/exchange/rates HTTP/1.0\r\n" + host + "\r\n", "HTTP/1.0 kept": "GET /api/exchange/rates HTTP/1.0\r\nConnection: keep-alive\r\n" + host + "\r\n",
		"HTTP/1.2": "GET /api/exchange/rates HTTP/1.2\r\n" + host + "\r\n", "HTTP/0.9": "GET /api/exchange/rates\r\n\r\n", "http/1.1": "GET /api/exchange/rates http/1.1\r\n" + host + "\r\n",
		"close": get + host + "Connection: close\r\n\r\n" + rates, "Close": get + host + "connection: Close\r\n\r\n" + rates, "keep-alive": get + host + "Connection: keep-alive\r\n\r\n" + rates,
		"close among others": get + host + "Connection: x, close\r\n\r\n" + rates, "close twice": get + host + "Connection: x\r\nConnection: close\r\n\r\n" + rates,
		"upgrade": get + host + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "proxy": get + host + "Proxy-Connection: close\r\n\r\n" + rates,
		"expects": post + length + "Expect: 100-continue\r\n\r\n" + body, "expects much": post + length + "Expect: 200-ok\r\n\r\n" + body, "expects of a GET": get + host + "Expect: 100-continue\r\n\r\n",
		"expects, and a body that never comes": post + length + "Expect: 100-continue\r\n\r\n",

		"chunked": post + chunked, "chunks and a length": post + length + chunked, "no length": post + "\r\n", "no length, and a body": post + "\r\n" + body,
		"a length twice": post + length + length + "\r\n" + body, "two lengths": post + length + "Content-Length: 4\r\n\r\n" + body, "a length of 0": post + "Content-Length: 0\r\n\r\n",
		"a length with a sign": post + "Content-Length: +15\r\n\r\n" + body, "a negative length": post + "Content-Length: -1\r\n\r\n" + body, "no number": post + "Content-Length: x\r\n\r\n" + body,
		"a list of lengths": post + "Content-Length: 15, 15\r\n\r\n" + body, "a length too short": post + "Content-Length: 14\r\n\r\n" + body, "a length too long": post + "Content-Length: 99\r\n\r\n" + body,
		"no end of the body": post + "Content-Length: 999\r\n\r\n" + body, "a GET with a body": strings.TrimSuffix(balance, "\r\n") + length + "\r\n" + body, "a GET with a request as its body": get + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(deposit)) + deposit,
		"a body too large": post + "Content-Length: 65537\r\n\r\n" + strings.Repeat("x", 65537), "a body of all that is allowed": post + "Content-Length: 65536\r\n\r\n" + strings.Repeat(" ", 65536-len(body)) + body,
		"a body of a page": post + "Content-Length: 16000\r\n\r\n" + strings.Repeat(" ", 16000-len(body)) + body, "a length of too much": post + "Content-Length: 99999999999999999999\r\n\r\n",
		"a form":  post[:len(post)-len(json)] + "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 65\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n1.5\r\n--x--\r\n",
		"no form": post[:len(post)-len(json)] + "Content-Type: multipart/form-data; boundary=x\r\n" + length + "\r\n" + body, "a form by address": post[:len(post)-len(json)] + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\namount=1.5",
		"gzip":      post + "Content-Encoding: gzip\r\n" + length + "\r\n" + body,
		"a trailer": post + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n", "a trailer announced": post + "Trailer: X-A\r\n" + length + "\r\n" + body,
		"an encoding of no meaning": post + "Transfer-Encoding: identity\r\n" + length + "\r\n" + body, "an unknown encoding": post + "Transfer-Encoding: gzip\r\n" + length + "\r\n" + body,

		"bare LFs": strings.ReplaceAll(rates, "\r\n", "\n"), "a bare LF": get + "Host: x\nX-A: b\r\n\r\n", "a bare LF at the end": get + host + "\n" + rates, "a bare LF in the first line": strings.Replace(rates, "\r\n", "\n", 1),
		"a bare CR": get + host + "X-A: b\rc\r\n\r\n", "a NUL": get + host + "X-A: b\x00c\r\n\r\n", "a folded line": get + host + "X-A: b\r\n c\r\n\r\n", "a fold at once": get + " Host: x\r\n\r\n",
		"a space before the colon": get + "Host : x\r\n\r\n", "no colon": get + host + "X-A\r\n\r\n", "no name": get + host + ": b\r\n\r\n", "an odd name": get + host + "X(A): b\r\n\r\n", "high bytes": get + host + "X-A: \xff\xfe\r\n\r\n",
		"no host": get + "\r\n", "an empty host": get + "Host:\r\n\r\n", "two hosts": get + host + "Host: y\r\n\r\n", "the same host twice": get + host + host + "\r\n",
		"lower-case names": get + "host: x\r\naccept: */*\r\n\r\n", "upper-case names": get + "HOST: X\r\nACCEPT: */*\r\n\r\n", "lower-case token": strings.Replace(balance, "X-Session-Token", "x-session-token", 1),
		"two tokens": strings.Replace(balance, token, token+"X-Session-Token: nonsense\r\n", 1), "two tokens, the other first": strings.Replace(balance, token, "X-Session-Token: nonsense\r\n"+token, 1),
		"a bearer": strings.Replace(balance, "X-Session-Token: ", "Authorization: bearer ", 1), "no token": strings.Replace(balance, token, "", 1), "an empty token": strings.Replace(balance, u.token, "", 1),
		"spaces around": strings.Replace(balance, u.token, "  \t"+u.token+"  \t", 1), "a request id": get + host + "X-Request-Id: mine\r\n\r\n", "a bad request id": get + host + "X-Request-Id: a b\r\n\r\n", "two request ids": get + host + "X-Request-Id: a\r\nX-Request-Id: b\r\n\r\n",
		"a cookie": get + host + "Cookie: a=b; c\r\nUser-Agent: x\r\nReferer: y\r\n\r\n", "modified": get + host + "If-None-Match: *\r\nIf-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\nRange: bytes=0-1\r\n\r\n",

		"HEAD": strings.Replace(rates, "GET", "HEAD", 1), "OPTIONS": strings.Replace(rates, "GET", "OPTIONS", 1), "OPTIONS *": "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", "get": strings.Replace(rates, "GET", "get", 1), "TRACE": strings.Replace(rates, "GET", "TRACE", 1),
		"another method": strings.Replace(rates, "GET", "POST", 1), "no method": rates[4:], "a tab": strings.Replace(rates, " ", "\t", 1), "two spaces": strings.Replace(rates, " ", "  ", 1), "a space behind": strings.Replace(rates, "HTTP/1.1\r\n", "HTTP/1.1 \r\n", 1),
		"CONNECT": "CONNECT x:443 HTTP/1.1\r\n" + host + "\r\n", "GET of a deposit": strings.Replace(deposit, "POST", "GET", 1), "a method with a sign": strings.Replace(rates, "GET", "G@T", 1),
		"idempotent": strings.Replace(deposit, json, json+"Idempotency-Key: k1\r\n", 1) + strings.Replace(deposit, json, json+"Idempotency-Key: k1\r\n", 1), "a bad key": strings.Replace(deposit, json, json+"Idempotency-Key: a b\r\n", 1),
		"an operator's deposit": strings.Replace(deposit, token, operator, 1), "an operator's deposit to nobody": "POST /api/users/x/deposits HTTP/1.1\r\n" + host + operator + json + length + "\r\n" + body, "an operator's balance": strings.Replace(balance, token, operator, 1),
		"no amount": post + "Content-Length: 2\r\n\r\n{}", "no JSON": post + "Content-Length: 1\r\n\r\nx", "a big amount": post + "Content-Length: 16\r\n\r\n{\"amount\":1e300}",

		"header too large": get + host + "X-A: " + strings.Repeat("a", 9000) + "\r\n\r\n", "header of nearly too much": get + host + "X-A: " + strings.Repeat("a", 8100) + "\r\n\r\n", "target too long": of("/api/exchange/rates?" + strings.Repeat("a", 9000)), "no end of the header": get + host + "X-A: b\r\n",
		"a header to the byte": get + host + "X-A: " + strings.Repeat("a", maxHeader-len(get+host)-9) + "\r\n\r\n", "and one more": get + host + "X-A: " + strings.Repeat("a", maxHeader-len(get+host)-8) + "\r\n\r\n",
		"many lines": get + host + strings.Repeat("X-A: b\r\n", 500) + "\r\n", "half a line": "GET /api/exch",

		"all of them": rates + balance + other + deposit + of("/api/users/me") + other + other + rates + deposit + balance + strings.Replace(rates, "GET", "HEAD", 1) + balance,
		"many":        strings.Repeat(rates, 300), "many deposits": strings.Repeat(deposit, 40), "many mixed": strings.Repeat(rates+other+deposit, 30), "a deposit, then garbage": deposit + "garbage\r\n\r\n" + deposit, "rates, then half": rates + deposit[:len(deposit)-3],
		"a bare LF, then a deposit": get + "Host: x\nX-A: b\r\n\r\n" + deposit, "close, then a deposit": get + host + "Connection: close\r\n\r\n" + deposit, "two lengths, then a deposit": post + length + chunked + deposit,
	}
	for _, target := range []string{
		"?", "?limit=5", "?limit=0", "?limit=99", "?limit=100", "?limit=5&limit=6", "?limit=", "?limit=-1", "?limit=+1", "?limit=05", "?LIMIT=5", "?limit=5#x", "?limit=%35", "?limit=5&type=deposit", "?cursor=1", "?x=y", "??", "#", "#x?limit=5", "/", "%00", "%2f", ";x", "\x7f", "\xff",
	} {
		all["history"+target] = of("/api/users/" + u.id + "/transactions" + target)
		all["rates"+target] = of("/api/exchange/rates" + target)
	}
	for _, target := range []string{
		"http://x/api/exchange/rates", "http://y/api/exchange/rates", "https://x/api/users/me", "//x/api/exchange/rates", "/api//exchange/rates", "/api/./exchange/rates", "/api/exchange/../exchange/rates", "/API/exchange/rates", "/api/exchange/rat%65s", "api/exchange/rates", "*", "/",
		"/api/users//balance", "/api/users/x/balance", "/api/users/%zz/balance", "/api/users/" + strings.ToUpper(u.id) + "/balance", "/api/users/00000000-0000-0000-0000-000000000000/balance", "/api/users/me#/balance", "/api/users/me?/balance", "/api/users/http:/balance", "/api/users/a@b:c/balance", "/api/users/\"<>/balance", "/api/users/\x7f/balance", "/api/users/\x01/balance", "/api/users/\xff/balance", "/api/users/x:/balance",
	} {
		all["target "+target] = of(target)
	}
	for _, target := range []string{"/api/users/login#/deposits", "/api/users/logout#/deposits", "/api/users/login?/deposits"} {
		all["POST "+target] = "POST " + target + " HTTP/1.1\r\n" + host + json + "Content-Length: 43\r\n\r\n" + `{"wallet_address":"aitbc1wallet_the_other"}`
	}
	for _, name := range []string{
		"exchange.example", "X", "x:80", "x:", ":80", "x:80:80", "x:y", "[::1]", "[::1]:80", "::1", "x y", "x/y", "x@y", "x_y", "x%41", "%41", "x?y", "x#y", "\xff", "127.0.0.1:8080", "-", ".", "x,y", strings.Repeat("a", 300),
	} {
		all["host "+name] = get + "Host: " + name + "\r\n\r\n"
	}
	return all
}

func TestTheLoopsAnswerAsFasthttpDoes(t *testing.T) {
	tw := startTwins(t)
	answered := 0
	all := conversations(&tw.user)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		request := all[name]
		for _, cuts := range [][]int{nil, {1}, {len(request) / 2}, {len(request)}, {len(request) / 3, len(request) - 1}} {
			if strings.HasPrefix(tw.same(t, name, []byte(request), cuts...), "HTTP/1.1 200") {
				answered++
			}
		}
	}
	if answered < 100 {
		t.Errorf("only %d conversations began with what is answered 200", answered)
	}
}

// FuzzTheLoopsAnswerAsFasthttpDoes sends any bytes, in two pieces, to both.
func FuzzTheLoopsAnswerAsFasthttpDoes(f *testing.F) {
	tw := startTwins(f)
	for _, request := range conversations(&tw.user) {
		f.Add([]byte(request), uint16(len(request)/2))
	}
	f.Fuzz(func(t *testing.T, request []byte, cut uint16) { tw.same(t, "fuzzed", request, int(cut)) })
}
