package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/actors/secondfactor/factortest"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// liveServer is a whole service on a directory, in this process.
type liveServer struct {
	t        *testing.T
	server   *Server
	exchange *actors.Exchange
	url      string
	client   *http.Client
	stopped  bool
	stopAll  func()
}

const liveKey = "operator-key-of-this-test"

// startLive serves dir until the test ends or stop is called. change may be nil.
func startLive(t *testing.T, dir string, change func(*Config, *actors.Config)) *liveServer {
	t.Helper()
	store, err := local.Open(local.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := persistence.Open(persistence.Config{Log: store})
	if err != nil {
		t.Fatal(err)
	}
	terms := actors.DefaultTerms()
	keys, err := ReadOperatorKeys(strings.NewReader("ops:" + liveKey))
	if err != nil {
		t.Fatal(err)
	}
	backend := actors.Config{
		Journal: journal, Terms: terms, Faucet: true, Random: rand.Reader,
		Chain: actors.NewSimulatedChain(time.Hour, terms.Confirmations, rand.Reader),
	}
	cfg := Config{Demo: true, Keys: keys, Version: "test", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg, &backend)
	}
	exchange := actors.New(backend)
	cfg.Exchange = exchange
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange.Recover(context.Background(), func(actors.Progress) {}); err != nil {
		t.Fatal(err)
	}
	server.SetReady()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	l := &liveServer{t: t, server: server, exchange: exchange, url: "http://" + listener.Addr().String(), client: http.DefaultClient}
	if cfg.TLS != nil {
		l.url = "https://" + listener.Addr().String()
		l.client = &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(t, cfg.TLS)}}
	}
	l.stopAll = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		exchange.Close()
		if err := journal.Close(); err != nil {
			t.Error(err)
		}
		<-served
	}
	t.Cleanup(l.stop)
	return l
}

func (l *liveServer) stop() {
	if !l.stopped {
		l.stopped = true
		l.client.CloseIdleConnections()
		l.stopAll()
	}
}

// do sends a request and checks its response against the OpenAPI document.
func (l *liveServer) do(method, path, token, body string, want int) (http.Header, []byte) {
	l.t.Helper()
	request, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := l.client.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	if response.StatusCode != want {
		l.t.Fatalf("%s %s is answered %d, want %d: %.500s", method, path, response.StatusCode, want, content)
	}
	validateResponse(l.t, method, path, response.StatusCode, response.Header, content)
	return response.Header, content
}

// get decodes the response to a GET.
func (l *liveServer) get(path, token string, into any) {
	l.t.Helper()
	_, content := l.do("GET", path, token, "", 200)
	if err := json.Unmarshal(content, into); err != nil {
		l.t.Fatal(err)
	}
}

