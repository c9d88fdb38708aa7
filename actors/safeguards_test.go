package actors_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/aitbc/exchange/actors/account"
)

// Of many that would each fit, those together that fit are accepted.
func TestADailyLimitHoldsForManyWithdrawalsAtOnce(t *testing.T) {
	w := start(t, &memoryLog{}, func(s *setup) { s.actors.Terms.DailyLimit = 10 })
	u := w.funded("aitbc1wallet_limit", 1000)
	const tries = 64
	errs := make([]error, tries)
	var group sync.WaitGroup
	for i := range tries {
		group.Go(func() { _, errs[i] = w.Withdraw(u, 3, "aitbc_friend", nil) })
	}
	group.Wait()
	accepted := 0
	for _, err := range errs {
		if err == nil {
			accepted++
		} else if codeOf(err) != account.CodeDailyLimit {
			t.Error(err)
		}
	}
	if accepted != 3 {
		t.Errorf("%d of 3 units each left within a limit of 10", accepted)
	}
}

// However two operators' approvals and completions come, two different ones have had
// a look at what is completed.
func TestTwoOperatorsAtOnceAreStillTwo(t *testing.T) {
	w := start(t, &memoryLog{}, func(s *setup) { s.actors.Terms.FourEyesAbove = 10 })
	u := w.funded("aitbc1wallet_eyes", 100_000)
	for round := range 50 {
		receipt, err := w.Withdraw(u, 100, "aitbc_friend", nil)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for _, by := range []string{"anna", "bob"} {
			for range 2 {
				group.Go(func() { _, _ = w.ApproveWithdrawal(receipt.ID(), by, "r", nil) })
				group.Go(func() { _, _ = w.CompleteTransaction(receipt.ID(), "", by, "", nil) })
			}
		}
		group.Wait()
		got, _, _ := w.Transaction(receipt.ID())
		if d := got.Detail; d.ApprovedBy == "" || (got.Status == account.Completed && d.By == d.ApprovedBy) {
			t.Fatalf("round %d: approved by %q, completed by %q: %s", round, d.ApprovedBy, d.By, got.Status)
		}
	}
}

func TestABookTakesAnAddressOnceHoweverManyAskAtOnce(t *testing.T) {
	log := &memoryLog{}
	w := start(t, log)
	u, _ := w.login("aitbc1wallet_book")
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			if _, err := w.AddAddress(u, "mine", fmt.Sprintf("aitbc_%06d", i%8)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	state, _ := w.State(u.UserID())
	if n := len(state.AddressBook.Addresses); n != 8 {
		t.Errorf("the book has %d addresses, want 8", n)
	}
	before := state.StateHash()
	w.stop()
	state, _ = start(t, log).State(u.UserID())
	if state.StateHash() != before {
		t.Error("the account is another after a restart")
	}
}
