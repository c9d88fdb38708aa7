package persistence_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// openLocal opens the log in a directory and closes it when the test ends, unless it is
// closed by then.
func openLocal(t testing.TB, cfg local.Config) *local.Log {
	t.Helper()
	log, err := local.Open(cfg)
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

// openJournal opens a journal on the log and the snapshots in a directory.
func openJournal(t testing.TB, cfg local.Config) *persistence.Journal {
	t.Helper()
	log := openLocal(t, cfg)
	j, err := persistence.Open(persistence.Config{Log: log, Snapshots: log, Logger: cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// startJournal opens and starts a journal on a directory, without a replay.
func startJournal(t testing.TB, cfg local.Config) *persistence.Journal {
	t.Helper()
	log := openLocal(t, cfg)
	return persistencetest.Start(t, persistence.Config{Log: log, Snapshots: log, Logger: cfg.Logger})
}

// snapshotPath is where the log in a directory keeps a snapshot.
func snapshotPath(dir string, next uint64) string {
	return filepath.Join(dir, "snapshot", "0000", fmt.Sprintf("%020d", next))
}

// snapshotsOf returns the paths of all in the snapshots' directory.
func snapshotsOf(t testing.TB, dir string) []string { return filesIn(t, dir, "snapshot") }

// segmentsOf returns the paths of the log's segments, oldest first.
func segmentsOf(t testing.TB, dir string) []string { return filesIn(t, dir, "log") }

func filesIn(t testing.TB, dir, kind string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, kind, "0000", "*")) // sorted
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// firstFrame returns the number of the log's first frame.
func firstFrame(t testing.TB, dir string) uint64 {
	t.Helper()
	first, err := strconv.ParseUint(filepath.Base(segmentsOf(t, dir)[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return first
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
