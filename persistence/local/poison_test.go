package local

import (
	"errors"
	"io"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// TestFailureIsToldToAllInOrderAndForEver runs on real files with a fault.
func TestFailureIsToldToAllInOrderAndForEver(t *testing.T) {
	fault := errors.New("input/output error")
	for _, c := range []struct {
		name   string
		inject func(*faultyFiles)
		want   error
	}{
		{"a write", func(f *faultyFiles) { f.log.failWrite = fault }, fault},
		{"a short write", func(f *faultyFiles) { f.log.shortWrite = 20 }, io.ErrShortWrite},
		{"a sync, once", func(f *faultyFiles) { f.log.failSync = fault }, fault},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			files := &faultyFiles{}
			log := openLog(t, Config{Dir: dir, files: files})
			j := persistencetest.Start(t, persistence.Config{Log: log})
			good := persistencetest.NewOutcome()
			persistencetest.Put(t, j, "acknowledged", good)
			if err := <-good; err != nil {
				t.Fatal(err)
			}
			// The first record's completion holds the committer, so that the fault is in
			// place and several batches' worth waits.
			held, injected := persistencetest.NewOutcome(), make(chan struct{})
			persistencetest.Put(t, j, "holds", persistencetest.CompletionFunc(func(err error) {
				held <- err
				<-injected
			}))
			if err := <-held; err != nil {
				t.Fatal(err)
			}
			var told []int
			all := persistencetest.NewOutcome()
			tell := func(i int) persistencetest.CompletionFunc {
				return func(err error) {
					if !errors.Is(err, persistence.ErrPoisoned) || !errors.Is(err, c.want) {
						t.Errorf("completion %d: %v, want ErrPoisoned for %v", i, err, c.want)
					}
					if told = append(told, i); i == 30 {
						all <- nil
					}
				}
			}
			// A reservation from before the failure is honoured with its outcome.
			if err := j.Reserve(4); err != nil {
				t.Fatal(err)
			}
			for i := range 29 {
				if i%5 == 4 {
					j.Barrier(tell(i))
				} else {
					persistencetest.Put(t, j, "lost", tell(i))
				}
			}
			c.inject(files)
			close(injected)
			<-j.Failed()
			j.Append([]byte("late"), tell(29))
			j.Barrier(tell(30))
			<-all
			for i, n := range told {
				if i != n {
					t.Fatalf("told in order %v", told)
				}
			}
			if err := j.Err(); !errors.Is(err, persistence.ErrPoisoned) || !errors.Is(err, c.want) {
				t.Errorf("Err: %v", err)
			}
			if err := j.Reserve(1); !errors.Is(err, persistence.ErrPoisoned) || !errors.Is(err, c.want) {
				t.Errorf("reserve: %v, want ErrPoisoned for %v", err, c.want)
			}
			if err := j.Close(); !errors.Is(err, c.want) {
				t.Errorf("close: %v, want %v", err, c.want)
			}
			if files.log.after != 0 {
				t.Errorf("%d operations on the log after the failure", files.log.after)
			}
			var there []string
			if _, err := Scan(dir, 0, func(_ format.Position, record []byte) error {
				there = append(there, string(record))
				return nil
			}); err != nil || len(there) < 2 || there[0] != "acknowledged" || there[1] != "holds" {
				t.Errorf("the log has %q, %v", there, err)
			}
		})
	}
}
