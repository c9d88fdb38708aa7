package actors_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

func TestASnapshotIsTakenWheneverTheLogHasGrown(t *testing.T) {
	dir := t.TempDir()
	w := start(t, nil, onDisk(t, dir), func(s *setup) { s.actors.SnapshotBytes = 4096 })
	s := w.funded("aitbc1wallet_grows", account.Unit)
	deadline := time.Now().Add(time.Minute)
	deposits := 0
	for w.SnapshotStats().Taken < 2 {
		if _, err := w.Deposit(s, 1, nil); err != nil {
			t.Fatal(err)
		}
		if deposits++; time.Now().After(deadline) {
			t.Fatalf("after %d deposits: %+v", deposits, w.SnapshotStats())
		}
	}
	stats := w.SnapshotStats()
	if stats.Entries != 1 || stats.Bytes == 0 || stats.At.IsZero() || stats.Failures != 0 {
		t.Errorf("the metrics say %+v", stats)
	}
	before := everything(w)
	w.stop()
	w = start(t, nil, onDisk(t, dir))
	if after := everything(w); after != before {
		t.Errorf("after a restart there is\n%s, before it was\n%s", after, before)
	}
}

func TestSnapshotsBesideTrafficHoldAllOfIt(t *testing.T) {
	dir := t.TempDir()
	w := start(t, nil, onDisk(t, dir), func(s *setup) { s.actors.PassivateAfter = time.Millisecond })
	var users []*actors.Session
	for _, name := range []string{"aitbc1wallet_a", "aitbc1wallet_b", "aitbc1wallet_c", "aitbc1wallet_d"} {
		users = append(users, w.funded(name, 100*account.Unit))
	}
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	for _, s := range users {
		traffic.Add(1)
		go func() {
			defer traffic.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				receipt, err := w.Withdraw(s, 1, "aitbc_elsewhere", nil)
				if err == nil && n%2 == 0 {
					_, err = w.FailTransaction(receipt.ID(), "ops", "", nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	for range 20 {
		if _, err := w.Snapshot(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	traffic.Wait()
	before := everything(w)
	w.stop()
	w = start(t, nil, onDisk(t, dir))
	if after := everything(w); after != before {
		t.Errorf("after a restart there is\n%s, before it was\n%s", after, before)
	}
}

func TestOneSnapshotAtATime(t *testing.T) {
	w := start(t, nil, onDisk(t, t.TempDir()))
	for range 100 {
		w.login("aitbc1wallet_one")
	}
	var begun, running int
	for range 50 {
		switch err := w.StartSnapshot(); {
		case err == nil:
			begun++
		case errors.Is(err, persistence.ErrSnapshotRunning):
			running++
		default:
			t.Fatal(err)
		}
	}
	w.stop() // waits for the one under way, or ends it
	if begun == 0 || running == 0 {
		t.Errorf("of 50 snapshots asked for at once %d began and %d were refused", begun, running)
	}
	if err := w.StartSnapshot(); !errors.Is(err, actors.ErrNotReady) {
		t.Errorf("after the end: %v", err)
	}
	if stats := w.SnapshotStats(); stats.Running || stats.Failures != 0 {
		t.Errorf("the metrics say %+v", stats)
	}
}
