package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

func TestNewDirectoriesAreSyncedIntoTheirParents(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "var", "data")
	files := &faultyFiles{}
	log := openLog(t, Config{Dir: dir, files: files})
	persistencetest.Claim(t, log)
	for _, parent := range []string{top, filepath.Dir(dir), dir, filepath.Join(dir, "log")} {
		if files.dirSyncs[parent] != 1 {
			t.Errorf("%s was synced %d times, want once", parent, files.dirSyncs[parent])
		}
	}
}

// TestDirectoriesThatACrashLeftAreSyncedToo begins with those of a start that ended
// before it had synced the last of them.
func TestDirectoriesThatACrashLeftAreSyncedToo(t *testing.T) {
	for _, left := range []string{"var", "var/data", "var/data/log", "var/data/log/0000"} {
		top := t.TempDir()
		if err := os.MkdirAll(filepath.Join(top, left), 0o700); err != nil {
			t.Fatal(err)
		}
		files := &faultyFiles{}
		log := openLog(t, Config{Dir: filepath.Join(top, "var", "data"), files: files})
		persistencetest.Claim(t, log)
		if parent := filepath.Dir(filepath.Join(top, left)); files.dirSyncs[parent] == 0 {
			t.Errorf("%s was left, %s was not synced", left, parent)
		}
	}
}

// TestNobodyElseReadsTheDataDirectory walks over all that is made: the log, a
// snapshot, the lock and a backup.
func TestNobodyElseReadsTheDataDirectory(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "data")
	j := startJournal(t, Config{Dir: dir, SegmentBytes: 100})
	persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
	persistencetest.Snapshot(t, j, "entry")
	if _, err := Backup(dir, filepath.Join(top, "backup"), 0); err != nil {
		t.Fatal(err)
	}
	persistencetest.CloseJournal(t, j)
	files := 0
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
		if !entry.IsDir() {
			files++
		}
		return nil
	})
	if err != nil || files < 9 { // three segments and a snapshot, twice, and the lock
		t.Errorf("%d files, %v", files, err)
	}
}

func TestDirectoryThatCannotBeUsedIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, nil)
	for _, dir := range []string{file, filepath.Join(file, "data")} {
		_, err := Open(Config{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("open %s: %v, want an error with the path", dir, err)
		}
	}
	files := &faultyFiles{failDir: errors.New("input/output error")}
	if _, err := Open(Config{Dir: filepath.Join(t.TempDir(), "new"), files: files}); err == nil {
		t.Error("a directory that can't be synced was accepted")
	}
}

func TestEverySegmentIsSyncedIntoTheDirectoryAndNothingElseIs(t *testing.T) {
	for _, segmentBytes := range []int{1, 48, 49, 90, 1000} { // an entry has 48 bytes
		t.Run(strconv.Itoa(segmentBytes), func(t *testing.T) {
			dir := t.TempDir()
			files := &faultyFiles{}
			log := openLog(t, Config{Dir: dir, SegmentBytes: segmentBytes, files: files})
			c := persistencetest.Claim(t, log)
			persistencetest.Append(t, log, c, "record 000")
			syncs, segments := files.dirSyncs[shardDir(dir, 0)], len(segmentsOf(t, dir))
			if syncs == 0 {
				t.Fatal("the first segment's name was not synced")
			}
			for _, record := range persistencetest.Numbered(40)[1:] {
				c.Next++
				persistencetest.Append(t, log, c, record)
				moreSyncs, moreSegments := files.dirSyncs[shardDir(dir, 0)]-syncs, len(segmentsOf(t, dir))-segments
				if moreSyncs != moreSegments {
					t.Fatalf("frame %d: %d syncs of the directory for %d new segments", c.Next, moreSyncs, moreSegments)
				}
				syncs, segments = syncs+moreSyncs, segments+moreSegments
			}
			if want := 40 / ((segmentBytes + 47) / 48); segments < want {
				t.Errorf("%d segments, want %d at least", segments, want)
			}
		})
	}
}

