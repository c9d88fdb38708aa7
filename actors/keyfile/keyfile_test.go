package keyfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAKeyFileIsItsOwnersAloneAndReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if content, err := Read(path); content != nil || err != nil {
		t.Fatalf("no file is read as %q, %v", content, err)
	}
	for _, content := range []string{"first", "the second one", ""} {
		if err := Write(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path); got == nil || string(got) != content || err != nil {
			t.Errorf("%q is read as %q, %v", content, got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	for mode, want := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o620: false, 0o604: false, 0o700: true, 0o710: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); (err == nil) != want || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	// A write that fails leaves nothing behind, here where a folder is in the way.
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "folder", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "folder"), []byte("key")); err == nil {
		t.Error("a folder was replaced")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left are %v, %v", left, err)
	}
}
