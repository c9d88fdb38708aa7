package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// written makes a data directory of two users with one transaction of each kind,
// a second apart from 2025-01-01 on, and returns them. A snapshot is taken where
// asked: after some of the commands, counted from 0.
func written(t *testing.T, dir string, snapshots ...int) []*account.Account {
	t.Helper()
	store, err := local.Open(local.Config{Dir: dir, SegmentBytes: 64})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := persistence.Open(persistence.Config{Log: store, Snapshots: store})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Start(); err != nil {
		t.Fatal(err)
	}
	now := account.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
	users := []*account.Account{account.New(account.UserID{1}), account.New(account.UserID{2})}
	commands := []account.Command{
		nil, // the login
		&account.Deposit{Amount: 100 * account.Unit},
		&account.Withdraw{Amount: 10 * account.Unit, Fee: account.Unit / 2, To: "aitbc_<elsewhere>"},
		&account.Complete{N: 2, By: "ops"},
		&account.CreatePayment{Amount: account.Unit, BTC: 1005, BTCFee: 5, Address: "bc1q", Lifetime: time.Hour, Notes: "für \"später\""},
		&account.Debit{Amount: account.Unit, By: "ops", Reason: "paid twice"},
	}
	for i, c := range commands {
		for n, a := range users {
			if i == 0 {
				name := fmt.Sprintf("aitbc1wallet_%d", n)
				c = &account.Login{Wallet: name, Email: name + "@x", Username: name, ExpiresAt: now + 1e12}
			}
			d, err := a.Decide(c, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Apply(&d.Record); err != nil {
				t.Fatal(err)
			}
			encoded := d.Record.Append(nil)
			if err := journal.Reserve(len(encoded)); err != nil {
				t.Fatal(err)
			}
			durable := make(done, 1)
			journal.Append(encoded, durable)
			if err := <-durable; err != nil {
				t.Fatal(err)
			}
		}
		now += 1e6
		for _, at := range snapshots {
			if at != i {
				continue
			}
			// The frame's completions are over once a later barrier has been told.
			settled := make(done, 1)
			journal.Barrier(settled)
			<-settled
			_, err := journal.Snapshot(context.Background(), func(add func([]byte) error) error {
				for _, a := range users {
					if err := add(a.AppendState(nil)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	return users
}

type done chan error

func (d done) Committed(err error) { d <- err }

// exchange runs a subcommand in this process.
func exchange(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(args, func(string) string { return "" }, &out, &errs)
	return out.String(), errs.String(), code
}

func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var objects []map[string]any
	for line := range strings.Lines(text) {
		object := map[string]any{}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		objects = append(objects, object)
	}
	return objects
}

func TestDumpPrintsEventsByUserAndByTime(t *testing.T) {
	dir := t.TempDir()
	users := written(t, dir)
	out, errs, code := exchange("dump", "--data", dir)
	if all := lines(t, out); code != 0 || errs != "" || len(all) != 2*(2+5) {
		t.Fatalf("%d events, code %d: %s%s", len(all), code, errs, out)
	}
	out, _, _ = exchange("dump", "--data", dir, "--user", users[1].ID.String(), "--from", "2025-01-01T00:00:02Z", "--to", "2025-01-01T00:00:05Z")
	events := lines(t, out)
	var types []string
	for _, e := range events {
		if e["user_id"] != users[1].ID.String() {
			t.Errorf("an event of user %v", e["user_id"])
		}
		types = append(types, fmt.Sprint(e["event"]))
	}
	if got := fmt.Sprint(types); got != "[withdrawal_requested tx_completed payment_created]" {
		t.Fatalf("the events are %s", got)
	}
	want := `"at":"2025-01-01T00:00:02.000000Z","event":"withdrawal_requested","amount":10,"fee":0.5,"to":"aitbc_<elsewhere>"}`
	if first, _, _ := strings.Cut(out, "\n"); !strings.HasSuffix(first, want) {
		t.Errorf("the first is\n%s, which must end in\n%s", first, want)
	}
	for _, args := range [][]string{{"--user", "7"}, {"--from", "yesterday"}, {"--what", "all"}} {
		if _, errs, code := exchange(append([]string{"dump", "--data", dir}, args...)...); code != 2 || !strings.Contains(errs, args[0][1:]) {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
	}
}

func TestDumpAndVerifySayTheSameWithAndWithoutASnapshot(t *testing.T) {
	plain, snap, short := t.TempDir(), t.TempDir(), t.TempDir()
	written(t, plain)
	written(t, snap, 5)
	written(t, short, 3, 4)
	want, _, _ := exchange("dump", "--data", plain, "--what", "accounts", "--history")
	if all := lines(t, want); len(all) != 2 || all[1]["balance"] != 88.5 || len(all[1]["transactions"].([]any)) != 4 {
		t.Fatalf("the accounts are %s", want)
	}
	for what, dir := range map[string]string{"a snapshot": snap, "a log without its front": short} {
		if got, errs, code := exchange("dump", "--data", dir, "--what", "accounts", "--history"); got != want || code != 0 {
			t.Errorf("with %s the accounts are, code %d,\n%s%s, want\n%s", what, code, errs, got, want)
		}
	}
	hash := func(report string) string {
		_, rest, _ := strings.Cut(report, "state hash")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	first, _, _ := exchange("verify", "--data", plain)
	for dir, conserved := range map[string]string{
		plain: "conserved      credits - debits", snap: "conserved      credits - debits", short: "conserved      opening + credits",
	} {
		report, errs, code := exchange("verify", "--data", dir)
		if code != 0 || !strings.Contains(report, conserved) || hash(report) != hash(first) || hash(report) == "" {
			t.Errorf("verify ends with %d, %s:\n%s", code, errs, report)
		}
	}
	if report, _, _ := exchange("verify", "--data", short); !strings.Contains(report, "front          frames before") || !strings.Contains(report, "opening        ") {
		t.Errorf("the front was not given up:\n%s", report)
	}
	// Without its snapshots, that log proves nothing.
	if err := os.RemoveAll(filepath.Join(short, "snapshot")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := exchange("verify", "--data", short); code != 1 || !strings.Contains(errs, "no valid snapshot") {
		t.Errorf("without a snapshot verify ends with %d: %s", code, errs)
	}
}

func TestVerifyFindsASnapshotThatTheLogDoesNotLeadTo(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	written(t, dir, 3)
	l, err := readLedger(dir, nil)
	if err != nil || l.compared != 2 || len(l.faults()) != 0 {
		t.Fatalf("%v, %d accounts compared, faults %v", err, l.compared, l.faults())
	}
	// The same accounts with another balance: as if a snapshot had been altered.
	l = &ledger{accounts: map[account.UserID]*account.Account{}, kept: map[account.UserID]keptState{}, whole: true}
	changed := written(t, other)[0]
	changed.Email = "another@x"
	if err := l.restore(changed.AppendState(nil)); err != nil {
		t.Fatal(err)
	}
	_, err = local.Scan(other, 0, func(_ persistence.Position, encoded []byte) error { return l.add(encoded) })
	if err == nil || !strings.Contains(err.Error(), "the snapshot has another state after record") {
		t.Errorf("an altered snapshot gives %v", err)
	}
	// One that knows more than the log.
	changed.Seq++
	l = &ledger{accounts: map[account.UserID]*account.Account{}, kept: map[account.UserID]keptState{}, whole: true}
	if err := l.restore(changed.AppendState(nil)); err != nil {
		t.Fatal(err)
	}
	if faults := l.faults(); len(faults) != 1 || !strings.Contains(faults[0], "not in the log") {
		t.Errorf("a snapshot ahead of the log gives %v", faults)
	}
}
