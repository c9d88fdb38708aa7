package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// truncate makes a log lose all that a snapshot makes unnecessary, which takes
// segments that are ended.
func truncate(t *testing.T, data string, next uint64) {
	t.Helper()
	store, err := local.Open(local.Config{Dir: data, SegmentBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := persistence.Open(persistence.Config{Log: store})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Start(); err != nil { // its frame ends one segment and begins another
		t.Fatal(err)
	}
	if err := store.TruncateFront(next); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
}

func lineOf(t *testing.T, output, name string) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + name + ` .*$`).FindString(output)
	if line == "" {
		t.Fatalf("no %q in\n%s", name, output)
	}
	return line
}

func TestVerifyHoldsTheSnapshotAgainstTheLogAndGoesOnFromIt(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := startService(t, data, "--demo")
	id, token := s.login("verify_snapshot_1")
	s.login("verify_snapshot_2")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":12.5}`, "X-Session-Token", token)
	if err := s.command.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	deadline, poll := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer poll.Stop()
	for !strings.Contains(s.log.String(), "snapshot taken") {
		select {
		case <-deadline:
			t.Fatalf("no snapshot\n%s", s.log)
		case <-poll.C:
		}
	}
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d\n%s", code, s.log)
	}
	whole, code := runVerify(t, data)
	if code != 0 || !strings.Contains(lineOf(t, whole, "snapshot"), "2 accounts") || !strings.Contains(whole, "\nconserved      credits - debits - fees = balances\n") || strings.Contains(whole, "\nopening ") {
		t.Fatalf("exit %d\n%s", code, whole)
	}

	snapshots, err := filepath.Glob(filepath.Join(data, "snapshot", "0000", "*"))
	if err != nil || len(snapshots) != 1 {
		t.Fatal(snapshots, err)
	}
	next, err := strconv.ParseUint(filepath.Base(snapshots[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	truncate(t, data, next)
	s = startService(t, data, "--demo")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d\n%s", code, s.log)
	}
	front, code := runVerify(t, data)
	if code != 0 || !strings.Contains(lineOf(t, front, "opening"), "12.5 AITBC") || !strings.HasSuffix(lineOf(t, front, "credits"), " 1 AITBC") ||
		!strings.Contains(lineOf(t, front, "balances"), "13.5 AITBC") || !strings.Contains(front, "\nconserved      opening + credits - debits - fees = balances\n") {
		t.Errorf("exit %d\n%s", code, front)
	}

	// Without the snapshot the beginning is gone.
	content, err := os.ReadFile(snapshots[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(snapshots[0], content, 0o640); err != nil {
		t.Fatal(err)
	}
	if out, code := runVerify(t, data); code != 1 || !strings.Contains(out, snapshots[0]) {
		t.Errorf("exit %d\n%s", code, out)
	}
}