func TestSmallerSegmentsThanBeforeAreBegunAtOnce(t *testing.T) {
	records := persistencetest.Numbered(9)
	dir := writeLog(t, defaultSegmentBytes, records...)
	files := &faultyFiles{}
	log := openLog(t, Config{Dir: dir, SegmentBytes: 48, files: files})
	c := persistencetest.Claim(t, log)
	persistencetest.Append(t, log, c, "record 009") // begins segments 10, before, and 11, after it
	if segments := segmentsOf(t, dir); len(segments) != 3 || segments[1].first != 10 || segments[2].first != 11 {
		t.Fatalf("segments %v", segments)
	}
	if n := files.dirSyncs[shardDir(dir, 0)]; n != 2 { // one of them for opening it
		t.Errorf("%d syncs of the directory, want 2", n)
	}
	persistencetest.Close(t, log)
	log = openLog(t, Config{Dir: dir})
	persistencetest.Claim(t, log)
	persistencetest.WantReplayed(t, log, 1, append(records, "record 009")...)
}

func TestTruncatedFrontIsWholeSegmentsAndSynced(t *testing.T) {
	dir := t.TempDir()
	files := &faultyFiles{}
	log := openLog(t, Config{Dir: dir, SegmentBytes: 90, files: files})
	persistencetest.Append(t, log, persistencetest.Claim(t, log), persistencetest.Numbered(9)...) // segments 1, 3, 5, 7, 9
	for _, c := range []struct{ seq, first uint64 }{{1, 1}, {2, 1}, {3, 3}, {1000, 7}} {
		before, syncs := len(segmentsOf(t, dir)), files.dirSyncs[shardDir(dir, 0)]
		if err := log.TruncateFront(c.seq); err != nil {
			t.Fatal(err)
		}
		segments := segmentsOf(t, dir)
		if segments[0].first != c.first {
			t.Errorf("truncated to %d: the first segment is %d, want %d", c.seq, segments[0].first, c.first)
		}
		if got, want := files.dirSyncs[shardDir(dir, 0)]-syncs, before-len(segments); got != want {
			t.Errorf("truncated to %d: %d syncs of the directory, want %d", c.seq, got, want)
		}
	}
}

func TestTruncationBeforeTheFirstAppendKeepsEverything(t *testing.T) {
	dir := writeLog(t, 90, persistencetest.Numbered(9)...)
	before := contentOf(t, dir)
	log := openLog(t, Config{Dir: dir, SegmentBytes: 90})
	persistencetest.Claim(t, log)
	if err := log.TruncateFront(9); err != nil {
		t.Fatal(err)
	}
	wantUnchanged(t, dir, before)
}

