package main

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSIGUSR1TakesASnapshotThatTheNextStartBeginsWith(t *testing.T) {
	data := t.TempDir()
	s := startService(t, data)
	id, token := s.login("aitbc1wallet_signal")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":12.5}`, "X-Session-Token", token)
	if err := s.command.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(s.mustCall(200, "GET", "/metrics", "").body, "exchange_snapshots_total 1") {
		if time.Now().After(deadline) {
			t.Fatalf("no snapshot was taken: %s", s.log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.kill()
	if report, code := runVerify(t, data); code != 0 || !strings.Contains(report, "snapshot       1 accounts") {
		t.Errorf("verify ends with %d:\n%s", code, report)
	}
	s = startService(t, data)
	if body := s.mustCall(200, "GET", "/api/users/"+id+"/balance", "", "X-Session-Token", token).body; !strings.Contains(body, `"balance":12.5`) {
		t.Errorf("after the restart: %s", body)
	}
	if !strings.Contains(s.log.String(), "msg=recovered accounts=1 records=0 ") {
		t.Errorf("the start read the log from its beginning: %s", s.log.String())
	}
}
