package actors_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/persistence/format"
)

// events returns what the log holds of user, as "type by reason".
func (l *memoryLog) events(t *testing.T, user account.UserID) (events []account.Event) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, encoded := range l.frames {
		frame, err := format.DecodeFrame(encoded)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range frame.Records() {
			var record account.Record
			if err := record.Decode(raw); err != nil {
				t.Fatal(err)
			}
			if record.User == user {
				events = append(events, record.Events...)
			}
		}
	}
	return events
}

func TestEveryOperatorActionIsAnEventWithWhoAndWhy(t *testing.T) {
	log := &memoryLog{}
	sealed, err := secondfactor.NewSecrets(make([]byte, 32), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, log, withChain(&quietChain{}), func(s *setup) { s.actors.Factors.Secrets = sealed })
	s := w.funded("aitbc1wallet_watched", 1000*account.Unit)
	id := s.UserID()
	withdrawal := func() account.TransactionID {
		receipt, err := w.Withdraw(s, account.Unit, "aitbc_elsewhere", nil)
		if err != nil {
			t.Fatal(err)
		}
		return receipt.ID()
	}
	sale, err := w.Sell(s, 100*account.Unit, "somewhere", nil)
	if err != nil {
		t.Fatal(err)
	}
	good, bad, payment := withdrawal(), withdrawal(), w.buy(s, 1000*account.Unit)
	if _, err := enrolApp(w.Exchange, s, &simApp{begun: account.TimeOf(time.Now())}); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		do   func() (actors.Receipt, error)
		want account.Event
	}{
		{func() (actors.Receipt, error) { return w.OperatorDeposit(id, 5, "olga", nil) },
			&account.Deposited{Amount: 5, By: "olga"}},
		{func() (actors.Receipt, error) { return w.Credit(id, 6, "olga", "goodwill", nil) },
			&account.Credited{Amount: 6, By: "olga", Reason: "goodwill"}},
		{func() (actors.Receipt, error) { return w.Debit(id, 7, "otto", "chargeback", nil) },
			&account.Debited{Amount: 7, By: "otto", Reason: "chargeback"}},
		{func() (actors.Receipt, error) { return w.CompleteTransaction(good, "aa", "olga", "sent", nil) },
			&account.TxCompleted{N: good.N, Type: account.TypeWithdrawal, Amount: account.Unit, TxHash: "aa", By: "olga", Reason: "sent"}},
		{func() (actors.Receipt, error) { return w.FailTransaction(bad, "otto", "bad address", nil) },
			&account.TxFailed{N: bad.N, By: "otto", Reason: "bad address"}},
		{func() (actors.Receipt, error) { return w.CompleteTransaction(sale.ID(), "bb", "olga", "paid", nil) },
			&account.TxCompleted{N: sale.N, Type: account.TypeSell, Amount: 100 * account.Unit, TxHash: "bb", By: "olga", Reason: "paid"}},
		{func() (actors.Receipt, error) { return w.ConfirmPayment(payment, "cc", "olga", nil) },
			&account.TxCompleted{N: payment.N, Type: account.TypeBuy, Amount: 1000 * account.Unit, TxHash: "cc", Confirmations: 1, By: "olga"}},
		{func() (actors.Receipt, error) { return w.SetStatus(id, account.Suspended, "otto", "fraud") },
			&account.StatusChanged{Status: account.Suspended, By: "otto", Reason: "fraud"}},
		{func() (actors.Receipt, error) { return w.SetStatus(id, account.Active, "olga", "cleared") },
			&account.StatusChanged{Status: account.Active, By: "olga", Reason: "cleared"}},
		{func() (actors.Receipt, error) { return w.ResetFactors(id, "anna", "lost the phone") },
			&account.FactorsReset{By: "anna", Reason: "lost the phone"}},
	} {
		if _, err := c.do(); err != nil {
			t.Fatalf("action %d: %v", i, err)
		}
		events := log.events(t, id)
		if got := events[len(events)-1]; fmt.Sprintf("%T%+v", got, got) != fmt.Sprintf("%T%+v", c.want, c.want) {
			t.Errorf("action %d: the log has %T%+v, want %T%+v", i, got, got, c.want, c.want)
		}
	}
	if state := w.state(id); state.Balance != 1899*account.Unit+4 || state.Held != 0 {
		t.Errorf("balance %s, held %s", state.Balance, state.Held)
	}
	for _, again := range []account.TransactionID{good, bad, sale.ID(), payment} {
		if _, err := w.FailTransaction(again, "olga", "twice", nil); codeOf(err) != account.CodeNotPending {
			t.Errorf("a second end of %s: %v", again, err)
		}
	}
	if _, err := w.Credit(account.UserID{1}, 1, "olga", "x", nil); codeOf(err) != account.CodeNotFound {
		t.Errorf("a credit to nobody: %v", err)
	}
	if _, err := w.Debit(id, 1900*account.Unit, "olga", "x", nil); codeOf(err) != account.CodeInsufficientFunds {
		t.Errorf("a debit of more than there is: %v", err)
	}
}

