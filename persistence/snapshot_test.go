package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/local"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// manyEntries are enough for several blocks, with one that is larger than a block of 1 MiB.
func manyEntries() []string {
	entries := []string{"", strings.Repeat("large", 1<<19)}
	for i := range 3000 {
		entries = append(entries, fmt.Sprintf("%05d %s", i, strings.Repeat("x", 1000)))
	}
	slices.Sort(entries)
	return entries
}

func TestSnapshotComesBackWithEveryEntryByAnyNumberOfWorkers(t *testing.T) {
	for _, entries := range [][]string{nil, {""}, {"a", "b"}, manyEntries()} {
		dir := t.TempDir()
		j := startJournal(t, local.Config{Dir: dir})
		persistencetest.Commit(t, j, "one", "two")
		taken := persistencetest.Snapshot(t, j, entries...)
		persistencetest.Commit(t, j, "three")
		persistencetest.CloseJournal(t, j)
		for _, workers := range []int{1, 2, 7} {
			j := openJournal(t, local.Config{Dir: dir})
			got, info, found, err := persistencetest.Loaded(j, workers)
			if err != nil || !found || info != taken {
				t.Fatalf("%+v, %v, %v, want %+v", info, found, err, taken)
			}
			if !slices.Equal(got, entries) {
				t.Errorf("%d entries, want %d", len(got), len(entries))
			}
			var records []string
			if err := j.Replay(info.Next, func(_ persistence.Position, record []byte) error {
				records = append(records, string(record))
				return nil
			}); err != nil || !slices.Contains(records, "three") || slices.Contains(records, "one") {
				t.Errorf("replayed %q, %v", records, err)
			}
			persistencetest.CloseJournal(t, j)
		}
	}
}

func TestSnapshotHoldsEveryCompletedRecordAndNoOther(t *testing.T) {
	j, log := gatedJournal(t, persistence.Config{Snapshots: &memorySnapshots{}})
	// Frame 2 is durable, its completion has run only in part.
	completed := make(chan struct{})
	persistencetest.Put(t, j, "two", persistencetest.CompletionFunc(func(error) { completed <- struct{}{}; <-completed }))
	<-log.gate.arrived
	log.gate.outcome <- nil
	<-completed
	info, err := j.Snapshot(context.Background(), persistencetest.Fill("x"))
	if err != nil || info.Next != 2 || info.End != 3 {
		t.Errorf("while frame 2 completes: %+v, %v; want next 2, end 3", info, err)
	}
	completed <- struct{}{}
	third := persistencetest.NewOutcome()
	persistencetest.Put(t, j, "three", third)
	<-log.gate.arrived // so frame 2 is completed, and frame 3 is not written
	info, err = j.Snapshot(context.Background(), persistencetest.Fill("x"))
	if err != nil || info.Next != 3 || info.End != 3 {
		t.Errorf("while frame 3 is written: %+v, %v; want next and end 3", info, err)
	}
	log.gate.outcome <- nil
	if err := <-third; err != nil {
		t.Fatal(err)
	}
	persistencetest.CloseJournal(t, j)
}

// TestRecordCompletedDuringTheFillIsReplayed commits records while entries are added.
// The fill may have read an account before such a record was applied, so that frame
// is replayed, and it may have read one after, so the log has to reach that far.
func TestRecordCompletedDuringTheFillIsReplayed(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, local.Config{Dir: dir})
	persistencetest.Commit(t, j, "one", "two")
	before := j.Stats().Next
	info, err := j.Snapshot(context.Background(), func(add func([]byte) error) error {
		if err := add([]byte("one, two")); err != nil {
			return err
		}
		persistencetest.Commit(t, j, "three", "four")
		return add([]byte("four"))
	})
	if err != nil || info.Next != before || info.End != before+2 {
		t.Errorf("%+v, %v; want next %d as before the fill, end %d as after it", info, err, before, before+2)
	}
	persistencetest.CloseJournal(t, j)

	j = openJournal(t, local.Config{Dir: dir})
	defer persistencetest.CloseJournal(t, j)
	_, info, found, err := persistencetest.Loaded(j, 1)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	var replayed []string
	if err := j.Replay(info.Next, func(_ persistence.Position, record []byte) error {
		replayed = append(replayed, string(record))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"three", "four"}; !slices.Equal(replayed, want) {
		t.Errorf("a start replays %q, want %q", replayed, want)
	}
}

