package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/tidwall/wal"
)

// files is how a Log changes the disk: the seam at which tests let a
// disk fail, or lose its power.
type files interface {
	// openLog opens the log in dir to append to it.
	openLog(dir string, segmentBytes int) (logFile, error)
	// rewrite makes data the whole content of an existing file, and syncs it.
	rewrite(path string, data []byte) error
	// create makes a file that must not be there yet.
	create(path string) (newFile, error)
	rename(from, to string) error
	remove(path string) error
	mkdir(path string) error
	// syncDir makes the names in dir durable.
	syncDir(dir string) error
	// free returns how many bytes can be written in dir.
	free(dir string) (uint64, error)
}

// newFile is a file that is written once, from its beginning to its end.
type newFile interface {
	io.Writer
	Sync() error
	Close() error
}

// logFile is the log that is appended to.
type logFile interface {
	Write(index uint64, data []byte) error
	Sync() error
	// Segment is the number of the first entry of the segment that is written to.
	Segment() uint64
	LastIndex() (uint64, error)
	Close() error
}

// osFiles are the real files.
type osFiles struct {
	growing bool // the log's are not preallocated: see preallocatedLog
}

func (f osFiles) openLog(dir string, segmentBytes int) (logFile, error) {
	log, err := wal.Open(dir, &wal.Options{
		NoSync:           true, // Log.write calls Sync after each Write
		SegmentSize:      segmentBytes,
		SegmentCacheSize: 1, // nothing is read through it
		AllowEmpty:       true,
		DirPerms:         0o700,
		FilePerms:        0o600,
	})
	if err != nil {
		return nil, err
	}
	return openPreallocated(log, dir, int64(segmentBytes), f.growing)
}

func (osFiles) rewrite(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = file.Truncate(int64(len(data)))
	if err == nil {
		_, err = file.WriteAt(data, 0)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (osFiles) create(path string) (newFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osFiles) rename(from, to string) error { return os.Rename(from, to) }

func (osFiles) remove(path string) error { return os.Remove(path) }

func (osFiles) mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (osFiles) syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync directory: %w", err), file.Close())
	}
	return file.Close()
}

func (osFiles) free(dir string) (uint64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
