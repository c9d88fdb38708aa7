package persistencetest

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/aitbc/exchange/persistence"
)

// Outcome is a completion that a test receives from.
type Outcome chan error

// NewOutcome returns an Outcome for one record.
func NewOutcome() Outcome { return make(Outcome, 1) }

// Committed implements persistence.Completion.
func (o Outcome) Committed(err error) { o <- err }

// CompletionFunc is a function as a completion.
type CompletionFunc func(error)

// Committed implements persistence.Completion.
func (f CompletionFunc) Committed(err error) { f(err) }

// Start opens a journal, replays nothing, and starts it.
func Start(t testing.TB, cfg persistence.Config) *persistence.Journal {
	t.Helper()
	j, err := persistence.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Start(); err != nil {
		t.Fatal(err)
	}
	return j
}

// Put reserves room for a record and appends it.
func Put(t testing.TB, j *persistence.Journal, record string, c persistence.Completion) {
	t.Helper()
	if err := j.Reserve(len(record)); err != nil {
		t.Fatalf("reserve for %q: %v", record, err)
	}
	j.Append([]byte(record), c)
}

// Commit makes records durable, one frame each, and waits until their completions have
// run, so that a snapshot holds all of them.
func Commit(t testing.TB, j *persistence.Journal, records ...string) {
	t.Helper()
	for _, record := range records {
		c := NewOutcome()
		Put(t, j, record, c)
		if err := <-c; err != nil {
			t.Fatal(err)
		}
	}
	completed := NewOutcome()
	j.Barrier(completed)
	if err := <-completed; err != nil {
		t.Fatal(err)
	}
}

// Fill returns a function for Journal.Snapshot that adds the entries.
func Fill(entries ...string) func(func([]byte) error) error {
	return func(add func([]byte) error) error {
		for _, entry := range entries {
			if err := add([]byte(entry)); err != nil {
				return err
			}
		}
		return nil
	}
}

// Snapshot takes a snapshot of the entries.
func Snapshot(t testing.TB, j *persistence.Journal, entries ...string) persistence.SnapshotInfo {
	t.Helper()
	info, err := j.Snapshot(t.Context(), Fill(entries...))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// CloseJournal closes a journal that has not failed.
func CloseJournal(t testing.TB, j *persistence.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// LogBuffer is a logger's text, which several goroutines may write.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (b *LogBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *LogBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Logger returns a logger that writes to b.
func (b *LogBuffer) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// Loaded returns the entries of the snapshot that the journal finds, sorted.
func Loaded(j *persistence.Journal, workers int) (entries []string, info persistence.SnapshotInfo, found bool, err error) {
	var mu sync.Mutex
	info, found, err = j.LoadSnapshot(workers, func(worker int, entry []byte) error {
		if worker < 0 || worker >= workers {
			return fmt.Errorf("worker %d of %d", worker, workers)
		}
		mu.Lock()
		defer mu.Unlock()
		entries = append(entries, string(entry))
		return nil
	})
	slices.Sort(entries)
	return entries, info, found, err
}
