package actors_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

func TestAnIdleUserGivesItsActorBackAndGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{}, func(s *setup) { s.actors.PassivateAfter = time.Minute })
		s := w.funded("aitbc1wallet_idle", 10*account.Unit)
		busy := w.funded("aitbc1wallet_busy", account.Unit)
		idem := &account.Idempotency{Key: account.Key{1}, Fingerprint: account.Fingerprint{1}}
		first, err := w.Withdraw(s, account.Unit, "aitbc_elsewhere", idem)
		if err != nil {
			t.Fatal(err)
		}
		before := describe(w.state(s.UserID()))
		for elapsed := time.Duration(0); elapsed < 59*time.Second; elapsed += 10 * time.Second {
			if n := w.Stats().Actors; n != 2 {
				t.Fatalf("after %s of silence %d actors are left of 2", elapsed, n)
			}
			time.Sleep(10 * time.Second)
		}
		for range 12 {
			if _, err := w.Deposit(busy, 1, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := w.Stats().Actors; n != 1 {
			t.Errorf("%d actors are left, want that of the busy user alone", n)
		}
		if after := describe(w.state(s.UserID())); after != before {
			t.Errorf("the idle user is\n%s, was\n%s", after, before)
		}
		again, err := w.Withdraw(s, account.Unit, "aitbc_elsewhere", idem)
		if err != nil || !again.Replayed || again.N != first.N {
			t.Errorf("a retry after that gives %+v, %v; want transaction %d again", again, err, first.N)
		}
		if _, err := w.Withdraw(s, 10*account.Unit, "aitbc_elsewhere", nil); codeOf(err) != account.CodeInsufficientFunds {
			t.Errorf("more than is available gives %v", err)
		}
		time.Sleep(3 * time.Minute)
		if n := w.Stats().Actors; n != 0 {
			t.Errorf("%d actors are left when all are idle", n)
		}
	})
}

func TestAUserWithACommandUnderWayKeepsItsActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{}, func(s *setup) { s.actors.PassivateAfter = time.Minute })
		s := w.funded("aitbc1wallet_waits", 10*account.Unit)
		release := w.log.hold()
		defer release()
		if _, err := w.Deposit(s, account.Unit, nil); err == nil { // after 10 s nobody waits for it
			t.Error("a deposit is answered that can't be written")
		}
		time.Sleep(10 * time.Minute)
		if n := w.Stats().Actors; n != 1 {
			t.Errorf("%d actors, want that of the user whose record is not durable", n)
		}
		release()
		time.Sleep(10 * time.Minute)
		if n, state := w.Stats().Actors, w.state(s.UserID()); n != 0 || state.Balance != 11*account.Unit {
			t.Errorf("%d actors and a balance of %s once it is", n, state.Balance)
		}
	})
}

// Users send at once, and one after another, while every actor is given back as
// soon as it can be. Each command is handled once and in order, and the account is
// the same as if its actor had stayed: with two at a time, records would not fit.
func TestNothingIsLostOrTwiceWhileActorsComeAndGo(t *testing.T) {
	const users, senders, each = 8, 4, 250
	log := &memoryLog{}
	w := start(t, log, func(s *setup) { s.actors.PassivateAfter = time.Microsecond })
	var all sync.WaitGroup
	for u := range users {
		s, _ := w.login(fmt.Sprintf("aitbc1wallet_%08d", u))
		var numbers sync.Map
		for sender := range senders {
			all.Add(1)
			go func() {
				defer all.Done()
				var last uint32
				for n := range each {
					receipt, err := w.Deposit(s, account.Money(1+sender), nil)
					if err != nil {
						t.Errorf("user %d, sender %d, deposit %d: %v", u, sender, n, err)
						return
					}
					if _, twice := numbers.LoadOrStore(receipt.N, true); twice || receipt.N <= last {
						t.Errorf("user %d: transaction %d after %d, given twice: %t", u, receipt.N, last, twice)
					}
					last = receipt.N
				}
			}()
		}
	}
	all.Wait()
	states, _, _ := w.Users(0, users+1, 0)
	if len(states) != users {
		t.Fatalf("%d users, want %d", len(states), users)
	}
	for _, state := range states {
		if want := account.Money(each * (1 + 2 + 3 + 4)); state.Balance != want || state.History.Last() != senders*each {
			t.Errorf("user %s has %s in %d transactions, want %s in %d", state.ID, state.Balance, state.History.Last(), want, senders*each)
		}
	}
	before := everything(w)
	w.stop()
	if after := everything(start(t, log)); after != before {
		t.Errorf("after a restart there is\n%s, before it was\n%s", after, before)
	}
}
