package actors_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/webhook"
)

var webhookSecret = []byte("a secret of the tests")

// receiver is the operator's system that notices are posted to.
type receiver struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	status  int             // guarded by mu: of every answer; 0 is 200
	got     []notice        // guarded by mu: those that were acknowledged, in order
	asked   int             // guarded by mu: attempts
	changed chan struct{}   // closed and replaced at each attempt
	bodies  map[string]bool // guarded by mu: of all attempts
}

// notice is a delivery as it is read.
type notice struct {
	text  string
	ID    string `json:"id"`
	Event string `json:"event"`
	User  string `json:"user_id"`
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, changed: make(chan struct{}), bodies: map[string]bool{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var n notice
	if err := json.Unmarshal(body, &n); err != nil {
		r.t.Errorf("%s: %v", body, err)
	}
	n.text = string(body)
	if err := webhook.Verify(webhookSecret, n.text, request.Header.Get(webhook.HeaderSignature), time.Now(), time.Minute); err != nil {
		r.t.Error(err)
	}
	if request.Header.Get(webhook.HeaderDelivery) != n.ID || request.Header.Get(webhook.HeaderEvent) != n.Event {
		r.t.Errorf("the header is %v, the body %s", request.Header, body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	r.bodies[n.text] = true
	if r.status == 0 {
		r.got = append(r.got, n)
	} else {
		w.WriteHeader(r.status)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// until waits until enough is true, called with mu held.
func (r *receiver) until(what string, enough func() bool) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		ok, changed := enough(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("not %s within 20 s: %d attempts, got %v", what, r.asked, r.got)
		}
	}
}

// events waits for n notices and returns the names of what they tell.
func (r *receiver) events(n int) (names []string) {
	r.t.Helper()
	r.until(fmt.Sprint(n, " notices"), func() bool { return len(r.got) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.got {
		names = append(names, n.Event)
	}
	return names
}

// telling has an exchange post its notices to r.
func (r *receiver) telling(s *setup) {
	sender, err := webhook.NewSender(webhook.Config{URL: r.server.URL, Secrets: [][]byte{webhookSecret}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(sender.Close)
	s.actors.Webhook = sender
}

// settled waits until no notice is open.
func (w *world) settled() {
	w.t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.NoticeStats(account.ChannelWebhook).Open > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("notices are open: %+v", w.NoticeStats(account.ChannelWebhook))
		}
	}
}

var someHash = strings.Repeat("4a5e1e4baab89f3a", 4)

const aitbcAddress = "aitbc_00112233445566778899aabbccddeeff"

func (w *world) withdraw(s *actors.Session) account.TransactionID {
	w.t.Helper()
	r, err := w.Withdraw(s, account.Unit, aitbcAddress, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ID()
}

func TestEveryActThatMattersIsToldInOrder(t *testing.T) {
	r := newReceiver(t)
	p := newPaidWorld(t, r.telling)
	must := func(_ actors.Receipt, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.Deposit(p.s, 9000*account.Unit, nil)) // is not told
	must(p.CompleteTransaction(p.withdraw(p.s), "", "ops", "sent", nil))
	must(p.FailTransaction(p.withdraw(p.s), "ops", "no such address", nil))
	sale, err := p.Sell(p.s, 1000*account.Unit, "somewhere", nil)
	must(sale, err)
	must(p.CompleteTransaction(sale.ID(), strings.Repeat("ab", 32), "ops", "paid", nil))

	id := p.buy(p.s, thousand)
	out := p.output(id, 1, price)
	p.block(100, out)
	p.block(101)
	other := p.buy(p.s, thousand)
	must(p.CompleteTransaction(other, "", "ops", "by hand", nil))
	must(p.SetStatus(p.s.UserID(), account.Suspended, "ops", "fraud"))

	want := []string{
		"withdrawal.requested", "withdrawal.completed", "withdrawal.requested", "withdrawal.failed", "sale.requested", "sale.completed",
		"payment.confirming", "payment.credited", "payment.credited", "user.status_changed",
	}
	if got := r.events(len(want)); !slices.Equal(got, want) {
		t.Errorf("told\n%v, want\n%v", got, want)
	}
	p.settled()
	for i, n := range r.got {
		if want := (account.NoticeID{User: p.s.UserID(), N: uint32(i + 1)}).String(); n.ID != want || n.User != p.s.UserID().String() {
			t.Errorf("notice %d is %s", i+1, n.text)
		}
	}
	state := p.state(p.s.UserID())
	for i, of := range map[int]string{
		1: fmt.Sprintf(`"by":"ops","reason":"sent","transaction":{"id":"%s","type":"withdrawal","status":"completed","amount":1,"to_address":%q}}`,
			account.TransactionID{User: state.ID, N: 2}, aitbcAddress),
		6: fmt.Sprintf(`"btc_received":0.01005,"credited":0,"output":"%s:0","output_btc":0.01005,"height":100}}`, account.ChainHash(out.Out.Hash)),
		7: `"payment_status":"confirmed","btc_received":0.01005,"credited":1000,"credited_now":1000}}`,
		9: `"status":"suspended","by":"ops","reason":"fraud"}`,
	} {
		if !strings.HasSuffix(r.got[i].text, of) {
			t.Errorf("notice %d is\n%s, want it to end in\n%s", i+1, r.got[i].text, of)
		}
	}
	if st := p.NoticeStats(account.ChannelWebhook); st.Delivered != uint64(len(want)) || st.Failed != 0 || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAReorganisationIsTold(t *testing.T) {
	r := newReceiver(t)
	p := newPaidWorld(t, r.telling)
	id := p.buy(p.s, thousand)
	out := p.output(id, 1, price+5000)
	p.chain.tell(t, &bitcoin.Seen{Output: out})
	p.block(100, out)
	p.block(101)
	p.chain.tell(t, &bitcoin.Removed{Output: out, Block: ref(100)}, &bitcoin.Tip{Block: ref(100)}, &bitcoin.Tip{Block: ref(101)})
	if _, err := p.LiftFreeze(id, "ops", "paid otherwise", nil); err != nil {
		t.Fatal(err)
	}
	refund := actors.RefundID{Payment: id, Out: account.Outpoint{TxID: account.ChainHash(out.Out.Hash), Index: out.Out.Index}}
	if _, err := p.SettleRefund(refund, someHash, "ops", "sent back", nil); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"payment.seen", "payment.confirming", "payment.credited", "payment.refund_queued",
		"payment.output_removed", "payment.credit_reversed", "payment.freeze_lifted",
		"payment.refund_settled",
	}
	if got := r.events(len(want)); !slices.Equal(got, want) {
		t.Errorf("told\n%v, want\n%v", got, want)
	}
	if last := r.got[len(want)-1].text; !strings.Contains(last, `"refund_btc":0.00005,"refund_tx_hash":"`+someHash+`"}`) || !strings.Contains(last, `"by":"ops","reason":"sent back"`) {
		t.Errorf("the last is %s", last)
	}
}

func TestNothingIsQueuedWhereNobodyIsTold(t *testing.T) {
	w := start(t, &memoryLog{})
	s := w.funded("aitbc1wallet_a", 10*account.Unit)
	w.withdraw(s)
	if o := w.state(s.UserID()).Outbox; o != nil {
		t.Errorf("%+v is queued", o)
	}
	r := newReceiver(t)
	w = start(t, &memoryLog{}, r.telling)
	s = w.funded("aitbc1wallet_a", 10*account.Unit)
	if o := w.state(s.UserID()).Outbox; o != nil {
		t.Errorf("%+v is queued for a deposit", o)
	}
}

func TestNothingIsToldBeforeItIsDurable(t *testing.T) {
	r := newReceiver(t)
	log := &memoryLog{}
	w := start(t, log, r.telling)
	s := w.funded("aitbc1wallet_a", 10*account.Unit)
	other := w.funded("aitbc1wallet_b", 10*account.Unit)
	w.withdraw(other)
	w.settled()
	release := log.hold()
	defer release()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.withdraw(s)
	}()
	// A notice that was queued would be tried at once: this one is, and waits for the log.
	select {
	case <-done:
		t.Fatal("the withdrawal is answered before it is durable")
	case <-time.After(100 * time.Millisecond):
	}
	r.mu.Lock()
	if r.asked != 1 {
		t.Errorf("%d attempts", r.asked)
	}
	r.mu.Unlock()
	release()
	<-done
	r.events(2)
}

func TestWhatIsOpenAtAStopIsToldAfterIt(t *testing.T) {
	r := newReceiver(t)
	r.answer(http.StatusServiceUnavailable)
	log := &memoryLog{}
	w := start(t, log, r.telling)
	var sessions []*actors.Session
	for i := range 5 {
		s := w.funded(fmt.Sprint("aitbc1wallet_", i), 10*account.Unit)
		sessions = append(sessions, s)
		for range 3 {
			w.withdraw(s)
		}
	}
	r.until("each user's first tried", func() bool { return r.asked >= 5 })
	if st := w.NoticeStats(account.ChannelWebhook); st.Open != 15 || st.Delivered != 0 {
		t.Errorf("%+v", st)
	}
	if entries, _, more := w.Notices(true, actors.NoticePlace{}, 100); len(entries) != 15 || more || entries[1].Waiting.Behind != true {
		t.Errorf("%d notices are listed", len(entries))
	}
	w.stop()
	w = start(t, log) // without a receiver they are kept
	if st := w.NoticeStats(account.ChannelWebhook); st.Open != 0 {
		t.Errorf("%+v", st)
	}
	w.stop()
	r.answer(0)
	w = start(t, log, r.telling)
	r.events(15)
	w.settled()
	next := map[string]int{}
	for _, n := range r.got {
		next[n.User]++
		if id, err := account.ParseNoticeID(n.ID); err != nil || int(id.N) != next[n.User] {
			t.Errorf("%s comes as number %d of its user", n.ID, next[n.User])
		}
	}
	if len(r.bodies) != 15 {
		t.Errorf("%d different bodies of 15 notices", len(r.bodies))
	}
	if n := w.state(sessions[0].UserID()).Outbox.Notice(2); n.State != account.NoticeDelivered || n.Attempts != 1 || n.SettledAt == 0 {
		t.Errorf("%+v", n)
	}
}

func TestANoticeWhoseEndIsNotDurableIsToldAgainAsItWas(t *testing.T) {
	r := newReceiver(t)
	log := &memoryLog{}
	w := start(t, log, r.telling)
	s := w.funded("aitbc1wallet_a", 10*account.Unit)
	r.answer(http.StatusBadGateway)
	w.withdraw(s)
	r.until("tried", func() bool { return r.asked > 0 })
	log.breakWith(io.ErrUnexpectedEOF) // as a crash after the answer, and before its end is written
	r.answer(0)
	r.events(1)
	w.stop()
	log.breakWith(nil)
	w = start(t, log, r.telling)
	r.events(2)
	w.settled()
	if r.got[0].text != r.got[1].text {
		t.Errorf("told\n%s, then\n%s", r.got[0].text, r.got[1].text)
	}
}

func TestBeyondTheBoundNoticesAreLostAndCounted(t *testing.T) {
	r := newReceiver(t)
	r.answer(http.StatusServiceUnavailable)
	w := start(t, &memoryLog{}, r.telling)
	s := w.funded("aitbc1wallet_a", 10_000*account.Unit)
	for range account.MaxUndelivered + 2 {
		w.withdraw(s)
	}
	st := w.NoticeStats(account.ChannelWebhook)
	if st.Open != account.MaxUndelivered || st.Lost != 2 || st.Oldest <= 0 {
		t.Errorf("%+v", st)
	}
}

func TestAnOperatorReplaysNotices(t *testing.T) {
	r := newReceiver(t)
	log := &memoryLog{}
	w := start(t, log, r.telling)
	a, b := w.funded("aitbc1wallet_a", 100*account.Unit), w.funded("aitbc1wallet_b", 100*account.Unit)
	for range 3 {
		w.withdraw(a)
		w.withdraw(b)
	}
	r.events(6)
	w.settled()
	id := account.NoticeID{User: a.UserID(), N: 2}
	if err := w.ReplayNotice(id, "ops"); err != nil {
		t.Fatal(err)
	}
	r.events(7)
	w.settled()
	if got := r.got[6]; got.ID != id.String() {
		t.Errorf("replayed was %s", got.text)
	}
	for _, c := range []struct {
		id   account.NoticeID
		want account.Code
	}{{account.NoticeID{User: a.UserID(), N: 9}, account.CodeNotFound}, {account.NoticeID{N: 1}, account.CodeNotFound}} {
		if got := codeOf(w.ReplayNotice(c.id, "ops")); got != c.want {
			t.Errorf("a replay of %s gives %q, want %q", c.id, got, c.want)
		}
	}

	// All from a time on, in several calls.
	e, ok := w.Notice(account.NoticeID{User: a.UserID(), N: 2})
	if !ok {
		t.Fatal("a delivered notice is not kept")
	}
	place, more, replayed := actors.NoticePlace{}, true, 0
	for more {
		var n int
		var err error
		if n, place, more, err = w.ReplayNotices(e.Notice.At, false, place, 2, "ops"); err != nil {
			t.Fatal(err)
		}
		replayed += n
	}
	after := 0 // what happened then or later
	for _, s := range []*actors.Session{a, b} {
		for _, n := range w.state(s.UserID()).Outbox.Notices {
			if n.At >= e.Notice.At {
				after++
			}
		}
	}
	if replayed != after || after >= 6 {
		t.Errorf("%d replayed, want %d", replayed, after)
	}
	r.events(7 + after)
	w.settled()
	if len(r.bodies) != 6 {
		t.Errorf("%d different bodies of 6 notices", len(r.bodies))
	}
	if n, _, _, err := w.ReplayNotices(0, true, actors.NoticePlace{}, 100, "ops"); n != 0 || err != nil {
		t.Errorf("%d failed ones are replayed, %v", n, err)
	}
	var listed []string
	for place, more := (actors.NoticePlace{}), true; more; {
		var entries []actors.NoticeEntry
		entries, place, more = w.Notices(false, place, 4)
		for _, e := range entries {
			listed = append(listed, e.ID.String())
		}
	}
	if len(listed) != 6 || len(slices.Compact(slices.Clone(listed))) != 6 {
		t.Errorf("settled are %v", listed)
	}
}

func TestAnApprovalIsTold(t *testing.T) {
	r := newReceiver(t)
	w := start(t, &memoryLog{}, r.telling)
	s := w.funded("aitbc1wallet_a", 10*account.Unit)
	id := w.withdraw(s)
	if _, err := w.ApproveWithdrawal(id, "olga", "looked at", nil); err != nil {
		t.Fatal(err)
	}
	if got, want := r.events(2), []string{"withdrawal.requested", "withdrawal.approved"}; !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if text := r.got[1].text; !strings.Contains(text, `"by":"olga","reason":"looked at"`) || !strings.Contains(text, `"status":"pending"`) {
		t.Errorf("told %s", text)
	}
}
