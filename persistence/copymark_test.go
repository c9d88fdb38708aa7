package persistence

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestACopyIsMarkedUntilAServiceRunsOnIt(t *testing.T) {
	top := t.TempDir()
	dir := writeLog(t, 90, numbered(9)...)
	before := time.Now()
	ids := map[[16]byte]bool{}
	for _, name := range []string{"one", "two"} {
		to := filepath.Join(top, name)
		if _, err := Backup(dir, to, 0); err != nil {
			t.Fatal(err)
		}
		mark, err := ReadCopyMark(to)
		if err != nil || mark == nil || mark.Taken.Before(before) || ids[mark.ID] {
			t.Fatalf("the mark of %s is %+v, %v", name, mark, err)
		}
		ids[mark.ID] = true
	}
	if mark, err := ReadCopyMark(dir); mark != nil || err != nil {
		t.Errorf("what was copied is marked: %+v, %v", mark, err)
	}
	one := filepath.Join(top, "one")
	if err := ClearCopyMark(one); err != nil {
		t.Fatal(err)
	}
	if mark, err := ReadCopyMark(one); mark != nil || err != nil {
		t.Errorf("a cleared mark is %+v, %v", mark, err)
	}
	// A copy of a copy that never ran is marked by itself.
	if _, err := Backup(filepath.Join(top, "two"), filepath.Join(top, "three"), 0); err != nil {
		t.Fatal(err)
	}
	if mark, err := ReadCopyMark(filepath.Join(top, "three")); err != nil || mark == nil || ids[mark.ID] {
		t.Errorf("the mark of a copy's copy is %+v, %v", mark, err)
	}
}

func TestACopyMadeByOtherMeansIsMarkedByHand(t *testing.T) {
	dir := writeLog(t, 90, numbered(9)...)
	mark, err := MarkCopy(dir, 0, time.Time{})
	if err != nil || !mark.Taken.IsZero() {
		t.Fatalf("%+v, %v", mark, err)
	}
	again, err := MarkCopy(dir, 0, time.Now())
	if err != nil || *again != *mark {
		t.Errorf("marked again it is %+v, %v; want %+v", again, err, mark)
	}
	l, err := OpenLocal(LocalConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := MarkCopy(dir, 0, time.Time{}); !errors.As(err, new(*LockedError)) {
		t.Errorf("while a service runs: %v, want a LockedError", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := MarkCopy(t.TempDir(), 0, time.Time{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a log: %v", err)
	}
	for _, content := range []string{"", "{", `{"copy":"zz"}`, `{"copy":"00"}`} {
		if err := os.WriteFile(filepath.Join(dir, copyMarkName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if mark, err := ReadCopyMark(dir); err == nil {
			t.Errorf("%q is read as %+v", content, mark)
		}
	}
}