// TestFailureIsForEver lets an operation fail once. The next attempt would succeed,
// and must not be made.
func TestFailureIsForEver(t *testing.T) {
	fault := errors.New("input/output error")
	for _, c := range []struct {
		name    string
		inject  func(*faultyFiles)
		want    error
		written int // frames there after a restart, of those that were tried
	}{
		{"a write", func(f *faultyFiles) { f.log.failWrite = fault }, fault, 2},
		{"a short write", func(f *faultyFiles) { f.log.shortWrite = 20 }, io.ErrShortWrite, 2},
		{"a write of all but a byte", func(f *faultyFiles) { f.log.shortWrite = 47 }, io.ErrShortWrite, 2},
		{"a sync", func(f *faultyFiles) { f.log.failSync = fault }, fault, 3},
		{"a sync of the directory", func(f *faultyFiles) { f.failDir = fault }, fault, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			files := &faultyFiles{}
			log := openLog(t, Config{Dir: dir, SegmentBytes: 140, files: files}) // the third entry ends a segment
			claimed := persistencetest.Claim(t, log)
			records := persistencetest.Numbered(4)
			persistencetest.Append(t, log, claimed, records[:2]...)
			c.inject(files)
			first := log.Append(3, persistencetest.Frame(0, claimed.Epoch, 3, records[2]))
			if !errors.Is(first, c.want) || !strings.Contains(first.Error(), dir) && c.name != "a sync of the directory" {
				t.Fatalf("append: %v, want %v with the path", first, c.want)
			}
			after := contentOf(t, dir)
			for _, seq := range []uint64{3, 4} {
				if err := log.Append(seq, persistencetest.Frame(0, claimed.Epoch, seq, "x")); !errors.Is(err, c.want) {
					t.Errorf("append of frame %d after it: %v, want %v", seq, err, c.want)
				}
			}
			if err := log.TruncateFront(3); !errors.Is(err, c.want) {
				t.Errorf("truncate after it: %v, want %v", err, c.want)
			}
			if _, err := log.Claim(0); !errors.Is(err, c.want) {
				t.Errorf("claim after it: %v, want %v", err, c.want)
			}
			persistencetest.Close(t, log)
			if files.log.after != 0 {
				t.Errorf("%d operations on the log after it", files.log.after)
			}
			wantUnchanged(t, dir, after)

			log = openLog(t, Config{Dir: dir, SegmentBytes: 140})
			claimed = persistencetest.Claim(t, log)
			persistencetest.WantReplayed(t, log, 1, records[:c.written]...)
			persistencetest.Append(t, log, claimed, "recovered")
		})
	}
}

func TestFailedSyncOfATruncationFailsTheNextAppend(t *testing.T) {
	fault := errors.New("input/output error")
	dir := t.TempDir()
	files := &faultyFiles{}
	log := openLog(t, Config{Dir: dir, SegmentBytes: 90, files: files})
	c := persistencetest.Claim(t, log)
	persistencetest.Append(t, log, c, persistencetest.Numbered(9)...)
	files.failDir = fault
	if err := log.TruncateFront(9); !errors.Is(err, fault) {
		t.Fatalf("truncate: %v, want %v", err, fault)
	}
	if err := log.Append(10, persistencetest.Frame(0, c.Epoch, 10, "x")); !errors.Is(err, fault) {
		t.Errorf("append: %v, want %v", err, fault)
	}
}

// TestPowerCutLosesNothingThatWasAcknowledged lives through many lives of one log,
// each of which ends when the power goes at an operation chosen by chance.
func TestPowerCutLosesNothingThatWasAcknowledged(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		var kept []string // what the log must hold at least
		for life := range 12 {
			disk, err := newPowerDisk(dir, 1+random.IntN(30))
			if err != nil {
				t.Fatal(err)
			}
			submitted, err := liveUntilPowerCut(dir, disk, random, &kept)
			if !errors.Is(err, errPower) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if err := disk.powerOn(random); err != nil {
				t.Fatal(err)
			}
			// A batch that was not acknowledged may be there or not, but nothing else.
			var there []string
			report, err := Scan(dir, 0, func(_ format.Position, record []byte) error {
				there = append(there, string(record))
				return nil
			})
			if errors.Is(err, os.ErrNotExist) && len(kept) == 0 {
				continue // it went before the directories were made
			}
			if err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if len(there) < len(kept) || !slices.Equal(there, submitted[:len(there)]) {
				t.Fatalf("seed %d, life %d: %d records are there, %d were acknowledged, %d submitted; %+v", seed, life, len(there), len(kept), len(submitted), report)
			}
			kept = there
		}
		if len(kept) < 20 {
			t.Errorf("seed %d: only %d records in all", seed, len(kept))
		}
	}
}

