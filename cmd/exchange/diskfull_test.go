package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mountSmall mounts a file system of so many bytes in memory, and unmounts it when
// the test ends.
func mountSmall(t *testing.T, bytes int) (dir string, resize func(bytes int)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("a file system can't be mounted here (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, func(bytes int) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
			t.Fatal(err)
		}
	}
}

// depositor is a user and what it was told.
type depositor struct {
	id, token string
	acked     []string // ids of deposits
	refused   answer
}

// transactions returns the ids of all that the service has.
func (d *depositor) transactions(t *testing.T, s *service) []string {
	t.Helper()
	var ids []string
	for cursor, more := "", true; more; {
		page := s.mustCall(200, "GET", "/api/users/"+d.id+"/transactions?limit=500"+cursor, "", "X-Session-Token", d.token).decode(t)
		for _, transaction := range page["transactions"].([]any) {
			ids = append(ids, transaction.(map[string]any)["id"].(string))
		}
		var next string
		next, more = page["next_cursor"].(string)
		cursor = "&cursor=" + next
	}
	return ids
}

// TestFullDiskStopsTheServiceAndLosesNothing fills a disk for real.
func TestFullDiskStopsTheServiceAndLosesNothing(t *testing.T) {
	disk, resize := mountSmall(t, 512<<10)
	data := filepath.Join(disk, "data")
	s := startService(t, data, "--demo", "--log-level", "warn")
	const users = 8
	clients := make([]depositor, users)
	for i := range clients {
		clients[i].id, clients[i].token = s.login(fmt.Sprintf("diskfull_%d", i))
	}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c := &clients[i]
			transport := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
			defer transport.CloseIdleConnections()
			for range 100_000 { // far more than there is room for
				a, err := s.call(transport, "POST", "/api/users/"+c.id+"/deposits", `{"amount":1}`, "X-Session-Token", c.token)
				if err != nil {
					return // the process has ended
				}
				if a.status != 200 && a.status != 201 {
					c.refused = a
					return
				}
				c.acked = append(c.acked, a.decode(t)["id"].(string))
			}
			t.Error("the disk does not get full")
		})
	}
	wg.Wait()
	refused, acked := 0, 0
	for _, c := range clients {
		acked += len(c.acked)
		if c.refused.status == 0 {
			continue
		}
		refused++
		if c.refused.status != 503 || c.refused.decode(t)["detail"] == "" || !strings.HasPrefix(c.refused.header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("refused with %d %s", c.refused.status, c.refused.body)
		}
	}
	if refused == 0 || acked < 100 {
		t.Errorf("%d clients were told of it, %d deposits were acknowledged", refused, acked)
	}
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		t.Fatalf("the service runs on\n%s", s.log)
	}
	if code := s.command.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit %d, want 1", code)
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "exchange serve: ") || !strings.Contains(last, "no space left on device") || !strings.Contains(last, data) {
		t.Errorf("the last line is %q", last)
	}
	if strings.Contains(s.log.String(), "panic") || strings.Contains(s.log.String(), "goroutine ") {
		t.Errorf("not one clear line:\n%s", s.log)
	}
	if out, code := runVerify(t, data); code != 0 {
		t.Errorf("verify of the full disk: exit %d\n%s", code, out)
	}

	resize(16 << 20)
	s = startService(t, data, "--demo", "--log-level", "warn")
	for _, c := range clients {
		there := c.transactions(t, s)
		for _, id := range c.acked {
			if !slices.Contains(there, id) {
				t.Fatalf("deposit %s was acknowledged and is gone", id)
			}
		}
		if len(there) > len(c.acked)+1 {
			t.Errorf("user %s has %d deposits, %d were acknowledged", c.id, len(there), len(c.acked))
		}
		s.mustCall(201, "POST", "/api/users/"+c.id+"/deposits", `{"amount":1}`, "X-Session-Token", c.token)
	}
	// A copy of the running service verifies, and says the same once it has stopped.
	backup := filepath.Join(t.TempDir(), "backup")
	if out, err := exec.Command(binary, "backup", "--data", data, "--to", backup).CombinedOutput(); err != nil || !strings.Contains(string(out), "is whole") {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	if code, _ := s.stop(); code != 0 {
		t.Errorf("exit %d after SIGTERM\n%s", code, s.log)
	}
	want, code := runVerify(t, data)
	if code != 0 {
		t.Errorf("verify: exit %d\n%s", code, want)
	}
	// The stop itself is in the audit log.
	audited := regexp.MustCompile(`(?m)^audit log .*\n`)
	if got, code := runVerify(t, backup); code != 0 || audited.ReplaceAllString(got, "") != audited.ReplaceAllString(want, "") {
		t.Errorf("verify of the copy: exit %d\n%s\nwant\n%s", code, got, want)
	}
	t.Logf("%d deposits acknowledged before the disk was full, %d of %d clients were told 503", acked, refused, users)
}
