package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aitbc/exchange/actors/account"
)

const (
	linearRounds   = 40
	linearClients  = 8
	linearAccounts = 3 // the first of them is every other client's
	linearOperator = "linearizability-test-key"
)

// recorder writes down every request with its time.
type recorder struct {
	start    time.Time
	keys     atomic.Int64
	accounts [linearAccounts]linearAccount

	mu      sync.Mutex
	history []porcupine.Operation // guarded by mu
	sent    map[int]int           // guarded by mu: requests by Idempotency-Key
}

// linearAccount is what the clients of one account know together.
type linearAccount struct {
	id      string
	mu      sync.Mutex
	pending []int // guarded by mu: withdrawals that were answered
}

// linearClient is one client, with a session of its own.
type linearClient struct {
	number  int
	account *linearAccount
	token   string
	http    *http.Client
	random  *rand.Rand
	doubt   *ledgerInput  // what to send again, as its outcome is unknown
	last    []ledgerInput // answered requests, to be sent again now and then
}

// TestTheServiceIsLinearizable lets clients work on shared accounts of the real
// binary while it takes snapshots, is killed and starts again, and holds all that
// they were told, in all rounds together, to the ledger model.
func TestTheServiceIsLinearizable(t *testing.T) {
	t.Setenv(operatorKeyVariable, linearOperator)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	r := &recorder{start: time.Now(), sent: map[int]int{}}
	clients := make([]*linearClient, linearClients)
	snapshots := 0
	for round := range linearRounds {
		s := startService(t, data, "--demo", "--log-level", "info", "--withdrawal-fee", "0.1", "--passivate-after", "50ms")
		for i := range clients {
			if round == 0 {
				number := 0
				if i%2 == 1 {
					number = 1 + i/2%(linearAccounts-1)
				}
				c := &linearClient{number: i, account: &r.accounts[number], random: rand.New(rand.NewPCG(seed, uint64(i+1)))}
				c.account.id, c.token = s.login(fmt.Sprintf("linearwallet_%d", number))
				clients[i] = c
			}
			clients[i].http = &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
		}
		first := len(r.history)
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				for c.step(t, s, r) {
				}
			})
		}
		life := time.Duration(100+random.IntN(300)) * time.Millisecond
		signals := time.Duration(random.Int64N(int64(life)))
		time.Sleep(signals) // into the work
		if err := s.command.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Error(err)
		}
		time.Sleep(life - signals) // the moment of the crash
		s.kill()
		gone := int64(time.Since(r.start))
		wg.Wait()
		snapshots += strings.Count(s.log.String(), `msg="snapshot taken" accounts=`)
		for i := range r.history[first:] {
			// What was not answered has happened by now, or never.
			if o := &r.history[first+i]; o.Output.(ledgerOutput).unknown {
				o.Return = max(gone, o.Call)
			}
		}
		for _, c := range clients {
			c.http.CloseIdleConnections()
		}
	}
	if out, code := runVerify(t, data); code != 0 {
		t.Fatalf("exchange verify: exit %d\n%s", code, out)
	}

	count := map[string]int{}
	for i := range r.history {
		o := &r.history[i]
		in, out := o.Input.(ledgerInput), o.Output.(ledgerOutput)
		if r.sent[in.key] < 2 {
			in.key = 0 // nobody asks for it again, so the model need not remember it
		}
		o.Input = in
		count[in.kind]++
		for what, is := range map[string]bool{"unknown": out.unknown, "refused": out.refused, "replayed": out.replayed} {
			if is {
				count[what]++
			}
		}
	}
	begun := time.Now()
	checkLinearizable(t, r.history)
	t.Logf("%d rounds, %d requests: %v; %d snapshots; checked in %s", linearRounds, len(r.history), count, snapshots, time.Since(begun).Round(time.Millisecond))
	for _, what := range []string{"deposit", "withdraw", "complete", "fail", "balance", "total", "unknown", "refused", "replayed"} {
		if count[what] == 0 {
			t.Errorf("there was no %s: the test is too weak", what)
		}
	}
	if len(r.history) < 5*linearRounds*linearClients || snapshots == 0 {
		t.Errorf("only %d requests and %d snapshots: the test is too weak", len(r.history), snapshots)
	}
}

