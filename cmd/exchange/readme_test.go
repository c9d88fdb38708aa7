package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmes are all there are; the links and the names of tests in each are checked.
var readmes = []string{"../../README.md", "../../actors/README.md", "../../bench/README.md", "../../persistence/README.md", "README.md"}

// TestTheREADMEHasEveryFlagAsHelpHasIt compares the table of flags with those of serve.
// With -update it writes the table anew.
func TestTheREADMEHasEveryFlagAsHelpHasIt(t *testing.T) {
	const head = "| flag | default | what it is |\n|---|---|---|\n"
	readme := readFile(t, "README.md")
	var table strings.Builder
	serveOptions(&settings{}).VisitAll(func(f *flag.Flag) {
		value := " "
		if f.DefValue != "" {
			value = " `" + f.DefValue + "` "
		}
		fmt.Fprintf(&table, "| `--%s` |%s| %s |\n", f.Name, value, strings.ReplaceAll(f.Usage, "|", `\|`))
	})
	before, rest, found := strings.Cut(readme, head)
	if !found {
		t.Fatalf("there is no table of flags, which begins with\n%s", head)
	}
	rows := regexp.MustCompile(`^(\|.*\n)*`).FindString(rest)
	if rows == table.String() {
		return
	}
	if *update {
		if err := os.WriteFile("README.md", []byte(before+head+table.String()+strings.TrimPrefix(rest, rows)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for row := range strings.Lines(table.String()) {
		if !strings.Contains(rows, row) {
			t.Errorf("the table lacks the row\n%s", row)
		}
	}
	t.Error("the table of flags is not that of serve --help: go test ./cmd/exchange -run TheREADME -update writes it anew")
}

func TestTheREADMEsReferToWhatIsThere(t *testing.T) {
	var tests strings.Builder
	for _, pattern := range []string{"../../*/*_test.go", "../../*/*/*_test.go", "../../*/*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			tests.WriteString(readFile(t, file))
		}
	}
	links, names := 0, 0
	for _, path := range readmes {
		readme := readFile(t, path)
		for _, link := range regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`).FindAllStringSubmatch(readme, -1) {
			links++
			target := path
			if link[1] != "" {
				target = filepath.Join(filepath.Dir(path), link[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", path, link[1], err)
			} else if link[2] != "" && !strings.Contains(anchors(readFile(t, target)), link[2]+"\n") {
				t.Errorf("%s: there is no heading %s in %s", path, link[2], target)
			}
		}
		for _, name := range regexp.MustCompile("`(Test[A-Z]\\w+)`").FindAllStringSubmatch(readme, -1) {
			names++
			if !strings.Contains(tests.String(), "func "+name[1]+"(") {
				t.Errorf("%s: there is no test %s", path, name[1])
			}
		}
	}
	if links == 0 || names == 0 {
		t.Errorf("%d links and %d names of tests were found", links, names)
	}
}

// anchors are what the headings of a page can be linked by, a line each.
func anchors(page string) string {
	var list strings.Builder
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		list.WriteString("#" + strings.ReplaceAll(text, " ", "-") + "\n")
	}
	return list.String()
}

// TestTheREADMEsSessionCanBePasted runs what the README says to paste, in a shell, against
// a service in demo mode.
func TestTheREADMEsSessionCanBePasted(t *testing.T) {
	_, rest, found := strings.Cut(readFile(t, "../../README.md"), "```bash\n")
	if !found {
		t.Fatal("the README has no session in bash")
	}
	session, _, _ := strings.Cut(rest, "```\n")
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v; make deps installs it, or says how", err)
		}
	}
	s := startService(t, t.TempDir(), "--demo-confirm-after", "1h")
	if !strings.Contains(session, "http://127.0.0.1:8080") {
		t.Fatal("the session is not with the address that make run serves")
	}
	shell := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(session, "http://127.0.0.1:8080", s.url))
	shell.Stderr = os.Stderr
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 6 {
		t.Fatalf("want six answers, got\n%s", out)
	}
	for i, want := range []string{`"type":"deposit","status":"completed","amount":12.5`, `"status":"pending"`, `"payment_id":`, `"balance":12.5`, `"code":"insufficient_funds"`, `"transactions":[`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("answer %d has no %s:\n%s", i+1, want, lines[i])
		}
	}
	if lines[1] != lines[2] {
		t.Errorf("the same Idempotency-Key made two payments:\n%s\n%s", lines[1], lines[2])
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
