package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/webhook"
)

const (
	hookSecret    = "secret-of-the-hook-0123456789"
	hookOldSecret = "the-secret-before-0123456789"
)

// hook is an operator's system on loopback, which notices are posted to.
type hook struct {
	t       *testing.T
	address string
	server  *http.Server
	handle  func(w http.ResponseWriter, r *http.Request, n hookNotice) // nil: 200

	mu     sync.Mutex
	bodies map[string]string // guarded by mu: by id; of every attempt
	good   map[string]int    // guarded by mu: answered with 200, by id
	order  []hookNotice      // guarded by mu: of these, in order
	tries  int               // guarded by mu
}

type hookNotice struct {
	ID          string
	Event       string
	UserID      string `json:"user_id"`
	Transaction *struct {
		ID     string
		Status string
	}
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, address: freeAddress(t), bodies: map[string]string{}, good: map[string]int{}}
	t.Cleanup(h.stop)
	return h
}

// options are those of a service that posts to the hook.
func (h *hook) options(dir string) []string {
	h.t.Helper()
	file := filepath.Join(dir, "hook-secrets")
	if err := os.WriteFile(file, []byte("# since today\n"+hookSecret+"\n"+hookOldSecret+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return []string{"--webhook-url", "http://" + h.address + "/hook?token=secret-in-the-address", "--webhook-secret-file", file}
}

func (h *hook) start() {
	h.t.Helper()
	l, err := net.Listen("tcp", h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = &http.Server{Handler: h}
	go func() { _ = h.server.Serve(l) }()
}

func (h *hook) stop() {
	if h.server != nil {
		_ = h.server.Close()
		h.server = nil
	}
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the service was killed
	}
	for _, secret := range []string{hookSecret, hookOldSecret} {
		if err := webhook.Verify([]byte(secret), string(body), r.Header.Get(webhook.HeaderSignature), time.Now(), time.Minute); err != nil {
			h.t.Errorf("%s: %v", body, err)
		}
	}
	var n hookNotice
	if err := json.Unmarshal(body, &n); err != nil || n.ID == "" || n.ID != r.Header.Get(webhook.HeaderDelivery) || n.Event != r.Header.Get(webhook.HeaderEvent) {
		h.t.Errorf("%v: %s, with the header %v", err, body, r.Header)
	}
	h.mu.Lock()
	h.tries++
	if before, again := h.bodies[n.ID]; again && before != string(body) {
		h.t.Errorf("notice %s was\n%s, is\n%s", n.ID, before, body)
	}
	h.bodies[n.ID] = string(body)
	h.mu.Unlock()
	answer := &statusSeen{ResponseWriter: w, good: func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.good[n.ID]++
		h.order = append(h.order, n)
	}}
	if h.handle != nil {
		h.handle(answer, r, n)
	}
	answer.WriteHeader(200)
}

// statusSeen calls good before the first byte of a good answer is sent.
type statusSeen struct {
	http.ResponseWriter
	good func()
	sent bool
}

func (s *statusSeen) WriteHeader(status int) {
	if s.sent {
		return
	}
	if s.sent = true; status == 200 {
		s.good()
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusSeen) Write(b []byte) (int, error) {
	s.WriteHeader(200)
	return s.ResponseWriter.Write(b)
}

// has counts those that were taken.
func (h *hook) has() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.good)
}

// until waits until something is true.
func (s *service) until(what string, is func() bool) {
	s.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("not in time: %s\n%s", what, s.log)
		}
	}
}

// gauge is a value of /metrics.
func (s *service) gauge(name string) string {
	s.t.Helper()
	for line := range strings.Lines(s.mustCall(200, "GET", "/metrics", "").body) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	s.t.Fatalf("there is no %s in the metrics", name)
	return ""
}

func (s *service) untilNoNoticeIsOpen() {
	s.t.Helper()
	s.until("no notice is open", func() bool { return s.gauge(`exchange_notices_open{channel="webhook"}`) == "0" })
}

// noticeUser makes acts that are told.
type noticeUser struct {
	id, token string
	random    *rand.Rand
}

// act does something that is told, and returns an error where the service is gone.
func (u *noticeUser) act(s *service, client *http.Client, operator string) error {
	path, body := "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`
	switch u.random.IntN(3) {
	case 1:
		path, body = "/api/exchange/sell", `{"aitbc_amount":100,"btc_address":"`+aBitcoinAddress+`"}`
	case 2:
		path, body = "/api/exchange/create-payment", `{"aitbc_amount":1000}`
	}
	made, err := s.call(client, "POST", path, body, "X-Session-Token", u.token)
	if err != nil || made.status != 201 || strings.Contains(path, "payment") {
		return err
	}
	end := []string{"complete", "fail"}[u.random.IntN(2)]
	_, err = s.call(client, "POST", "/api/operator/transactions/"+made.decode(s.t)["id"].(string)+"/"+end, `{"reason":"test"}`, "Authorization", "Bearer "+operator)
	return err
}