// step makes one request. It reports false when the service is gone.
func (c *linearClient) step(t *testing.T, s *service, r *recorder) bool {
	in := c.choose(r)
	call := int64(time.Since(r.start))
	out, err := c.send(s, in)
	end := int64(time.Since(r.start))
	if err != nil && err != errNoAnswer {
		t.Error(err)
		return false
	}
	r.mu.Lock()
	r.sent[in.key]++
	r.history = append(r.history, porcupine.Operation{ClientId: c.number, Input: in, Call: call, Output: out, Return: end})
	r.mu.Unlock()
	c.doubt = nil
	if out.unknown {
		if in.key != 0 && c.random.IntN(4) > 0 {
			c.doubt = &in
		}
		return false
	}
	if in.key != 0 && !out.refused {
		c.last = append(c.last, in)
	}
	if in.kind == "withdraw" && !out.refused && !out.replayed {
		c.account.mu.Lock()
		c.account.pending = append(c.account.pending, out.n)
		c.account.mu.Unlock()
	}
	return true
}

func (c *linearClient) choose(r *recorder) ledgerInput {
	in := ledgerInput{account: c.account.id, amount: 1 + c.random.Int64N(int64(2*account.Unit))}
	switch roll := c.random.IntN(100); {
	case c.doubt != nil:
		return *c.doubt
	case roll < 2 && len(c.last) > 0:
		return c.last[c.random.IntN(len(c.last))]
	case roll < 25:
		in.kind, in.key = "deposit", int(r.keys.Add(1))
	case roll < 50:
		in.kind, in.key = "withdraw", int(r.keys.Add(1))
	case roll < 65:
		c.account.mu.Lock()
		defer c.account.mu.Unlock()
		if n := len(c.account.pending); n > 0 {
			i := c.random.IntN(n)
			in.kind, in.amount, in.n = []string{"complete", "fail"}[c.random.IntN(2)], 0, c.account.pending[i]
			if c.random.IntN(2) == 0 { // or leave it, so that another settles it too
				c.account.pending = append(c.account.pending[:i:i], c.account.pending[i+1:]...)
			}
			return in
		}
		fallthrough
	case roll < 85:
		in.kind, in.amount = "balance", 0
	default:
		in.kind, in.amount = "total", 0
	}
	return in
}

// errNoAnswer: the outcome is unknown.
var errNoAnswer = fmt.Errorf("no answer")

// send makes the request and reads the answer. Its error is errNoAnswer, with an
// unknown outcome, or an answer that there must not be.
func (c *linearClient) send(s *service, in ledgerInput) (out ledgerOutput, err error) {
	user := "/api/users/" + c.account.id
	headers := []string{"X-Session-Token", c.token}
	if in.key != 0 {
		headers = append(headers, "Idempotency-Key", strconv.Itoa(in.key))
	}
	method, path, body, want := "POST", "", "", 201
	switch in.kind {
	case "deposit":
		path, body = user+"/deposits", fmt.Sprintf(`{"amount":%s}`, account.Money(in.amount))
	case "withdraw":
		path, body = user+"/withdrawals", fmt.Sprintf(`{"amount":%s,"to_address":"aitbc_somewhere"}`, account.Money(in.amount))
	case "complete", "fail":
		path = fmt.Sprintf("/api/operator/transactions/%s-%d/%s", strings.ReplaceAll(c.account.id, "-", ""), in.n, in.kind)
		body, want, headers = `{"reason":"test"}`, 200, []string{"Authorization", "Bearer " + linearOperator}
	case "balance":
		method, path, want = "GET", user+"/balance", 200
	case "total":
		method, path, want = "GET", user+"/transactions?limit=1", 200
	}
	a, err := s.call(c.http, method, path, body, headers...)
	if err != nil || a.status == 503 {
		return ledgerOutput{unknown: true}, errNoAnswer
	}
	if a.status == 409 && (in.kind != "balance" && in.kind != "total") {
		return ledgerOutput{refused: true}, nil
	}
	if a.status != want {
		return out, fmt.Errorf("%s %s: status %d: %s", method, path, a.status, a.body)
	}
	var answer struct {
		ID            string
		Balance, Held json.Number
		Total         int
	}
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil {
		return out, fmt.Errorf("%s %s: %w: %s", method, path, err, a.body)
	}
	out.replayed, out.total = a.header.Get("Idempotent-Replayed") == "true", answer.Total
	if _, n, ok := strings.Cut(answer.ID, "-"); ok {
		if out.n, err = strconv.Atoi(n); err != nil {
			return out, err
		}
	}
	if in.kind == "balance" {
		balance, err1 := account.ParseMoney(answer.Balance.String())
		held, err2 := account.ParseMoney(answer.Held.String())
		if err1 != nil || err2 != nil {
			return out, fmt.Errorf("balance %s: %v, %v", a.body, err1, err2)
		}
		out.balance, out.held = int64(balance), int64(held)
	}
	return out, nil
}
