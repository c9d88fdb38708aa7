package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dirLock is the right to use a data directory. The kernel gives it up when the
// process ends, however that ends.
type dirLock struct{ file *os.File }

const lockName = "lock"

// lockDir takes the lock for writing, and leaves this process's id in the file
// for the process that is refused.
func lockDir(dir string) (*dirLock, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory is not writable: %w", err)
	}
	if err := flock(dir, file, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the data directory is not writable: %w", err), file.Close())
	}
	return &dirLock{file}, nil
}

// lockDirForReading takes the lock beside other readers. A directory without a
// lock file, such as a copy, is nobody's: nil is returned.
func lockDirForReading(dir string) (*dirLock, error) {
	file, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := flock(dir, file, syscall.LOCK_SH); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &dirLock{file}, nil
}

func flock(dir string, file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return &LockedError{Dir: dir, PID: holder(file)}
		default:
			return fmt.Errorf("lock %s: %w", file.Name(), err)
		}
	}
}

// holder returns the process that the lock file names, 0 if it names none that
// runs: a reader has the lock without leaving its id, and the file then has that
// of the last service.
func holder(file *os.File) int {
	content, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return 0
	}
	return pid
}

// unlock gives the lock up. A nil lock is none.
func (l *dirLock) unlock() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// LockedError says that another process uses the data directory.
type LockedError struct {
	Dir string
	PID int // 0 if unknown
}

func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the data directory %s is in use by %s", e.Dir, holder)
}