func TestNewestTwoSnapshotsAreKeptAndTheLogFromTheOlderOn(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, local.Config{Dir: dir, SegmentBytes: 1})
	var taken []persistence.SnapshotInfo
	for i := range 5 {
		for range 4 { // frames: the last two segments stay for another reason
			persistencetest.Commit(t, j, persistencetest.Numbered(3)...)
		}
		taken = append(taken, persistencetest.Snapshot(t, j, fmt.Sprint(i)))
		first := firstFrame(t, dir)
		if i == 0 && first != 1 {
			t.Errorf("one snapshot, and the log begins with frame %d", first)
		}
		if i > 0 {
			if want := taken[i-1].Next; first != want {
				t.Errorf("snapshot %d: the log begins with frame %d, want %d", i, first, want)
			}
			want := []string{snapshotPath(dir, taken[i-1].Next), snapshotPath(dir, taken[i].Next)}
			if got := snapshotsOf(t, dir); !slices.Equal(got, want) {
				t.Errorf("snapshots %v, want %v", got, want)
			}
		}
	}
	persistencetest.CloseJournal(t, j)
}

// damages are what may have become of a snapshot's bytes.
var damages = []struct {
	name   string
	change func([]byte) []byte
}{
	{"emptied", func(b []byte) []byte { return nil }},
	{"cut in a block", func(b []byte) []byte { return b[:format.BlockHeaderSize+3] }},
	{"without its footer", func(b []byte) []byte { return b[:len(b)-format.BlockHeaderSize-format.FooterSize] }},
	{"with a cut footer", func(b []byte) []byte { return b[:len(b)-1] }},
	{"with a byte too many", func(b []byte) []byte { return append(b, 0) }},
	{"flipped in an entry", func(b []byte) []byte { b[format.BlockHeaderSize+5] ^= 1; return b }},
	{"flipped in a header", func(b []byte) []byte { b[24] ^= 1; return b }},
	{"flipped in the footer", func(b []byte) []byte { b[len(b)-20] ^= 1; return b }},
	{"with zeros", func(b []byte) []byte { clear(b[len(b)/2:]); return b }},
	{"of a later version", func(b []byte) []byte { b[4]++; return b }},
}

func TestInvalidSnapshotIsLoggedAndTheOneBeforeIsUsed(t *testing.T) {
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			j := startJournal(t, local.Config{Dir: dir, SegmentBytes: 1})
			persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
			older := persistencetest.Snapshot(t, j, "older")
			persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
			newer := persistencetest.Snapshot(t, j, "newer", "newer")
			persistencetest.CloseJournal(t, j)
			path := snapshotPath(dir, newer.Next)
			writeFile(t, path, c.change(readFile(t, path)))

			var log persistencetest.LogBuffer
			j = openJournal(t, local.Config{Dir: dir, SegmentBytes: 1, Logger: log.Logger()})
			entries, info, found, err := persistencetest.Loaded(j, 2)
			if err != nil || !found || info != older || !slices.Equal(entries, []string{"older"}) {
				t.Fatalf("loaded %q, %+v, %v, %v", entries, info, found, err)
			}
			if !strings.Contains(log.String(), path) {
				t.Errorf("the log does not name %s:\n%s", path, log.String())
			}
			if err := j.Replay(info.Next, func(persistence.Position, []byte) error { return nil }); err != nil {
				t.Fatal(err)
			}
			// The invalid one does not count as one of two, and goes once there are two.
			if err := j.Start(); err != nil {
				t.Fatal(err)
			}
			persistencetest.Commit(t, j, "more")
			newest := persistencetest.Snapshot(t, j, "newest")
			if first := firstFrame(t, dir); first != older.Next {
				t.Errorf("the log begins with frame %d, want %d", first, older.Next)
			}
			if paths := snapshotsOf(t, dir); !slices.Equal(paths, []string{snapshotPath(dir, older.Next), snapshotPath(dir, newest.Next)}) {
				t.Errorf("snapshots %v", paths)
			}
			persistencetest.CloseJournal(t, j)
		})
	}
}

