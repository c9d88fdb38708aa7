package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/audit"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// openAudit opens the audit log that is kept in log, until the test ends or done is
// called.
func openAudit(t *testing.T, log persistence.Log) (kept *actors.AuditLog, done func(), err error) {
	t.Helper()
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	done = sync.OnceFunc(func() {
		if err := journal.Close(); err != nil && !errors.Is(err, persistence.ErrPoisoned) {
			t.Error(err)
		}
	})
	t.Cleanup(done)
	kept, err = actors.OpenAuditLog(journal, time.Now, time.Minute)
	return kept, done, err
}

// audited lets an exchange keep its audit log in log.
func audited(t *testing.T, log persistence.Log) func(*setup) {
	t.Helper()
	kept, _, err := openAudit(t, log)
	if err != nil {
		t.Fatal(err)
	}
	return func(s *setup) { s.actors.Audit = kept }
}

// encoded are the entries that a log has.
func (l *memoryLog) encoded(t *testing.T) (entries [][]byte) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, frame := range l.frames {
		decoded, err := format.DecodeFrame(frame)
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range decoded.Records() {
			entries = append(entries, record)
		}
	}
	return entries
}

// frozen is what a log has at this moment.
func (l *memoryLog) frozen() *memoryLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &memoryLog{frames: append([][]byte(nil), l.frames...), epoch: l.epoch}
}

func TestAnActHasItsEntryBeforeIt(t *testing.T) {
	log, kept := &memoryLog{}, &memoryLog{}
	w := start(t, log, audited(t, kept))
	s := w.funded("aitbc1wallet_audited", 100)
	if head, _ := w.AuditHead(); head.N != 0 {
		t.Fatalf("a login and a deposit have %d entries", head.N)
	}
	if _, err := w.SetStatus(s.UserID(), account.Suspended, "olga", "asked\nby the bank"); err != nil {
		t.Fatal(err)
	}
	entries, more := w.AuditEntries(0, 10)
	if len(entries) != 1 || more {
		t.Fatalf("the entries are %+v, and more: %t", entries, more)
	}
	e := entries[0]
	if e.Actor != "operator:olga" || e.Action != "user.suspend" || e.Target != "user:"+s.UserID().String() || e.Note != "asked by the bank" {
		t.Errorf("the entry is %+v", e)
	}
	if at := w.state(s.UserID()).UpdatedAt; e.At > int64(at)*1000+999 {
		t.Errorf("the entry is of %d ns, the act of %d µs", e.At, at)
	}
	// What is refused has been asked for.
	if _, err := w.SetStatus(s.UserID(), account.Suspended, "olga", "again"); codeOf(err) != account.CodeNoChange {
		t.Error(err)
	}
	if head, _ := w.AuditHead(); head.N != 2 {
		t.Errorf("%d entries", head.N)
	}
}

func TestWithoutAnEntryNothingIsDone(t *testing.T) {
	log, kept := &memoryLog{}, &memoryLog{}
	w := start(t, log, audited(t, kept))
	s := w.funded("aitbc1wallet_unaudited", 100)
	other, _ := w.login("aitbc1wallet_unaudited")
	kept.breakWith(errors.New("no space left on device"))
	before := w.state(s.UserID()).StateHash()
	for what, act := range map[string]func() error{
		"status":         func() error { _, err := w.SetStatus(s.UserID(), account.Suspended, "olga", "r"); return err },
		"credit":         func() error { _, err := w.Credit(s.UserID(), 1, "olga", "r", nil); return err },
		"deposit":        func() error { _, err := w.OperatorDeposit(s.UserID(), 1, "olga", nil); return err },
		"address":        func() error { _, err := w.AddAddress(other, "mine", "aitbc_friend"); return err },
		"other sessions": func() error { _, err := w.EndOtherSessions(other); return err },
		"e-mail":         func() error { _, err := w.ChangeProfile(other, "me@example.com", ""); return err },
		"snapshot":       func() error { return w.OperatorSnapshot("olga") },
		"session": func() error {
			return w.EndSession(other, w.Sessions(other)[0].ID)
		},
	} {
		if err := act(); !errors.Is(err, actors.ErrAuditFailed) {
			t.Errorf("%s: %v, want ErrAuditFailed", what, err)
		}
	}
	if w.state(s.UserID()).StateHash() != before {
		t.Error("the account has changed")
	}
	// Value that users move has no entry, and goes on.
	if _, err := w.Deposit(s, 1, nil); err != nil {
		t.Error(err)
	}
	if _, err := w.ChangeProfile(other, "", "renamed"); err != nil {
		t.Error(err)
	}
}

