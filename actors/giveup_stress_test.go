package actors_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// fitfulLog is slow now and then, by about as long as a request waits.
type fitfulLog struct {
	*memoryLog
	timeout time.Duration
	appends int // the committer's
}

func (l *fitfulLog) Append(seq uint64, frame []byte) error {
	tenths := [...]int{10, 0, 10, 10, 3, 10, 0, 10, 10, 7}
	l.appends++
	time.Sleep(l.timeout * time.Duration(tenths[l.appends%len(tenths)]) / 10)
	return l.memoryLog.Append(seq, frame)
}

// toldOnce is a Requester that counts how often it is told.
type toldOnce struct {
	times atomic.Int32
	told
}

func (r *toldOnce) Outcome(receipt actors.Receipt, err error) {
	if r.times.Add(1) == 1 {
		r.told.Outcome(receipt, err)
	}
}

// hasty is a user who does all that can be given up, in every way of waiting for it.
type hasty struct {
	w       *world
	session actors.Session
	name    string
	n       int // of requests so far

	came, gone *atomic.Int64 // outcomes that came, and that nobody waited for
	requesters []*toldOnce
}

// took notes an outcome, and reports whether it came.
func (h *hasty) took(receipt actors.Receipt, err error, want account.Money) bool {
	switch {
	case errors.Is(err, actors.ErrOutcomeUnknown):
		h.gone.Add(1)
		return false
	case err != nil:
		h.w.t.Errorf("%s: %v", h.name, err)
		return false
	}
	h.came.Add(1)
	made, _ := receipt.State.History.At(receipt.N)
	if receipt.State.ID != h.session.UserID() || made.Amount != want {
		h.w.t.Errorf("%s asked for %s and was answered with %s of %s", h.name, want, made.Amount, receipt.State.ID)
	}
	return true
}

// amount is another one for each request of each user.
func (h *hasty) amount() account.Money {
	h.n++
	return account.Money(1 + h.n*1000 + int(h.name[len(h.name)-1]))
}

func (h *hasty) deposit() {
	amount, r := h.amount(), &toldOnce{told: make(told, 1)}
	h.requesters = append(h.requesters, r)
	h.w.BeginDeposit(&h.session, amount, nil, r)
	outcome := <-r.told
	h.took(outcome.Receipt, outcome.Err, amount)
}

func (h *hasty) several() {
	var amounts []account.Money
	var changes []actors.Change
	for range 3 {
		amounts = append(amounts, h.amount())
		changes = append(changes, h.w.DepositOf(&h.session, amounts[len(amounts)-1], nil))
	}
	for i, outcome := range h.w.MakeAll(changes) {
		h.took(outcome.Receipt, outcome.Err, amounts[i])
	}
}

func (h *hasty) rename() {
	h.n++
	name := fmt.Sprintf("%s_%d", h.name, h.n)
	switch state, err := h.w.ChangeProfile(&h.session, "", name); {
	case errors.Is(err, actors.ErrOutcomeUnknown):
		h.gone.Add(1)
	case err != nil:
		h.w.t.Errorf("%s: %v", h.name, err)
	case state.ID != h.session.UserID() || state.Username != name:
		h.w.t.Errorf("%s asked to be %s and was answered with %s of %s", h.name, name, state.Username, state.ID)
	default:
		h.came.Add(1)
	}
}

// buy makes a payment that nobody pays, so that its end is settled by whoever is patient.
func (h *hasty) buy() {
	amount := h.amount() + 1000*account.Unit
	receipt, err := h.w.CreatePayment(&h.session, amount, 0, "", nil)
	h.took(receipt, err, amount)
}

// Calls that are given up while their outcomes come, and those that are not, share a pool
// with who never gives up. Each requester is told once, and of its own command.
func TestNobodyIsToldTwiceOrOfAnothersCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Millisecond
		log := &fitfulLog{memoryLog: &memoryLog{}, timeout: timeout}
		w := start(t, log.memoryLog, withChain(&quietChain{}), func(s *setup) {
			s.actors.CommandTimeout = timeout
			s.actors.Terms.PaymentLifetime = 3 * timeout
			s.journal = persistence.Config{Log: log}
		})
		var came, gone atomic.Int64
		users := make([]*hasty, 24)
		together(len(users), func(i int) {
			h := &hasty{w: w, name: fmt.Sprintf("hasty_%c", 'a'+i), came: &came, gone: &gone}
			users[i] = h
			for h.session.State == nil {
				if _, token, err := w.Login("aitbc1wallet_" + h.name); err == nil {
					h.session, _ = w.Authenticate([]byte(token))
				} else if !errors.Is(err, actors.ErrOutcomeUnknown) {
					t.Error(err)
					return
				}
			}
			for range 30 {
				h.rename()
				h.deposit()
				h.rename()
				h.several()
				h.buy()
			}
		})
		time.Sleep(100 * timeout) // what is under way ends
		synctest.Wait()
		if came.Load() == 0 || gone.Load() == 0 {
			t.Fatalf("%d outcomes came and %d did not: nothing was tried", came.Load(), gone.Load())
		}
		log.timeout = 0
		for _, h := range users {
			for _, r := range h.requesters {
				if n := r.times.Load(); n != 1 {
					t.Errorf("a requester was told %d times", n)
				}
			}
			last := h.name + "_last"
			if state, err := w.ChangeProfile(&h.session, "", last); err != nil || state.Username != last {
				t.Errorf("afterwards %s can't be renamed: %v", h.name, err)
			}
			state := w.state(h.session.UserID())
			for n := uint32(1); n <= state.History.Last(); n++ {
				if made, _ := state.History.At(n); made.Status == account.Pending {
					t.Errorf("after its time, %s of %s is pending", made.Type, h.name)
				}
			}
		}
	})
}
