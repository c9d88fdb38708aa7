package local

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// counter is what runs on a journal in these tests: its records are the numbers
// from 0, and its state how many there are. A snapshot has an entry for each.
type counter struct {
	submitted int     // numbers from 0 that a journal was asked to keep
	acked     int     // of them were acknowledged
	failed    []error // of snapshots
}

// open starts the journal in dir, and checks that what is there is every number
// that was acknowledged, once and in order, and none that was never submitted.
func (c *counter) open(dir string, files files) (*persistence.Journal, error) {
	log, err := Open(Config{Dir: dir, SegmentBytes: 150, files: files, syncEvery: 40})
	if err != nil {
		return nil, err
	}
	j, err := persistence.Open(persistence.Config{Log: log, Snapshots: log})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := c.load(j); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func (c *counter) load(j *persistence.Journal) error {
	var numbers []int
	info, _, err := j.LoadSnapshot(1, func(_ int, entry []byte) error {
		n, err := strconv.Atoi(string(entry))
		numbers = append(numbers, n)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i {
			return fmt.Errorf("%w: the snapshot has %d in the place of %d", errWrongState, n, i)
		}
	}
	next, before := len(numbers), -1
	err = j.Replay(info.Next, func(p format.Position, record []byte) error {
		n, err := strconv.Atoi(string(record))
		switch {
		case err != nil:
			return err
		case before >= 0 && n != before+1 || n > next || n < len(numbers) && p.Frame >= info.End:
			return fmt.Errorf("%w: the log has %d after %d, %d are there", errWrongState, n, before, next)
		}
		before, next = n, max(next, n+1)
		return nil
	})
	if err != nil {
		return err
	}
	if next < c.acked || next > c.submitted {
		return fmt.Errorf("%w: %d numbers are there, %d were acknowledged, %d submitted", errWrongState, next, c.acked, c.submitted)
	}
	c.acked, c.submitted = next, next
	return j.Start()
}

var errWrongState = errors.New("wrong state")

// live opens the journal, then appends for every a in the script and takes a
// snapshot for every S. It returns why it ended before the script did.
func (c *counter) live(dir string, files files, script string) error {
	j, err := c.open(dir, files)
	if err != nil {
		return err
	}
	for _, step := range script {
		if step == 'S' {
			err = c.snapshot(j)
		} else {
			err = c.append(j)
		}
		if err != nil {
			return errors.Join(err, j.Close())
		}
	}
	return j.Close()
}

func (c *counter) append(j *persistence.Journal) error {
	record := strconv.AppendInt(nil, int64(c.submitted), 10)
	if err := j.Reserve(len(record)); err != nil {
		return err
	}
	c.submitted++
	done := persistencetest.NewOutcome()
	j.Append(record, done)
	if err := <-done; err != nil {
		if !errors.Is(err, persistence.ErrPoisoned) || j.Err() == nil || !errors.Is(j.Reserve(1), persistence.ErrPoisoned) {
			return fmt.Errorf("%w: not poisoned by %w", errWrongState, err)
		}
		return err
	}
	c.acked++
	completed := persistencetest.NewOutcome()
	j.Barrier(completed)
	return <-completed
}

// snapshot takes one. That it fails is no reason to end.
func (c *counter) snapshot(j *persistence.Journal) error {
	_, err := j.Snapshot(context.Background(), func(add func([]byte) error) error {
		for n := range c.acked {
			if err := add(strconv.AppendInt(nil, int64(n), 10)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.failed = append(c.failed, err)
	}
	return j.Err()
}

// recorded is the run in which everything fails once: two lives of one directory.
var recorded = [...]string{"aaaaaaaSaaaaaaSaaaaaaSa", "aaSaaaaaaSaa"}

func (c *counter) liveRecorded(dir string, disk *simDisk) error {
	for _, script := range recorded {
		if err := c.live(dir, disk, script); err != nil {
			return err
		}
	}
	return nil
}

// snapshotsOnly are the operations whose failure costs a snapshot and nothing else.
var snapshotsOnly = []string{"snapshot mkdir", "create", "write", "sync", "close", "rename", "snapshot dir sync", "remove"}

// TestEveryFaultAtEveryOperationIsSurvived records the operations of a run, then
// repeats it with each of them failing in each way it can, crashes, and holds what
// is recovered against what was acknowledged.
func TestEveryFaultAtEveryOperationIsSurvived(t *testing.T) {
	top := memoryDir(t)
	dir, err := dataDirIn(filepath.Join(top, "recorded"))
	if err != nil {
		t.Fatal(err)
	}
	record, err := newSimDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	var c counter
	if err := c.liveRecorded(dir, record); err != nil || len(c.failed) > 0 {
		t.Fatal(err, c.failed)
	}
	if first := segmentsOf(t, dir)[0].first; first < 10 {
		t.Fatalf("the log begins with frame %d: nothing was truncated", first)
	}
	kinds := map[string]int{}
	for _, kind := range record.trace {
		kinds[kind]++
	}
	tried := 0
	var tries sync.WaitGroup
	room := make(chan struct{}, 8) // they wait for each other's goroutines more than they compute
	for _, f := range allFaults {
		for _, kind := range f.on {
			if kinds[kind] == 0 {
				t.Errorf("the run has no %s", kind)
			}
		}
		for i, kind := range record.trace {
			if !slices.Contains(f.on, kind) {
				continue
			}
			for _, keeps := range []string{keepsAll, keepsNone, keepsSome} {
				tried++
				caseDir := filepath.Join(top, fmt.Sprint(tried))
				tries.Go(func() {
					room <- struct{}{}
					defer func() { <-room }()
					if err := surviveFault(caseDir, f, i+1, kind, keeps); err != nil {
						t.Errorf("%s at operation %d, a %s, and a crash that %s: %v", f.name, i+1, kind, keeps, err)
					}
				})
			}
		}
	}
	tries.Wait()
	t.Logf("%d operations %v, %d faults at one and crashes tried, all recovered: %v", len(record.trace), kinds, tried, !t.Failed())
}

// dataDirIn makes a directory, and returns the path of a data directory in it.
func dataDirIn(dir string) (string, error) {
	return filepath.Join(dir, "data"), os.Mkdir(dir, 0o700)
}

func surviveFault(caseDir string, f fault, at int, kind, keeps string) error {
	dir, err := dataDirIn(caseDir)
	if err != nil {
		return err
	}
	disk, err := newSimDisk(dir)
	if err != nil {
		return err
	}
	disk.failAt, disk.fault = at, f
	var c counter
	err = c.liveRecorded(dir, disk)
	ended := err != nil
	switch {
	case !disk.fired:
		return fmt.Errorf("the fault did not come: %w", err)
	case errors.Is(err, errWrongState):
		return err
	case ended && !errors.Is(err, f.err):
		return fmt.Errorf("ended with %w", err)
	case ended && slices.Contains(snapshotsOnly, kind):
		return fmt.Errorf("a snapshot's failure has ended the journal: %w", err)
	case !ended && len(c.failed) == 0:
		return errors.New("nobody was told of the failure")
	case ended && disk.logAfter > 0:
		return fmt.Errorf("%d operations on the log after the failure", disk.logAfter)
	}
	return c.surviveCrash(dir, disk, keeps, rand.New(rand.NewPCG(uint64(at), 0)))
}

// surviveCrash crashes, and lives on.
func (c *counter) surviveCrash(dir string, disk *simDisk, keeps string, random *rand.Rand) error {
	if err := disk.crash(keeps, random); err != nil {
		return err
	}
	for _, script := range []string{"aSaaaaaSa", ""} {
		after, err := newSimDisk(dir)
		if err != nil {
			return err
		}
		c.failed = nil
		if err := c.live(dir, after, script); err != nil || len(c.failed) > 0 {
			return fmt.Errorf("after the crash: %w, %v", err, c.failed)
		}
	}
	return nil
}

// TestPowerCutAtAnyOperationLosesNothingThatWasAcknowledged lives many lives, each
// ended by the power at an operation chosen by chance; of what was not synced the
// disk keeps any subset, torn at any byte, names included.
func TestPowerCutAtAnyOperationLosesNothingThatWasAcknowledged(t *testing.T) {
	const seeds, lives = 25, 12
	cut := 0
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 1))
		dir := memoryDir(t)
		var c counter
		for life := range lives {
			disk, err := newSimDisk(dir)
			if err != nil {
				t.Fatal(err)
			}
			disk.powerAt = 1 + random.IntN(150)
			script := make([]byte, 20+random.IntN(40))
			for i := range script {
				if script[i] = 'a'; random.IntN(5) == 0 {
					script[i] = 'S'
				}
			}
			err = c.live(dir, disk, string(script))
			if err != nil && !errors.Is(err, errPower) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if disk.off {
				cut++
			}
			if err := disk.crash(keepsSome, random); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
		}
		disk, err := newSimDisk(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.live(dir, disk, "a"); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if cut < seeds*lives/3 {
		t.Errorf("the power went only %d times in %d lives", cut, seeds*lives)
	}
	t.Logf("%d lives, %d of them ended by the power", seeds*lives, cut)
}

// memoryDir is a temporary directory in memory where there is such a thing: these
// tests sync a hundred thousand times, and what a sync does is simulated.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "persistence-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
