package actors

import (
	"testing"
	"testing/synctest"

	"github.com/aitbc/exchange/actors/account"
)

// callsOf returns an exchange that has nothing but calls, and a user of it.
func callsOf() (*Exchange, *user) {
	x, u := &Exchange{}, &user{}
	x.calls.New = func() any { return newCall(x) }
	u.durable.Store(&account.State{Balance: 7})
	return x, u
}

// wait sends c at a tick, as far as who waits for it goes.
func (u *user) wait(c *call, tick uint64) {
	c.user = u
	c.wait(tick)
	u.underWay.Add(1)
}

// A change of profile that was given up has an outcome all the same. It comes here after
// overdue has decided to tell the requester that there is none, and before it does.
func TestACallWhoseRequesterIsStillToBeToldGoesToNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, u := callsOf()
		c := x.newCall(&account.ChangeProfile{})
		c.done = make(chan bool) // without room: whoever tells waits
		late := make(chan Receipt, 1)
		c.whenLate = func(receipt Receipt, err error) { late <- receipt }
		u.wait(c, 0)
		go x.overdue.letGo(patience)
		synctest.Wait()
		c.answer()
		if receipt := <-late; receipt.State != u.durable.Load() {
			t.Errorf("late, the outcome is %+v", receipt)
		}
		x.calls.New = nil
		if next := x.calls.Get(); next != nil {
			t.Error("the next command has the call of one whose requester is still to be told")
		}
		if <-c.done {
			t.Error("who was let go is told that there is an outcome")
		}
	})
}

// The chain waits for as long as it takes, with calls that others have waited for.
func TestAPatientRequesterIsNeverLetGo(t *testing.T) {
	x, u := callsOf()
	c := x.newCall(&account.Logout{})
	u.wait(c, 0)
	c.answer()
	if _, err := x.await(c); err != nil {
		t.Fatal(err)
	}
	c.patient = true
	u.wait(c, 0)
	x.overdue.letGo(1000 * patience)
	c.answer()
	select {
	case outcome := <-c.done:
		if !outcome {
			t.Error("a patient requester was let go")
		}
	default:
		t.Error("a patient requester waits for ever")
	}
}

// Overdue may have looked at a call when it was another requester's.
func TestWhoBeginsToWaitIsNotLetGoForWhoeverWaitedBefore(t *testing.T) {
	x, u := callsOf()
	c := x.newCall(&account.Logout{})
	for tick := range uint64(3 * patience) {
		u.wait(c, tick)
		x.overdue.letGo(tick + patience - 1)
		c.answer()
		if !<-c.done {
			t.Fatalf("who waits since tick %d was let go at %d", tick, tick+patience-1)
		}
		if _, err := x.collect(c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACallIsSentAndAnsweredOnce(t *testing.T) {
	for name, twice := range map[string]func(*user, *call){
		"sent":                        func(u *user, c *call) { u.wait(c, 0); u.wait(c, 0) },
		"answered":                    func(u *user, c *call) { u.wait(c, 0); c.answer(); u.underWay.Add(1); c.answer() },
		"answered after a giving up":  func(u *user, c *call) { u.wait(c, 0); c.giveUp(patience); c.answer(); u.underWay.Add(1); c.answer() },
		"sent again, though given up": func(u *user, c *call) { u.wait(c, 0); c.giveUp(patience); u.wait(c, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			x, u := callsOf()
			defer func() {
				if recover() == nil {
					t.Error("nothing stops that")
				}
			}()
			twice(u, x.newCall(&account.Logout{}))
		})
	}
}

// BenchmarkCall is what carrying a command and its outcome costs, less the mailbox, the
// account and the journal.
func BenchmarkCall(b *testing.B) {
	x, u := callsOf()
	command := &account.Logout{}
	b.ReportAllocs()
	for b.Loop() {
		c := x.newCall(command)
		u.wait(c, 0)
		c.Committed(nil)
		if _, err := x.await(c); err != nil {
			b.Fatal(err)
		}
	}
}
