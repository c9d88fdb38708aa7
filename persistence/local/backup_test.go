package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

func TestBackupOfARunningServiceHoldsAllThatWasAcknowledged(t *testing.T) {
	dir, backups := memoryDir(t), memoryDir(t)
	var c counter
	j, err := c.open(dir, osFiles{})
	if err != nil {
		t.Fatal(err)
	}
	// The service appends, takes snapshots and truncates all the time.
	acked, stop, stopped := make(chan int), make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			err := c.append(j)
			if err == nil && i%20 == 19 {
				err = c.snapshot(j)
			}
			if err != nil {
				stopped <- err
				return
			}
			select {
			case acked <- c.acked:
			case <-stop:
				stopped <- nil
				return
			default:
			}
		}
	}()
	for i := range 20 {
		before := <-acked
		to := filepath.Join(backups, strconv.Itoa(i))
		report, err := Backup(dir, to, 0)
		if err != nil {
			t.Fatal(err)
		}
		copied := counter{acked: before, submitted: 1 << 30}
		if err := copied.live(to, osFiles{}, "aSaS"); err != nil || len(copied.failed) > 0 {
			t.Fatalf("backup %d, of %+v: %v, %v", i, report, err, copied.failed)
		}
	}
	close(stop)
	if err := <-stopped; err != nil || len(c.failed) > 0 {
		t.Fatal(err, c.failed)
	}
	persistencetest.CloseJournal(t, j)
	if first := segmentsOf(t, dir)[0].first; first == 1 {
		t.Error("nothing was truncated meanwhile: the test is too weak")
	}
}

func TestBackupThatCannotBeWholeIsNotMade(t *testing.T) {
	top := t.TempDir()
	dir, to := writeLog(t, 90, persistencetest.Numbered(9)...), filepath.Join(top, "to")
	if _, err := Backup(filepath.Join(top, "none"), to, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	first := segmentsOf(t, dir)[0].path
	content := readFile(t, first)
	content[50] ^= 1
	writeFile(t, first, content)
	if _, err := Backup(dir, to, 0); !errors.As(err, new(*persistence.DamageError)) {
		t.Errorf("of a damaged log: %v", err)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	if _, err := Backup(dir, to, 0); !errors.Is(err, errCopyGap) {
		t.Errorf("of a log without its beginning: %v", err)
	}
	if left, err := os.ReadDir(top); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := Backup(dir, top, 0); err == nil {
		t.Error("over a directory that is there")
	}
}

func TestABackupHasTheLogsBeside(t *testing.T) {
	dir, to := writeLog(t, 1<<20, "a"), filepath.Join(t.TempDir(), "copy")
	if report, err := Backup(dir, to+"1", 0, "beside"); err != nil || report.Beside != nil {
		t.Fatalf("without one beside: %+v, %v", report, err)
	}
	if err := os.Rename(writeLog(t, 1<<20, "b", "c"), filepath.Join(dir, "beside")); err != nil {
		t.Fatal(err)
	}
	report, err := Backup(dir, to+"2", 0, "beside")
	if err != nil || report.Log.Records != 1 || report.Beside["beside"].Records != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	var got []string
	if _, err := Scan(filepath.Join(to+"2", "beside"), 0, func(_ format.Position, record []byte) error {
		got = append(got, string(record))
		return nil
	}); err != nil || !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("the copy has %q, %v", got, err)
	}

	// Damage there is damage of the copy, and then there is none.
	segment := filepath.Join(shardDir(filepath.Join(dir, "beside"), 0), segmentName(1))
	content := readFile(t, segment)
	content[8] ^= 1
	writeFile(t, segment, content)
	if _, err := Backup(dir, to+"3", 0, "beside"); !errors.As(err, new(*persistence.DamageError)) {
		t.Errorf("a damaged log beside: %v", err)
	}
	if _, err := os.Stat(to + "3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a copy: %v", err)
	}
}