func TestStartIsRefusedIfNoSnapshotIsValidAndFramesAreMissing(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, local.Config{Dir: dir, SegmentBytes: 1})
	persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
	persistencetest.Snapshot(t, j, "older")
	persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
	persistencetest.Snapshot(t, j, "newer")
	persistencetest.CloseJournal(t, j)
	for _, path := range snapshotsOf(t, dir) {
		content := readFile(t, path)
		content[len(content)-1] ^= 1
		writeFile(t, path, content)
	}
	j = openJournal(t, local.Config{Dir: dir, SegmentBytes: 1})
	_, _, _, err := persistencetest.Loaded(j, 1)
	if !errors.Is(err, format.ErrSnapshot) {
		t.Fatalf("error %v, want ErrSnapshot", err)
	}
	for _, path := range snapshotsOf(t, dir) {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("error %v does not name %s", err, path)
		}
	}
}

func TestWithoutAValidSnapshotTheWholeLogIsReplayed(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, local.Config{Dir: dir})
	persistencetest.Commit(t, j, "one")
	persistencetest.Snapshot(t, j, "x")
	persistencetest.CloseJournal(t, j)
	writeFile(t, snapshotsOf(t, dir)[0], []byte("no snapshot"))
	j = openJournal(t, local.Config{Dir: dir})
	if _, _, found, err := persistencetest.Loaded(j, 1); found || err != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	persistencetest.CloseJournal(t, j)
}

func TestSnapshotThatKnowsMoreThanTheLogRefusesTheStart(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, local.Config{Dir: dir, SegmentBytes: 1})
	persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
	info := persistencetest.Snapshot(t, j, "x")
	persistencetest.CloseJournal(t, j)
	segments := segmentsOf(t, dir)
	for _, path := range segments[len(segments)-3:] {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	j = openJournal(t, local.Config{Dir: dir})
	var damage *persistence.DamageError
	if _, _, _, err := persistencetest.Loaded(j, 1); !errors.As(err, &damage) || damage.Entry >= info.End {
		t.Fatalf("error %v, want a *DamageError", err)
	}
}

func TestSnapshotEndsWithoutATrace(t *testing.T) {
	stop := errors.New("stop")
	for _, c := range []struct {
		name string
		fill func(cancel func()) func(func([]byte) error) error
		want error
	}{
		{"by its fill", func(func()) func(func([]byte) error) error {
			return func(add func([]byte) error) error { return errors.Join(add([]byte("x")), stop) }
		}, stop},
		{"by its context", func(cancel func()) func(func([]byte) error) error {
			return func(add func([]byte) error) error {
				cancel()
				return persistencetest.Fill(manyEntries()...)(add)
			}
		}, context.Canceled},
		{"by its context at the end", func(cancel func()) func(func([]byte) error) error {
			return func(add func([]byte) error) error { cancel(); return nil }
		}, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			j := startJournal(t, local.Config{Dir: dir})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_, err := j.Snapshot(ctx, c.fill(cancel))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if left := snapshotsOf(t, dir); len(left) != 0 {
				t.Errorf("left %v", left)
			}
			persistencetest.Commit(t, j, "still works")
			persistencetest.Snapshot(t, j, "too")
			persistencetest.CloseJournal(t, j)
		})
	}
}

func TestOneSnapshotAtATimeAndNoneOnceTheJournalCloses(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, local.Config{Dir: dir})
	began, end := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		_, err := j.Snapshot(context.Background(), func(add func([]byte) error) error {
			close(began)
			<-end
			return add([]byte("x"))
		})
		first <- err
	}()
	<-began
	if _, err := j.Snapshot(context.Background(), persistencetest.Fill()); !errors.Is(err, persistence.ErrSnapshotRunning) {
		t.Errorf("beside another: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- j.Close() }()
	for accepting := true; accepting; {
		refused := persistencetest.NewOutcome()
		j.Barrier(refused)
		accepting = !errors.Is(<-refused, persistence.ErrClosed)
	}
	close(end)
	if err := <-first; !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("while the journal closes: %v, want ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, err := j.Snapshot(context.Background(), persistencetest.Fill()); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("afterwards: %v, want ErrClosed", err)
	}
	if left := snapshotsOf(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
