package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/audit"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/faultfs"
	"github.com/aitbc/exchange/persistence/local"
)

// twoOperators are served with two keys, those of olga and otto.
func twoOperators(t *testing.T) (olga, otto string) {
	t.Helper()
	olga, otto = "key-of-olga-0123456789", "key-of-otto-0123456789"
	t.Setenv(operatorKeyVariable, "olga:"+olga+"\notto:"+otto)
	return olga, otto
}

func (s *service) suspend(want int, key, id, reason string) answer {
	s.t.Helper()
	return s.mustCall(want, "POST", "/api/operator/users/"+id+"/suspend", `{"reason":"`+reason+`"}`, "Authorization", "Bearer "+key)
}

func (s *service) reactivate(want int, key, id string) answer {
	s.t.Helper()
	return s.mustCall(want, "POST", "/api/operator/users/"+id+"/reactivate", `{"reason":"cleared"}`, "Authorization", "Bearer "+key)
}

// auditHead is the head that the service tells.
func (s *service) auditHead(key string) string {
	s.t.Helper()
	return s.mustCall(200, "GET", "/api/operator/audit?limit=1", "", "Authorization", "Bearer "+key).decode(s.t)["head"].(string)
}

// copied is a copy of a data directory, to be damaged.
func copied(t *testing.T, data string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	return to
}

// inProcess runs a subcommand in this process, which takes less time than runTool.
func inProcess(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	var out bytes.Buffer
	code = run(args, func(string) string { return "" }, &out, &out)
	return out.String(), code
}

// auditSegment is the audit log's one file.
func auditSegment(data string) string {
	return filepath.Join(data, "audit", "log", "0000", fmt.Sprintf("%020d", 1))
}