func TestAStopBetweenTheEntryAndTheActLeavesTheEntry(t *testing.T) {
	log, kept := &memoryLog{}, &memoryLog{}
	w := start(t, log, audited(t, kept))
	s := w.funded("aitbc1wallet_between", 100)
	release := log.hold()
	done := make(chan error, 1)
	go func() { _, err := w.SetStatus(s.UserID(), account.Suspended, "olga", "r"); done <- err }()
	deadline, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for head, _ := w.AuditHead(); head.N == 0; head, _ = w.AuditHead() {
		select {
		case <-deadline:
			t.Fatal("there is no entry")
		case <-tick.C:
		}
	}
	after := start(t, log.frozen(), audited(t, kept.frozen())) // as if the process had been killed
	if status := after.state(s.UserID()).Status; status != account.Active {
		t.Errorf("the user is %s", status)
	}
	if head, _ := after.AuditHead(); head.N != 1 {
		t.Errorf("%d entries", head.N)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestManyActsAtOnceAreOneChain(t *testing.T) {
	log := &memoryLog{}
	kept, done, err := openAudit(t, log)
	if err != nil {
		t.Fatal(err)
	}
	const operators, acts = 8, 40
	var group sync.WaitGroup
	for i := range operators {
		group.Go(func() {
			for n := range acts {
				if err := kept.Write(actors.Act{Actor: fmt.Sprintf("operator:o%d", i), Action: "a", Note: fmt.Sprint(n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	head := kept.Head()
	done()
	again, _, err := openAudit(t, log)
	if err != nil || again.Head() != head || head.N != operators*acts {
		t.Fatalf("after a restart the head is %v, was %v: %v", again.Head(), head, err)
	}
	next := map[string]int{}
	var before uint64
	entries := 0
	for more := true; more; {
		var page []actors.AuditEntry
		page, more = again.Entries(before, 7)
		for _, e := range page {
			next[e.Actor]++
			if e.Note != fmt.Sprint(acts-next[e.Actor]) || e.N != uint64(operators*acts-entries) {
				t.Fatalf("entry %d is %+v", e.N, e.Entry)
			}
			entries++
			before = e.N
		}
	}
	if entries != operators*acts {
		t.Errorf("%d entries are shown", entries)
	}
}

// written keeps encoded entries in a log with checksums that are right.
func written(t *testing.T, entries [][]byte) *memoryLog {
	t.Helper()
	log := &memoryLog{}
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Start(); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := journal.Reserve(len(e)); err != nil {
			t.Fatal(err)
		}
		journal.Append(e, ignored{})
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	return log
}

func TestAStartRefusesAChainThatWasChangedWithRightChecksums(t *testing.T) {
	log := &memoryLog{}
	kept, _, err := openAudit(t, log)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if err := kept.Write(actors.Act{Actor: "operator:olga", Action: "user.suspend", Note: strings.Repeat("x", n)}); err != nil {
			t.Fatal(err)
		}
	}
	whole := log.encoded(t)
	if same, _, err := openAudit(t, written(t, whole)); err != nil || same.Head() != kept.Head() {
		t.Fatalf("the same entries in other frames: %v", err)
	}
	rewritten, err := audit.Decode(whole[2])
	if err != nil {
		t.Fatal(err)
	}
	rewritten.Actor = "operator:otto"
	for what, entries := range map[string][][]byte{
		"removed":   {whole[0], whole[1], whole[3], whole[4]},
		"first":     whole[1:],
		"swapped":   {whole[0], whole[2], whole[1], whole[3], whole[4]},
		"twice":     {whole[0], whole[0], whole[1]},
		"rewritten": {whole[0], whole[1], rewritten.Append(nil), whole[3], whole[4]},
		"cut short": {whole[0][:10]},
	} {
		if _, _, err := openAudit(t, written(t, entries)); !errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), "frame ") {
			t.Errorf("an entry that is %s: %v, want ErrBroken with its place", what, err)
		}
	}
	// An end that is cut off only the head shows.
	cut, _, err := openAudit(t, written(t, whole[:3]))
	if err != nil || cut.Head() == kept.Head() {
		t.Errorf("the first three: %v, %v", cut.Head(), err)
	}
}

func TestANoteThatIsTooLongIsCutAtACharacter(t *testing.T) {
	kept, _, err := openAudit(t, &memoryLog{})
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{strings.Repeat("é", audit.MaxNote), "x" + strings.Repeat("€", audit.MaxNote), "\xff\x00", strings.Repeat("\U0001F512", 500)} {
		if err := kept.Write(actors.Act{Actor: "a", Action: "b", Note: note}); err != nil {
			t.Errorf("%.10q: %v", note, err)
		}
	}
	if entries, _ := kept.Entries(0, 1); len(entries[0].Note) != 2000 {
		t.Errorf("a reason of 500 characters is cut to %d bytes", len(entries[0].Note))
	}
}

func TestTheAuditLogShowsItsNewestEntries(t *testing.T) {
	const shown = 10_000
	var chain audit.Chain
	var all [][]byte
	for n := range 2*shown + 7 {
		encoded, err := chain.Add(nil, audit.Entry{At: int64(n), Actor: "a", Action: "b"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, encoded)
	}
	kept, _, err := openAudit(t, written(t, all))
	if err != nil {
		t.Fatal(err)
	}
	const last = 2*shown + 7
	if page, more := kept.Entries(0, 2); len(page) != 2 || page[0].N != last || !more {
		t.Errorf("%d entries from %d on, more: %t", len(page), page[0].N, more)
	}
	if page, more := kept.Entries(last-shown+2, 5); len(page) != 1 || page[0].N != last-shown+1 || more {
		t.Errorf("the oldest page has %d entries, more: %t", len(page), more)
	}
	if page, more := kept.Entries(3, 5); len(page) != 0 || more {
		t.Errorf("before that there are %d, more: %t", len(page), more)
	}
	if page, _ := kept.Entries(1<<62, 1); len(page) != 1 || page[0].N != last {
		t.Errorf("a cursor beyond the end: %+v", page)
	}
}
