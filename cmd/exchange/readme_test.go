package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheREADMEHasEveryFlagWithItsDefault(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := 0
	serveOptions(&settings{}).VisitAll(func(f *flag.Flag) {
		flags++
		value := f.DefValue
		if value == "" {
			value = " "
		} else {
			value = " `" + value + "` "
		}
		row := "| `--" + f.Name + "` |" + value + "|"
		if !strings.Contains(string(readme), "\n"+row) {
			t.Errorf("no row of the config table begins with %s", row)
		}
	})
	if rows := strings.Count(string(readme), "\n| `--"); rows != flags {
		t.Errorf("the config table has %d rows for %d flags", rows, flags)
	}
}

func TestTheREADMERefersToWhatIsThere(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(readme), -1)
	if len(links) == 0 {
		t.Error("no link to a file was found")
	}
	for _, link := range links {
		if _, err := os.Stat(filepath.Join("../..", link[1])); err != nil {
			t.Errorf("link to %s: %v", link[1], err)
		}
	}
	var tests strings.Builder
	for _, pattern := range []string{"../../*/*_test.go", "../../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(source)
		}
	}
	names := regexp.MustCompile("`(Test[A-Z]\\w+)`").FindAllStringSubmatch(string(readme), -1)
	if len(names) == 0 {
		t.Error("no name of a test was found")
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "func "+name[1]+"(") {
			t.Errorf("there is no test %s", name[1])
		}
	}
}
