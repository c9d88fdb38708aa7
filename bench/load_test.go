package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestSchedulesOfAllThreadsKeepTheRateTogether(t *testing.T) {
	const rate, threads = 7000, 3
	var due []int64
	for thread := range threads {
		s := newSchedule(rate, thread, threads)
		for range 7000 / threads {
			due = append(due, s.due())
			s.take()
		}
	}
	seen := map[int64]bool{}
	for _, at := range due {
		// Whatever its thread, a request is due at a whole number of gaps.
		n := (at*rate + int64(time.Second)/2) / int64(time.Second)
		if off := at - n*int64(time.Second)/rate; off < -1 || off > 1 || seen[n] {
			t.Fatalf("due at %d ns, which is not the time of a request of its own", at)
		}
		seen[n] = true
	}
}

func TestScheduleDoesNotDrift(t *testing.T) {
	s := newSchedule(30_000, 0, 1) // a gap that is no whole number of nanoseconds
	s.n = 30_000 * 3600
	if got, want := s.due(), int64(time.Hour); got < want-1 || got > want+1 {
		t.Errorf("after an hour off by %d ns", got-want)
	}
}

// testServer answers as told on a loopback port until the test ends.
func testServer(t *testing.T, handler fasthttp.RequestHandler) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{Handler: handler, Logger: silent{}}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func balanceSource(b []byte, n int64, _ *rand.Rand) ([]byte, call) {
	return appendMessage(b, "GET", fmt.Appendf(nil, "/%d", n), nil, ""), call{balance, int32(n)}
}

func TestLoadSendsEachRequestOnce(t *testing.T) {
	const requests = 5000
	var mu sync.Mutex
	seen := map[string]int{}
	address := testServer(t, func(ctx *fasthttp.RequestCtx) {
		mu.Lock()
		seen[string(ctx.Path())]++
		mu.Unlock()
		ctx.Response.SetBody(ctx.Path())
	})
	var answered atomic.Int64
	l := load{address: address, connections: 7, threads: 2, requests: requests, source: balanceSource}
	l.sink = func(c call, r response) error {
		if want := fmt.Sprintf("/%d", c.user); string(r.body) != want {
			return fmt.Errorf("the answer to %s is %s", want, r.body)
		}
		answered.Add(1)
		return nil
	}
	got, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.total() != requests || answered.Load() != requests || got.latency.TotalCount() != requests {
		t.Errorf("%d responses, %d to the sink, %d in the histogram; want %d", got.total(), answered.Load(), got.latency.TotalCount(), requests)
	}
	mu.Lock()
	defer mu.Unlock()
	for n := range requests {
		if seen[fmt.Sprintf("/%d", n)] != 1 {
			t.Fatalf("request %d came %d times", n, seen[fmt.Sprintf("/%d", n)])
		}
	}
}

// A server that stops for a while makes late all that was due meanwhile. A load that
// counted from when it sent would hide that in one request a connection.
func TestOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	const stall = 400 * time.Millisecond
	var first sync.Once
	address := testServer(t, func(ctx *fasthttp.RequestCtx) {
		first.Do(func() { <-time.After(stall) })
	})
	l := load{address: address, connections: 1, duration: 2 * stall, rate: 1000, source: balanceSource}
	got, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.total() != 800 {
		t.Errorf("%d responses, want the 800 that were due", got.total())
	}
	// 400 were due during the stall, so a quarter of all waited for more than half of it.
	if p75 := time.Duration(got.quantile(76)) * time.Microsecond; p75 < stall/2 {
		t.Errorf("76 %% of the requests were answered within %s, although half were due while the server stood still for %s", p75, stall)
	}
}

func TestLoadEndsWithWhatWentWrong(t *testing.T) {
	for name, of := range map[string]struct {
		handler fasthttp.RequestHandler
		want    string
	}{
		"a status":     {func(ctx *fasthttp.RequestCtx) { ctx.Error("broken", 500) }, "balance: status 500, want 200: broken"},
		"a connection": {func(ctx *fasthttp.RequestCtx) { ctx.HijackSetNoResponse(true); ctx.Hijack(func(net.Conn) {}) }, "closed a connection"},
	} {
		l := load{address: testServer(t, of.handler), connections: 4, duration: 10 * time.Second, source: balanceSource}
		if _, err := l.run(t.Context()); err == nil || !strings.Contains(err.Error(), of.want) {
			t.Errorf("%s: %v, want %q", name, err, of.want)
		}
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	address := testServer(t, func(*fasthttp.RequestCtx) {})
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	l := load{address: address, connections: 4, duration: time.Minute, source: balanceSource}
	l.sink = func(call, response) error { once.Do(cancel); return nil }
	if _, err := l.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func TestMixesKeepTheirShares(t *testing.T) {
	users := &population{size: 1000, readers: 10, members: 20, idLength: 1, tokenLength: 1, credentials: make([]byte, 2000)}
	random := rand.New(rand.NewPCG(1, 2))
	for _, m := range mixes {
		const n = 20_000
		var of [operations]int
		hot := 0
		source := m.source(users)
		for range n {
			_, c := source(nil, 0, random)
			of[c.operation]++
			if int(c.user) >= users.among(c.operation) {
				t.Fatalf("%s: user %d of %d", m.name, c.user, users.among(c.operation))
			}
			if c.user == 0 {
				hot++
			}
		}
		total := 0
		for op, share := range m.shares {
			total += share
			if off := of[op] - n*share/100; off < -n/50 || off > n/50 {
				t.Errorf("%s: %d of %d are %s, want %d %%", m.name, of[op], n, operation(op), share)
			}
		}
		if total != 100 {
			t.Errorf("%s: shares add up to %d", m.name, total)
		}
		if m.hot > 0 && (hot < n*(m.hot-2)/100 || hot > n*(m.hot+2)/100) {
			t.Errorf("%s: %d of %d for one user, want %d %%", m.name, hot, n, m.hot)
		}
	}
}
