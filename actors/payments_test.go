package actors_test

import (
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// quietChain is a Chain that sees nothing unless it is told to, and numbers its
// addresses as a real one does.
type quietChain struct {
	mu      sync.Mutex
	handle  actors.Handle                                   // guarded by mu
	resume  actors.Resume                                   // guarded by mu
	watched map[account.TransactionID]actors.WatchedPayment // guarded by mu
	next    uint32                                          // guarded by mu
	spare   []actors.Address                                // guarded by mu
	blind   bool                                            // guarded by mu; it cannot say what was paid
}

func (c *quietChain) Start(resume actors.Resume, handle actors.Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handle, c.resume, c.next = handle, resume, resume.NextIndex
}
func (c *quietChain) Stop()                      {}
func (c *quietChain) CheckAddress(string) error  { return nil }
func (c *quietChain) Status() actors.ChainStatus { return actors.ChainStatus{} }

func (c *quietChain) KnownUntil() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blind {
		return time.Time{}
	}
	return time.Now()
}

func (c *quietChain) NewAddress() (actors.Address, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.spare); n > 0 {
		a := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return a, nil
	}
	c.next++
	return actors.Address{Text: fmt.Sprintf("address-%d", c.next-1), Derived: true, Index: c.next - 1}, nil
}

func (c *quietChain) GiveBack(a actors.Address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = append(c.spare, a)
}

func (c *quietChain) Watch(p actors.WatchedPayment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched == nil {
		c.watched = map[account.TransactionID]actors.WatchedPayment{}
	}
	c.watched[p.ID] = p
}

func (c *quietChain) Unwatch(id account.TransactionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watched, id)
}

func (c *quietChain) watches(id account.TransactionID) (actors.WatchedPayment, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.watched[id]
	return p, ok
}

// tell gives facts to the exchange, as a chain does.
func (c *quietChain) tell(t testing.TB, facts ...bitcoin.Fact) {
	t.Helper()
	c.mu.Lock()
	handle := c.handle
	c.mu.Unlock()
	if err := handle(t.Context(), facts, false); err != nil {
		t.Error(err)
	}
}

func withChain(c actors.Chain) func(*setup) { return func(s *setup) { s.actors.Chain = c } }

// buy creates a payment of amount.
func (w *world) buy(s *actors.Session, amount account.Money) account.TransactionID {
	w.t.Helper()
	receipt, err := w.CreatePayment(s, amount, 0, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return receipt.ID()
}

func (w *world) transaction(id account.TransactionID) account.Transaction {
	w.t.Helper()
	t, _, ok := w.Transaction(id)
	if !ok {
		w.t.Fatalf("there is no transaction %s", id)
	}
	return t
}

func TestTheSimulatedChainConfirmsAPaymentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{}, withChain(actors.NewSimulatedChain(5*time.Second, 3, rand.Reader)),
			func(s *setup) { s.actors.Terms.Confirmations = 3 })
		s, _ := w.login("aitbc1wallet_payer")
		id := w.buy(s, 1000*account.Unit)
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if paid := w.transaction(id); paid.Status != account.Pending {
			t.Fatalf("before its time the payment is %s", paid.Status)
		} else if view := w.Payment(&paid); view.State != bitcoin.PaymentSeen || view.Received != paid.Detail.BTC {
			t.Errorf("before its time it stands at %+v", view)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		paid := w.transaction(id)
		if paid.Status != account.Completed || len(paid.Detail.TxHash) != 64 || paid.Detail.By != "chain" {
			t.Errorf("the payment is %s, %+v", paid.Status, paid.Detail)
		}
		if view := w.Payment(&paid); view.State != actors.PaymentConfirmed || view.Confirmations != 3 || view.Required != 3 {
			t.Errorf("it stands at %+v", view)
		}
		if balance := w.state(s.UserID()).Balance; balance != 1000*account.Unit {
			t.Errorf("the balance is %s", balance)
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if state := w.state(s.UserID()); state.Balance != 1000*account.Unit || state.History.Last() != 1 || state.Seq != 5 {
			t.Errorf("two days later the balance is %s, with %d records", state.Balance, state.Seq)
		}
	})
}

func TestAPaymentExpiresWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, chain := &memoryLog{}, &quietChain{}
		w := start(t, log, withChain(chain))
		s, _ := w.login("aitbc1wallet_late")
		first := w.buy(s, 1000*account.Unit)
		time.Sleep(30 * time.Minute)
		second := w.buy(s, 2000*account.Unit)
		time.Sleep(30*time.Minute - time.Microsecond)
		synctest.Wait()
		if got := w.transaction(first).Status; got != account.Pending {
			t.Fatalf("before its time the payment is %s", got)
		}
		time.Sleep(time.Microsecond)
		synctest.Wait()
		expired := w.transaction(first)
		if expired.Status != account.Failed || !expired.Detail.Expired || expired.Detail.By != "clock" {
			t.Errorf("after its time the payment is %s, %+v", expired.Status, expired.Detail)
		}
		if got := w.transaction(second).Status; got != account.Pending {
			t.Errorf("the later payment is %s", got)
		}
		if _, ok := chain.watches(first); ok {
			t.Error("an expired payment is still watched")
		}
		if _, err := w.ConfirmPayment(first, "aa", "olga", nil); codeOf(err) != account.CodeNotPending {
			t.Errorf("confirming an expired payment: %v", err)
		}

		// One that ran out while nobody served does so at the next start; one that did
		// not is watched again.
		w.stop()
		time.Sleep(10 * time.Minute)
		again := &quietChain{}
		w = start(t, log, withChain(again))
		if _, ok := again.watches(second); !ok {
			t.Error("an open payment is not watched after a restart")
		}
		w.stop()
		time.Sleep(time.Hour)
		w = start(t, log, withChain(&quietChain{}))
		synctest.Wait()
		if late := w.transaction(second); late.Status != account.Failed || !late.Detail.Expired {
			t.Errorf("a payment that ran out while the service was down is %s", late.Status)
		}
		if stats := w.Market(); stats.OpenPayments != 0 || stats.TotalPayments != 2 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestASessionEndsWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		w := start(t, log, idleAfter(0))
		_, token := w.login("aitbc1wallet_guest")
		time.Sleep(24*time.Hour - time.Microsecond)
		if _, ok := w.Authenticate([]byte(token)); !ok {
			t.Error("the session ended early")
		}
		w.stop()
		w = start(t, log, idleAfter(0)) // a restart makes it no longer
		if _, ok := w.Authenticate([]byte(token)); !ok {
			t.Error("the session did not survive a restart")
		}
		time.Sleep(time.Microsecond)
		if _, ok := w.Authenticate([]byte(token)); ok {
			t.Error("the session outlived its 24 hours")
		}
	})
}

func TestTheOldestOf33SessionsGoes(t *testing.T) {
	w := start(t, &memoryLog{})
	var tokens []string
	for range account.MaxSessions + 1 {
		_, token := w.login("aitbc1wallet_many")
		tokens = append(tokens, token)
	}
	for i, token := range tokens {
		if _, ok := w.Authenticate([]byte(token)); ok != (i > 0) {
			t.Errorf("session %d of %d: live is %v", i+1, len(tokens), ok)
		}
	}
}

func TestABuyIsQuotedToTheSatoshiInTheExchangesFavour(t *testing.T) {
	terms := actors.DefaultTerms()
	for _, c := range []struct {
		amount     account.Money
		total, fee account.Money
		refused    bool
	}{
		{amount: 1000 * account.Unit, total: 1_005_000, fee: 5_000},
		{amount: 100_000 * account.Unit, total: 100_500_000, fee: 500_000},
		{amount: 1000*account.Unit + 1, total: 1_005_002, fee: 5_001}, // net 1,000,001 and fee rounded up
		{amount: account.Unit, refused: true},                         // 0.00001005 BTC is below the smallest
		{amount: 995_024 * account.Unit, total: 999_999_120, fee: 4_975_120},
		{amount: 995_025 * account.Unit, refused: true}, // above 10 BTC with the fee
		{amount: account.MaxMoney, refused: true},
		{amount: 1, refused: true},
	} {
		total, fee, err := terms.BuyQuote(c.amount)
		if (err != nil) != c.refused {
			t.Errorf("%s AITBC: %v", c.amount, err)
			continue
		}
		if err == nil && (total != c.total || fee != c.fee) {
			t.Errorf("%s AITBC: total %d fee %d, want %d and %d", c.amount, total, fee, c.total, c.fee)
		}
	}
}

func TestARetryGetsItsFirstAnswerAtWhateverPrice(t *testing.T) {
	log := &memoryLog{}
	at := func(rate account.Money) *world {
		return start(t, log, withChain(&quietChain{}), func(s *setup) { s.actors.Terms.Rate = rate * account.Unit })
	}
	w := at(100_000)
	s := w.funded("aitbc1wallet_retries", 1000*account.Unit)
	buyKey, sellKey := &account.Idempotency{Key: account.Key{1}}, &account.Idempotency{Key: account.Key{2}}
	bought, err := w.CreatePayment(s, 1000*account.Unit, 1_005_000, "", buyKey)
	if err != nil {
		t.Fatal(err)
	}
	sold, err := w.Sell(s, account.Unit, "somewhere", sellKey)
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	w = at(10_000_000) // the given amount is no longer the quote, and the sale would be dust
	s = newSession(w, "aitbc1wallet_retries")
	again, err := w.CreatePayment(s, 1000*account.Unit, 1_005_000, "", buyKey)
	if err != nil || !again.Replayed || again.N != bought.N {
		t.Errorf("the retried buy: %+v, %v", again, err)
	}
	again, err = w.Sell(s, account.Unit, "somewhere", sellKey)
	if err != nil || !again.Replayed || again.N != sold.N {
		t.Errorf("the retried sale: %+v, %v", again, err)
	}
	fresh := &account.Idempotency{Key: account.Key{3}}
	if _, err := w.CreatePayment(s, 1000*account.Unit, 1_005_000, "", fresh); codeOf(err) != actors.CodeBadAmount {
		t.Errorf("a new buy at the old price: %v", err)
	}
	if _, err := w.Sell(s, account.Unit, "somewhere", fresh); codeOf(err) != actors.CodeBadAmount {
		t.Errorf("a new sale of dust: %v", err)
	}
}