// TestEveryActHasItsNoticeThroughKill9 kills the service at random moments, with a
// receiver that fails now and then, and holds what arrived to what is in the accounts.
func TestEveryActHasItsNoticeThroughKill9(t *testing.T) {
	const rounds, users, operator = 10, 4, "key-of-the-operator-0123456789"
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHook(t)
	failing := rand.New(rand.NewPCG(seed, 1))
	var failingNow sync.Mutex
	h.handle = func(w http.ResponseWriter, _ *http.Request, _ hookNotice) {
		failingNow.Lock()
		defer failingNow.Unlock()
		if failing.IntN(100) == 0 {
			w.WriteHeader(503)
		}
	}
	h.start()
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte("otto:operate:"+operator+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	options := append([]string{"--demo", "--demo-confirm-after", "20ms", "--log-level", "error", "--operator-key-file", keys}, h.options(dir)...)
	s := startService(t, data, options...)
	var list []*noticeUser
	for i := range users {
		u := &noticeUser{random: rand.New(rand.NewPCG(seed, uint64(i+2)))}
		u.id, u.token = s.login(fmt.Sprint("noticewallet_", i))
		s.mustCall(201, "POST", "/api/users/"+u.id+"/deposits", `{"amount":100000}`, "X-Session-Token", u.token)
		list = append(list, u)
	}
	for range rounds {
		stop := make(chan struct{})
		var acting sync.WaitGroup
		for _, u := range list {
			acting.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
				defer client.CloseIdleConnections()
				for u.act(s, client, operator) == nil {
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		time.Sleep(time.Duration(20+random.IntN(200)) * time.Millisecond) // the moment of the crash
		s.kill()
		close(stop)
		acting.Wait()
		s = startService(t, data, options...)
	}
	s.untilNoNoticeIsOpen()
	s.until("no payment is pending", func() bool { return s.gauge(`exchange_pending_transactions{type="buy"}`) == "0" })
	s.untilNoNoticeIsOpen()

	h.mu.Lock()
	defer h.mu.Unlock()
	told := map[string]bool{} // transaction id and event
	highest := map[string]int{}
	for id, body := range h.bodies {
		if h.good[id] == 0 {
			t.Errorf("notice %s was tried and never taken, and is not open", id)
		}
		var n hookNotice
		if err := json.Unmarshal([]byte(body), &n); err != nil {
			t.Fatal(err)
		}
		told[n.Transaction.ID+" "+n.Event] = true
		var number int
		if _, err := fmt.Sscanf(id[32:], "-n%d", &number); err != nil {
			t.Fatal(err)
		}
		highest[n.UserID] = max(highest[n.UserID], number)
	}
	acts := 0
	for _, u := range list {
		count := 0
		for id := range h.bodies {
			if strings.HasPrefix(id, strings.ReplaceAll(u.id, "-", "")) {
				count++
			}
		}
		if count != highest[u.id] {
			t.Errorf("user %s: %d notices arrived, the last is number %d", u.id, count, highest[u.id])
		}
		for cursor := ""; ; {
			page := s.mustCall(200, "GET", "/api/users/"+u.id+"/transactions?limit=500"+cursor, "", "X-Session-Token", u.token).decode(t)
			for _, tx := range page["transactions"].([]any) {
				tx := tx.(map[string]any)
				var events []string
				switch tx["type"] {
				case "withdrawal":
					events = []string{"withdrawal.requested"}
				case "sell":
					events = []string{"sale.requested"}
				case "buy":
					events = []string{"payment.seen", "payment.confirming", "payment.credited"}
				}
				if status := tx["status"].(string); status != "pending" && tx["type"] != "buy" && tx["type"] != "deposit" {
					events = append(events, strings.Replace(events[0], "requested", status, 1))
				}
				for _, event := range events {
					acts++
					if !told[tx["id"].(string)+" "+event] {
						t.Errorf("%s of %s was not told", event, tx["id"])
					}
				}
			}
			next, more := page["next_cursor"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
	}
	if acts < 100 {
		t.Fatalf("only %d acts in %d rounds: the test is too weak", acts, rounds)
	}
	again := 0
	for _, n := range h.good {
		again += n - 1
	}
	t.Logf("%d acts, %d attempts, %d notices taken more than once", acts, h.tries, again)
}

// TestABadReceiverLosesNothingAndHoldsUpNobody has a receiver that is not there, and
// then answers in every wrong way.
func TestABadReceiverLosesNothingAndHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	h := newHook(t)
	release := make(chan struct{})
	releaseOnce := sync.OnceFunc(func() { close(release) })
	t.Cleanup(releaseOnce)
	wrong := map[string]int{} // by id: how often it was answered
	var slow string
	h.handle = func(w http.ResponseWriter, r *http.Request, n hookNotice) {
		h.mu.Lock()
		wrong[n.ID]++
		try := wrong[n.ID]
		h.mu.Unlock()
		switch {
		case n.UserID == slow && try == 1:
			<-release
			w.WriteHeader(504)
		case n.UserID == slow:
		case try == 1 && strings.HasSuffix(n.ID, "-n1"):
			w.WriteHeader(500)
		case try == 2 && strings.HasSuffix(n.ID, "-n1"):
			http.Redirect(w, r, "http://"+h.address+"/elsewhere", http.StatusTemporaryRedirect)
		default: // a huge answer, which is good
			block := make([]byte, 64<<10)
			for range 1000 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
	}
	const operator = "key-of-the-operator-0123456789"
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte("otto:operate:"+operator+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	options := append([]string{"--demo", "--log-level", "warn", "--operator-key-file", keys}, h.options(dir)...)
	s := startService(t, data, options...)
	var ids, tokens []string
	for i := range 3 {
		id, token := s.login(fmt.Sprint("hookwallet_", i))
		ids, tokens = append(ids, id), append(tokens, token)
		s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1000}`, "X-Session-Token", token)
		for range 2 {
			s.mustCall(201, "POST", "/api/users/"+id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, "X-Session-Token", token)
		}
	}
	slow = ids[0]
	s.until("an attempt has failed", func() bool { return s.gauge(`exchange_notice_attempts_failed_total{channel="webhook"}`) != "0" })
	if got := s.gauge(`exchange_notices_open{channel="webhook"}`); got != "6" {
		t.Errorf("%s notices are open, want 6", got)
	}
	// A stop in between changes nothing; afterwards each is tried at once.
	if code, took := s.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("exit %d after %s", code, took)
	}
	if strings.Contains(s.log.String(), "secret-in-the-address") || strings.Contains(s.log.String(), hookSecret) {
		t.Errorf("a secret is in the log:\n%s", s.log)
	}
	h.start()
	s = startService(t, data, options...)
	s.until("all but the slow user's notices have arrived", func() bool { return h.has() == 4 })
	s.mustCall(201, "POST", "/api/users/"+slow+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, "X-Session-Token", tokens[0])
	releaseOnce()
	s.until("all have arrived", func() bool { return h.has() == 7 })
	s.untilNoNoticeIsOpen()
	h.mu.Lock()
	order := map[string][]string{}
	for _, n := range h.order {
		order[n.UserID] = append(order[n.UserID], n.ID)
	}
	h.mu.Unlock()
	for user, got := range order {
		if !slices.IsSorted(got) {
			t.Errorf("user %s was told of in the order %v", user, got)
		}
	}

	// What the receiver has lost after all is replayed.
	h.handle = nil
	before := h.order[0].ID
	s.mustCall(202, "POST", "/api/operator/notices/"+before+"/replay", "", "Authorization", "Bearer "+operator)
	s.untilNoNoticeIsOpen()
	s.mustCall(202, "POST", "/api/operator/notices/replay", `{"from":"2020-01-31T12:00:00Z"}`, "Authorization", "Bearer "+operator)
	s.untilNoNoticeIsOpen()
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, n := range h.good {
		if want := map[bool]int{true: 3, false: 2}[id == before]; n != want {
			t.Errorf("notice %s was taken %d times, want %d", id, n, want)
		}
	}
	if out, code := runVerify(t, data); code == 0 {
		t.Errorf("verify of a log in use: %s", out)
	}
	s.kill()
	if out, code := runVerify(t, data); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
}

func TestAWebhookThatIsNotSafeIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options []string
		want    string
	}{
		{[]string{"--webhook-url", "https://hooks.example"}, "go together"},
		{[]string{"--webhook-secret-file", file}, "go together"},
		{[]string{"--webhook-url", "http://hooks.example/", "--webhook-secret-file", file}, "want https://"},
		{[]string{"--webhook-url", "https://user:secret@hooks.example/", "--webhook-secret-file", file}, "without a user"},
		{[]string{"--webhook-url", "https://hooks.example/", "--webhook-secret-file", file + "-not"}, "no such file"},
	} {
		s := launch(t, filepath.Join(t.TempDir(), "data"), c.options...)
		select {
		case <-s.exited:
		case <-time.After(patience):
			t.Fatal("the service runs")
		}
		if code := s.command.ProcessState.ExitCode(); code != 2 || !strings.Contains(s.log.String(), c.want) || strings.Contains(s.log.String(), "user:secret") {
			t.Errorf("%v: exit %d: %s", c.options, code, s.log)
		}
	}
}
