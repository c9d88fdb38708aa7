//go:build !race

package httpapi

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// The race detector allocates by itself, so these run in a pass of their own
// (make test).

func TestABalanceReadDoesNotAllocate(t *testing.T) {
	for name, change := range map[string]func(*Config){"no limits": func(*Config) {}, "limits": withLimits} {
		t.Run(name, func(t *testing.T) { balanceReadDoesNotAllocate(t, benchServer(t, change)) })
	}
}

func balanceReadDoesNotAllocate(t *testing.T, s *Server) {
	t.Helper()
	id, token := benchUser(t, s, 0)
	var ctx fasthttp.RequestCtx
	benchRequest(&ctx, "GET", "/api/users/"+id+"/balance", token, "")
	allocations := testing.AllocsPerRun(1000, func() {
		ctx.Response.Reset()
		s.serve(&ctx)
	})
	if ctx.Response.StatusCode() != 200 || allocations != 0 {
		t.Errorf("status %d with %v allocations a request, want none", ctx.Response.StatusCode(), allocations)
	}
}

// What allocates is the library's mailbox, the event with the list that holds it,
// and the account's new state.
func TestADepositAllocatesFourTimesAtMost(t *testing.T) {
	result := testing.Benchmark(BenchmarkDeposit)
	if n := result.AllocsPerOp(); result.N == 0 || n > 4 {
		t.Errorf("%d deposits with %d allocations each in the whole process, want at most 4", result.N, n)
	}
}
