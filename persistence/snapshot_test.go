package persistence

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// fillWith returns a fill that adds the entries.
func fillWith(entries ...string) func(func([]byte) error) error {
	return func(add func([]byte) error) error {
		for _, entry := range entries {
			if err := add([]byte(entry)); err != nil {
				return err
			}
		}
		return nil
	}
}

// startLocal opens and starts a journal on dir, without a replay.
func startLocal(t testing.TB, cfg LocalConfig) *Journal {
	t.Helper()
	local := openLocal(t, cfg)
	return startJournal(t, Config{Log: local, Snapshots: local, Logger: cfg.Logger})
}

// commit makes records durable, one frame each, and waits until they are settled.
func commit(t testing.TB, j *Journal, records ...string) {
	t.Helper()
	for _, record := range records {
		c := newOutcome()
		put(t, j, record, c)
		if err := <-c; err != nil {
			t.Fatal(err)
		}
	}
	settled := newOutcome() // the completions have run, so a snapshot holds all of it
	j.Barrier(settled)
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
}

func takeSnapshot(t testing.TB, j *Journal, entries ...string) SnapshotInfo {
	t.Helper()
	info, err := j.Snapshot(context.Background(), fillWith(entries...))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func closeJournal(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// loaded returns the entries of the snapshot that the journal finds, sorted.
func loaded(j *Journal, workers int) (entries []string, info SnapshotInfo, found bool, err error) {
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

func openJournal(t testing.TB, cfg LocalConfig) *Journal {
	t.Helper()
	local := openLocal(t, cfg)
	j, err := Open(Config{Log: local, Snapshots: local, Logger: cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func snapshotsOf(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(snapshotDir(dir, 0), "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// manyEntries are enough for several blocks, with one that is larger than a block.
func manyEntries() []string {
	entries := []string{"", strings.Repeat("large", blockTarget/2)}
	for i := range 3000 {
		entries = append(entries, fmt.Sprintf("%05d %s", i, strings.Repeat("x", 1000)))
	}
	slices.Sort(entries)
	return entries
}

func TestSnapshotComesBackWithEveryEntryByAnyNumberOfWorkers(t *testing.T) {
	for _, entries := range [][]string{nil, {""}, {"a", "b"}, manyEntries()} {
		dir := t.TempDir()
		j := startLocal(t, LocalConfig{Dir: dir})
		commit(t, j, "one", "two")
		taken := takeSnapshot(t, j, entries...)
		commit(t, j, "three")
		closeJournal(t, j)
		for _, workers := range []int{1, 2, 7} {
			j := openJournal(t, LocalConfig{Dir: dir})
			got, info, found, err := loaded(j, workers)
			if err != nil || !found || info != taken {
				t.Fatalf("%+v, %v, %v, want %+v", info, found, err, taken)
			}
			if !slices.Equal(got, entries) {
				t.Errorf("%d entries, want %d", len(got), len(entries))
			}
			var records []string
			if err := j.Replay(info.Next, func(_ Position, record []byte) error {
				records = append(records, string(record))
				return nil
			}); err != nil || !slices.Contains(records, "three") || slices.Contains(records, "one") {
				t.Errorf("replayed %q, %v", records, err)
			}
			closeJournal(t, j)
		}
	}
}

func TestSnapshotHoldsAllThatWasSettledAndNothingThatIsNot(t *testing.T) {
	j, log := gatedJournal(t, Config{Snapshots: &memorySnapshots{}})
	// Frame 2 is durable, its completion has run only in part.
	settle := make(chan struct{})
	put(t, j, "two", completionFunc(func(error) { settle <- struct{}{}; <-settle }))
	<-log.gate.arrived
	log.gate.outcome <- nil
	<-settle
	info, err := j.Snapshot(context.Background(), fillWith("x"))
	if err != nil || info.Next != 2 || info.End != 3 {
		t.Errorf("while frame 2 settles: %+v, %v; want next 2, end 3", info, err)
	}
	settle <- struct{}{}
	third := newOutcome()
	put(t, j, "three", third)
	<-log.gate.arrived // so frame 2 is settled, and frame 3 is not written
	info, err = j.Snapshot(context.Background(), fillWith("x"))
	if err != nil || info.Next != 3 || info.End != 3 {
		t.Errorf("while frame 3 is written: %+v, %v; want next and end 3", info, err)
	}
	log.gate.outcome <- nil
	if err := <-third; err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
}

// TestWhatIsSettledDuringTheFillIsReplayed commits records while entries are added.
// The fill may have read an account before such a record was applied, so that frame
// is replayed, and it may have read one after, so the log has to reach that far.
func TestWhatIsSettledDuringTheFillIsReplayed(t *testing.T) {
	dir := t.TempDir()
	j := startLocal(t, LocalConfig{Dir: dir})
	commit(t, j, "one", "two")
	before := j.Stats().Next
	info, err := j.Snapshot(context.Background(), func(add func([]byte) error) error {
		if err := add([]byte("one, two")); err != nil {
			return err
		}
		commit(t, j, "three", "four")
		return add([]byte("four"))
	})
	if err != nil || info.Next != before || info.End != before+2 {
		t.Errorf("%+v, %v; want next %d as before the fill, end %d as after it", info, err, before, before+2)
	}
	closeJournal(t, j)

	j = openJournal(t, LocalConfig{Dir: dir})
	defer closeJournal(t, j)
	_, info, found, err := loaded(j, 1)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	var replayed []string
	if err := j.Replay(info.Next, func(_ Position, record []byte) error {
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
	j := startLocal(t, LocalConfig{Dir: dir, SegmentBytes: 1})
	var taken []SnapshotInfo
	for i := range 5 {
		for range 4 { // frames: the last two segments stay for another reason
			commit(t, j, numbered(3)...)
		}
		taken = append(taken, takeSnapshot(t, j, fmt.Sprint(i)))
		first := segmentsOf(t, dir)[0].first
		if i == 0 && first != 1 {
			t.Errorf("one snapshot, and the log begins with frame %d", first)
		}
		if i > 0 {
			if want := taken[i-1].Next; first != want {
				t.Errorf("snapshot %d: the log begins with frame %d, want %d", i, first, want)
			}
			want := []string{snapshotName(taken[i-1].Next), snapshotName(taken[i].Next)}
			var got []string
			for _, path := range snapshotsOf(t, dir) {
				got = append(got, filepath.Base(path))
			}
			if !slices.Equal(got, want) {
				t.Errorf("snapshots %v, want %v", got, want)
			}
		}
	}
	closeJournal(t, j)
}

// damages are what may have become of a snapshot's bytes.
var damages = []struct {
	name   string
	change func([]byte) []byte
}{
	{"emptied", func(b []byte) []byte { return nil }},
	{"cut in a block", func(b []byte) []byte { return b[:blockHeaderSize+3] }},
	{"without its footer", func(b []byte) []byte { return b[:len(b)-blockHeaderSize-footerSize] }},
	{"with a cut footer", func(b []byte) []byte { return b[:len(b)-1] }},
	{"with a byte too many", func(b []byte) []byte { return append(b, 0) }},
	{"flipped in an entry", func(b []byte) []byte { b[blockHeaderSize+5] ^= 1; return b }},
	{"flipped in a header", func(b []byte) []byte { b[24] ^= 1; return b }},
	{"flipped in the footer", func(b []byte) []byte { b[len(b)-20] ^= 1; return b }},
	{"with zeros", func(b []byte) []byte { clear(b[len(b)/2:]); return b }},
	{"of a later version", func(b []byte) []byte { b[4]++; return b }},
}

func TestInvalidSnapshotIsLoggedAndTheOneBeforeIsUsed(t *testing.T) {
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			j := startLocal(t, LocalConfig{Dir: dir, SegmentBytes: 1})
			commit(t, j, numbered(5)...)
			older := takeSnapshot(t, j, "older")
			commit(t, j, numbered(5)...)
			newer := takeSnapshot(t, j, "newer", "newer")
			closeJournal(t, j)
			path := filepath.Join(snapshotDir(dir, 0), snapshotName(newer.Next))
			writeFile(t, path, c.change(readFile(t, path)))

			var log logBuffer
			j = openJournal(t, LocalConfig{Dir: dir, SegmentBytes: 1, Logger: log.logger()})
			entries, info, found, err := loaded(j, 2)
			if err != nil || !found || info != older || !slices.Equal(entries, []string{"older"}) {
				t.Fatalf("loaded %q, %+v, %v, %v", entries, info, found, err)
			}
			if !strings.Contains(log.String(), path) {
				t.Errorf("the log does not name %s:\n%s", path, log.String())
			}
			if err := j.Replay(info.Next, func(Position, []byte) error { return nil }); err != nil {
				t.Fatal(err)
			}
			// The invalid one does not count as one of two, and goes once there are two.
			if err := j.Start(); err != nil {
				t.Fatal(err)
			}
			commit(t, j, "more")
			newest := takeSnapshot(t, j, "newest")
			if first := segmentsOf(t, dir)[0].first; first != older.Next {
				t.Errorf("the log begins with frame %d, want %d", first, older.Next)
			}
			if names, err := listSnapshots(snapshotDir(dir, 0)); err != nil || !slices.Equal(names, []uint64{older.Next, newest.Next}) {
				t.Errorf("snapshots %v, %v", names, err)
			}
			closeJournal(t, j)
		})
	}
}

func TestStartIsRefusedIfNoSnapshotIsValidAndFramesAreMissing(t *testing.T) {
	dir := t.TempDir()
	j := startLocal(t, LocalConfig{Dir: dir, SegmentBytes: 1})
	commit(t, j, numbered(5)...)
	takeSnapshot(t, j, "older")
	commit(t, j, numbered(5)...)
	takeSnapshot(t, j, "newer")
	closeJournal(t, j)
	for _, path := range snapshotsOf(t, dir) {
		content := readFile(t, path)
		content[len(content)-1] ^= 1
		writeFile(t, path, content)
	}
	j = openJournal(t, LocalConfig{Dir: dir, SegmentBytes: 1})
	_, _, _, err := loaded(j, 1)
	if !errors.Is(err, ErrSnapshot) {
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
	j := startLocal(t, LocalConfig{Dir: dir})
	commit(t, j, "one")
	takeSnapshot(t, j, "x")
	closeJournal(t, j)
	writeFile(t, snapshotsOf(t, dir)[0], []byte("no snapshot"))
	j = openJournal(t, LocalConfig{Dir: dir})
	if _, _, found, err := loaded(j, 1); found || err != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	closeJournal(t, j)
}

func TestSnapshotThatKnowsMoreThanTheLogRefusesTheStart(t *testing.T) {
	dir := t.TempDir()
	j := startLocal(t, LocalConfig{Dir: dir, SegmentBytes: 1})
	commit(t, j, numbered(5)...)
	info := takeSnapshot(t, j, "x")
	closeJournal(t, j)
	segments := segmentsOf(t, dir)
	for _, s := range segments[len(segments)-3:] {
		if err := os.Remove(s.path); err != nil {
			t.Fatal(err)
		}
	}
	j = openJournal(t, LocalConfig{Dir: dir})
	var damage *DamageError
	if _, _, _, err := loaded(j, 1); !errors.As(err, &damage) || damage.Entry >= info.End {
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
				return fillWith(manyEntries()...)(add)
			}
		}, context.Canceled},
		{"by its context at the end", func(cancel func()) func(func([]byte) error) error {
			return func(add func([]byte) error) error { cancel(); return nil }
		}, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			j := startLocal(t, LocalConfig{Dir: dir})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_, err := j.Snapshot(ctx, c.fill(cancel))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if left := snapshotsOf(t, dir); len(left) != 0 {
				t.Errorf("left %v", left)
			}
			commit(t, j, "still works")
			takeSnapshot(t, j, "too")
			closeJournal(t, j)
		})
	}
}

func TestOneSnapshotAtATimeAndNoneOnceTheJournalCloses(t *testing.T) {
	dir := t.TempDir()
	j := startLocal(t, LocalConfig{Dir: dir})
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
	if _, err := j.Snapshot(context.Background(), fillWith()); !errors.Is(err, ErrSnapshotRunning) {
		t.Errorf("beside another: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- j.Close() }()
	for accepting := true; accepting; {
		j.mu.Lock()
		accepting = !j.closing
		j.mu.Unlock()
	}
	close(end)
	if err := <-first; !errors.Is(err, ErrClosed) {
		t.Errorf("while the journal closes: %v, want ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, err := j.Snapshot(context.Background(), fillWith()); !errors.Is(err, ErrClosed) {
		t.Errorf("afterwards: %v, want ErrClosed", err)
	}
	if left := snapshotsOf(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestUnfinishedSnapshotOfACrashIsRemovedByTheNext(t *testing.T) {
	dir := t.TempDir()
	j := startLocal(t, LocalConfig{Dir: dir})
	if err := os.MkdirAll(snapshotDir(dir, 0), 0o750); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(snapshotDir(dir, 0), snapshotName(1)+temporary), []byte("half"))
	takeSnapshot(t, j, "x")
	if got := snapshotsOf(t, dir); len(got) != 1 || strings.HasSuffix(got[0], temporary) {
		t.Errorf("there are %v", got)
	}
	closeJournal(t, j)
}

func TestScanSnapshotReadsTheNewestValidOne(t *testing.T) {
	dir := t.TempDir()
	if _, found, _, err := ScanSnapshot(dir, 0, nil); found || err != nil {
		t.Errorf("of an empty directory: %v, %v", found, err)
	}
	j := startLocal(t, LocalConfig{Dir: dir})
	commit(t, j, "one")
	want := takeSnapshot(t, j, "older")
	commit(t, j, "two")
	newer := takeSnapshot(t, j, "newer")
	if _, _, _, err := ScanSnapshot(dir, 0, nil); !errors.As(err, new(*LockedError)) {
		t.Errorf("of a service that runs: %v", err)
	}
	closeJournal(t, j)
	path := filepath.Join(snapshotDir(dir, 0), snapshotName(newer.Next))
	content := readFile(t, path)
	content[blockHeaderSize] ^= 1
	writeFile(t, path, content)
	var got []string
	info, found, invalid, err := ScanSnapshot(dir, 0, func(entry []byte) error { got = append(got, string(entry)); return nil })
	if err != nil || !found || info != want || !slices.Equal(got, []string{"older"}) {
		t.Errorf("%+v, %v, %v, %q", info, found, err, got)
	}
	if len(invalid) != 1 || !strings.Contains(invalid[0].Error(), path) {
		t.Errorf("invalid: %v", invalid)
	}
}

// The layout is what stands on the disks of those who run this program.
func TestSnapshotLayoutDoesNotChange(t *testing.T) {
	var out bufferSnapshot
	e := snapshotEncoder{out: &out, info: SnapshotInfo{Shard: 7, Epoch: 3, Next: 11}, block: beginBlock(nil), goOn: func() error { return nil }}
	if err := fillWith("hi", "", strings.Repeat("x", blockTarget))(e.add); err != nil {
		t.Fatal(err)
	}
	if err := e.finish(13); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "snapshot_v1.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		writeFile(t, golden, compact(out.Bytes()))
	}
	if !bytes.Equal(compact(out.Bytes()), readFile(t, golden)) {
		t.Error("the snapshot is not the golden one, which must stay readable")
	}
	s, err := openSnapshot(&out, 7, 11, 2)
	if err != nil || s.info != (SnapshotInfo{Shard: 7, Epoch: 3, Next: 11, End: 13, Entries: 3, Bytes: int64(out.Len())}) {
		t.Errorf("%+v, %v", s, err)
	}
	// The checksum is the one that the format names, computed another way.
	first := out.Bytes()[:blockHeaderSize+4]
	if got, want := binary.LittleEndian.Uint32(first[blockCRCOffset:]), crc32cByBits(first[:blockCRCOffset], first[blockHeaderSize:]); got != want {
		t.Errorf("checksum %08x, want %08x", got, want)
	}
}

// compact leaves the long run of x out of a file that is kept.
func compact(b []byte) []byte {
	return bytes.ReplaceAll(b, bytes.Repeat([]byte("x"), blockTarget), []byte("x..."))
}

// FuzzSnapshot opens any bytes as a snapshot: it is refused with ErrSnapshot, or
// has what its footer says.
func FuzzSnapshot(f *testing.F) {
	for _, entries := range [][]string{nil, {""}, {"one", "", "three"}} {
		var out bufferSnapshot
		e := snapshotEncoder{out: &out, info: SnapshotInfo{Epoch: 1, Next: 5}, block: beginBlock(nil), goOn: func() error { return nil }}
		if err := errors.Join(fillWith(entries...)(e.add), e.finish(9)); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
		f.Add(out.Bytes()[:out.Len()-7])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in bufferSnapshot
		in.Write(b)
		s, err := openSnapshot(&in, 0, 5, 2)
		if err != nil {
			if !errors.Is(err, ErrSnapshot) {
				t.Fatalf("error %v is no ErrSnapshot", err)
			}
			return
		}
		var n uint64
		if err := s.each(1, func(int, []byte) error { n++; return nil }); err != nil || n != s.info.Entries || s.info.Bytes != int64(len(b)) {
			t.Fatalf("%d entries of %+v, %v", n, s.info, err)
		}
	})
}

func TestSnapshotsEndWithTheSyncOfTheirDirectoryAndTheJournalGoesOn(t *testing.T) {
	dir := t.TempDir()
	files := &faultyFiles{}
	local := openLocal(t, LocalConfig{Dir: dir, files: files})
	j := startJournal(t, Config{Log: local, Snapshots: local})
	fault := errors.New("input/output error")
	files.failDir = fault
	for range 2 { // the second time it would succeed
		if _, err := j.Snapshot(t.Context(), fillWith("x")); !errors.Is(err, fault) {
			t.Errorf("error %v, want %v", err, fault)
		}
	}
	commit(t, j, "goes on")
	closeJournal(t, j)

	files = &faultyFiles{}
	local = openLocal(t, LocalConfig{Dir: dir, files: files})
	j = startJournal(t, Config{Log: local, Snapshots: local})
	before := files.dirSyncs[dir]
	takeSnapshot(t, j, "x")
	for path, want := range map[string]int{dir: before + 1, filepath.Join(dir, "snapshot"): 1} {
		if got := files.dirSyncs[path]; got < want {
			t.Errorf("%s was synced %d times, want %d", path, got, want)
		}
	}
	closeJournal(t, j)
}

func TestSnapshotLeavesTheLogItsRoom(t *testing.T) {
	dir := t.TempDir()
	j := startLocal(t, LocalConfig{Dir: dir, files: &fullFiles{}})
	if _, err := j.Snapshot(t.Context(), fillWith("x")); !errors.Is(err, ErrNoRoom) {
		t.Errorf("error %v, want ErrNoRoom", err)
	}
	if left := snapshotsOf(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	commit(t, j, "goes on")
	closeJournal(t, j)
}

// fullFiles have room for less than a segment.
type fullFiles struct{ osFiles }

func (fullFiles) free(string) (uint64, error) { return defaultSegmentBytes - 1, nil }

// FuzzSnapshotBody puts any body behind a header that is right, and a footer that
// says so.
func FuzzSnapshotBody(f *testing.F) {
	f.Add(uint32(2), []byte("\x03one\x00"))
	f.Add(uint32(1), []byte("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01x"))
	f.Add(uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, count uint32, body []byte) {
		var file bufferSnapshot
		e := snapshotEncoder{out: &file, info: SnapshotInfo{Epoch: 1, Next: 5, Entries: uint64(count)}, goOn: func() error { return nil }}
		e.block, e.count = append(beginBlock(nil), body...), max(count, 1) // finish writes a block that has entries
		if err := e.finish(9); err != nil {
			t.Fatal(err)
		}
		s, err := openSnapshot(&file, 0, 5, 1)
		if err != nil {
			return
		}
		n := 0
		if err := s.each(1, func(int, []byte) error { n++; return nil }); err != nil || n != int(max(count, 1)) {
			t.Fatalf("%d entries, %v; the header says %d", n, err, count)
		}
	})
}

// TestSnapshotsBesideManyAppendersHoldWhatIsDurable takes snapshots while records
// come all the time; a start from any of them gives every record once.
func TestSnapshotsBesideManyAppendersHoldWhatIsDurable(t *testing.T) {
	dir := memoryDir(t)
	var c counter
	j, err := c.open(dir, osFiles{})
	if err != nil {
		t.Fatal(err)
	}
	var durable atomic.Int64 // every number below it is
	var appending sync.WaitGroup
	const perRound = 100
	room, stop := make(chan struct{}, perRound), make(chan struct{}) // room is filled by round
	appending.Go(func() {
		for n := int64(0); ; n++ {
			select {
			case <-stop:
				return
			case <-room:
			}
			record := strconv.AppendInt(nil, n, 10)
			if err := j.Reserve(len(record)); err != nil {
				t.Error(err)
				return
			}
			j.Append(record, completionFunc(func(err error) {
				if err == nil {
					durable.Store(n + 1)
				}
			}))
		}
	})
	for range 10 {
		for range perRound {
			room <- struct{}{}
		}
		_, err := j.Snapshot(t.Context(), func(add func([]byte) error) error {
			for n := range durable.Load() {
				if err := add(strconv.AppendInt(nil, n, 10)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		copied := counter{submitted: 1 << 30}
		to := filepath.Join(memoryDir(t), "copy")
		before := int(durable.Load())
		if _, err := Backup(dir, to, 0); err != nil {
			t.Fatal(err)
		}
		copied.acked = before
		if err := copied.live(to, osFiles{}, ""); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	appending.Wait()
	closeJournal(t, j)
	c.acked, c.submitted = int(durable.Load()), int(durable.Load())
	if err := c.live(dir, osFiles{}, "aSa"); err != nil || len(c.failed) > 0 {
		t.Fatal(err, c.failed)
	}
	if c.acked < 200 {
		t.Errorf("only %d records", c.acked)
	}
}
