package actors_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// step does one thing, and checks everything.
func (s *sim) step() error {
	var err error
	switch roll := s.random.IntN(100); {
	case s.poisoned && roll < 30, roll < 1:
		err = s.crash()
	case roll < 2 && !s.poisoned:
		err = s.restart()
	case s.stuck && roll < 25:
		s.note("publish the rest")
		s.chain.release()
	case s.stuck && s.taking == nil && roll < 45:
		s.snapshotStep()
	case s.waiting && roll < 27:
		f := durable
		if s.random.IntN(12) == 0 {
			f = s.fault()
		}
		s.note("the append that waits: %s", f)
		s.log.decide(f)
	case s.waiting && roll < 31:
		s.note("appends wait no more")
		s.log.set(func() { s.log.held = false })
		s.log.decide(durable)
	case roll < 34 && !s.held:
		s.note("appends wait")
		s.log.set(func() { s.log.held = true })
	case roll < 35 && s.random.IntN(4) == 0:
		f := s.fault()
		s.note("the next append: %s", f)
		s.log.set(func() { s.log.next = f })
	case roll < 38:
		s.note("publishing waits at the next payment")
		s.chain.hold()
	case roll < 42:
		s.snapshotStep()
	case roll < 44:
		d := []time.Duration{700 * time.Millisecond, 11 * time.Second, 61 * time.Second}[s.random.IntN(3)]
		s.note("wait %s", d)
		time.Sleep(d)
	case roll < 50:
		s.setClock()
	default:
		err = s.command()
	}
	if err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	return s.checkSnapshot()
}

func (s *sim) fault() fate {
	s.count.faults++
	return []fate{failBefore, failAfter, shortWrite, syncError}[s.random.IntN(4)]
}

// setClock moves the clock, if nothing is under way, and lets a minute pass, in
// which the exchange expires the payments whose time is over.
func (s *sim) setClock() {
	if len(s.calls) > 0 || len(s.pending) > 0 || s.stuck || s.poisoned || s.waiting {
		return
	}
	idle := s.idle + 5*time.Minute // after which a session ends that was used just now
	d := []time.Duration{10 * time.Minute, time.Hour, 25 * time.Hour, idle - time.Second, idle, -2 * time.Hour, -time.Second}[s.random.IntN(7)]
	to := s.now().Add(d)
	if open := s.openPayments(); (s.held || s.chain.holds()) && len(open) > 1 {
		to = min(to, open[1].expires.Add(-time.Second)) // one expires at a time then
	}
	s.clock.Store(int64(to))
	s.note("the clock is set by %s to %s", d, to)
	time.Sleep(61 * time.Second)
	s.expire()
}

// expire runs the model ahead for the payments whose time is over.
func (s *sim) expire() {
	for _, p := range s.openPayments() {
		if p.expires > s.now() {
			return
		}
		s.count.expired++
		outcome := p.user.ahead().decide(&simCommand{kind: "expire", n: p.n, by: "clock"}, nil, s.now())
		s.note("payment %d of %s expires", p.n, p.user.wallet)
		s.record(p.user, outcome.next)
	}
}

type simPayment struct {
	user    *simUser
	n       uint32
	expires account.Time
}

// openPayments returns what may expire, in the order of its time.
func (s *sim) openPayments() (open []simPayment) {
	for _, u := range s.users {
		a := u.ahead()
		for _, n := range a.pendingOf(account.TypeBuy) {
			open = append(open, simPayment{u, n, a.transactions[n-1].Detail.ExpiresAt})
		}
	}
	slices.SortFunc(open, func(a, b simPayment) int { return cmp.Compare(a.expires, b.expires) })
	return open
}

// simTaking is a snapshot that is being taken.
type simTaking struct {
	held, fails bool
	ended       chan error
}

// snapshotStep begins a snapshot, or lets the one that waits go on.
func (s *sim) snapshotStep() {
	if t := s.taking; t != nil {
		t.fails = s.random.IntN(4) == 0
		s.note("the snapshot goes on; it fails: %t", t.fails)
		t.held = false
		s.snapshots.decide(!t.fails)
		return
	}
	if s.poisoned {
		return
	}
	t := &simTaking{fails: s.random.IntN(6) == 0}
	t.held = !t.fails && s.random.IntN(2) == 0
	s.note("a snapshot begins; it waits: %t, fails: %t", t.held, t.fails)
	s.snapshots.mu.Lock()
	s.snapshots.held, s.snapshots.fail = t.held, 0
	if t.fails {
		s.snapshots.fail = 1 + s.random.IntN(2)
	}
	s.snapshots.mu.Unlock()
	s.taking = t
	t.ended = make(chan error, 1)
	x := s.x
	go func() {
		_, err := x.Snapshot(context.Background())
		t.ended <- err
	}()
}

// checkSnapshot compares a snapshot's end with what was chosen for it. Even one of
// no account has a footer to write; the second write may not come.
func (s *sim) checkSnapshot() error {
	t := s.taking
	if t == nil {
		return nil
	}
	select {
	case err := <-t.ended:
		s.taking = nil
		s.snapshots.decide(true)
		if err == nil {
			s.count.snapshots++
		} else if !t.fails && !s.poisoned {
			return fmt.Errorf("a snapshot fails: %w", err)
		}
	default:
		if !t.held {
			return errors.New("a snapshot does not end")
		}
	}
	return nil
}
