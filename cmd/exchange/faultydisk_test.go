package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aitbc/exchange/persistence/faultfs"
)

// diskFault is one thing that goes wrong below the binary.
type diskFault struct {
	name     string
	kind     string // of the operation
	where    string // what its path contains
	size     int    // of the file, at least; a sync's only
	within   int    // of so many operations of the kind one is hit, by chance
	atStart  bool   // while the service starts, before any request
	snapshot bool   // it costs a snapshot only, the service goes on
	fault    faultfs.Fault
}

const (
	segmentBytes  = 2048
	logFiles      = "data/log/0000/"
	snapshotFiles = "data/snapshot/"
)

var diskFaults = []diskFault{
	{name: "sync of the log, once", kind: "sync", where: logFiles, within: 60, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "sync that ends a segment", kind: "sync", where: logFiles, size: segmentBytes, within: 4, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "power cut at the end of a segment", kind: "sync", where: logFiles, size: segmentBytes, within: 4, fault: faultfs.Fault{Power: true}},
	{name: "write of the log", kind: "write", where: logFiles, within: 60, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "short write of the log", kind: "write", where: logFiles, within: 60, fault: faultfs.Fault{Err: syscall.EIO, Short: true}},
	{name: "write of the log that was done", kind: "write", where: logFiles, within: 60, fault: faultfs.Fault{Err: syscall.EIO, Done: true}},
	{name: "next segment", kind: "create", where: logFiles, within: 5, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "no room for the next segment", kind: "create", where: logFiles, within: 5, fault: faultfs.Fault{Err: syscall.ENOSPC}},
	{name: "sync of the log's directory", kind: "sync dir", where: "data/log/0000", within: 4, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "power cut in a sync", kind: "sync", where: logFiles, within: 60, fault: faultfs.Fault{Power: true}},
	{name: "power cut in a write", kind: "write", where: logFiles, within: 60, fault: faultfs.Fault{Power: true}},
	{name: "power cut at a segment's name", kind: "sync dir", where: "data/log/0000", within: 4, fault: faultfs.Fault{Power: true}},

	{name: "lock", kind: "open", where: "data/lock", within: 1, atStart: true, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "last segment cannot be written anew", kind: "write", where: logFiles, within: 1, atStart: true, fault: faultfs.Fault{Err: syscall.EIO, Short: true}},
	{name: "nor synced", kind: "sync", where: logFiles, within: 1, atStart: true, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "directories cannot be synced", kind: "sync dir", where: "data", within: 3, atStart: true, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "power cut at the start", kind: "sync", where: logFiles, within: 2, atStart: true, fault: faultfs.Fault{Power: true}},

	{name: "directory of the snapshots", kind: "mkdir", where: snapshotFiles, within: 1, snapshot: true, fault: faultfs.Fault{Err: syscall.ENOSPC}},
	{name: "creation of a snapshot", kind: "create", where: snapshotFiles, within: 1, snapshot: true, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "write of a snapshot", kind: "write", where: snapshotFiles, within: 1, snapshot: true, fault: faultfs.Fault{Err: syscall.ENOSPC, Short: true}},
	{name: "sync of a snapshot", kind: "sync", where: snapshotFiles, within: 1, snapshot: true, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "rename of a snapshot", kind: "rename", where: snapshotFiles, within: 1, snapshot: true, fault: faultfs.Fault{Err: syscall.EIO}},
	{name: "sync of the snapshots' directory", kind: "sync dir", where: snapshotFiles, within: 1, snapshot: true, fault: faultfs.Fault{Err: syscall.EIO}},
}

func (f diskFault) hits(op faultfs.Op) bool {
	return op.Kind == f.kind && strings.Contains(op.Path, f.where) && op.Size >= f.size
}

// keyedDepositor deposits with an Idempotency-Key each time.
type keyedDepositor struct {
	depositor
	sent  int
	doubt string // key of the request that was not answered
}

// deposit sends one, or the one in doubt again, and reports whether it was
// acknowledged.
func (c *keyedDepositor) deposit(t *testing.T, s *service, transport *http.Client) bool {
	if c.doubt == "" {
		c.sent++
		c.doubt = fmt.Sprintf("deposit-%d", c.sent)
	}
	a, err := s.call(transport, "POST", "/api/users/"+c.id+"/deposits", `{"amount":1}`, "X-Session-Token", c.token, "Idempotency-Key", c.doubt)
	if err != nil {
		return false // the process has ended
	}
	if a.status != 201 {
		if a.status != 503 {
			t.Errorf("%s: %d %s", c.doubt, a.status, a.body)
		}
		return false
	}
	c.doubt = ""
	c.acked = append(c.acked, a.decode(t)["id"].(string))
	return true
}

// check sends what is in doubt again, and finds each deposit exactly once.
func (c *keyedDepositor) check(t *testing.T, s *service) {
	t.Helper()
	if c.doubt != "" && !c.deposit(t, s, http.DefaultClient) {
		t.Fatalf("user %s: a retry was refused", c.id)
	}
	there := map[string]int{}
	for _, id := range c.transactions(t, s) {
		there[id]++
	}
	for _, id := range c.acked {
		if there[id] != 1 {
			t.Fatalf("user %s: deposit %s was acknowledged and is there %d times", c.id, id, there[id])
		}
	}
	if len(there) != len(c.acked) || len(c.acked) != c.sent {
		t.Fatalf("user %s: %d deposits, %d were acknowledged, %d sent", c.id, len(there), len(c.acked), c.sent)
	}
}

