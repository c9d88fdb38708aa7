package local

import (
	"errors"
	"path/filepath"

	"github.com/aitbc/exchange/persistence"
)

// ScanSnapshot reads the newest valid snapshot of a stopped service, or of a copy,
// and changes nothing: fn gets every entry, valid during the call. found is false
// if no snapshot is valid; invalid tells of those that are not.
func ScanSnapshot(dir string, shard uint16, fn func(entry []byte) error) (info persistence.SnapshotInfo, found bool, invalid []error, err error) {
	lock, err := lockDirForReading(dir)
	if err != nil {
		return persistence.SnapshotInfo{}, false, nil, err
	}
	defer lock.unlock()
	store := snapshotFiles{dir: snapshotDir(dir, shard)}
	names, err := store.Snapshots()
	if err != nil {
		return persistence.SnapshotInfo{}, false, nil, err
	}
	snapshot, _ := persistence.NewestSnapshot(store, shard, names, 1, func(err error) { invalid = append(invalid, err) })
	if snapshot == nil {
		return persistence.SnapshotInfo{}, false, invalid, nil
	}
	err = snapshot.Each(1, func(_ int, entry []byte) error { return fn(entry) })
	return snapshot.Info(), true, invalid, errors.Join(err, snapshot.Close())
}

// snapshotFiles are the snapshots in a directory that is not locked.
type snapshotFiles struct{ dir string }

func (s snapshotFiles) Snapshots() ([]uint64, error) { return listSnapshots(s.dir) }

func (s snapshotFiles) OpenSnapshot(next uint64) (persistence.SnapshotReader, error) {
	return openSnapshotFile(filepath.Join(s.dir, snapshotName(next)))
}
