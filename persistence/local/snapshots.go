package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aitbc/exchange/persistence"
)

// temporary ends the name of a snapshot that is being written. A file of such a name was
// left by a crash if it is there when the next snapshot begins.
const temporary = ".tmp"

// defaultSyncEvery is how much of a snapshot is written before it is synced: as
// much as may stand in the way of the log's next sync, which is then half a
// millisecond late at most on a disk of 256 MiB/s.
const defaultSyncEvery = 128 << 10

func snapshotDir(dir string, shard uint16) string {
	return filepath.Join(dir, "snapshot", fmt.Sprintf("%04d", shard))
}

func snapshotName(next uint64) string { return segmentName(next) }

// listSnapshots returns the names of the snapshots in dir, oldest first, none if
// it does not exist.
func listSnapshots(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir) // sorted
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	var snapshots []uint64
	for _, entry := range entries {
		next, err := strconv.ParseUint(entry.Name(), 10, 64)
		if entry.Type().IsRegular() && err == nil && next > 0 && entry.Name() == snapshotName(next) {
			snapshots = append(snapshots, next)
		}
	}
	return snapshots, nil
}

// snapshots returns the directory of the claimed shard's snapshots.
func (l *Log) snapshots() (string, error) {
	if l.shardDir == "" {
		return "", errNotClaimed
	}
	return snapshotDir(l.dir, l.claim.Shard), nil
}

// Snapshots implements persistence.SnapshotStore.
func (l *Log) Snapshots() ([]uint64, error) {
	dir, err := l.snapshots()
	if err != nil {
		return nil, err
	}
	return listSnapshots(dir)
}

// CreateSnapshot implements persistence.SnapshotStore.
func (l *Log) CreateSnapshot(next uint64) (persistence.SnapshotWriter, error) {
	dir, err := l.snapshots()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	failed := errors.Join(l.failed, l.snapshotsFailed)
	l.mu.Unlock()
	if failed != nil {
		return nil, failed
	}
	if err := l.openSnapshots(dir); err != nil {
		return nil, err
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	for _, entry := range left {
		if strings.HasSuffix(entry.Name(), temporary) {
			if err := l.files.remove(filepath.Join(dir, entry.Name())); err != nil {
				return nil, fmt.Errorf("remove an unfinished snapshot: %w", err)
			}
		}
	}
	w := &localSnapshot{local: l, dir: dir, path: filepath.Join(dir, snapshotName(next))}
	if w.file, err = l.files.create(w.path + temporary); err != nil {
		return nil, fmt.Errorf("create a snapshot: %w", err)
	}
	return w, nil
}

// openSnapshots makes the directory and, once in the life of a process, makes it and its
// parents durable, which the process before may have failed to do: the log is truncated
// because of the snapshots in there.
func (l *Log) openSnapshots(dir string) error {
	if l.snapshotsOpened {
		return nil
	}
	err := l.makeDir(dir)
	for _, dir := range []string{dir, filepath.Dir(dir), l.dir} {
		if err == nil {
			err = l.files.syncDir(dir)
		}
	}
	if err != nil {
		return l.failSnapshots(err)
	}
	l.snapshotsOpened = true
	return nil
}

// failSnapshots ends the snapshots, but not the log, because of a directory that
// could not be synced: the kernel reports it once, so the names on disk are
// unknown until the service is started anew.
func (l *Log) failSnapshots(cause error) error {
	err := fmt.Errorf("the snapshots' directory failed, no more are taken: %w", cause)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.snapshotsFailed = err
	return err
}

// OpenSnapshot implements persistence.SnapshotStore.
func (l *Log) OpenSnapshot(next uint64) (persistence.SnapshotReader, error) {
	dir, err := l.snapshots()
	if err != nil {
		return nil, err
	}
	return openSnapshotFile(filepath.Join(dir, snapshotName(next)))
}

// RemoveSnapshot implements persistence.SnapshotStore.
func (l *Log) RemoveSnapshot(next uint64) error {
	dir, err := l.snapshots()
	if err != nil {
		return err
	}
	return l.files.remove(filepath.Join(dir, snapshotName(next)))
}

// localSnapshot is a snapshot that is written to a file.
type localSnapshot struct {
	local    *Log
	dir      string
	path     string // its name once it is whole
	file     newFile
	unsynced int
	done     bool // committed or aborted
}

// Write implements persistence.SnapshotWriter. It leaves the log the room of its next segment:
// a disk that is full ends the service, a missing snapshot does not.
func (w *localSnapshot) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		chunk := rest[:min(len(rest), w.local.syncEvery-w.unsynced)]
		n, err := w.file.Write(chunk)
		if err != nil {
			return len(p) - len(rest) + n, fmt.Errorf("write %s: %w", w.path, err)
		}
		rest = rest[n:]
		if w.unsynced += n; w.unsynced == w.local.syncEvery {
			start := time.Now()
			if err := w.sync(); err != nil {
				return len(p) - len(rest), err
			}
			time.Sleep(3 * time.Since(start)) // the log has the disk for most of the time
		}
	}
	return len(p), nil
}

func (w *localSnapshot) sync() error {
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.path, err)
	}
	w.unsynced = 0
	free, err := w.local.files.free(w.dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", w.dir, err)
	}
	if free < uint64(w.local.segmentBytes) {
		return fmt.Errorf("%w: %d bytes are free in %s, the log's next segment takes %d", ErrNoRoom, free, w.dir, w.local.segmentBytes)
	}
	return nil
}

// ErrNoRoom is why a snapshot is given up that would take the log's room.
var ErrNoRoom = errors.New("no room for a snapshot beside the log")

// Commit implements persistence.SnapshotWriter.
func (w *localSnapshot) Commit() error {
	if err := w.sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", w.path, err)
	}
	if err := w.local.files.rename(w.path+temporary, w.path); err != nil {
		return fmt.Errorf("rename a snapshot: %w", err)
	}
	w.done = true
	if err := w.local.files.syncDir(w.dir); err != nil {
		return w.local.failSnapshots(err)
	}
	return nil
}

// Abort implements persistence.SnapshotWriter.
func (w *localSnapshot) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	err := w.file.Close()
	if errors.Is(err, fs.ErrClosed) { // by Commit
		err = nil
	}
	return errors.Join(err, w.local.files.remove(w.path+temporary))
}

// snapshotFile is a snapshot on disk.
type snapshotFile struct {
	*os.File
	size int64
}

func openSnapshotFile(path string) (persistence.SnapshotReader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return snapshotFile{file, info.Size()}, nil
}

// Size implements persistence.SnapshotReader.
func (f snapshotFile) Size() int64 { return f.size }
