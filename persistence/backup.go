package persistence

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// BackupReport is what a backup holds.
type BackupReport struct {
	Snapshot *SnapshotInfo // the newest; nil if there is none
	Log      ScanReport
	Beside   map[string]ScanReport // the logs of the directories beside it, by name
}

// backupTries bounds how often a copy is begun anew because the service has
// truncated its log meanwhile.
const backupTries = 10

// Backup copies a shard's snapshots and log to a new directory, durably, and reads
// the copy to its last byte; a service may run on dir meanwhile. A service starts
// on the copy as it is, and finds its mark: see CopyMark. What was acknowledged before the call is in it, and what
// comes during the call may be. After an error there is no copy.
//
// beside are names of directories in dir with a shard of their own, and without
// snapshots; one that is not there is left out. They are copied last, so that what is
// written there first is in the copy.
//
// Snapshots are copied first, then segments, oldest first: the log then reaches
// at least to where the snapshots do. Only its last segment still grows, whose copy
// may end within an entry, as it may after a crash.
func Backup(dir, to string, shard uint16, beside ...string) (BackupReport, error) {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return BackupReport{}, errors.Join(fmt.Errorf("%s is there already", to), err)
	}
	unfinished, taken := to+temporary, time.Now()
	for try := 1; ; try++ {
		if err := os.RemoveAll(unfinished); err != nil {
			return BackupReport{}, err
		}
		report, err := copyShard(dir, unfinished, shard)
		for _, name := range beside {
			if _, missing := os.Stat(shardDir(filepath.Join(dir, name), shard)); err != nil || errors.Is(missing, fs.ErrNotExist) {
				continue
			}
			var copied BackupReport
			if copied, err = copyShard(filepath.Join(dir, name), filepath.Join(unfinished, name), shard); err == nil {
				if report.Beside == nil {
					report.Beside = map[string]ScanReport{}
				}
				report.Beside[name] = copied.Log
			}
		}
		if err == nil {
			err = writeCopyMark(unfinished, taken)
		}
		if err == nil {
			err = errors.Join(os.Rename(unfinished, to), osFiles{}.syncDir(filepath.Dir(to)))
		}
		if err == nil {
			return report, nil
		}
		err = errors.Join(err, os.RemoveAll(unfinished))
		if !errors.Is(err, errCopyGap) || try == backupTries {
			return BackupReport{}, fmt.Errorf("backup: %w", err)
		}
	}
}

// errCopyGap says that a copy lacks frames, because files went while it was made.
var errCopyGap = errors.New("the log was truncated while it was copied")

// copyShard copies and checks once.
func copyShard(dir, to string, shard uint16) (report BackupReport, err error) {
	names, err := listSnapshots(snapshotDir(dir, shard))
	if err != nil {
		return report, err
	}
	for _, name := range names {
		err := copyFile(filepath.Join(snapshotDir(dir, shard), snapshotName(name)), filepath.Join(snapshotDir(to, shard), snapshotName(name)))
		if err != nil {
			return report, err
		}
	}
	if _, err := os.Stat(shardDir(dir, shard)); err != nil {
		return report, fmt.Errorf("no log of shard %d in %s: %w", shard, dir, err)
	}
	segments, err := listSegments(shardDir(dir, shard))
	if err != nil {
		return report, err
	}
	for _, s := range segments {
		if err := copyFile(s.path, filepath.Join(shardDir(to, shard), filepath.Base(s.path))); err != nil {
			return report, err
		}
	}
	if err := syncTree(to); err != nil {
		return report, err
	}
	return checkCopy(to, shard)
}

// checkCopy reads all of a copy, and that its log begins where its snapshots end.
func checkCopy(dir string, shard uint16) (report BackupReport, err error) {
	names, err := listSnapshots(snapshotDir(dir, shard))
	if err != nil {
		return report, err
	}
	snapshot, invalid := newestValid(snapshotFiles{snapshotDir(dir, shard)}, shard, names, 1, func(error) {})
	if snapshot != nil {
		report.Snapshot = &snapshot.info
		if err := snapshot.close(); err != nil {
			return report, err
		}
	}
	if report.Log, err = Scan(dir, shard, func(Position, []byte) error { return nil }); err != nil {
		return report, err
	}
	next := uint64(1)
	if snapshot != nil {
		next = snapshot.info.Next
	}
	if report.Log.First > next {
		return report, errors.Join(fmt.Errorf("%w: it begins with frame %d, frame %d is needed", errCopyGap, report.Log.First, next), invalid)
	}
	if snapshot != nil && report.Log.Last+1 < snapshot.info.End {
		return report, fmt.Errorf("the snapshot knows of frames up to %d, the log ends with %d", snapshot.info.End-1, report.Log.Last)
	}
	return report, nil
}

// copyFile copies a file and syncs the copy.
func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errCopyGap, err)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := osFiles{}.create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// syncTree syncs every directory from dir down, and the one that dir is in.
func syncTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return osFiles{}.syncDir(path)
	})
	return errors.Join(err, osFiles{}.syncDir(filepath.Dir(dir)))
}
