package actors_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
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
	d := []time.Duration{10 * time.Minute, time.Hour, 25 * time.Hour, -2 * time.Hour, -time.Second}[s.random.IntN(5)]
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

// claim takes the names of a change of profile, or refuses it.
func (s *sim) claim(call *simCall) {
	c := call.command
	for _, name := range []string{c.email, c.username} {
		owner, taken := s.claims[name]
		switch {
		case name == "" || owner == call.user:
		case taken:
			c.refused = account.CodeTaken
			s.unclaim(call.names)
			call.names = nil
			return
		default:
			s.claims[name] = call.user
			call.names = append(call.names, name)
		}
	}
}

func (s *sim) unclaim(names []string) {
	for _, name := range names {
		delete(s.claims, name)
	}
}

func (s *sim) newNames() simCommand {
	c := simCommand{kind: "profile"}
	if s.random.IntN(2) == 0 {
		c.username = fmt.Sprintf("name_%d", s.random.IntN(4))
	}
	if c.username == "" || s.random.IntN(3) == 0 {
		c.email = fmt.Sprintf("mail%d@aitbc.test", s.random.IntN(4))
	}
	return c
}

// settleNames ends changes of names whose outcome is known, and looks names up.
func (s *sim) settleNames() error {
	for _, u := range s.users {
		c := u.renaming
		if c == nil {
			continue
		}
		given := c.answer != nil && errors.Is(c.answer.err, actors.ErrOutcomeUnknown)
		known := c.answer != nil && !given
		if given && !s.poisoned && s.acked >= c.needs && !s.waiting && !s.stuck {
			known = true // the answer that nobody waited for
		}
		switch {
		case known && (c.overloaded || c.expect.code != ""):
			s.unclaim(c.names)
		case known && c.expect.next != nil:
			if c.wasE != c.expect.next.email {
				delete(s.claims, c.wasE)
			}
			if c.wasUN != c.expect.next.username {
				delete(s.claims, c.wasUN)
			}
		case known, given && s.poisoned:
		default:
			continue
		}
		u.renaming = nil
	}
	return s.checkNames()
}

func (s *sim) checkNames() error {
	if s.stuck {
		return nil
	}
	name := fmt.Sprintf("name_%d", s.random.IntN(4))
	state, found := s.x.FindUser(strings.ToUpper(name))
	for _, u := range s.users {
		if u.states[u.published].username == name {
			if !found || state.Wallet != u.wallet {
				return fmt.Errorf("%s is not found by the name %s", u.wallet, name)
			}
			return nil
		}
	}
	if found {
		return fmt.Errorf("%s is found by the name %s, which nobody has", state.Wallet, name)
	}
	return nil
}

// crash takes the power away at this moment, and starts again on what is left.
func (s *sim) crash() error {
	s.note("power cut")
	s.count.crashes++
	s.end()
	return s.start()
}

// end stops a process without power. What it still answers, nobody hears.
func (s *sim) end() {
	s.log.cut()
	s.chain.release()
	s.snapshots.decide(false)
	if s.x != nil {
		s.x.Close()
		_ = s.journal.Close() // it tells of the power
		s.x = nil
	}
	synctest.Wait()
	survivors := s.disk.crash(s.random)
	s.note("%d records survive of what was in doubt", survivors)
	for _, u := range s.pending[:survivors] {
		u.published++
	}
	for _, u := range s.users {
		u.states = u.states[:u.published+1]
		u.renaming, u.last, u.shown = nil, nil, 0
	}
	s.pending, s.calls, s.taking = nil, nil, nil
}