func TestASuspendedUserChangesNothing(t *testing.T) {
	for _, status := range []account.Status{account.Suspended, account.Inactive} {
		t.Run(status.String(), func(t *testing.T) {
			w := start(t, &memoryLog{}, withChain(&quietChain{}))
			s := w.funded("aitbc1wallet_suspect", 1000*account.Unit)
			payment := w.buy(s, 1000*account.Unit)
			if _, err := w.SetStatus(s.UserID(), status, "olga", "fraud"); err != nil {
				t.Fatal(err)
			}
			before := describe(w.state(s.UserID()))
			want := account.CodeSuspended
			if status == account.Inactive {
				want = account.CodeInactive
			}
			for name, try := range map[string]func() error{
				"login":    func() error { _, _, err := w.Login("aitbc1wallet_suspect"); return err },
				"profile":  func() error { _, err := w.ChangeProfile(s, "", "innocent"); return err },
				"deposit":  func() error { _, err := w.Deposit(s, 1, nil); return err },
				"withdraw": func() error { _, err := w.Withdraw(s, 1, "aitbc_elsewhere", nil); return err },
				"sell":     func() error { _, err := w.Sell(s, 100*account.Unit, "somewhere", nil); return err },
				"buy":      func() error { _, err := w.CreatePayment(s, 1000*account.Unit, 0, "", nil); return err },
				"confirm":  func() error { _, err := w.ConfirmPayment(payment, "aa", "", nil); return err },
			} {
				if err := try(); codeOf(err) != want {
					t.Errorf("%s: %v, want %s", name, err, want)
				}
			}
			if after := describe(w.state(s.UserID())); after != before {
				t.Errorf("it changed:\n%s\nwas\n%s", after, before)
			}
			if _, ok := w.FindUser("innocent"); ok {
				t.Error("the name of a refused change is taken")
			}
			if _, err := w.ConfirmPayment(payment, "aa", "olga", nil); err != nil {
				t.Errorf("the operator may still settle what is open: %v", err)
			}
		})
	}
}

