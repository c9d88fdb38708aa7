package actors_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/persistence"
)

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
	for {
		if err := s.settle(); err != nil {
			return err
		}
		if err := s.checkReads(true); err != nil || !s.usedNow {
			return err
		}
	}
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
	terms.SessionIdle = s.idle
	s.x = actors.New(actors.Config{
		Journal: s.journal, Terms: terms, Chain: s.chain, Faucet: true, CommandTimeout: simTimeout,
		PassivateAfter: s.passivate, Random: s.secrets, Fatal: s.fatal,
		Factors: actors.FactorConfig{Lifetime: simElevation, Secrets: s.sealed},
		Now:     func() time.Time { return time.UnixMicro(now()) },
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
