package local

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// openLog opens the log in dir and closes it when the test ends, unless it is
// closed by then.
func openLog(t testing.TB, cfg Config) *Log {
	t.Helper()
	log, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil && !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("closing: %v", err)
		}
	})
	return log
}

// writeLog makes a log in a new directory, one frame a record, and returns the
// directory.
func writeLog(t testing.TB, segmentBytes int, records ...string) string {
	t.Helper()
	dir := t.TempDir()
	log := openLog(t, Config{Dir: dir, SegmentBytes: segmentBytes})
	persistencetest.Append(t, log, persistencetest.Claim(t, log), records...)
	persistencetest.Close(t, log)
	return dir
}

func segmentsOf(t testing.TB, dir string) []segment {
	t.Helper()
	segments, err := listSegments(shardDir(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	return segments
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

// contentOf returns what every file below the log's directory holds.
func contentOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "log"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content[path] = string(readFile(t, path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// wantUnchanged fails if the log's files are not what they were.
func wantUnchanged(t testing.TB, dir string, before map[string]string) {
	t.Helper()
	if !maps.Equal(before, contentOf(t, dir)) {
		t.Fatal("the log's files were changed")
	}
}

// openJournal opens a journal on dir.
func openJournal(t testing.TB, cfg Config) *persistence.Journal {
	t.Helper()
	log := openLog(t, cfg)
	j, err := persistence.Open(persistence.Config{Log: log, Snapshots: log, Logger: cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// startJournal opens and starts a journal on dir, without a replay.
func startJournal(t testing.TB, cfg Config) *persistence.Journal {
	t.Helper()
	j := openJournal(t, cfg)
	if err := j.Start(); err != nil {
		t.Fatal(err)
	}
	return j
}

// snapshotsOf returns the paths of what is in the snapshots' directory.
func snapshotsOf(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(snapshotDir(dir, 0), "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