func TestOperatorsFindAndListUsersAndOpenTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{})
		var ids []account.UserID
		var open []account.TransactionID
		for i := range 7 {
			wallet, err := actors.CanonicalWallet(fmt.Sprintf("0x%040X", 0xABC0+i))
			if err != nil {
				t.Fatal(err)
			}
			s := w.funded(wallet, 10*account.Unit)
			ids = append(ids, s.UserID())
			receipt, err := w.Withdraw(s, account.Unit, "aitbc_elsewhere", nil)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, receipt.ID())
			time.Sleep(time.Second)
		}
		if _, err := w.SetStatus(ids[3], account.Suspended, "olga", "x"); err != nil {
			t.Fatal(err)
		}
		var listed []account.UserID
		for next, more := 0, true; more; {
			var states []*account.State
			states, next, more = w.Users(next, 3, 0)
			for _, state := range states {
				listed = append(listed, state.ID)
			}
		}
		if !slices.Equal(listed, ids) {
			t.Errorf("listed %v, want %v", listed, ids)
		}
		if states, _, more := w.Users(0, 10, account.Suspended); more || len(states) != 1 || states[0].ID != ids[3] {
			t.Errorf("%d are suspended", len(states))
		}
		if states, _, more := w.Users(1000, 10, 0); more || len(states) != 0 {
			t.Errorf("%d users after the last", len(states))
		}
		first, total, more := w.OpenTransactions(account.TypeWithdrawal, account.TransactionID{}, 3)
		if total != 7 || !more || !slices.Equal(first, open[:3]) {
			t.Errorf("the first page is %v of %d, want %v", first, total, open[:3])
		}
		// What is settled between two pages makes the second skip nothing.
		for _, id := range first {
			if _, err := w.FailTransaction(id, "ops", "refused", nil); err != nil {
				t.Fatal(err)
			}
		}
		rest, total, more := w.OpenTransactions(account.TypeWithdrawal, first[2], 100)
		if total != 4 || more || !slices.Equal(rest, open[3:]) {
			t.Errorf("the second page is %v of %d, want %v", rest, total, open[3:])
		}
		state := w.state(ids[2])
		for _, name := range []string{state.ID.String(), state.Wallet, "0X000000000000000000000000000000000000AbC2", state.Username, state.Email} {
			if found, ok := w.FindUser(name); !ok || found.ID != ids[2] {
				t.Errorf("%q does not find the user", name)
			}
		}
		if _, ok := w.FindUser("nobody at all"); ok {
			t.Error("nobody was found")
		}
	})
}

func TestTheMarketIsWhatWasTradedInADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		at := func(rate account.Money) *world { // the price is a flag: it changes with a restart
			return start(t, log, withChain(&quietChain{}), func(s *setup) { s.actors.Terms.Rate = rate * account.Unit })
		}
		trade := func(w *world, amount account.Money) {
			t.Helper()
			id := w.buy(newSession(w, "aitbc1wallet_trader"), amount*account.Unit)
			if _, err := w.ConfirmPayment(id, "aa", "olga", nil); err != nil {
				t.Fatal(err)
			}
		}
		check := func(w *world, change string, volume, btc account.Money) {
			t.Helper()
			got := w.Market()
			if got.Change() != change || got.Volume != volume*account.Unit || got.VolumeBTC != btc {
				t.Errorf("change %s, volume %s AITBC and %s BTC, want %s, %d and %s", got.Change(), got.Volume, got.VolumeBTC, change, volume, btc)
			}
		}
		w := at(100_000)
		check(w, "0", 0, 0)
		trade(w, 1000) // at 1000 satoshi
		check(w, "0.00", 1000, 1_000_000)
		w.stop()
		time.Sleep(12 * time.Hour)

		w = at(80_000)
		check(w, "0.00", 1000, 1_000_000) // the day is the log's, not the process's
		trade(w, 2000)                    // at 1250 satoshi
		check(w, "25.00", 3000, 3_500_000)
		w.stop()
		time.Sleep(13 * time.Hour)

		w = at(125_000)
		check(w, "25.00", 2000, 2_500_000) // a day ago the first price held
		trade(w, 1000)                     // at 800 satoshi
		check(w, "-20.00", 3000, 3_300_000)
		open := w.buy(newSession(w, "aitbc1wallet_trader"), 5000*account.Unit)
		check(w, "-20.00", 3000, 3_300_000) // what is not settled is no trade
		if got := w.Market(); got.TotalPayments != 4 || got.OpenPayments != 1 {
			t.Errorf("%d payments, %d open", got.TotalPayments, got.OpenPayments)
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		check(w, "0.00", 0, 0)
		if got := w.transaction(open).Status; got != account.Failed {
			t.Errorf("the payment is %s", got)
		}
		// A sale is a trade when it is paid, at its price before the fee.
		sale, err := w.Sell(newSession(w, "aitbc1wallet_trader"), 500*account.Unit, "somewhere", nil)
		if err != nil {
			t.Fatal(err)
		}
		check(w, "0.00", 0, 0)
		if _, err := w.CompleteTransaction(sale.ID(), "", "olga", "paid", nil); err != nil {
			t.Fatal(err)
		}
		check(w, "0.00", 500, 400_000)
	})
}
