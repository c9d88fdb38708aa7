package actors_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

func TestNothingIsAnsweredOrShownBeforeItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{})
		s := w.funded("aitbc1wallet_reader", 10*account.Unit)
		before := describe(w.state(s.UserID()))

		release := w.log.hold()
		defer release()
		requests := []struct {
			do     func() error
			want   account.Code
			answer chan error
		}{
			{do: func() error { _, err := w.Deposit(s, account.Unit, nil); return err }},
			{do: func() error { _, err := w.Withdraw(s, 11*account.Unit, "aitbc_elsewhere", nil); return err }},
			// Refused because of what is not durable: that answer has to wait too.
			{do: func() error { _, err := w.Withdraw(s, account.Unit, "aitbc_elsewhere", nil); return err }, want: account.CodeInsufficientFunds},
		}
		for i := range requests {
			r := &requests[i]
			r.answer = make(chan error, 1)
			go func() { r.answer <- r.do() }()
			synctest.Wait()
		}
		for i, r := range requests {
			if len(r.answer) != 0 {
				t.Errorf("request %d was answered while nothing could be written", i)
			}
		}
		if now := describe(w.state(s.UserID())); now != before {
			t.Errorf("a reader sees what is not durable:\n%s\nwas\n%s", now, before)
		}
		release()
		for i, r := range requests {
			if err := <-r.answer; codeOf(err) != r.want || (err != nil) != (r.want != "") {
				t.Errorf("request %d: %v, want %q", i, err, r.want)
			}
		}
		if state := w.state(s.UserID()); state.Balance != 11*account.Unit || state.Held != 11*account.Unit {
			t.Errorf("balance %s, held %s", state.Balance, state.Held)
		}
	})
}

func TestAnAccountIsNotThereBeforeItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{})
		release := w.log.hold()
		defer release()
		done := make(chan error, 1)
		go func() { _, _, err := w.Login("aitbc1wallet_unborn"); done <- err }()
		synctest.Wait()
		if _, ok := w.FindUser("aitbc1wallet_unborn"); ok || w.Stats().Accounts != 0 || len(done) != 0 {
			t.Error("an account that is not on disk is shown")
		}
		if states, _, _ := w.Users(0, 10, 0); len(states) != 0 {
			t.Errorf("%d users are listed", len(states))
		}
		release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, ok := w.FindUser("aitbc1wallet_unborn"); !ok {
			t.Error("the account is not found once it is durable")
		}
	})
}

func TestALoggedOutTokenIsDeadAlsoAfterARestart(t *testing.T) {
	log := &memoryLog{}
	w := start(t, log)
	s, token := w.login("aitbc1wallet_leaver")
	_, other := w.login("aitbc1wallet_leaver")
	if err := w.Logout(s); err != nil {
		t.Fatal(err)
	}
	if err := w.Logout(s); err != nil {
		t.Errorf("a second logout: %v", err)
	}
	check := func(when string) {
		t.Helper()
		if _, ok := w.Authenticate([]byte(token)); ok {
			t.Errorf("%s: the token still works", when)
		}
		if _, ok := w.Authenticate([]byte(other)); !ok {
			t.Errorf("%s: the other session is gone too", when)
		}
	}
	check("at once")
	w.stop()
	w = start(t, log)
	check("after a restart")
}

func TestAFullQueueRefusesAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		w := start(t, log, func(s *setup) { s.journal.MaxQueuedRecords = 4 })
		s := w.funded("aitbc1wallet_queue", 100*account.Unit)
		release := log.hold()
		defer release()

		const n = 50
		var mu sync.Mutex
		accepted, overloaded := 0, 0
		var wg sync.WaitGroup
		for i := range n {
			idem := &account.Idempotency{Key: account.Key{byte(i), 1}}
			wg.Go(func() {
				_, err := w.Withdraw(s, account.Unit, "aitbc_elsewhere", idem)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					accepted++
				case errors.Is(err, actors.ErrOverloaded):
					overloaded++
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		mu.Lock()
		if accepted != 0 || overloaded != n-4 {
			t.Errorf("with the log held %d were accepted and %d refused, want 0 and %d", accepted, overloaded, n-4)
		}
		mu.Unlock()
		if _, _, err := w.Login("aitbc1wallet_too_late"); !errors.Is(err, actors.ErrOverloaded) {
			t.Errorf("a first login on a full queue: %v", err)
		}
		if _, err := w.ChangeProfile(s, "", "too-late"); !errors.Is(err, actors.ErrOverloaded) {
			t.Errorf("a change of profile on a full queue: %v", err)
		}
		release()
		wg.Wait()
		state := w.state(s.UserID())
		if accepted != 4 || state.Held != 4*account.Unit || state.History.Last() != 5 {
			t.Errorf("%d accepted, %s held, %d transactions", accepted, state.Held, state.History.Last())
		}
		// What was refused left nothing behind: names are free, and keys are unused.
		other, _ := w.login("aitbc1wallet_other")
		if _, err := w.ChangeProfile(other, "", "too-late"); err != nil {
			t.Errorf("the name of a refused change is not free: %v", err)
		}
		if late, _ := w.login("aitbc1wallet_too_late"); w.state(late.UserID()).Seq != 1 {
			t.Error("the refused login left something behind")
		}
		fresh := 0
		for i := range n {
			receipt, err := w.Withdraw(s, account.Unit, "aitbc_elsewhere", &account.Idempotency{Key: account.Key{byte(i), 1}})
			if err != nil {
				t.Fatal(err)
			}
			if !receipt.Replayed {
				fresh++
			}
		}
		if fresh != n-4 {
			t.Errorf("%d of the retries were new, want %d", fresh, n-4)
		}
		want := describe(w.state(s.UserID()))
		w.stop()
		if got := describe(start(t, log).state(s.UserID())); got != want {
			t.Errorf("after a restart:\n%s\nwas\n%s", got, want)
		}
	})
}

func TestAFailedWriteIsAnsweredUnknownAndShowsNothing(t *testing.T) {
	log := &memoryLog{}
	w := start(t, log)
	s := w.funded("aitbc1wallet_broken", 10*account.Unit)
	before := describe(w.state(s.UserID()))
	fault := errors.New("the disk is gone")
	log.breakWith(fault)
	for range 3 { // for ever: nothing is tried again
		if _, err := w.Deposit(s, account.Unit, nil); !errors.Is(err, actors.ErrOutcomeUnknown) {
			t.Errorf("a deposit: %v", err)
		}
		log.breakWith(nil)
	}
	if _, _, err := w.Login("aitbc1wallet_broken"); !errors.Is(err, actors.ErrOutcomeUnknown) {
		t.Errorf("a login: %v", err)
	}
	if _, _, err := w.Login("aitbc1wallet_newcomer"); !errors.Is(err, actors.ErrOutcomeUnknown) {
		t.Errorf("a first login: %v", err)
	}
	if _, err := w.Withdraw(s, 1000*account.Unit, "aitbc_elsewhere", nil); !errors.Is(err, actors.ErrOutcomeUnknown) {
		t.Errorf("a refusal that rests on what may be lost: %v", err)
	}
	select {
	case <-w.journal.Failed():
	default:
		t.Error("the journal does not say that it has failed")
	}
	if err := w.journal.Err(); !errors.Is(err, fault) || !errors.Is(err, persistence.ErrPoisoned) {
		t.Errorf("the cause is %v", err)
	}
	if now := describe(w.state(s.UserID())); now != before {
		t.Errorf("a reader sees what was not written:\n%s\nwas\n%s", now, before)
	}
	w.stop()
	w = start(t, log) // the restart that the error asks for
	if now := describe(w.state(s.UserID())); now != before {
		t.Errorf("after a restart:\n%s\nwas\n%s", now, before)
	}
	if _, err := w.Deposit(newSession(w, "aitbc1wallet_broken"), account.Unit, nil); err != nil {
		t.Error(err)
	}
}

func newSession(w *world, wallet string) *actors.Session {
	w.t.Helper()
	s, _ := w.login(wallet)
	return s
}

func TestARequestThatWaitsTooLongHasAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{}, func(s *setup) { s.actors.CommandTimeout = time.Second })
		s := w.funded("aitbc1wallet_patient", account.Unit)
		other, _ := w.login("aitbc1wallet_other")
		idem := &account.Idempotency{Key: account.Key{9}}
		release := w.log.hold()
		defer release()
		begin := time.Now()
		if _, err := w.Deposit(s, account.Unit, idem); !errors.Is(err, actors.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %s", took)
		}
		if _, err := w.ChangeProfile(s, "", "in-doubt"); !errors.Is(err, actors.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		release()
		synctest.Wait()
		receipt, err := w.Deposit(s, account.Unit, idem)
		if err != nil || !receipt.Replayed || receipt.State.Balance != 2*account.Unit {
			t.Errorf("the retry that settles it: %+v, %v", receipt, err)
		}
		if got := w.state(s.UserID()).Username; got != "in-doubt" {
			t.Errorf("the username is %s", got)
		}
		if _, err := w.ChangeProfile(other, "", "in-doubt"); codeOf(err) != account.CodeTaken {
			t.Errorf("the name became free: %v", err)
		}
		if _, err := w.ChangeProfile(other, "", "user__patient"); err != nil {
			t.Errorf("the old name did not become free: %v", err)
		}
	})
}

func TestABrokenInvariantInAnActorIsFatal(t *testing.T) {
	fatal := make(chan any, 1)
	w := start(t, &memoryLog{}, func(s *setup) {
		s.actors.CommandTimeout = 5 * time.Second
		s.actors.Fatal = func(reason any, _ []byte) {
			select {
			case fatal <- reason:
			default:
			}
		}
	})
	s, _ := w.login("aitbc1wallet_panics")
	go func() { _, _ = w.Deposit(s, -account.Unit, nil) }() // httpapi refuses it: here it is a bug
	select {
	case reason := <-fatal:
		if reason == nil {
			t.Error("no reason")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a panic in an actor did not end the process")
	}
}

func TestRecoveryGivesTheSameStatesTwice(t *testing.T) {
	log := &memoryLog{}
	w := start(t, log, func(s *setup) { s.actors.Chain = &quietChain{} })
	const n = 30
	var ids [n]account.UserID
	together(n, func(i int) {
		s, _ := w.login(fmt.Sprintf("aitbc1wallet_n%d", i))
		ids[i] = s.UserID()
		for range 20 {
			_, _ = w.Deposit(s, account.Money(i+1)*account.Unit, nil)
			_, _ = w.Withdraw(s, account.Unit, "aitbc_elsewhere", nil)
		}
		receipt, err := w.CreatePayment(s, 1000*account.Unit, 0, "", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := w.ConfirmPayment(receipt.ID(), "aa", "olga", nil); err != nil {
			t.Error(err)
		}
		if _, err := w.FailTransaction(account.TransactionID{User: s.UserID(), N: 2}, "olga", "no such address", nil); err != nil {
			t.Error(err)
		}
		_, _ = w.ChangeProfile(s, "", fmt.Sprintf("renamed-%d", i))
	})
	var want [n]string
	for i, id := range ids {
		want[i] = describe(w.state(id))
	}
	stats, market := w.Stats(), w.Market()
	w.stop()
	for round := range 2 {
		w := start(t, log)
		for i, id := range ids {
			if got := describe(w.state(id)); got != want[i] {
				t.Fatalf("restart %d:\n%s\nwas\n%s", round, got, want[i])
			}
			if _, err := w.ChangeProfile(newSession(w, "aitbc1wallet_probe"), "", fmt.Sprintf("renamed-%d", i)); codeOf(err) != account.CodeTaken {
				t.Fatalf("restart %d: a name was forgotten: %v", round, err)
			}
		}
		again := w.Stats()
		if again.Buys != stats.Buys || again.Withdrawals != stats.Withdrawals || again.Sells != stats.Sells {
			t.Errorf("restart %d: %+v, was %+v", round, again, stats)
		}
		if got := w.Market(); got != market {
			t.Errorf("restart %d: the market is %+v, was %+v", round, got, market)
		}
		w.stop()
	}
}
