package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// testOrigin is where the service is reached.
const testOrigin = "https://exchange.example"

// operatorKey is olga's.
const operatorKey = "key-of-olga-0123456789abcdef"

// api is the whole service, on a socket and a data directory.
type api struct {
	t        testing.TB
	exchange *actors.Exchange
	server   *Server
	journal  *persistence.Journal
	address  string // of its socket
	client   *http.Client
	stop     func() // also done when the test ends
}

// apiConfig is what a test may choose.
type apiConfig struct {
	dir          string
	demo         bool
	log          func(persistence.Log) persistence.Log // wraps the log
	queue        int
	confirmAfter time.Duration
	now          func() time.Time
	required     bool // a second factor, of everybody
	terms        func(*actors.Terms)
	auditLog     func(persistence.Log) persistence.Log // wraps that of the audit log
	http         Config
	actors       func(*actors.Config) // changes what the exchange is made of
	notReady     bool
	plain        bool          // without event loops
	server       func(*Server) // changes it before it serves
}

// startAPI serves dir, or a directory of its own, in demo mode.
func startAPI(t testing.TB, choose ...func(*apiConfig)) *api {
	t.Helper()
	keys, err := ReadOperatorKeys(strings.NewReader("olga:" + operatorKey))
	if err != nil {
		t.Fatal(err)
	}
	c := apiConfig{demo: true, confirmAfter: time.Hour, now: time.Now, http: Config{Keys: keys, Version: "test", Logger: slog.New(slog.DiscardHandler)}}
	for _, f := range choose {
		f(&c)
	}
	if c.dir == "" {
		c.dir = t.TempDir()
	}
	store, err := local.Open(local.Config{Dir: c.dir, Logger: c.http.Logger})
	if err != nil {
		t.Fatal(err)
	}
	var log persistence.Log = store
	if c.log != nil {
		log = c.log(log)
	}
	journal, err := persistence.Open(persistence.Config{Log: log, Snapshots: store, MaxQueuedRecords: c.queue})
	if err != nil {
		t.Fatal(err)
	}
	var chain actors.Chain
	if c.demo {
		chain = actors.NewSimulatedChain(c.confirmAfter, 1, rand.Reader)
	}
	terms := actors.DefaultTerms()
	if c.terms != nil {
		c.terms(&terms)
	}
	kept, closeAudit := auditLog(t, &c)
	secrets, err := secondfactor.OpenSecrets(filepath.Join(c.dir, "secrets.key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	passkeys, err := secondfactor.NewCeremonies("AITBC Exchange", []string{testOrigin}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	made := actors.Config{
		Journal: journal, Audit: kept, Terms: terms, Chain: chain, Faucet: c.demo, Random: rand.Reader, Now: c.now,
		Factors: actors.FactorConfig{Required: c.required, Secrets: secrets, Passkeys: passkeys},
	}
	if c.actors != nil {
		c.actors(&made)
	}
	exchange := actors.New(made)
	c.http.Exchange, c.http.Demo = exchange, c.demo
	server, err := New(c.http)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange.Recover(context.Background(), func(actors.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Make(); err != nil {
		t.Fatal(err)
	}
	if !c.notReady {
		server.SetReady()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if c.server != nil {
		c.server(server)
	}
	a := &api{t: t, exchange: exchange, server: server, journal: journal, address: listener.Addr().String()}
	if c.plain {
		listener = struct{ net.Listener }{listener}
	}
	a.client = &http.Client{Transport: &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", a.address) },
		DisableCompression: true,
	}, Timeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	a.stop = sync.OnceFunc(func() {
		a.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
		exchange.Close()
		if err := journal.Close(); err != nil && !errors.Is(err, persistence.ErrPoisoned) {
			t.Error(err)
		}
		closeAudit()
	})
	t.Cleanup(a.stop)
	return a
}

// auditLog opens the audit log in the directory of the service.
func auditLog(t testing.TB, c *apiConfig) (kept *actors.AuditLog, done func()) {
	t.Helper()
	store, err := local.Open(local.Config{Dir: filepath.Join(c.dir, "audit")})
	if err != nil {
		t.Fatal(err)
	}
	var log persistence.Log = store
	if c.auditLog != nil {
		log = c.auditLog(log)
	}
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	kept, err = actors.OpenAuditLog(journal, time.Now, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return kept, func() {
		if err := journal.Close(); err != nil && !errors.Is(err, persistence.ErrPoisoned) {
			t.Error(err)
		}
	}
}

// reply is a response, read whole.
type reply struct {
	t      testing.TB
	what   string // the request
	status int
	header http.Header
	closes bool // the connection
	body   string
}

// call sends a request and checks what every response must have. headers are
// name, value, name, value; a body is JSON unless they say otherwise.
func (a *api) call(method, path, body string, headers ...string) reply {
	a.t.Helper()
	request, err := http.NewRequest(method, "http://exchange"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
	}
	response, err := a.client.Do(request)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	shown := body
	if len(shown) > 200 {
		shown = shown[:200] + "..."
	}
	r := reply{t: a.t, what: strings.TrimSpace(method + " " + path + " " + shown), status: response.StatusCode, header: response.Header, body: string(content)}
	r.check(method)
	validateResponse(a.t, method, path, response.StatusCode, response.Header, content)
	return r
}

// check holds the response to what is promised of all.
func (r reply) check(method string) {
	r.t.Helper()
	id := r.header.Get("X-Request-Id")
	if id == "" || r.header.Get("X-Content-Type-Options") != "nosniff" {
		r.t.Errorf("%s: no request id, or nosniff: %v", r.what, r.header)
	}
	if r.status < 400 || method == http.MethodHead {
		return
	}
	var problem struct {
		Type, Title, Detail, Code string
		Status                    int
		RequestID                 string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(r.body), &problem); err != nil || r.header.Get("Content-Type") != "application/problem+json" {
		if strings.HasSuffix(r.what, "/readyz") {
			return // says how far recovery is
		}
		r.t.Errorf("%s: not a problem document: %s %s", r.what, r.header.Get("Content-Type"), r.body)
		return
	}
	if problem.Status != r.status || problem.Type != "urn:aitbc:problem:"+problem.Code || problem.Code == "" || problem.Title == "" || problem.Detail == "" || problem.RequestID != id {
		r.t.Errorf("%s: status %d with the problem %s", r.what, r.status, r.body)
	}
}

// is fails unless the status is want.
func (r reply) is(want int) reply {
	r.t.Helper()
	if r.status != want {
		r.t.Fatalf("%s: status %d, want %d: %s", r.what, r.status, want, r.body)
	}
	return r
}

// refused checks a problem's status, code and field without ending the test.
func (r reply) refused(status int, code, field string) {
	r.t.Helper()
	var problem struct{ Code, Field string }
	_ = json.Unmarshal([]byte(r.body), &problem)
	if r.status != status || problem.Code != code || problem.Field != field {
		r.t.Errorf("%s: status %d, code %q, field %q; want %d, %q, %q: %.300s", r.what, r.status, problem.Code, problem.Field, status, code, field, r.body)
	}
}

// members decodes the body.
func (r reply) members() map[string]any {
	r.t.Helper()
	members := map[string]any{}
	d := json.NewDecoder(strings.NewReader(r.body))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		r.t.Fatalf("%s: %q: %v", r.what, r.body, err)
	}
	return members
}

func (r reply) text(name string) string {
	r.t.Helper()
	value, ok := r.members()[name]
	if !ok {
		r.t.Fatalf("%s: there is no %q in %s", r.what, name, r.body)
	}
	return fmt.Sprint(value)
}

// names are the members of the body, in order.
func (r reply) names() string {
	r.t.Helper()
	return strings.Join(namesOf(r.t, []byte(r.body)), " ")
}

func namesOf(t testing.TB, object []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	var names []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// client is one user's session.
type client struct {
	*api
	id, token string
}

// login opens a session of the wallet's user.
func (a *api) login(wallet string) client {
	a.t.Helper()
	r := a.call("POST", "/api/users/login", fmt.Sprintf(`{"wallet_address":%q}`, wallet)).is(200)
	return client{api: a, id: r.text("user_id"), token: r.text("session_token")}
}

// as is call with the client's session.
func (c client) as(method, path, body string, headers ...string) reply {
	c.t.Helper()
	return c.call(method, path, body, append(headers, "X-Session-Token", c.token)...)
}

// operator is call with olga's key.
func (a *api) operator(method, path, body string, headers ...string) reply {
	a.t.Helper()
	return a.call(method, path, body, append(headers, "Authorization", "Bearer "+operatorKey)...)
}

// funded is login and a deposit of 10000.
func (a *api) funded(wallet string) client {
	a.t.Helper()
	c := a.login(wallet)
	c.as("POST", "/api/users/"+c.id+"/deposits", `{"amount":10000}`).is(201)
	return c
}
