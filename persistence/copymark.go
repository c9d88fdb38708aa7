package persistence

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// CopyMark says that a data directory is a copy, and that no service has run on it. Who
// starts one has to see to it that nothing is given out again that was given out since,
// and then clears the mark.
type CopyMark struct {
	ID    [16]byte  // random: no two copies have the same
	Taken time.Time // when the copy was begun, so that all before is in it; zero if unknown
}

// copyMarkName is a file of the data directory.
const copyMarkName = "copy.json"

// storedCopyMark is the content of that file.
type storedCopyMark struct {
	ID    string     `json:"copy"`
	Taken *time.Time `json:"taken,omitempty"`
}

// ReadCopyMark returns the mark of a data directory, nil if it has none.
func ReadCopyMark(dir string) (*CopyMark, error) {
	path := filepath.Join(dir, copyMarkName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var stored storedCopyMark
	mark := &CopyMark{}
	err = json.Unmarshal(content, &stored)
	if err == nil {
		var id []byte
		if id, err = hex.DecodeString(stored.ID); err == nil && len(id) != len(mark.ID) {
			err = errors.New("the copy's id is not 32 hexadecimal digits")
		}
		copy(mark.ID[:], id)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not the mark of a copy: %w", path, err)
	}
	if stored.Taken != nil {
		mark.Taken = *stored.Taken
	}
	return mark, nil
}

// ClearCopyMark says that a service runs on the copy. It is durable.
func ClearCopyMark(dir string) error {
	if err := os.Remove(filepath.Join(dir, copyMarkName)); err != nil {
		return err
	}
	return osFiles{}.syncDir(dir)
}

// MarkCopy marks a data directory that no process uses as a copy that was taken at a
// time, which may be zero. One that is marked already keeps its mark.
func MarkCopy(dir string, shard uint16, taken time.Time) (mark *CopyMark, err error) {
	if _, err := os.Stat(shardDir(dir, shard)); err != nil {
		return nil, fmt.Errorf("no log of shard %d in %s: %w", shard, dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.unlock()) }()
	if mark, err := ReadCopyMark(dir); mark != nil || err != nil {
		return mark, err
	}
	if err := writeCopyMark(dir, taken); err != nil {
		return nil, err
	}
	return ReadCopyMark(dir)
}

// writeCopyMark marks a directory, durably, with an id of its own.
func writeCopyMark(dir string, taken time.Time) error {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("random number for a copy: %w", err)
	}
	stored := storedCopyMark{ID: hex.EncodeToString(id[:])}
	if !taken.IsZero() {
		taken = taken.UTC()
		stored.Taken = &taken
	}
	content, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, copyMarkName)
	if err := os.RemoveAll(path + temporary); err != nil {
		return err
	}
	file, err := osFiles{}.create(path + temporary)
	if err != nil {
		return err
	}
	_, err = file.Write(append(content, '\n'))
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err == nil {
		err = osFiles{}.syncDir(dir)
	}
	return err
}
