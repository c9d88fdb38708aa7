package faultfs

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// write opens, writes, perhaps syncs, and closes.
func write(t *testing.T, path, data string, sync bool) error {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	_, err = file.WriteString(data)
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds checks the content of a file, "-" for none.
func holds(t *testing.T, path, want string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if got := string(content); errors.Is(err, os.ErrNotExist) && want == "-" {
		return
	} else if err != nil || got != want {
		t.Errorf("%s holds %q, %v, want %q", filepath.Base(path), got, err, want)
	}
}

func TestPowerCutKeepsWhatWasSyncedAndNothingElse(t *testing.T) {
	d := New()
	dir, unmount := d.MountFor(t)
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o750))
	must(t, write(t, filepath.Join(dir, "a", "synced"), "one", true))
	must(t, write(t, filepath.Join(dir, "a", "longer"), "one", true))
	must(t, write(t, filepath.Join(dir, "a", "old"), "moved", true))
	must(t, write(t, filepath.Join(dir, "a", "gone"), "gone", true))
	must(t, syncDir(filepath.Join(dir, "a")))
	must(t, syncDir(dir))
	must(t, write(t, filepath.Join(dir, "a", "longer"), "two", false))
	must(t, write(t, filepath.Join(dir, "a", "nameless"), "one", true))
	must(t, os.Rename(filepath.Join(dir, "a", "old"), filepath.Join(dir, "a", "new")))
	must(t, os.Remove(filepath.Join(dir, "a", "gone")))
	must(t, os.Truncate(filepath.Join(dir, "a", "synced"), 1))
	holds(t, filepath.Join(dir, "a", "longer"), "onetwo")
	holds(t, filepath.Join(dir, "a", "synced"), "o")
	holds(t, filepath.Join(dir, "a", "new"), "moved")
	unmount()
	d.Cut(nil)
	dir, _ = d.MountFor(t)
	for name, want := range map[string]string{"synced": "one", "longer": "one", "nameless": "-", "old": "moved", "new": "-", "gone": "gone"} {
		holds(t, filepath.Join(dir, "a", name), want)
	}
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); err != nil {
		t.Error(err)
	}
}

// TestFailedSyncLosesTheWritesThoughTheNextSucceeds is what Linux does.
func TestFailedSyncLosesTheWritesThoughTheNextSucceeds(t *testing.T) {
	d := New()
	dir, unmount := d.MountFor(t)
	path := filepath.Join(dir, "file")
	must(t, write(t, path, "one", true))
	must(t, syncDir(dir))
	d.Arm(func(op Op) bool { return op == Op{Kind: "sync", Path: "file", Size: 6} }, 1, Fault{Err: syscall.EIO})
	if err := write(t, path, "two", true); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	must(t, write(t, path, "three", true))
	holds(t, path, "onetwothree")
	if at, after, ok := d.What(); !ok || at.String() != "sync file" || !slices.Equal(after, []Op{{Kind: "open", Path: "file"}, {Kind: "write", Path: "file"}, {Kind: "sync", Path: "file", Size: 11}}) {
		t.Errorf("%v, then %v", at, after)
	}
	unmount()
	d.Cut(nil)
	dir, _ = d.MountFor(t)
	holds(t, filepath.Join(dir, "file"), "one\x00\x00\x00three")
}

func TestEveryKindOfOperationFails(t *testing.T) {
	d := New()
	dir, _ := d.MountFor(t)
	must(t, write(t, filepath.Join(dir, "there"), "12", true))
	for kind, act := range map[string]func() error{
		"open":     func() error { return write(t, filepath.Join(dir, "there"), "", false) },
		"create":   func() error { return write(t, filepath.Join(dir, "new"), "", false) },
		"write":    func() error { return write(t, filepath.Join(dir, "there"), "34", false) },
		"truncate": func() error { return os.Truncate(filepath.Join(dir, "there"), 1) },
		"sync":     func() error { return write(t, filepath.Join(dir, "there"), "", true) },
		"sync dir": func() error { return syncDir(dir) },
		"mkdir":    func() error { return os.Mkdir(filepath.Join(dir, "directory"), 0o750) },
		"rename":   func() error { return os.Rename(filepath.Join(dir, "there"), filepath.Join(dir, "elsewhere")) },
		"unlink":   func() error { return os.Remove(filepath.Join(dir, "there")) },
	} {
		before := d.Tree()
		d.Arm(func(op Op) bool { return op.Kind == kind }, 1, Fault{Err: syscall.ENOSPC})
		if err := act(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", kind, err)
		}
		if after := d.Tree(); after != before {
			t.Errorf("%s has changed\n%sto\n%s", kind, before, after)
		}
	}
	d.Arm(func(op Op) bool { return op.Kind == "write" }, 1, Fault{Err: syscall.ENOSPC, Short: true})
	if err := write(t, filepath.Join(dir, "there"), "3456", false); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("short write: %v", err)
	}
	holds(t, filepath.Join(dir, "there"), "1234")
	d.Arm(func(op Op) bool { return op.Kind == "rename" }, 1, Fault{Err: syscall.EIO, Done: true})
	if err := os.Rename(filepath.Join(dir, "there"), filepath.Join(dir, "moved")); !errors.Is(err, syscall.EIO) {
		t.Errorf("done: %v", err)
	}
	holds(t, filepath.Join(dir, "moved"), "1234")
	d.Arm(func(Op) bool { return true }, 2, Fault{Power: true})
	must(t, os.Mkdir(filepath.Join(dir, "first"), 0o750))
	for _, name := range []string{"second", "third"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o750); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s directory without power: %v", name, err)
		}
	}
	if got, want := d.Tree(), "first/\nmoved 4 bytes, 2 of them safe\n"; got != want {
		t.Errorf("%q is there, want %q", got, want)
	}
}

// TestPowerCutTearsWritesAndLosesAnyOfThem looks at many cuts of one history.
func TestPowerCutTearsWritesAndLosesAnyOfThem(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(300) {
		d := New()
		file := d.newFile()
		d.root.rename(change{name: "file", object: file})
		d.root.syncNames()
		for i, part := range []string{"ab", "cd"} {
			file.change(edit{at: 2 * i, data: []byte(part)})
		}
		d.Cut(rand.New(rand.NewPCG(seed, 0)))
		seen[string(file.content)] = true
	}
	want := []string{"", "a", "ab", "\x00\x00c", "\x00\x00cd", "a\x00c", "a\x00cd", "abc", "abcd"}
	for _, content := range want {
		if !seen[content] {
			t.Errorf("%q was never left", content)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d contents were left, want %d: %v", len(seen), len(want), seen)
	}
}
