package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/persistence"
)

// in counts the watched connections in a phase.
func (t *phaseTimer) in(p phase) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for c := range t.conns {
		if c.phase() == p {
			n++
		}
	}
	return n
}

// answers reads the responses on a connection, and returns their statuses and whether
// each closes it.
func answers(t *testing.T, conn net.Conn) (statuses []int, closes []bool) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for reader := bufio.NewReader(conn); ; {
		if _, err := reader.Peek(1); err == io.EOF {
			return statuses, closes
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("after %v: %v", statuses, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		statuses, closes = append(statuses, response.StatusCode), append(closes, response.Close)
	}
}

// On a connection that only the loops had, on one that was detached before and that
// fasthttp takes for idle, and with another request behind it, which is not read.
func TestShutdownAnswersADepositUnderWay(t *testing.T) {
	for name, c := range map[string]struct{ before, behind string }{
		"the loops' own": {}, "fasthttp's": {before: "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"},
		"the loops' own, and more behind": {behind: "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"},
		"fasthttp's, and more behind":     {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var log *gatedLog
			a := startAPI(t, func(c *apiConfig) {
				c.log = func(inner persistence.Log) persistence.Log { log = &gatedLog{Log: inner}; return log }
			})
			u := a.login("aitbc1wallet_last")
			a.client.CloseIdleConnections()
			conn := a.dial()
			want := []int{201}
			if c.before != "" {
				if _, err := io.WriteString(conn, c.before); err != nil {
					t.Fatal(err)
				}
				want = []int{200, 201}
				if !eventually(func() bool { return a.server.timer.in(phaseIdle) == 1 }) {
					t.Fatal("the first request is not answered")
				}
			}
			log.gate.Lock()
			deposit := "POST /api/users/" + u.id + "/deposits HTTP/1.1\r\nHost: x\r\nX-Session-Token: " + u.token + "\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"amount\":1}"
			if _, err := io.WriteString(conn, deposit+c.behind); err != nil {
				t.Fatal(err)
			}
			if !eventually(func() bool { return a.server.timer.in(phaseAnswering) == 1 }) {
				t.Fatal("the deposit is not under way")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- a.server.Shutdown(ctx) }()
			if !eventually(func() bool { return isRefused(a.address) }) {
				t.Fatal("Shutdown does not close the socket")
			}
			loops := a.server.loops.Load()
			if c.before == "" && loops.Open() == 0 {
				t.Error("the connection is closed while its deposit is under way")
			}
			log.gate.Unlock()
			statuses, closes := answers(t, conn)
			if fmt.Sprint(statuses) != fmt.Sprint(want) || !closes[len(closes)-1] {
				t.Errorf("answered %v, the connection's end announced: %v; want %v and the end", statuses, closes, want)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
	}
}

func isRefused(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err != nil
}

func TestARequestThatWaitsForAStuckLogHoldsUpNoEventLoop(t *testing.T) {
	for name, request := range map[string]string{
		"an operator's deposit":             "POST /api/users/%s/deposits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + operatorKey + "\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"amount\":1}",
		"a login that looks like a deposit": "POST /api/users/login#%s/deposits HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 42\r\n\r\n{\"wallet_address\":\"aitbc1wallet_operated\"}",
	} {
		t.Run(name, func(t *testing.T) {
			var logs []*gatedLog
			gated := func(inner persistence.Log) persistence.Log {
				log := &gatedLog{Log: inner}
				logs = append(logs, log)
				return log
			}
			a := startAPI(t, func(c *apiConfig) { c.log, c.auditLog = gated, gated })
			u := a.login("aitbc1wallet_operated")
			for _, log := range logs {
				log.gate.Lock()
			}
			var waiting []net.Conn
			for range 2 * runtime.GOMAXPROCS(0) { // on every loop
				conn := a.dial()
				fmt.Fprintf(conn, request, u.id)
				waiting = append(waiting, conn)
			}
			if !eventually(func() bool { return a.server.timer.in(phaseAnswering) == len(waiting) }) {
				t.Errorf("of %d requests only %d are under way", len(waiting), a.server.timer.in(phaseAnswering))
			}
			for range waiting {
				conn := a.dial()
				fmt.Fprint(conn, "GET /api/exchange/rates HTTP/1.1\r\nHost: x\r\n\r\n")
				a.readReply(conn, "GET rates").is(200)
			}
			for _, log := range logs {
				log.gate.Unlock()
			}
			for _, conn := range waiting {
				if r := a.readReply(conn, request); r.status/100 != 2 {
					t.Errorf("answered %d %s", r.status, r.body)
				}
			}
		})
	}
}

// Its connection serves further requests.
func TestADepositThatTimesOutIsAnsweredAndStillMade(t *testing.T) {
	var log *gatedLog
	a := startAPI(t, func(c *apiConfig) {
		c.log = func(inner persistence.Log) persistence.Log { log = &gatedLog{Log: inner}; return log }
		c.actors = func(made *actors.Config) { made.CommandTimeout = 200 * time.Millisecond }
	})
	u := a.login("aitbc1wallet_patient")
	log.gate.Lock()
	u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`).refused(503, "outcome_unknown", "")
	if u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).text("balance") != "0" {
		t.Error("a deposit is shown before it is durable")
	}
	log.gate.Unlock()
	if !eventually(func() bool { return u.as("GET", "/api/users/"+u.id+"/balance", "").text("balance") == "1" }) {
		t.Error("the deposit was not made")
	}
	for range 20 { // with requests and calls that were used before
		u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`).is(201)
	}
	if got := u.as("GET", "/api/users/"+u.id+"/balance", "").text("balance"); got != "21" {
		t.Errorf("the balance is %s, want 21", got)
	}
}

func TestAPanicInAnOperatorsDepositIsAnswered(t *testing.T) {
	r := &request{server: &Server{}, done: make(chan struct{}, 1)} // without an exchange
	r.beginOperatorDeposit()
	<-r.done
	if p := r.server.problemOf(r, r.gotErr); r.gotErr == nil || p.Status != 500 || !strings.Contains(r.failure.Error(), "panic") {
		t.Errorf("answered %+v, logged %v", p, r.failure)
	}
}

func TestOnlyShortRequestsAreOnTheFastPath(t *testing.T) {
	s := fastHandler{benchServer(t)}
	for line, want := range map[string]bool{
		"GET /api/users/x/balance":                               true,
		"GET /api/users/x/transactions":                          true,
		"GET /api/users/x/transactions?limit=20":                 true,
		"GET /api/users/x/transactions?limit=99":                 true,
		"GET /api/users/x/transactions?limit=100":                false,
		"GET /api/users/x/transactions?limit=":                   false,
		"GET /api/users/x/transactions?limit=2x":                 false,
		"GET /api/users/x/transactions?type=sell":                false,
		"GET /api/users/x/transactions?limit=20&from=2026-01-01": false,
		"GET /api/users/x/transactions.csv":                      false,
		"HEAD /api/users/x/balance":                              false,
		"POST /api/users/x/deposits":                             true,
		"POST /api/users/x/withdrawals":                          false,
		"POST /api/users/login":                                  false,
		"GET /metrics":                                           false,
	} {
		if found, _ := s.fastRoute([]byte(line + " HTTP/1.1\r\n")); (found != nil) != want {
			t.Errorf("%s: on the fast path %v, want %v", line, found != nil, want)
		}
	}
}
