// Package keyfile reads and writes files of secret keys, which their owner alone may
// read.
//
// It owns how they are kept, not what is in them, and shows none of it in an error. It is
// called by the packages of actors that have keys.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Read returns what the file holds, nil if there is none. One that others may use is
// refused: whoever has the keys is everybody.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("key file %s has mode %04o: others may use it; want 0600, and new keys if they did", path, mode)
	}
	return os.ReadFile(path) // #nosec G304 -- the operator names the file
}

// Write puts content in place of what the file holds: after a crash it has the old or the
// new.
func Write(path string, content []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
