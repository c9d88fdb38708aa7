package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aitbc/exchange/persistence/faultfs"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

func openAsyncSync(t testing.TB) *asyncSync {
	t.Helper()
	s, err := newAsyncSync()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestAsynchronousSyncMakesAFileDurable compares with the content of a disk after a power cut.
func TestAsynchronousSyncMakesAFileDurable(t *testing.T) {
	disk := faultfs.New()
	dir, unmount := disk.MountFor(t)
	s := openAsyncSync(t)
	for _, name := range []string{"synced", "not"} {
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString("content"); err != nil {
			t.Fatal(err)
		}
		if name == "not" {
			file.Close()
			continue
		}
		failing := func(op faultfs.Op) bool { return op.Kind == "sync" }
		disk.Arm(failing, 1, faultfs.Fault{Err: syscall.EIO})
		if err := s.sync(file.Fd()); !errors.Is(err, syscall.EIO) {
			t.Errorf("a sync that failed returned %v, want EIO", err)
		}
		if _, _, fired := disk.What(); !fired {
			t.Fatal("the disk was not asked for a sync")
		}
		if _, err := file.WriteString(", again"); err != nil { // what a failed sync did not write is not written by a later one
			t.Fatal(err)
		}
		if err := s.sync(file.Fd()); err != nil {
			t.Errorf("the sync after it: %v", err)
		}
		file.Close()
	}
	if err := syncDir(dir); err != nil {
		t.Fatal(err)
	}
	unmount()
	disk.Cut(nil)
	dir, _ = disk.MountFor(t)
	if got := string(readFile(t, filepath.Join(dir, "synced"))); !strings.HasSuffix(got, ", again") {
		t.Errorf("after a power cut the file that was synced holds %q", got)
	}
	if got := readFile(t, filepath.Join(dir, "not")); len(got) > 0 {
		t.Errorf("after a power cut the file that was not synced holds %q", got)
	}
}

func syncDir(dir string) error { return osFiles{}.syncDir(dir) }

func TestAsynchronousSyncReportsAFileThatCannotBeSynced(t *testing.T) {
	s := openAsyncSync(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := s.sync(w.Fd()); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("of a pipe: %v, want EINVAL", err)
	}
	if err := s.sync(1 << 20); !errors.Is(err, syscall.EBADF) {
		t.Errorf("of no file: %v, want EBADF", err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := s.sync(file.Fd()); err != nil {
		t.Errorf("of a file, after that: %v", err)
	}
}

// TestAsynchronousSyncsOfABusyLogLoseNothingAcknowledged has the syncs of large frames
// fail, then the power go, and finds everything that was acknowledged. In every third life
// the syncs are synchronous, as where the kernel does no other.
func TestAsynchronousSyncsOfABusyLogLoseNothingAcknowledged(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	disk := faultfs.New()
	var acknowledged, submitted []string
	for round := range 24 {
		disk.Disarm()
		dir, unmount := disk.MountFor(t)
		log := openLog(t, Config{Dir: filepath.Join(dir, "data"), SegmentBytes: 20 * asyncFrom})
		t.Cleanup(func() { // a test that fails half-way leaves nothing open on the disk
			if out, open := log.out.(*preallocatedLog); open {
				_, _ = out.Log.Close(), out.file.Close()
			}
		})
		c := persistencetest.Claim(t, log)
		there, err := persistencetest.Replayed(log, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(there) < len(acknowledged) || len(there) > len(submitted) || !slices.Equal(there, submitted[:len(there)]) {
			t.Fatalf("round %d: %d frames are there, %d were acknowledged, %d submitted", round, len(there), len(acknowledged), len(submitted))
		}
		acknowledged, submitted = there, slices.Clone(there) // a start makes durable what it has found
		disk.Arm(func(op faultfs.Op) bool { return op.Kind == "sync" && strings.Contains(op.Path, "log/0000/") }, 20+random.IntN(50), faultfs.Fault{Err: syscall.EIO})
		var failure error
		for seq := c.Next; failure == nil; seq++ {
			if seq > c.Next+100 {
				t.Fatalf("round %d: the disk does not fail", round)
			}
			record := fmt.Sprintf("%d of round %d%s", seq, round, strings.Repeat("-", 2*asyncFrom+random.IntN(asyncFrom)))
			submitted = append(submitted, record)
			if out, open := log.out.(*preallocatedLog); open && round%3 == 2 && out.async != nil {
				if err := out.async.close(); err != nil {
					t.Fatal(err)
				}
				out.async = nil
			}
			if failure = log.Append(seq, persistencetest.Frame(c.Shard, c.Epoch, seq, record)); failure == nil {
				acknowledged = append(acknowledged, record)
			}
		}
		out := log.out.(*preallocatedLog)
		if out.async != nil && out.async.event.request == 0 || out.averageEntry < asyncFrom {
			t.Fatalf("round %d: no sync was left to the kernel; an entry has %d bytes", round, out.averageEntry)
		}
		if !errors.Is(failure, syscall.EIO) {
			t.Errorf("round %d: the append failed with %v, want EIO", round, failure)
		}
		if err := log.Append(c.Next+uint64(len(submitted)), nil); err != failure {
			t.Errorf("round %d: the next append failed with %v, want the same error", round, err)
		}
		if _, after, fired := disk.What(); !fired || len(after) > 0 {
			t.Errorf("round %d: the fault has come: %v; after it %v", round, fired, after)
		}
		err = errors.Join(log.Close(), out.Log.Close(), out.file.Close()) // which it leaves to the end of the process
		if out.async != nil {
			err = errors.Join(err, out.async.close())
		}
		if err != nil {
			t.Error(err)
		}
		unmount()
		if cut := random.IntN(2); cut == 0 {
			disk.Cut(nil)
		} else {
			disk.Cut(random)
		}
	}
}

func TestLogLeavesNothingOpen(t *testing.T) {
	dir := t.TempDir()
	open := func() int {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := -1
	for range 20 {
		log := openPreallocatedLog(t, dir, 1<<20)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if before < 0 {
			before = open() // the scheduler's own are open now
		}
	}
	if after := open(); after != before {
		t.Errorf("%d files are open, %d after the first log", after, before)
	}
}