// liveUntilPowerCut opens the log, checks it, and appends until the power goes.
// What is acknowledged is added to kept; what was tried is returned.
func liveUntilPowerCut(dir string, disk *powerDisk, random *rand.Rand, kept *[]string) ([]string, error) {
	submitted := slices.Clone(*kept)
	log, err := Open(Config{Dir: dir, SegmentBytes: 200, files: disk})
	if err != nil {
		return submitted, err
	}
	defer log.lock.unlock() // the process is gone, and closes nothing
	c, err := log.Claim(0)
	if err != nil {
		return submitted, err
	}
	got, err := persistencetest.Replayed(log, 1)
	if err != nil {
		return submitted, err
	}
	if !slices.Equal(got, *kept) {
		return submitted, fmt.Errorf("replayed %q, want %q", got, *kept)
	}
	for seq := c.Next; ; seq++ {
		record := fmt.Sprintf("%d %s", seq, strings.Repeat("x", random.IntN(80)))
		submitted = append(submitted, record)
		if err := log.Append(seq, persistencetest.Frame(0, c.Epoch, seq, record)); err != nil {
			return submitted, err
		}
		*kept = append(*kept, record)
	}
}

func TestWhatWasReplayedIsDurableBeforeAnythingIsAddedToIt(t *testing.T) {
	for seed := range uint64(20) {
		records := persistencetest.Numbered(5)
		dir := writeLog(t, 90, records...)
		segments := segmentsOf(t, dir)
		last := segments[len(segments)-1].path
		// The process before ended because the last sync failed, or before it had
		// synced the directory.
		disk, err := newPowerDisk(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		disk.unwritten, disk.named[last] = map[string]bool{last: true}, false

		log := openLog(t, Config{Dir: dir, SegmentBytes: 1000, files: disk})
		c := persistencetest.Claim(t, log)
		persistencetest.WantReplayed(t, log, 1, records...)
		persistencetest.Append(t, log, c, "acknowledged")
		persistencetest.Close(t, log)
		if err := disk.powerOn(rand.New(rand.NewPCG(seed, 0))); err != nil {
			t.Fatal(err)
		}
		log = openLog(t, Config{Dir: dir})
		persistencetest.Claim(t, log)
		persistencetest.WantReplayed(t, log, 1, append(records, "acknowledged")...)
		persistencetest.Close(t, log)
	}
}

func TestSecondOpenIsRefusedAndNamesTheProcess(t *testing.T) {
	dir := t.TempDir()
	first := openLog(t, Config{Dir: dir})
	_, err := Open(Config{Dir: dir})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Fatalf("error %v, want a *LockedError with process %d and %s", err, os.Getpid(), dir)
	}
	if want := fmt.Sprintf("the data directory %s is in use by process %d", dir, os.Getpid()); err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	persistencetest.Close(t, first)
	openLog(t, Config{Dir: dir})
}

