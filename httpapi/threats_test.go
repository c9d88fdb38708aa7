package httpapi

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheThreatModelNamesTestsThatExist(t *testing.T) {
	model, err := os.ReadFile("threats.go")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	if err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range declaration.FindAllSubmatch(source, -1) {
			there[string(match[1])] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\bTest\w+`).FindAllString(string(model), -1)
	if len(named) < 40 {
		t.Errorf("the model names %d tests", len(named))
	}
	for _, name := range named {
		if !there[name] {
			t.Errorf("the model names %s, which does not exist", name)
		}
	}
}
