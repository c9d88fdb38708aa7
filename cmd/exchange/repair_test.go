package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runTool runs a subcommand and returns its output.
func runTool(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	command := exec.Command(binary, args...)
	out, err := command.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

// TestRepairOfADamagedLogShowsWhatIsLostAndTheBackupHasIt damages a log in the
// middle: the start is refused, the repair says what it would cost, and does it
// when told to; the backup that was made before has everything.
func TestRepairOfADamagedLogShowsWhatIsLostAndTheBackupHasIt(t *testing.T) {
	top := t.TempDir()
	data, copied := filepath.Join(top, "data"), filepath.Join(top, "copy")
	s := startService(t, data, "--demo", "--log-level", "warn")
	id, token := s.login("repair_1") // frame 3, after what the data is
	for amount := range 3 {          // frames 4 to 6
		s.mustCall(201, "POST", "/api/users/"+id+"/deposits", fmt.Sprintf(`{"amount":%d}`, amount+1), "X-Session-Token", token)
	}
	if out, code := runTool(t, "repair", "--data", data, "--truncate-at", "5"); code != 1 || !strings.Contains(out, "in use by process") {
		t.Errorf("repair beside the service: exit %d\n%s", code, out)
	}
	if out, code := runTool(t, "backup", "--data", data, "--to", copied); code != 0 {
		t.Fatalf("backup: exit %d\n%s", code, out)
	}
	if out, code := runTool(t, "backup", "--data", data, "--to", copied); code != 1 || !strings.Contains(out, "there already") {
		t.Errorf("backup over a backup: exit %d\n%s", code, out)
	}
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d\n%s", code, s.log)
	}
	log := filepath.Join(data, "log", "0000", fmt.Sprintf("%020d", 1))
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	frames := strings.Split(string(content), "\xFEAX\xFF")
	offset := 0 // of a byte in frame 5
	for _, frame := range frames[:6] {
		offset += len(frame) + 4
	}
	content[offset-8] ^= 1 // its last one or near it
	if err := os.WriteFile(log, content, 0o640); err != nil {
		t.Fatal(err)
	}
	out, code := runVerify(t, data)
	if code != 1 || !strings.Contains(out, "entry 5") {
		t.Fatalf("verify: exit %d\n%s", code, out)
	}

	out, code = runTool(t, "repair", "--data", data, "--truncate-at", "5")
	if code != 0 || !strings.Contains(out, "frame 6, record 0: user "+id) || !strings.Contains(out, "dry run") || !strings.Contains(out, log) {
		t.Errorf("dry run: exit %d\n%s", code, out)
	}
	if again, err := os.ReadFile(log); err != nil || string(again) != string(content) {
		t.Fatalf("the dry run has changed the log: %v", err)
	}
	if out, code = runTool(t, "repair", "--data", data, "--truncate-at", "6", "--yes"); code != 1 || !strings.Contains(out, "damaged") {
		t.Errorf("behind the damage: exit %d\n%s", code, out)
	}
	if out, code = runTool(t, "repair", "--data", data, "--truncate-at", "5", "--yes"); code != 0 || !strings.Contains(out, "saved in "+filepath.Join(data, "cut-at-5")) {
		t.Errorf("repair: exit %d\n%s", code, out)
	}
	for dir, balance := range map[string]string{data: "1 AITBC", copied: "6 AITBC"} {
		if out, code := runVerify(t, dir); code != 0 || !strings.Contains(out, "balances       "+balance) {
			t.Errorf("verify %s: exit %d, want a balance of %s\n%s", dir, code, balance, out)
		}
		s := startService(t, dir, "--demo", "--log-level", "warn")
		s.mustCall(401, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token) // it may have been ended since
		_, fresh := s.login("repair_1")
		made := s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", fresh).decode(t)
		if _, n, _ := strings.Cut(made["id"].(string), "-"); len(n) != len("1000004") {
			t.Errorf("transaction %s may have been given out before, in what was cut off", made["id"])
		}
		if code, _ := s.stop(); code != 0 {
			t.Errorf("exit %d\n%s", code, s.log)
		}
	}
}