// TestFailingDiskBelowTheServiceLosesNothing runs the binary on a file system that
// fails, then loses its power, and runs it there again.
func TestFailingDiskBelowTheServiceLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	disk := faultfs.New()
	dir, unmount := disk.MountFor(t)
	options := []string{"--demo", "--log-level", "warn", "--segment-bytes", strconv.Itoa(segmentBytes), "--snapshot-bytes", "0"}
	clients := make([]*keyedDepositor, 6)
	s := startService(t, filepath.Join(dir, "data"), options...)
	for i := range clients {
		clients[i] = &keyedDepositor{}
		clients[i].id, clients[i].token = s.login(fmt.Sprintf("faultydisk_%d", i))
	}
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d\n%s", code, s.log)
	}
	unmount()

	faults := append([]diskFault(nil), diskFaults...)
	random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	for i, f := range faults { // the directory is made once
		if f.kind == "mkdir" {
			for j := range faults {
				if faults[j].snapshot {
					faults[i], faults[j] = faults[j], faults[i]
					break
				}
			}
			break
		}
	}
	for round, f := range faults {
		disk.Disarm()
		dir, unmount := disk.MountFor(t)
		data := filepath.Join(dir, "data")
		n := 1 + random.IntN(f.within)
		if f.atStart {
			disk.Arm(f.hits, n, f.fault)
			s = launch(t, data, options...)
			endsOf(t, s, f)
		} else {
			s = startService(t, data, options...)
			for _, c := range clients {
				c.check(t, s)
			}
			disk.Arm(f.hits, n, f.fault)
			useUntilFault(t, s, disk, f, clients)
		}
		at, after, fired := disk.What()
		if !fired {
			t.Fatalf("round %d, %s: it did not come\n%s", round, f.name, s.log)
		}
		for _, op := range after {
			if !f.snapshot && !f.atStart && !f.fault.Power && strings.HasPrefix(op.Path, "data/log") {
				t.Errorf("round %d, %s: %s after the failure of %s", round, f.name, op, at)
			}
		}
		unmount()
		what := "only the process has ended"
		cut := random.IntN(3)
		if f.fault.Power {
			cut = random.IntN(2)
		}
		switch cut {
		case 0:
			disk.Cut(nil)
			what = "nothing is left of what was not synced"
		case 1:
			disk.Cut(random)
			what = "some is left of what was not synced"
		}
		disk.Disarm()
		dir, unmount = disk.MountFor(t)
		if out, code := runVerify(t, filepath.Join(dir, "data")); code != 0 {
			t.Fatalf("round %d, %s at %s, %s: exchange verify: exit %d\n%s\n%s", round, f.name, at, what, code, out, disk.Tree())
		}
		unmount()
		t.Logf("round %d: %s (%v at %s), %s", round, f.name, f.fault, at, what)
	}

	dir, _ = disk.MountFor(t)
	s = startService(t, filepath.Join(dir, "data"), options...)
	acked := 0
	for _, c := range clients {
		c.check(t, s)
		acked += len(c.acked)
	}
	if code, _ := s.stop(); code != 0 {
		t.Errorf("exit %d\n%s", code, s.log)
	}
	out, code := runVerify(t, filepath.Join(dir, "data"))
	if code != 0 || !strings.Contains(out, fmt.Sprintf("%d transactions", acked)) || !strings.Contains(out, fmt.Sprintf("credits        %d AITBC", acked)) {
		t.Errorf("%d deposits of 1 were acknowledged; verify: exit %d\n%s", acked, code, out)
	}
	t.Logf("%d faults, %d deposits acknowledged, each there once", len(faults), acked)
}

// useUntilFault lets the clients deposit until the fault has come and, if it is the
// log's, the service has ended.
func useUntilFault(t *testing.T, s *service, disk *faultfs.Disk, f diskFault, clients []*keyedDepositor) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			transport := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
			defer transport.CloseIdleConnections()
			for c.deposit(t, s, transport) {
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	if f.snapshot {
		if err := s.command.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-disk.Fired():
	case <-time.After(20 * time.Second):
	}
	if f.fault.Power { // the machine is off
		s.kill()
	}
	if f.snapshot {
		// It goes on: one more deposit of everybody.
		close(stop)
		wg.Wait()
		for _, c := range clients {
			if !c.deposit(t, s, http.DefaultClient) {
				t.Errorf("%s: the service has ended\n%s", f.name, s.log)
			}
		}
		s.kill()
		return
	}
	wg.Wait()
	close(stop)
	endsOf(t, s, f)
}

// endsOf waits until the service has ended, and wants one clear line.
func endsOf(t *testing.T, s *service, f diskFault) {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: the service runs on\n%s", f.name, s.log)
	}
	if f.fault.Power && !f.atStart {
		return // it was killed
	}
	if code := s.command.ProcessState.ExitCode(); code != 1 {
		t.Errorf("%s: exit %d, want 1\n%s", f.name, code, s.log)
	}
	want := f.fault.Err
	if f.fault.Power {
		want = syscall.EIO
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "exchange serve: ") || !strings.Contains(last, want.Error()) || !strings.Contains(last, "data") ||
		strings.Contains(s.log.String(), "goroutine ") || strings.Contains(s.log.String(), "DATA RACE") {
		t.Errorf("%s: not one clear line:\n%s", f.name, s.log)
	}
}