func TestLockOfAProcessThatIsGoneNamesNobody(t *testing.T) {
	dir := t.TempDir()
	log := openLog(t, Config{Dir: dir})
	persistencetest.Close(t, log)
	reader, err := lockDirForReading(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.unlock()
	for _, content := range []string{"", "nonsense\n", "-1\n", "999999999\n"} { // above the kernel's largest
		writeFile(t, filepath.Join(dir, lockName), []byte(content))
		_, err = Open(Config{Dir: dir})
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != 0 || !strings.Contains(err.Error(), "another process") {
			t.Errorf("lock file %q: %v, want a *LockedError that names nobody", content, err)
		}
	}
}

func TestScanReportsEverythingAndChangesNothing(t *testing.T) {
	records := persistencetest.Numbered(7)
	dir := writeLog(t, 90, records...)
	log := openLog(t, Config{Dir: dir, SegmentBytes: 90})
	c := persistencetest.Claim(t, log)
	if err := log.Append(8, persistencetest.Frame(0, c.Epoch, 8, "a", "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := Scan(dir, 0, nil); !errors.As(err, new(*LockedError)) {
		t.Errorf("scan of a log in use: %v, want a *LockedError", err)
	}
	persistencetest.Close(t, log)
	segments := segmentsOf(t, dir)
	last := segments[len(segments)-1].path
	size := int64(len(readFile(t, last)))
	writeFile(t, last, append(readFile(t, last), 0, 0, 1))

	// A copy has no lock file, and need not be writable.
	copied := t.TempDir()
	if err := os.CopyFS(filepath.Join(copied, "log"), os.DirFS(filepath.Join(dir, "log"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{copied, filepath.Join(copied, "log"), shardDir(copied, 0)} {
		if err := os.Chmod(name, 0o500); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(name, 0o700)
	}
	for _, dir := range []string{dir, copied} {
		before := contentOf(t, dir)
		var got []string
		var positions []format.Position
		report, err := Scan(dir, 0, func(p format.Position, record []byte) error {
			if dir != copied {
				if err := lockRefused(dir); err != nil {
					return err
				}
				// A second reader is welcome.
				if _, err := Scan(dir, 0, func(format.Position, []byte) error { return nil }); err != nil {
					return err
				}
			}
			got, positions = append(got, string(record)), append(positions, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, append(slices.Clone(records), "a", "b")) {
			t.Errorf("scanned %q", got)
		}
		if p := positions[len(positions)-1]; p != (format.Position{Frame: 8, Record: 1}) {
			t.Errorf("the last record is at %+v", p)
		}
		tail := report.TornTail
		if tail == nil || filepath.Base(tail.File) != filepath.Base(last) || tail.Offset != size || tail.Bytes != 3 || tail.Entry != 9 {
			t.Errorf("torn tail %+v, want 3 bytes at %d of %s", tail, size, last)
		}
		bytes := int64(0)
		for _, content := range before {
			bytes += int64(len(content))
		}
		report.TornTail = nil
		if want := (ScanReport{Segments: len(segments), Bytes: bytes, Frames: 8, Records: 9, First: 1, Last: 8, LastEpoch: 2}); report != want {
			t.Errorf("report %+v, want %+v", report, want)
		}
		wantUnchanged(t, dir, before)
		if _, err := os.Stat(filepath.Join(copied, lockName)); !errors.Is(err, os.ErrNotExist) {
			t.Error("the copy has a lock file now")
		}
	}
}

// lockRefused expects that no service can start.
func lockRefused(dir string) error {
	_, err := Open(Config{Dir: dir})
	if !errors.As(err, new(*LockedError)) {
		return fmt.Errorf("opened beside a scan: %v", err)
	}
	return nil
}

func TestScanOfNoLogSaysSo(t *testing.T) {
	dir := t.TempDir()
	if _, err := Scan(dir, 0, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the scan has left %v, %v", entries, err)
	}
}

func TestScanEndsWithTheErrorOfItsFunction(t *testing.T) {
	dir := writeLog(t, defaultSegmentBytes, persistencetest.Numbered(3)...)
	stop := errors.New("stop")
	report, err := Scan(dir, 0, func(p format.Position, _ []byte) error {
		if p.Frame == 2 {
			return stop
		}
		return nil
	})
	if err != stop || report.Records != 1 {
		t.Errorf("error %v, report %+v", err, report)
	}
}

func TestLocalKeepsToItsShard(t *testing.T) {
	dir := t.TempDir()
	log := openLog(t, Config{Dir: dir})
	c, err := log.Claim(7)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(1, persistencetest.Frame(7, c.Epoch, 1, "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Claim(8); err == nil {
		t.Error("claimed a second shard")
	}
	if bytes, err := log.Bytes(); err != nil || bytes != preallocation {
		t.Errorf("%d bytes, %v, want those that were preallocated", bytes, err)
	}
	persistencetest.Close(t, log)
	if bytes, err := log.Bytes(); err != nil || bytes != int64(len(entryOf(persistencetest.Frame(7, 1, 1, "x")))) {
		t.Errorf("%d bytes, %v, want those of the entry alone", bytes, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "log", "0007", segmentName(1))); err != nil {
		t.Error(err)
	}
	if report, err := Scan(dir, 7, func(format.Position, []byte) error { return nil }); err != nil || report.Frames != 1 {
		t.Errorf("scanned %+v, %v", report, err)
	}
}
