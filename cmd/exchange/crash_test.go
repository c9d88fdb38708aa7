package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	crashRounds  = 20
	crashClients = 8
)

// crashClient is one user's client and what it was told: the model that the
// service is held to after each crash.
type crashClient struct {
	wallet string
	userID string
	http   *http.Client
	random *rand.Rand

	tokens []string          // open sessions
	dead   []string          // acknowledged logouts
	acked  map[string]string // transaction id -> response, exactly
	keys   map[string]keyed  // Idempotency-Key -> what it was used for and answered
	doubt  *keyed            // the request that was under way when the service died

	username       string // as last acknowledged
	doubtUsername  string // sent, not acknowledged
	doubtfulLogout string
}

type keyed struct {
	key, path, body string
	response        string // "" where none came
}

// TestEveryAcknowledgedChangeSurvivesKill9 runs clients against the real binary,
// kills it at random moments, and holds what comes back to what was promised.
func TestEveryAcknowledgedChangeSurvivesKill9(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	clients := make([]*crashClient, crashClients)
	for i := range clients {
		clients[i] = &crashClient{
			wallet: fmt.Sprintf("crashwallet_%d", i), random: rand.New(rand.NewPCG(seed, uint64(i+1))),
			acked: map[string]string{}, keys: map[string]keyed{},
		}
	}
	for round := range crashRounds {
		s := startService(t, data, "--demo", "--demo-confirm-after", "30ms", "--log-level", "warn")
		for _, c := range clients {
			c.http = &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			c.check(t, s, round)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				for n := 0; c.step(t, s, fmt.Sprintf("%d-%d", round, n)); n++ {
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		time.Sleep(time.Duration(20+random.IntN(250)) * time.Millisecond) // the moment of the crash
		s.kill()
		close(stop)
		wg.Wait()
		for _, c := range clients {
			c.http.CloseIdleConnections()
		}
		if out, code := runVerify(t, data); code != 0 {
			t.Fatalf("round %d: exchange verify: exit %d\n%s", round, code, out)
		}
	}
	s := startService(t, data, "--demo", "--log-level", "warn")
	total := 0
	for _, c := range clients {
		c.http = &http.Client{}
		c.check(t, s, crashRounds)
		total += len(c.acked)
	}
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d after SIGTERM\n%s", code, s.log)
	}
	first, code := runVerify(t, data)
	if code != 0 {
		t.Fatalf("exchange verify: exit %d\n%s", code, first)
	}
	if second, _ := runVerify(t, data); second != first {
		t.Fatalf("two replays differ:\n%s\n%s", first, second)
	}
	if total < crashRounds*crashClients {
		t.Fatalf("only %d changes were acknowledged in %d rounds: the test is too weak", total, crashRounds)
	}
	t.Logf("%d rounds, %d acknowledged transactions\n%s", crashRounds, total, first)
}

// step makes one random request. It reports false when the service is gone.
func (c *crashClient) step(t *testing.T, s *service, name string) bool {
	if len(c.tokens) == 0 || c.random.IntN(20) == 0 {
		a, err := s.call(c.http, "POST", "/api/users/login", fmt.Sprintf(`{"wallet_address":%q}`, c.wallet))
		if err != nil {
			return false
		}
		if a.status != 200 {
			t.Errorf("login: %d %s", a.status, a.body)
			return false
		}
		var login struct {
			UserID   string `json:"user_id"`
			Username string `json:"username"`
			Token    string `json:"session_token"`
		}
		if err := json.Unmarshal([]byte(a.body), &login); err != nil {
			t.Error(err)
			return false
		}
		c.userID = login.UserID
		c.tokens = append(c.tokens, login.Token)
		if len(c.tokens) > 32 {
			c.dead = append(c.dead, c.tokens[0])
			c.tokens = c.tokens[1:]
		}
		return true
	}
	token := c.tokens[len(c.tokens)-1]
	switch c.random.IntN(12) {
	case 0:
		victim := c.tokens[0]
		c.tokens = c.tokens[1:]
		c.doubtfulLogout = victim
		a, err := s.call(c.http, "POST", "/api/users/logout", "", "X-Session-Token", victim)
		if err != nil {
			return false
		}
		if a.status != 200 {
			t.Errorf("logout: %d %s", a.status, a.body)
		}
		c.doubtfulLogout = ""
		c.dead = append(c.dead, victim)
		return true
	case 1:
		wanted := fmt.Sprintf("%s-%s", c.wallet, name)
		c.doubtUsername = wanted
		a, err := s.call(c.http, "PATCH", "/api/users/me", fmt.Sprintf(`{"username":%q}`, wanted), "X-Session-Token", token)
		if err != nil {
			return false
		}
		if a.status != 200 {
			t.Errorf("change of username: %d %s", a.status, a.body)
		}
		c.username, c.doubtUsername = wanted, ""
		return true
	case 2, 3:
		return c.move(t, s, token, keyed{key: "w" + name, path: "/api/users/" + c.userID + "/withdrawals", body: fmt.Sprintf(`{"amount":"0.%08d","to_address":"aitbc_somewhere"}`, 1+c.random.IntN(1e6))})
	case 4:
		return c.move(t, s, token, keyed{key: "p" + name, path: "/api/exchange/create-payment", body: `{"aitbc_amount":1000}`})
	}
	return c.move(t, s, token, keyed{key: "d" + name, path: "/api/users/" + c.userID + "/deposits", body: fmt.Sprintf(`{"amount":%d.%08d}`, 1+c.random.IntN(5), c.random.IntN(1e8))})
}

// move sends a request that moves value and remembers the outcome.
func (c *crashClient) move(t *testing.T, s *service, token string, k keyed) bool {
	c.doubt = &k
	a, err := s.call(c.http, "POST", k.path, k.body, "X-Session-Token", token, "Idempotency-Key", k.key)
	if err != nil {
		return false
	}
	switch a.status {
	case 201:
		k.response = a.body
		c.keys[k.key] = k
		c.acked[transactionOf(t, a.body)] = k.key
	case 409: // insufficient funds
	case 503: // the service is stopping
		return true
	default:
		t.Errorf("%s %s: %d %s", k.path, k.body, a.status, a.body)
	}
	c.doubt = nil
	return true
}

func transactionOf(t *testing.T, body string) string {
	var ids struct {
		ID      string `json:"id"`
		Payment string `json:"payment_id"`
	}
	if err := json.Unmarshal([]byte(body), &ids); err != nil {
		t.Error(err)
	}
	return ids.ID + ids.Payment
}

// check compares the restarted service with what the client was told.
func (c *crashClient) check(t *testing.T, s *service, round int) {
	t.Helper()
	if len(c.tokens) == 0 {
		return
	}
	for _, token := range c.tokens {
		s.mustCall(200, "GET", "/api/users/me", "", "X-Session-Token", token)
	}
	for _, token := range c.dead[max(0, len(c.dead)-20):] {
		s.mustCall(401, "GET", "/api/users/me", "", "X-Session-Token", token)
	}
	c.doubtfulLogout = ""
	token := c.tokens[len(c.tokens)-1]

	if name := s.mustCall(200, "GET", "/api/users/me", "", "X-Session-Token", token).decode(t)["username"]; c.doubtUsername != "" && name == c.doubtUsername {
		c.username = c.doubtUsername
	} else if c.username != "" && name != c.username {
		t.Fatalf("round %d: %s is called %v, was told %s", round, c.wallet, name, c.username)
	}
	c.doubtUsername = ""

	history := c.history(t, s, token)
	for id, key := range c.acked {
		if history[id] == nil {
			t.Fatalf("round %d: %s: transaction %s (%s) was acknowledged and is gone", round, c.wallet, id, key)
		}
	}
	unknown := len(history) - len(c.acked)
	if unknown > 1 || (unknown == 1 && c.doubt == nil) {
		t.Fatalf("round %d: %s: %d transactions that were never asked for", round, c.wallet, unknown)
	}

	// A retry gets the first response; of the request in doubt, whatever became of it,
	// there is exactly one effect.
	if k := c.doubt; k != nil {
		a := s.mustCallAny([]int{201, 409}, "POST", k.path, k.body, "X-Session-Token", token, "Idempotency-Key", k.key)
		if a.status == 201 {
			if replayed := a.header.Get("Idempotent-Replayed") == "true"; replayed != (unknown == 1) {
				t.Fatalf("round %d: %s: the request in doubt was done %d times, its retry says replayed=%v", round, c.wallet, unknown, replayed)
			}
			k.response = a.body
			c.keys[k.key] = *k
			c.acked[transactionOf(t, a.body)] = k.key
		} else if unknown == 1 {
			t.Fatalf("round %d: %s: a retry was refused although the first was done", round, c.wallet)
		}
		c.doubt = nil
	}
	checked := 0
	for _, k := range c.keys {
		if checked++; checked > 10 {
			break
		}
		a := s.mustCall(201, "POST", k.path, k.body, "X-Session-Token", token, "Idempotency-Key", k.key)
		if a.body != k.response {
			t.Fatalf("round %d: %s: a retry got\n%s\nthe first response was\n%s", round, c.wallet, a.body, k.response)
		}
	}
	after := c.history(t, s, token)
	if len(after) != len(c.acked) {
		t.Fatalf("round %d: %s: %d transactions after the retries, %d were acknowledged", round, c.wallet, len(after), len(c.acked))
	}
	c.checkBalance(t, s, token, round)
}

func (s *service) mustCallAny(want []int, method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.call(http.DefaultClient, method, path, body, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, status := range want {
		if a.status == status {
			return a
		}
	}
	s.t.Fatalf("%s %s: status %d, want one of %v: %s", method, path, a.status, want, a.body)
	return a
}

// history reads all pages; a transaction that is listed twice is fatal.
func (c *crashClient) history(t *testing.T, s *service, token string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	cursor := ""
	for {
		page := s.mustCall(200, "GET", "/api/users/"+c.userID+"/transactions?limit=500"+cursor, "", "X-Session-Token", token).decode(t)
		for _, entry := range page["transactions"].([]any) {
			transaction := entry.(map[string]any)
			id := transaction["id"].(string)
			if all[id] != nil {
				t.Fatalf("%s is listed twice", id)
			}
			all[id] = transaction
		}
		next, more := page["next_cursor"].(string)
		if !more {
			return all
		}
		cursor = "&cursor=" + next
	}
}

// checkBalance compares the balance with the sum of the history. Payments are
// confirmed in the background, so the two are read until they were read at rest.
func (c *crashClient) checkBalance(t *testing.T, s *service, token string, round int) {
	t.Helper()
	var balance, held, sum, holds *big.Rat
	for range 100 {
		before := s.mustCall(200, "GET", "/api/users/"+c.userID+"/balance", "", "X-Session-Token", token)
		sum, holds = new(big.Rat), new(big.Rat)
		for _, transaction := range c.history(t, s, token) {
			amount, fee := decimal(t, transaction["amount"]), decimal(t, transaction["fee"])
			switch kind, status := transaction["type"], transaction["status"]; {
			case status == "completed" && (kind == "deposit" || kind == "buy"):
				sum.Add(sum, amount)
			case kind == "withdrawal" && status == "pending":
				holds.Add(holds, amount.Add(amount, fee))
			}
		}
		after := s.mustCall(200, "GET", "/api/users/"+c.userID+"/balance", "", "X-Session-Token", token)
		members := after.decode(t)
		balance, held = decimal(t, members["balance"]), decimal(t, members["held"])
		if before.body == after.body && balance.Cmp(sum) == 0 && held.Cmp(holds) == 0 {
			return
		}
		if before.body == after.body && !strings.Contains(before.body, "null") {
			break
		}
	}
	t.Fatalf("round %d: %s: the balance is %s with %s held, the history says %s with %s", round, c.wallet,
		balance.FloatString(8), held.FloatString(8), sum.FloatString(8), holds.FloatString(8))
}

func decimal(t *testing.T, number any) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(fmt.Sprint(number))
	if !ok {
		t.Fatalf("%v is not a number", number)
	}
	return r
}