func (l *liveServer) login(wallet string) (id, token string) {
	l.t.Helper()
	_, content := l.do("POST", "/api/users/login", "", `{"wallet_address":"`+wallet+`"}`, 200)
	var answer struct {
		UserID string `json:"user_id"`
		Token  string `json:"session_token"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		l.t.Fatal(err)
	}
	return answer.UserID, answer.Token
}

// event is one server-sent event; a comment has the name ":".
type event struct{ id, name, data string }

// client reads a stream.
type liveClient struct {
	t      *testing.T
	body   io.ReadCloser
	reader *bufio.Reader
}

// open begins a stream, which must be answered 200.
func (l *liveServer) open(id, token, last string) *liveClient {
	l.t.Helper()
	response := l.tryOpen(id, token, last)
	if response.StatusCode != 200 {
		content, _ := io.ReadAll(response.Body)
		l.t.Fatalf("the stream is answered %d: %s", response.StatusCode, content)
	}
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		l.t.Fatalf("Content-Type is %q", got)
	}
	return &liveClient{t: l.t, body: response.Body, reader: bufio.NewReader(response.Body)}
}

func (l *liveServer) tryOpen(id, token, last string) *http.Response {
	l.t.Helper()
	request, err := http.NewRequest("GET", l.url+"/api/users/"+id+"/events", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	request.Header.Set("X-Session-Token", token)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := l.client.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { response.Body.Close() })
	return response
}

// next returns the next event; io.EOF as its name where the stream has ended.
func (c *liveClient) next() (e event) {
	c.t.Helper()
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return event{name: "EOF"}
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, ":"):
			e.name = ":"
		case line == "" && e.name != "":
			return e
		case field == "event":
			e.name = value
		case field == "data":
			e.data = value
		case field == "id":
			e.id = value
		}
	}
}

// expect reads an event of each name in turn and returns the last.
func (c *liveClient) expect(names ...string) (e event) {
	c.t.Helper()
	for _, want := range names {
		if e = c.next(); e.name != want {
			c.t.Fatalf("the event is %+v, want a %s", e, want)
		}
	}
	return e
}

func TestAStreamSendsTheSameStateAsReadsShow(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, token := l.login("aitbc1wallet_stream")
	c := l.open(id, token, "")
	if e := c.expect("position"); e.id != "1" || e.data != `{"position":1}` {
		t.Errorf("the first event is %+v", e)
	}

	_, created := l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":12.5}`, 201)
	e := c.expect("transaction")
	if e.data != string(created) || e.id != "" {
		t.Errorf("the event is %+v, the response was %s", e, created)
	}
	e = c.expect("balance")
	if _, balance := l.do("GET", "/api/users/"+id+"/balance", token, "", 200); e.data != string(balance) {
		t.Errorf("the event is %+v, the balance is %s", e, balance)
	}
	if e = c.expect("position"); e.id != "2" {
		t.Errorf("the position is %+v", e)
	}

	_, made := l.do("POST", "/api/exchange/create-payment", token, `{"aitbc_amount":100}`, 201)
	var payment struct {
		ID string `json:"payment_id"`
	}
	if err := json.Unmarshal(made, &payment); err != nil {
		t.Fatal(err)
	}
	e = c.expect("transaction", "payment")
	if _, status := l.do("GET", "/api/exchange/payment-status/"+payment.ID, token, "", 200); e.data != string(status) {
		t.Errorf("the event is %+v, the status is %s", e, status)
	}
	c.expect("position")
	l.do("POST", "/api/exchange/confirm-payment/"+payment.ID, token, `{"tx_hash":"`+strings.Repeat("ab", 32)+`"}`, 200)
	if e = c.expect("transaction", "payment", "balance"); !strings.Contains(e.data, `"balance":112.5`) {
		t.Errorf("the balance is %s", e.data)
	}
	c.expect("position")
	l.do("POST", "/api/operator/users/"+id+"/suspend", liveKey, `{"reason":"test"}`, 200)
	if e = c.expect("profile"); !strings.Contains(e.data, `"status":"suspended"`) {
		t.Errorf("the profile is %s", e.data)
	}
	c.expect("position")
}

func TestAStreamIsItsOwnersOnly(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, token := l.login("aitbc1wallet_owner")
	other, _ := l.login("aitbc1wallet_other")
	l.do("GET", "/api/users/"+other+"/events", token, "", 403)
	l.do("GET", "/api/users/"+id+"/events", "", "", 401)
	l.do("GET", "/api/users/"+id+"/events", liveKey, "", 401)
	l.do("GET", "/api/users/"+id+"/events?session_token="+token, "", "", 401)
}