// rewriteAudit puts other entries, encoded, in the place of a data directory's audit
// log, with frames and checksums that are right.
func rewriteAudit(t *testing.T, data string, change func(entries []audit.Entry) []audit.Entry, chained bool) {
	t.Helper()
	var entries []audit.Entry
	dir := filepath.Join(data, "audit")
	if _, err := local.Scan(dir, 0, func(_ persistence.Position, encoded []byte) error {
		e, err := audit.Decode(encoded)
		entries = append(entries, e)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	store, err := local.Open(local.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := persistence.Open(persistence.Config{Log: store})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Start(); err != nil {
		t.Fatal(err)
	}
	var chain audit.Chain
	for _, e := range change(entries) {
		encoded := e.Append(nil)
		if chained {
			if encoded, err = chain.Add(nil, e); err != nil {
				t.Fatal(err)
			}
		}
		if err := journal.Reserve(len(encoded)); err != nil {
			t.Fatal(err)
		}
		done := make(committed, 1)
		journal.Append(encoded, done)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
}

type committed chan error

func (c committed) Committed(err error) { c <- err }

func TestTamperingWithTheAuditLogIsFound(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	olga, otto := twoOperators(t)
	s := startService(t, data, "--demo", "--log-level", "warn")
	id, token := s.login("aitbc1wallet_audited")
	s.suspend(200, olga, id, "asked by the bank")
	s.reactivate(200, otto, id)
	s.mustCall(201, "POST", "/api/users/me/addresses", `{"label":"mine","address":"aitbc_mine"}`, "X-Session-Token", token)
	noted := s.auditHead(olga)
	s.suspend(200, otto, id, "again")
	last := s.auditHead(olga)
	if out, code := runTool(t, "verify", "--data", data); code != 1 || !strings.Contains(out, "in use by process") {
		t.Errorf("verify beside the service: exit %d\n%s", code, out)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if out, code := runTool(t, "backup", "--data", data, "--to", backup); code != 0 || !strings.Contains(out, "audit log      5 entries") {
		t.Errorf("backup: exit %d\n%s", code, out)
	}
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d\n%s", code, s.log)
	}
	verified := func(dir, head string, want int, says string) {
		t.Helper()
		args := []string{"verify", "--data", dir}
		if head != "" {
			args = append(args, "--audit-head", head)
		}
		if out, code := inProcess(t, args...); code != want || !strings.Contains(out, says) {
			t.Errorf("exit %d, want %d with %q:\n%s", code, want, says, out)
		}
	}
	verified(data, "", 0, "audit log      6 entries for 4 acts")
	verified(data, noted, 0, "6 entries")
	verified(data, last, 0, "6 entries")
	verified(backup, last, 0, "5 entries for 4 acts")
	verified(data, "6:00", 2, "want N:HASH")
	if out, code := inProcess(t, "dump", "--data", data, "--what", "audit", "--user", id); code != 0 ||
		strings.Count(out, "\n") != 4 || !strings.Contains(out, `"actor":"operator:olga","action":"user.suspend","target":"user:`+id+`","note":"asked by the bank"`) {
		t.Errorf("dump: exit %d\n%s", code, out)
	}

	t.Run("a bit", func(t *testing.T) {
		dir := copied(t, data)
		content, err := os.ReadFile(auditSegment(dir))
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(content, []byte("asked by the bank"))
		content[at] ^= 1
		if err := os.WriteFile(auditSegment(dir), content, 0o640); err != nil {
			t.Fatal(err)
		}
		verified(dir, "", 1, auditSegment(dir))
		if out, code := inProcess(t, "serve", "--listen", "127.0.0.1:0", "--demo", "--data", dir); code != 1 || !strings.Contains(out, auditSegment(dir)) || !strings.Contains(out, "entry ") {
			t.Errorf("a start on it: exit %d\n%s", code, out)
		}
		// A person cuts it off, and the head shows what they did.
		if out, code := inProcess(t, "repair", "--audit", "--data", dir, "--truncate-at", "3"); code != 0 || !strings.Contains(out, "dry run") || !strings.Contains(out, "operator:otto user.reactivate user:"+id) {
			t.Errorf("dry run: exit %d\n%s", code, out)
		}
		if out, code := inProcess(t, "repair", "--audit", "--data", dir, "--truncate-at", "3", "--yes"); code != 0 || !strings.Contains(out, "saved in "+filepath.Join(dir, "audit", "cut-at-3")) {
			t.Errorf("repair: exit %d\n%s", code, out)
		}
		verified(dir, noted, 1, "its end was cut off")
		verified(dir, "", 1, "operator:olga did user.suspend")
		if out, code := inProcess(t, "dump", "--data", dir, "--what", "audit"); code != 0 || !strings.Contains(out, "audit.repair") {
			t.Errorf("dump: exit %d\n%s", code, out)
		}
	})
	t.Run("the end", func(t *testing.T) {
		dir := copied(t, data)
		rewriteAudit(t, dir, func(e []audit.Entry) []audit.Entry { return e[:5] }, false)
		verified(dir, "", 0, "5 entries for 4 acts") // a stop that was cut off looks like a power cut
		verified(dir, last, 0, "5 entries")
		rewriteAudit(t, dir, func(e []audit.Entry) []audit.Entry { return e[:4] }, false)
		verified(dir, "", 1, "operator:otto did user.suspend")
		verified(dir, noted, 1, "operator:otto did user.suspend")
		verified(dir, last, 1, "the audit log has 4 entries, it had 5: its end was cut off")
	})
	t.Run("with right checksums", func(t *testing.T) {
		for what, change := range map[string]func([]audit.Entry) []audit.Entry{
			"removed":   func(e []audit.Entry) []audit.Entry { return append(e[:2:2], e[3:]...) },
			"swapped":   func(e []audit.Entry) []audit.Entry { e[1], e[2] = e[2], e[1]; return e },
			"rewritten": func(e []audit.Entry) []audit.Entry { e[1].Actor = "operator:otto"; return e },
		} {
			dir := copied(t, data)
			rewriteAudit(t, dir, change, false)
			verified(dir, "", 1, "audit chain is broken")
			if out, code := inProcess(t, "serve", "--listen", "127.0.0.1:0", "--demo", "--data", dir); code != 1 || !strings.Contains(out, "audit chain is broken") || !strings.Contains(out, filepath.Join(dir, "audit")) {
				t.Errorf("%s: a start on it: exit %d\n%s", what, code, out)
			}
		}
	})
	t.Run("a whole new chain", func(t *testing.T) {
		dir := copied(t, data)
		rewriteAudit(t, dir, func(e []audit.Entry) []audit.Entry { e[1].Note = "on a whim"; return e }, true)
		verified(dir, "", 0, "6 entries")
		verified(dir, noted, 1, "it was written anew")
		dir = copied(t, data)
		rewriteAudit(t, dir, func(e []audit.Entry) []audit.Entry { return append(e[:1:1], e[2:]...) }, true)
		verified(dir, "", 1, "operator:olga did user.suspend on user:"+id+" 1 times, the audit log has 0 entries of it")
	})
	t.Run("all of it", func(t *testing.T) {
		dir := copied(t, data)
		if err := os.RemoveAll(filepath.Join(dir, "audit")); err != nil {
			t.Fatal(err)
		}
		verified(dir, "", 0, "audit log      none, for 4 acts")
		verified(dir, noted, 1, "there is no audit log")
	})
}

// An operator's key is used while the service is killed: each event has an entry, and
// the chain is whole, whatever was cut off between the two.
func TestKilledAmongActsEachHasItsEntry(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	olga, otto := twoOperators(t)
	var head string
	var users [2]string
	acts := 0
	for round := range 3 {
		s := startService(t, data, "--demo", "--log-level", "warn")
		for i := range users {
			if round == 0 {
				users[i], _ = s.login(fmt.Sprintf("aitbc1wallet_killed_%d", i))
			}
		}
		var group sync.WaitGroup
		enough := make(chan struct{})
		var once sync.Once
		for i, key := range []string{olga, otto} {
			group.Go(func() {
				transport := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
				defer transport.CloseIdleConnections()
				for n := 0; ; n++ {
					what := []string{"suspend", "reactivate"}[n%2]
					if _, err := s.call(transport, "POST", "/api/operator/users/"+users[i]+"/"+what, `{"reason":"r"}`, "Authorization", "Bearer "+key); err != nil {
						return
					}
					if n == 20+round {
						once.Do(func() { close(enough) })
					}
				}
			})
		}
		<-enough
		noted := s.auditHead(olga)
		s.kill()
		group.Wait()
		for _, h := range []string{head, noted} {
			args := []string{"verify", "--data", data}
			if h != "" {
				args = append(args, "--audit-head", h)
			}
			out, code := inProcess(t, args...)
			if code != 0 {
				t.Fatalf("round %d: exit %d\n%s", round, code, out)
			}
			if _, err := fmt.Sscanf(lineOf(t, out, "audit log"), "audit log %d entries for %d acts", new(int), &acts); err != nil {
				t.Fatal(err)
			}
		}
		head = noted
	}
	if acts < 3*20 {
		t.Errorf("only %d acts are in the log", acts)
	}
}

func TestAFullDiskBelowTheAuditLogStopsTheActAndTheService(t *testing.T) {
	disk := faultfs.New()
	dir, _ := disk.MountFor(t)
	data := filepath.Join(dir, "data")
	olga, _ := twoOperators(t)
	s := startService(t, data, "--demo", "--log-level", "warn")
	id, token := s.login("aitbc1wallet_full")
	s.suspend(200, olga, id, "r")
	s.reactivate(200, olga, id)
	disk.Arm(func(op faultfs.Op) bool {
		return op.Kind == "write" && strings.Contains(op.Path, "data/audit/log/0000/")
	}, 1, faultfs.Fault{Err: syscall.ENOSPC, Short: true})
	refused := s.suspend(503, olga, id, "on a full disk")
	if code := refused.decode(t)["code"]; code != "audit_failed" {
		t.Errorf("the refusal is %s", refused.body)
	}
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		t.Fatalf("the service runs on\n%s", s.log)
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	if last := lines[len(lines)-1]; s.command.ProcessState.ExitCode() != 1 || !strings.HasPrefix(last, "exchange serve: ") || !strings.Contains(last, "audit") || !strings.Contains(last, "no space left on device") {
		t.Errorf("not one clear line:\n%s", s.log)
	}
	disk.Disarm()
	if out, code := inProcess(t, "verify", "--data", data); code != 0 || !strings.Contains(out, "torn tail") {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
	s = startService(t, data, "--demo", "--log-level", "warn")
	if status := s.mustCall(200, "GET", "/api/users/me", "", "X-Session-Token", token).decode(t)["status"]; status != "active" {
		t.Errorf("after the refusal the user is %s", status)
	}
	s.suspend(200, olga, id, "with room")
	if code, _ := s.stop(); code != 0 {
		t.Errorf("exit %d\n%s", code, s.log)
	}
	if out, code := inProcess(t, "verify", "--data", data); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
}
