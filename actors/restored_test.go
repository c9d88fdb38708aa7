package actors_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// backup is a copy of a log, as exchange backup makes it.
type backup struct {
	frames [][]byte
	taken  time.Time
}

func (l *memoryLog) backup(at time.Time) backup {
	l.mu.Lock()
	defer l.mu.Unlock()
	return backup{slices.Clone(l.frames), at}
}

// restoredLives is an exchange that is restored from older and older backups, or from
// the same again, and what its users were ever given.
type restoredLives struct {
	t       testing.TB
	w       *world
	seconds atomic.Int64 // the clock
	backups []backup
	copies  byte
	given   map[account.TransactionID]bool // in any life
	alive   map[string]string              // wallet by token of a session of this life
	dead    map[string]bool                // tokens that are, for good
}

func (m *restoredLives) start(log *memoryLog, choose ...func(*setup)) {
	m.t.Helper()
	clock := func(s *setup) { s.actors.Now = m.now }
	m.w = start(m.t, log, append(choose, clock)...)
}

func (m *restoredLives) now() time.Time { return time.Unix(m.seconds.Load(), 0) }

// restore goes on from a backup, on a copy that has a name of its own.
func (m *restoredLives) restore(b backup) {
	m.t.Helper()
	m.w.stop()
	m.copies++
	c := &actors.Copy{ID: account.CopyID{m.copies}, Taken: b.taken}
	m.start(&memoryLog{frames: slices.Clone(b.frames)}, func(s *setup) { s.actors.Copy = c })
	for token := range m.alive {
		m.dead[token] = true
	}
	clear(m.alive)
}

func (m *restoredLives) check(t *rapid.T) {
	for token := range m.dead {
		if _, live := m.w.Authenticate([]byte(token)); live {
			t.Fatal("a session lives again")
		}
	}
	for token := range m.alive {
		if _, live := m.w.Authenticate([]byte(token)); !live {
			t.Fatal("a session of this life is dead")
		}
	}
}

func TestRestoresOfAnyBackupGiveNothingOutAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &restoredLives{t: t, given: map[account.TransactionID]bool{}, alive: map[string]string{}, dead: map[string]bool{}}
		m.seconds.Store(1_800_000_000)
		m.start(&memoryLog{})
		defer func() { m.w.stop() }()
		wallets := rapid.SampledFrom([]string{"aitbc1wallet_a", "aitbc1wallet_b", "aitbc1wallet_c"})
		some := func(t *rapid.T) string {
			if len(m.alive) == 0 {
				t.Skip()
			}
			tokens := make([]string, 0, len(m.alive))
			for token := range m.alive {
				tokens = append(tokens, token)
			}
			return rapid.SampledFrom(tokens).Draw(t, "token")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"login": func(t *rapid.T) {
				wallet := wallets.Draw(t, "wallet")
				_, token := m.w.login(wallet)
				m.alive[token] = wallet
			},
			"logout": func(t *rapid.T) {
				token := some(t)
				if err := m.w.Logout(m.w.session(token)); err != nil {
					t.Fatal(err)
				}
				delete(m.alive, token)
				m.dead[token] = true
			},
			"deposit": func(t *rapid.T) {
				receipt, err := m.w.Deposit(m.w.session(some(t)), 1, nil)
				if err != nil {
					t.Fatal(err)
				}
				if m.given[receipt.ID()] {
					t.Fatalf("transaction %s was given out before", receipt.ID())
				}
				m.given[receipt.ID()] = true
				m.seconds.Add(1)
			},
			"backup":  func(*rapid.T) { m.backups = append(m.backups, m.w.log.backup(m.now())) },
			"restart": func(*rapid.T) { m.w.stop(); m.start(m.w.log) },
			"restore": func(t *rapid.T) {
				if len(m.backups) == 0 {
					t.Skip()
				}
				m.seconds.Add(rapid.Int64Range(1, 100).Draw(t, "seconds"))
				m.restore(rapid.SampledFrom(m.backups).Draw(t, "backup"))
			},
			"": m.check,
		})
	})
}

func TestAStopBeforeACopysMarkIsClearedSkipsOnce(t *testing.T) {
	w := start(t, &memoryLog{})
	s := w.funded("aitbc1wallet_a", 1)
	log, c := &memoryLog{frames: w.log.backup(time.Now()).frames}, &actors.Copy{ID: account.CopyID{7}}
	marked := func(s *setup) { s.actors.Copy = c }
	var last account.TransactionID
	for range 3 { // the mark is still there each time
		w.stop()
		w = start(t, log, marked)
		again := w.funded("aitbc1wallet_a", 1)
		last = account.TransactionID{User: again.UserID(), N: again.State.History.Last() + 1}
	}
	if last.User != s.UserID() || last.N < 1_000_001 || last.N > 1_001_000 {
		t.Errorf("the last transaction is %s", last)
	}
	w.stop()
	w = start(t, log)
	if state := w.state(s.UserID()); state.Restores != 1 || state.History.Size() != 4 {
		t.Errorf("%d restores, %d transactions", state.Restores, state.History.Size())
	}
}

func TestARestoreThatCannotBeNotedServesNothing(t *testing.T) {
	w := start(t, &memoryLog{})
	w.funded("aitbc1wallet_a", 1)
	w.stop()
	broken := &memoryLog{frames: w.log.frames, fault: errors.New("the disk is full")}
	journal, err := persistence.Open(persistence.Config{Log: broken})
	if err != nil {
		t.Fatal(err)
	}
	x := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Copy: &actors.Copy{ID: account.CopyID{1}}})
	if err := x.Recover(t.Context(), func(actors.Progress) {}); err == nil {
		t.Errorf("Recover gives %v", err)
	}
	x.Close()
	_ = journal.Close()
}

func TestACommandForWhichARestoreHasNoRoomIsToldSo(t *testing.T) {
	w := start(t, &memoryLog{})
	w.funded("aitbc1wallet_a", 1)
	w.funded("aitbc1wallet_b", 1)
	w.stop()
	log := &memoryLog{frames: w.log.frames}
	w = start(t, log, func(s *setup) {
		s.actors.Copy = &actors.Copy{ID: account.CopyID{1}}
		s.journal.MaxQueuedRecords = 2
		s.actors.CommandTimeout = time.Minute
	})
	a := w.funded("aitbc1wallet_a", 1)
	release := log.hold()
	defer release()
	const deposits = 8
	done := make(chan error)
	for range deposits {
		go func() {
			_, err := w.Deposit(a, 1, nil)
			done <- err
		}()
	}
	if err := <-done; !errors.Is(err, actors.ErrOverloaded) { // the others that are let in wait
		t.Fatalf("the first that is answered: %v", err)
	}
	if _, _, err := w.Login("aitbc1wallet_b"); !errors.Is(err, actors.ErrOverloaded) {
		t.Errorf("a login with a full queue: %v", err)
	}
	release()
	for range deposits - 1 {
		if err := <-done; err != nil && !errors.Is(err, actors.ErrOverloaded) {
			t.Error(err)
		}
	}
	if s := w.funded("aitbc1wallet_b", 1); w.state(s.UserID()).Restores != 1 {
		t.Error("the account has not taken the restore over")
	}
}
