package local

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aitbc/exchange/persistence"
)

// limitEnv names the directory that a process appends to whose files must not
// grow beyond fileLimit.
const (
	limitEnv  = "PERSISTENCE_TEST_LIMITED_IN"
	fileLimit = 5000
)

// appendToTheLimit appends the numbers from where the log ends and prints each that
// is acknowledged, until the kernel refuses a write. It returns how that ended.
func appendToTheLimit(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: fileLimit, Max: fileLimit}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	var c counter
	log, err := Open(Config{Dir: dir})
	if err != nil {
		return err
	}
	j, err := persistence.Open(persistence.Config{Log: log, Snapshots: log})
	if err != nil {
		return err
	}
	if err := j.Start(); err != nil {
		return err
	}
	for {
		if err := c.append(j); err != nil {
			return errors.Join(err, j.Close())
		}
		fmt.Println(c.acked - 1)
	}
}

// TestFileThatMayNotGrowPoisonsTheJournalAndLosesNothing has the kernel refuse a
// write in the middle, for real.
func TestFileThatMayNotGrowPoisonsTheJournalAndLosesNothing(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	child := exec.Command(executable)
	child.Env = append(os.Environ(), limitEnv+"="+dir)
	var complaints strings.Builder
	child.Stderr = &complaints
	out, err := child.Output()
	if err == nil || child.ProcessState.ExitCode() != 1 {
		t.Fatalf("the process ended with %v", err)
	}
	if !strings.Contains(complaints.String(), persistence.ErrPoisoned.Error()) || !strings.Contains(complaints.String(), syscall.EFBIG.Error()) {
		t.Errorf("it said %q", complaints.String())
	}
	c := counter{submitted: 1 << 30}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); c.acked++ {
		if lines.Text() != strconv.Itoa(c.acked) {
			t.Fatalf("it printed %q after %d", lines.Text(), c.acked-1)
		}
	}
	if c.acked < 50 {
		t.Errorf("only %d were acknowledged", c.acked)
	}
	report, err := Scan(dir, 0, ignore)
	if err != nil || report.TornTail == nil || report.Bytes != fileLimit {
		t.Errorf("%+v, %v: want a torn tail at %d bytes", report, err, fileLimit)
	}
	// There is room again.
	if err := c.live(dir, osFiles{}, "aSaaS"); err != nil || len(c.failed) > 0 {
		t.Fatal(err, c.failed)
	}
}