// restart ends the process in good order: everything that was sent is durable.
func (s *sim) restart() error {
	s.note("restart")
	s.count.restarts++
	s.log.set(func() { s.log.held, s.log.next = false, "" })
	s.log.decide(durable)
	s.chain.release()
	s.snapshots.decide(true)
	if s.taking != nil {
		s.taking.held, s.taking.fails = false, false
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.checkSnapshot(); err != nil {
		return err
	}
	s.x.Close()
	if err := s.journal.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	s.x = nil
	s.end()
	return s.start()
}

// start recovers from what the disk has. The newest snapshot may have rotted, if no
// other has; the first write may fail.
func (s *sim) start() error {
	if names := slices.Sorted(maps.Keys(s.disk.snapshots)); len(names) > 0 && s.random.IntN(8) == 0 && s.disk.snapshots[s.rotten] == nil {
		s.rotten = names[len(names)-1]
		content := slices.Clone(s.disk.snapshots[s.rotten])
		content[s.random.IntN(len(content))] ^= 1 << s.random.IntN(8)
		s.disk.snapshots[s.rotten] = content
		s.note("snapshot %d rots", s.rotten)
		s.count.faults++
	}
	if s.random.IntN(3) == 0 {
		if err := s.compareStarts(); err != nil {
			return err
		}
	}
	for {
		var next fate
		if s.random.IntN(20) == 0 {
			next = s.fault()
			s.note("the first append: %s", next)
		}
		s.open(s.disk, func() int64 { return s.clock.Load() }, next)
		err := s.x.Recover(context.Background(), func(actors.Progress) {})
		if err == nil {
			break
		}
		if next == "" || !errors.Is(err, errDisk) {
			return fmt.Errorf("recovery: %w", err)
		}
		s.end()
	}
	s.claims = map[string]*simUser{}
	for _, u := range s.users {
		a := u.ahead()
		if a.exists {
			s.claims[a.email], s.claims[a.username] = u, u
		}
	}
	s.appended, s.acked = 0, 0
	synctest.Wait()
	s.expire()
	if err := s.settle(); err != nil {
		return err
	}
	return s.checkReads(true)
}

// open makes an exchange on a disk.
func (s *sim) open(disk *simDisk, now func() int64, next fate) {
	s.log = &simLog{disk: disk, next: next}
	s.snapshots = &simSnapshots{disk: disk, log: s.log}
	s.chain = &simChain{addresses: s.chain.given()}
	var err error
	s.journal, err = persistence.Open(persistence.Config{Log: s.log, Snapshots: s.snapshots, MaxQueuedRecords: simQueue})
	if err != nil {
		panic(err)
	}
	terms := actors.DefaultTerms()
	terms.WithdrawalFee = simFee
	terms.SessionIdle = 0 // a read would write a record now and then, which the model knows nothing of
	s.x = actors.New(actors.Config{
		Journal: s.journal, Terms: terms, Chain: s.chain, Faucet: true, CommandTimeout: simTimeout,
		PassivateAfter: s.passivate, Random: s.secrets, Fatal: s.fatal,
		Now: func() time.Time { return time.UnixMicro(now()) },
	})
}

// compareStarts recovers copies of the disk, from the newest snapshot and from what
// is there without it: the same state must come of both, to the byte. The clock of
// the copies stands at zero, so that nothing expires.
func (s *sim) compareStarts() error {
	names := slices.Sorted(maps.Keys(s.disk.snapshots))
	if len(names) == 0 || (len(names) < 2 && s.disk.first > 1) || s.disk.snapshots[s.rotten] != nil {
		return nil
	}
	copies := []*simDisk{s.disk.clone(), s.disk.clone()}
	delete(copies[1].snapshots, names[len(names)-1])
	var shown [2]string
	for i, disk := range copies {
		s.open(disk, func() int64 { return 0 }, "")
		if err := s.x.Recover(context.Background(), func(actors.Progress) {}); err != nil {
			return fmt.Errorf("recovery of a copy, without the newest snapshot: %t: %w", i == 1, err)
		}
		shown[i] = everything(&world{Exchange: s.x, t: s.t})
		s.x.Close()
		s.x = nil
		if err := s.journal.Close(); err != nil {
			return err
		}
	}
	s.count.compared++
	if shown[0] != shown[1] {
		return fmt.Errorf("from snapshot %d comes\n%s, without it\n%s", names[len(names)-1], shown[0], shown[1])
	}
	return nil
}