func TestTheNinthStreamOfAUserIsRefusedUntilOneCloses(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, token := l.login("aitbc1wallet_nine")
	other, otherToken := l.login("aitbc1wallet_another")
	var open []*liveClient
	for range actors.MaxWatchers {
		c := l.open(id, token, "")
		c.expect("position")
		open = append(open, c)
	}
	response := l.tryOpen(id, token, "")
	content, _ := io.ReadAll(response.Body)
	validateResponse(t, "GET", "/api/users/"+id+"/events", response.StatusCode, response.Header, content)
	if response.StatusCode != 429 || response.Header.Get("Retry-After") == "" || !bytes.Contains(content, []byte(`"code":"too_many_streams"`)) {
		t.Errorf("the ninth is answered %d: %s", response.StatusCode, content)
	}
	l.open(other, otherToken, "").expect("position")
	if n := l.server.streams.count(); n != actors.MaxWatchers+1 {
		t.Errorf("%d streams are open", n)
	}
	open[0].body.Close()
	l.waitStreams(actors.MaxWatchers) // the server notices without a write
	l.open(id, token, "").expect("position")
	l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1}`, 201)
	for _, c := range open[1:] { // the others have noticed nothing
		c.expect("transaction", "balance", "position")
	}
}

// waitStreams waits until n streams are open.
func (l *liveServer) waitStreams(n int) {
	l.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for l.server.streams.count() != n {
		if time.Now().After(deadline) {
			l.t.Fatalf("%d streams are open, want %d", l.server.streams.count(), n)
		}
		<-time.After(time.Millisecond)
	}
}

func TestTheEndOfASessionEndsItsStreamAndNoOther(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, first := l.login("aitbc1wallet_ends")
	_, second := l.login("aitbc1wallet_ends")
	_, third := l.login("aitbc1wallet_ends")
	streams := map[string]*liveClient{}
	for _, token := range []string{first, second, third} {
		streams[token] = l.open(id, token, "")
		streams[token].expect("position")
	}
	ends := func(token string) {
		t.Helper()
		c := streams[token]
		for {
			e := c.next()
			if e.name == "position" {
				continue
			}
			if e.name != "session" || e.data != `{"reason":"logged_out"}` {
				t.Fatalf("the event is %+v, want the end of the session", e)
			}
			break
		}
		c.expect("EOF")
		l.do("GET", "/api/users/me", token, "", 401)
	}
	l.do("POST", "/api/users/logout", first, "", 200)
	ends(first)
	streams[second].expect("position")
	if _, content := l.do("DELETE", "/api/users/me/sessions", third, "", 200); string(content) != `{"ended":1}` {
		t.Errorf("the answer is %s", content)
	}
	ends(second)
	l.do("GET", "/api/users/me", third, "", 200)
	l.waitStreams(1)
}

func TestASessionThatExpiresEndsItsStreamAtItsTime(t *testing.T) {
	l := startLive(t, t.TempDir(), func(_ *Config, x *actors.Config) { x.Terms.SessionLifetime = 300 * time.Millisecond })
	id, token := l.login("aitbc1wallet_expires")
	c := l.open(id, token, "")
	c.expect("position")
	if e := c.expect("session"); e.data != `{"reason":"expired"}` {
		t.Errorf("the event is %+v", e)
	}
	c.expect("EOF")
}

func TestAStreamResumesAfterARestart(t *testing.T) {
	dir := t.TempDir()
	l := startLive(t, dir, nil)
	id, token := l.login("aitbc1wallet_resume")
	c := l.open(id, token, "")
	c.expect("position")
	l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1}`, 201)
	last := c.expect("transaction", "balance", "position").id
	begun := time.Now()
	l.stop()
	c.expect("EOF")
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("with a stream open, stopping took %v", took)
	}

	l = startLive(t, dir, nil)
	again := func(last string, names ...string) event {
		t.Helper()
		c := l.open(id, token, last)
		e := c.expect(names...)
		c.body.Close()
		l.waitStreams(0)
		return e
	}
	if e := again(last, "position"); e.id != last {
		t.Errorf("after the restart the position is %+v, want %s", e, last)
	}
	l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1}`, 201)
	if e := again(last, "reset", "position"); e.id != "3" {
		t.Errorf("after a change the position is %+v", e)
	}
	for _, garbage := range []string{"x", "-1", "99999999999999999999999", "4", "0", strings.Repeat("9", 2000), "1; DROP"} {
		if e := again(garbage, "reset", "position"); e.id != "3" {
			t.Errorf("after Last-Event-ID %.20q the position is %+v", garbage, e)
		}
	}
}

func TestAnIdleStreamIsKeptAliveBeyondTheWriteTimeout(t *testing.T) {
	l := startLive(t, t.TempDir(), func(c *Config, _ *actors.Config) {
		c.Heartbeat, c.WriteTimeout, c.ReadTimeout, c.IdleTimeout = 20*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	})
	id, token := l.login("aitbc1wallet_idle")
	c := l.open(id, token, "")
	c.expect("position")
	for range 30 { // six times the timeouts
		c.expect(":")
	}
	l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1}`, 201)
	for {
		if e := c.next(); e.name != ":" {
			if e.name != "transaction" {
				t.Errorf("the event is %+v", e)
			}
			break
		}
	}
}

