package local

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

func TestUnfinishedSnapshotOfACrashIsRemovedByTheNext(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, Config{Dir: dir})
	if err := os.MkdirAll(snapshotDir(dir, 0), 0o750); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(snapshotDir(dir, 0), snapshotName(1)+temporary), []byte("half"))
	persistencetest.Snapshot(t, j, "x")
	if got := snapshotsOf(t, dir); len(got) != 1 || strings.HasSuffix(got[0], temporary) {
		t.Errorf("there are %v", got)
	}
	persistencetest.CloseJournal(t, j)
}

func TestScanSnapshotReadsTheNewestValidOne(t *testing.T) {
	dir := t.TempDir()
	if _, found, _, err := ScanSnapshot(dir, 0, nil); found || err != nil {
		t.Errorf("of an empty directory: %v, %v", found, err)
	}
	j := startJournal(t, Config{Dir: dir})
	persistencetest.Commit(t, j, "one")
	want := persistencetest.Snapshot(t, j, "older")
	persistencetest.Commit(t, j, "two")
	newer := persistencetest.Snapshot(t, j, "newer")
	if _, _, _, err := ScanSnapshot(dir, 0, nil); !errors.As(err, new(*LockedError)) {
		t.Errorf("of a service that runs: %v", err)
	}
	persistencetest.CloseJournal(t, j)
	path := filepath.Join(snapshotDir(dir, 0), snapshotName(newer.Next))
	content := readFile(t, path)
	content[format.BlockHeaderSize] ^= 1
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

func TestSnapshotsEndWithTheSyncOfTheirDirectoryAndTheJournalGoesOn(t *testing.T) {
	dir := t.TempDir()
	files := &faultyFiles{}
	log := openLog(t, Config{Dir: dir, files: files})
	j := persistencetest.Start(t, persistence.Config{Log: log, Snapshots: log})
	fault := errors.New("input/output error")
	files.failDir = fault
	for range 2 { // the second time it would succeed
		if _, err := j.Snapshot(t.Context(), persistencetest.Fill("x")); !errors.Is(err, fault) {
			t.Errorf("error %v, want %v", err, fault)
		}
	}
	persistencetest.Commit(t, j, "goes on")
	persistencetest.CloseJournal(t, j)

	files = &faultyFiles{}
	log = openLog(t, Config{Dir: dir, files: files})
	j = persistencetest.Start(t, persistence.Config{Log: log, Snapshots: log})
	before := files.dirSyncs[dir]
	persistencetest.Snapshot(t, j, "x")
	for path, want := range map[string]int{dir: before + 1, filepath.Join(dir, "snapshot"): 1} {
		if got := files.dirSyncs[path]; got < want {
			t.Errorf("%s was synced %d times, want %d", path, got, want)
		}
	}
	persistencetest.CloseJournal(t, j)
}

func TestSnapshotLeavesTheLogItsRoom(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, Config{Dir: dir, files: &fullFiles{}})
	if _, err := j.Snapshot(t.Context(), persistencetest.Fill("x")); !errors.Is(err, ErrNoRoom) {
		t.Errorf("error %v, want ErrNoRoom", err)
	}
	if left := snapshotsOf(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	persistencetest.Commit(t, j, "goes on")
	persistencetest.CloseJournal(t, j)
}

// fullFiles have room for less than a segment.
type fullFiles struct{ osFiles }

func (fullFiles) free(string) (uint64, error) { return defaultSegmentBytes - 1, nil }

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
			j.Append(record, persistencetest.CompletionFunc(func(err error) {
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
	persistencetest.CloseJournal(t, j)
	c.acked, c.submitted = int(durable.Load()), int(durable.Load())
	if err := c.live(dir, osFiles{}, "aSa"); err != nil || len(c.failed) > 0 {
		t.Fatal(err, c.failed)
	}
	if c.acked < 200 {
		t.Errorf("only %d records", c.acked)
	}
}
