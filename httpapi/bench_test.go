package httpapi

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/httpapi/eventloop"
	"github.com/aitbc/exchange/httpapi/throttle"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// benchServer is a ready server on a log in a temporary directory, without a
// network: what is measured is everything between fasthttp and the disk.
func benchServer(tb testing.TB, change ...func(*Config)) *Server {
	tb.Helper()
	store, err := local.Open(local.Config{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	journal, err := persistence.Open(persistence.Config{Log: store})
	if err != nil {
		tb.Fatal(err)
	}
	exchange := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Faucet: true, Random: rand.Reader})
	cfg := Config{Exchange: exchange, Demo: true, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := exchange.Recover(tb.Context(), func(actors.Progress) {}); err != nil {
		tb.Fatal(err)
	}
	server.SetReady()
	tb.Cleanup(func() {
		exchange.Close()
		if err := journal.Close(); err != nil {
			tb.Error(err)
		}
	})
	return server
}

// benchUser logs in a wallet, and returns the user's id and a token.
func benchUser(tb testing.TB, s *Server, n int) (id, token string) {
	tb.Helper()
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/api/users/login")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.SetBodyString(fmt.Sprintf(`{"wallet_address":"aitbc1wallet_bench%08d"}`, n))
	s.serve(&ctx)
	var login struct {
		UserID string `json:"user_id"`
		Token  string `json:"session_token"`
	}
	if err := json.Unmarshal(ctx.Response.Body(), &login); err != nil || login.Token == "" {
		tb.Fatalf("login: %s: %v", ctx.Response.Body(), err)
	}
	return login.UserID, login.Token
}

// benchRequest prepares a request that can be served again and again.
func benchRequest(ctx *fasthttp.RequestCtx, method, path, token, body string) {
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(path)
	ctx.Request.Header.Set("X-Session-Token", token)
	if body != "" {
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.SetBodyString(body)
	}
}

func BenchmarkBalance(b *testing.B) { benchmarkBalance(b) }

// BenchmarkBalanceWithLimits tells what the limits of requests cost.
func BenchmarkBalanceWithLimits(b *testing.B) { benchmarkBalance(b, withLimits) }

// withLimits are limits that nothing reaches.
func withLimits(c *Config) {
	c.Limits.Address = throttle.Policy{Name: "address", Count: 1_000_000_000, Per: time.Second}
	c.Limits.Account = throttle.Policy{Name: "account", Count: 1_000_000_000, Per: time.Second}
}

func benchmarkBalance(b *testing.B, change ...func(*Config)) {
	s := benchServer(b, change...)
	id, token := benchUser(b, s, 0)
	var ctx fasthttp.RequestCtx
	benchRequest(&ctx, "GET", "/api/users/"+id+"/balance", token, "")
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		s.serve(&ctx)
	}
	if ctx.Response.StatusCode() != 200 {
		b.Fatal(ctx.Response.StatusCode())
	}
}

func BenchmarkHistoryPage(b *testing.B) {
	s := benchServer(b)
	id, token := benchUser(b, s, 0)
	var ctx fasthttp.RequestCtx
	benchRequest(&ctx, "POST", "/api/users/"+id+"/deposits", token, `{"amount":1.5}`)
	for range 100 {
		s.serve(&ctx)
	}
	ctx = fasthttp.RequestCtx{}
	benchRequest(&ctx, "GET", "/api/users/"+id+"/transactions?limit=20", token, "")
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		s.serve(&ctx)
	}
	if ctx.Response.StatusCode() != 200 {
		b.Fatal(ctx.Response.StatusCode())
	}
}

// BenchmarkDeposit has 256 requests under way at once, as its connections would.
func BenchmarkDeposit(b *testing.B) {
	s := benchServer(b)
	const clients = 256
	var next atomic.Int64
	contexts := make([]fasthttp.RequestCtx, clients)
	for i := range contexts {
		id, token := benchUser(b, s, i)
		benchRequest(&contexts[i], "POST", "/api/users/"+id+"/deposits", token, `{"amount":1.5}`)
	}
	b.SetParallelism(clients / 2)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ctx := &contexts[int(next.Add(1)-1)%clients]
		for pb.Next() {
			ctx.Response.Reset()
			s.serve(ctx)
			if ctx.Response.StatusCode() != 201 {
				b.Error(ctx.Response.StatusCode())
				return
			}
		}
	})
}

// BenchmarkFastPathBalance is BenchmarkBalance from the bytes that an event loop has read
// to those that it sends, without the socket.
func BenchmarkFastPathBalance(b *testing.B) {
	s := fastHandler{benchServer(b)}
	id, token := benchUser(b, s.Server, 0)
	request := []byte("GET /api/users/" + id + "/balance HTTP/1.1\r\nHost: x\r\nX-Session-Token: " + token + "\r\n\r\n")
	conn := new(eventloop.Conn)
	conn.Data = &timedConn{Conn: conn, timer: s.timer}
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if taken, response, _ := s.Message(conn, request, out); taken != len(request) || len(response) == 0 {
			b.Fatalf("took %d bytes, answered %q", taken, response)
		}
	}
}
