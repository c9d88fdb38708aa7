package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for bench where bench runs itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		if err := servePeer(os.Args[2:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	// Commands are named relative to the module.
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// output is what f prints to standard output.
func output(t *testing.T, f func() error) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	defer func() { os.Stdout = stdout }()
	printed := make(chan string)
	go func() {
		content, _ := io.ReadAll(read)
		printed <- string(content)
	}()
	err = errors.Join(f(), write.Close())
	text := <-printed
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return text
}

// A whole run on the exchange and the empty handler, which need nothing installed.
func TestRunMeasuresChecksAndRemoves(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "report.json")
	text := output(t, func() error {
		return run([]string{"-subjects", "exchange,empty handler", "-users", "50", "-connections", "8", "-rounds", "2",
			"-duration", "100ms", "-dir", dir, "-json", file})
	})
	lines := bytes.Split(bytes.TrimSpace([]byte(text)), []byte("\n"))
	var ratios map[string]float64
	if err := json.Unmarshal(lines[len(lines)-1], &ratios); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, text)
	}
	for _, name := range []string{"deposit_vs_empty", "balance_vs_empty"} {
		if ratios[name] <= 0 {
			t.Errorf("%s is %v", name, ratios[name])
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	if want := 2*len(mixes) - 1; len(r.Rows) != want { // a batch is the exchange's alone
		t.Errorf("%d rows, want %d", len(r.Rows), want)
	}
	for _, w := range r.Rows {
		if len(w.Rounds) != 2 || w.Median.Rate <= 0 || w.Min.Rate > w.Median.Rate || w.Max.Rate < w.Median.Rate || w.Median.P99 < w.Median.P50 {
			t.Errorf("%s on %s: %+v", w.Mix, w.Subject, w)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("the run left %v, %v", left, err)
	}
}

func TestCheckFindsADepositThatIsNotThere(t *testing.T) {
	s, err := newSite(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	x, err := s.add(t.Context(), exchangeName, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.measure(t.Context(), mixes[deposit], load{connections: 2, duration: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := s.check(t.Context()); err != nil {
		t.Error(err)
	}
	x.acknowledged++
	if err := s.check(t.Context()); err == nil {
		t.Error("one deposit more was acknowledged than is in the balances, and the check says nothing")
	}
}

func TestProcessThatExitsIsToldWithItsLog(t *testing.T) {
	x := &subject{}
	s, err := newSite(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	err = s.startPeer(t.Context(), x, "empty", "-samples", filepath.Join(s.dir, "missing.json"))
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("missing.json")) {
		t.Errorf("%v, want what the process wrote", err)
	}
}