func TestAReaderThatStopsReadingIsDropped(t *testing.T) {
	l := startLive(t, t.TempDir(), func(c *Config, _ *actors.Config) {
		c.WriteTimeout, c.Heartbeat = 200*time.Millisecond, 20*time.Millisecond
	})
	id, token := l.login("aitbc1wallet_slow")
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(l.url, "http://"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(1 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /api/users/%s/events HTTP/1.1\r\nHost: x\r\nX-Session-Token: %s\r\n\r\n", id, token)
	l.waitStreams(1)
	// It reads nothing. What it is sent fills the sockets' buffers, and then it goes.
	deadline := time.Now().Add(30 * time.Second)
	for l.server.streams.count() == 1 {
		if time.Now().After(deadline) {
			t.Fatal("a reader that reads nothing is still served")
		}
		l.do("PATCH", "/api/users/me", token, fmt.Sprintf(`{"email":"%s%d@example.org"}`, strings.Repeat("x", 200), time.Now().UnixNano()), 200)
		l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1}`, 201)
	}
}

func TestAStopDoesNotWaitForASlowReader(t *testing.T) {
	l := startLive(t, t.TempDir(), func(c *Config, _ *actors.Config) { c.WriteTimeout = time.Hour })
	id, token := l.login("aitbc1wallet_stop")
	session, ok := l.exchange.Authenticate([]byte(token))
	if !ok {
		t.Fatal("the session is not live")
	}
	watcher, err := l.exchange.Watch(&session)
	if err != nil {
		t.Fatal(err)
	}
	server, client := net.Pipe() // which holds nothing: the first write waits
	defer client.Close()
	if !l.server.streams.enter() {
		t.Fatal("the stream is refused")
	}
	st := &stream{server: l.server, watcher: watcher, conn: server, gone: make(chan struct{})}
	go st.run(eventsHead, "")
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil { // it is writing, and the rest is not read
		t.Fatal(err)
	}
	l.open(id, token, "").expect("position")
	begun := time.Now()
	l.stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestALongDifferenceIsAReset(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, token := l.login("aitbc1wallet_many")
	session, ok := l.exchange.Authenticate([]byte(token))
	if !ok {
		t.Fatal("the session is not live")
	}
	watcher, err := l.exchange.Watch(&session)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	st := &stream{server: l.server, watcher: watcher, told: watcher.State()}
	for n := 1; n <= maxDifference+1; n++ {
		l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1}`, 201)
		copied := *st
		got := string(copied.difference(nil))
		if reset := strings.Contains(got, "event: reset"); reset != (n > maxDifference) || !reset && strings.Count(got, "event: transaction") != n {
			t.Fatalf("%d changes are told as %.300s", n, got)
		}
	}
}

func TestAHeadOfAStreamOpensNone(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, token := l.login("aitbc1wallet_head")
	l.do("HEAD", "/api/users/"+id+"/events", token, "", 200)
	if n := l.server.streams.count(); n != 0 {
		t.Errorf("%d streams are open", n)
	}
}

func TestAStreamReportsThatItsTokenWasRotated(t *testing.T) {
	passkeys, err := secondfactor.NewCeremonies("AITBC Exchange", []string{testOrigin}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l := startLive(t, t.TempDir(), func(_ *Config, c *actors.Config) { c.Factors.Passkeys = passkeys })
	id, mine := l.login("aitbc1wallet_rotates")
	_, other := l.login("aitbc1wallet_rotates")
	rotates, ends := l.open(id, mine, ""), l.open(id, other, "")
	rotates.expect("position")
	ends.expect("position")
	_, options := l.do("POST", "/api/users/me/factors/passkeys/options", mine, "", 200)
	answer := factortest.New(t, testOrigin, "exchange.example").Create(t, options)
	_, content := l.do("POST", "/api/users/me/factors/passkeys", mine, `{"name":"k","credential":`+string(answer)+`}`, 201)
	for reason, c := range map[string]*liveClient{"rotated": rotates, "logged_out": ends} {
		e := c.next()
		if e.name == "position" {
			e = c.next()
		}
		if e.name != "session" || e.data != `{"reason":"`+reason+`"}` {
			t.Errorf("the event is %+v, want that the session is %s", e, reason)
		}
		c.expect("EOF")
	}
	var rotated struct {
		Token string `json:"session_token"`
	}
	if err := json.Unmarshal(content, &rotated); err != nil {
		t.Fatal(err)
	}
	l.open(id, rotated.Token, "").expect("position")
}
