package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// go test runs a corpus with the fuzz target of its name, and says nothing of one that no
// target has, such as after the target was renamed or moved.
func TestEveryFuzzCorpusHasItsTarget(t *testing.T) {
	const root = "../.."
	corpora := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || filepath.Base(filepath.Dir(path)) != "fuzz" || !strings.HasPrefix(entry.Name(), "Fuzz") {
			return err
		}
		corpora++
		files, err := filepath.Glob(filepath.Join(path, "../../..", "*_test.go"))
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if strings.Contains(string(text), "\nfunc "+entry.Name()+"(") {
				return nil
			}
		}
		t.Errorf("%s: no test file of its package has func %s: move the corpus to where the target is", path, entry.Name())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if corpora == 0 {
		t.Error("there is no corpus")
	}
}
