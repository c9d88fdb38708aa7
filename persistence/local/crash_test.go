package local

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// crashEnv names the directory that a process which is meant to be killed
// appends to.
const crashEnv = "PERSISTENCE_TEST_APPEND_TO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		if err := appendForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1) // it was to be killed
	}
	if dir := os.Getenv(limitEnv); dir != "" {
		fmt.Fprintln(os.Stderr, appendToTheLimit(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// crashSegmentBytes is small, so that segments begin all the time.
const crashSegmentBytes = 500

// appendForEver appends records 0, 1, 2, ... and prints the number of each that is
// acknowledged. It goes on where the log ends.
func appendForEver(dir string) error {
	log, err := Open(Config{Dir: dir, SegmentBytes: crashSegmentBytes})
	if err != nil {
		return err
	}
	j, err := persistence.Open(persistence.Config{Log: log, MaxQueuedRecords: 16})
	if err != nil {
		return err
	}
	next := 0
	if err := j.Replay(0, func(_ format.Position, record []byte) error { return inOrder(&next, record) }); err != nil {
		return err
	}
	if err := j.Start(); err != nil {
		return err
	}
	room := make(chan struct{}, 16)
	for i := next; ; i++ {
		room <- struct{}{}
		record := strconv.AppendInt(nil, int64(i), 10)
		if err := j.Reserve(len(record)); err != nil {
			return err
		}
		j.Append(record, persistencetest.CompletionFunc(func(err error) {
			if err != nil {
				panic(err)
			}
			fmt.Println(i)
			<-room
		}))
	}
}

// inOrder checks that record is the number *next, and counts it up.
func inOrder(next *int, record []byte) error {
	if string(record) != strconv.Itoa(*next) {
		return fmt.Errorf("record %q, want %d", record, *next)
	}
	*next++
	return nil
}

func TestKilledProcessLosesNothingThatItAcknowledged(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	there := 0 // records in the log
	for round := range 8 {
		child := exec.Command(executable)
		child.Env = append(os.Environ(), crashEnv+"="+dir)
		var complaints strings.Builder
		child.Stderr = &complaints
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := there - 1
		lines := bufio.NewScanner(out)
		for until := there + 20 + random.IntN(200); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			if err != nil || n != acknowledged+1 {
				child.Process.Kill()
				t.Fatalf("round %d: the process printed %q after %d", round, lines.Text(), acknowledged)
			}
			if acknowledged = n; n == until {
				var locked *LockedError
				if _, err := Open(Config{Dir: dir}); !errors.As(err, &locked) || locked.PID != child.Process.Pid {
					t.Errorf("opened beside process %d: %v", child.Process.Pid, err)
				}
				if err := child.Process.Kill(); err != nil { // SIGKILL
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); child.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: the process ended by itself: %v, %s", round, err, complaints.String())
		}

		there = 0
		report, err := Scan(dir, 0, func(_ format.Position, record []byte) error { return inOrder(&there, record) })
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if there <= acknowledged {
			t.Fatalf("round %d: %d records are there, number %d was acknowledged", round, there, acknowledged)
		}
		if report.LastEpoch != uint64(round)+1 {
			t.Errorf("round %d: epoch %d", round, report.LastEpoch)
		}
	}
	if n := len(segmentsOf(t, dir)); n < 2 {
		t.Errorf("%d segments: none began in all that", n)
	}
}
