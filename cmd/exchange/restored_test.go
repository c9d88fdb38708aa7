package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
	"github.com/aitbc/exchange/persistence/local"
)

// backup copies the data of the running service to a directory beside them.
func (b *buyer) backup() (copied string) {
	b.t.Helper()
	copied = filepath.Join(b.t.TempDir(), "copy")
	if out, code := runTool(b.t, "backup", "--data", b.data, "--to", copied); code != 0 {
		b.t.Fatalf("exit %d\n%s", code, out)
	}
	return copied
}

// copyDir copies a directory as an operator does.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// restore ends the service for good, and starts one on a fresh copy of a backup.
func (b *buyer) restore(backup string, options ...string) {
	b.t.Helper()
	b.kill()
	b.data = filepath.Join(b.t.TempDir(), "restored")
	copyDir(b.t, backup, b.data)
	b.service = startService(b.t, b.data, append(slices.Clone(b.options), options...)...)
	b.follows()
}

// follows waits until the service has derived what it watches, which the race detector
// makes slow.
func (b *buyer) follows() {
	b.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for b.node != nil && !strings.Contains(b.log.String(), "following the Bitcoin chain") {
		if time.Now().After(deadline) {
			b.t.Fatalf("the chain is not followed\n%s", b.log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// as returns another user of the same service.
func (b *buyer) as(wallet string) *buyer {
	b.t.Helper()
	u := *b
	u.id, u.token = b.login(wallet)
	return &u
}

func (b *buyer) unassigned(query string) (outputs []map[string]any, total string) {
	b.t.Helper()
	page := b.mustCall(200, "GET", "/api/operator/unassigned-outputs"+query, "", "Authorization", "Bearer "+operatorKey).decode(b.t)
	for _, o := range page["outputs"].([]any) {
		outputs = append(outputs, o.(map[string]any))
	}
	return outputs, fmt.Sprint(page["total"])
}

// awaitUnassigned waits until one output waits, and stands somewhere.
func (b *buyer) awaitUnassigned(place string) (output map[string]any) {
	b.t.Helper()
	b.until("unassigned output that is "+place, func() bool {
		outputs, _ := b.unassigned("")
		if len(outputs) == 1 {
			output = outputs[0]
		}
		return len(outputs) == 1 && output["output"] == place
	})
	return output
}

// eventsOf returns the events of a kind in a stopped service's log.
func eventsOf(t *testing.T, data, kind string) (found []map[string]any) {
	t.Helper()
	dump := runExchange(t, nil, "dump", "--data", data)
	for line := range strings.Lines(dump.stdout) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e["event"] == kind {
			found = append(found, e)
		}
	}
	return found
}

func TestARestoredBackupGivesNobodyTheAddressOfAnother(t *testing.T) {
	t.Parallel()
	n, branch := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(105)
	b := newBuyer(t, n, "--log-level", "info")
	kept := b.buy()
	copied := b.backup()
	lost := b.as("aitbc1wallet_lost")
	forgotten, early := lost.buy(), lost.buy()
	n.Wallet.Pay(pay(early, buyPrice)) // in a block that the backup does not know
	n.Generate(1)
	lost.stands(early, "status", "confirmed")

	b.restore(copied)
	b.id, b.token = b.login("aitbc1wallet_buyer")
	other := b.as("aitbc1wallet_other")
	for _, q := range []asked{b.buy(), other.buy(), other.buy()} {
		if q.address == forgotten.address || q.address == early.address || q.id == forgotten.id {
			t.Fatalf("%+v was given out before, as %+v or %+v", q, forgotten, early)
		}
	}
	found := b.awaitUnassigned("confirmed")
	if found["address"] != early.address || fmt.Sprint(found["btc"]) != "0.01005" || found["status"] != "open" || fmt.Sprint(found["index"]) == "0" {
		t.Errorf("the block since the backup has brought %v", found)
	}
	settle := "/api/operator/unassigned-outputs/" + found["outpoint"].(string) + "/settle"
	b.mustCall(200, "POST", settle, `{"reason":"credited to who was lost"}`, "Authorization", "Bearer "+operatorKey)

	// Money to the address of who was lost goes to nobody, whatever the chain does.
	n.Connect(branch)
	n.Disconnect(branch) // for a short while: btcd connects again by itself
	n.Wallet.Pay(pay(forgotten, buyPrice))
	b.awaitUnassigned("unconfirmed")
	n.Generate(1)
	if o := b.awaitUnassigned("confirmed"); o["address"] != forgotten.address || fmt.Sprint(o["confirmations"]) != "1" {
		t.Errorf("it is %v", o)
	}
	branch.Generate(3)
	n.Connect(branch) // what btcd then has in its mempool is its own affair
	b.until("an output that was taken out of its block", func() bool {
		outputs, _ := b.unassigned("")
		return len(outputs) == 1 && outputs[0]["output"] != "confirmed"
	})
	b.kill()
	b.restart()
	b.follows()
	if outputs, _ := b.unassigned(""); len(outputs) != 1 || outputs[0]["address"] != forgotten.address {
		t.Errorf("after a restart there are %v", outputs)
	}
	other.service = b.service
	for _, u := range []*buyer{b, other} {
		u.balance("0", "0")
	}
	n.Wallet.Pay(pay(forgotten, buyPrice+1)) // once more, for good
	n.Generate(1)
	var outpoint string
	b.until("the second output", func() bool {
		outputs, _ := b.unassigned("")
		for _, o := range outputs {
			if fmt.Sprint(o["btc"]) == "0.01005001" && o["output"] == "confirmed" {
				outpoint = o["outpoint"].(string)
			}
		}
		return outpoint != ""
	})
	key, hash := []string{"Authorization", "Bearer " + operatorKey}, strings.Repeat("ab", 32)
	settle = "/api/operator/unassigned-outputs/" + outpoint + "/settle"
	b.mustCall(400, "POST", settle, `{"tx_hash":"`+hash+`"}`, key...)
	settled := b.mustCall(200, "POST", settle, `{"reason":"sent back","tx_hash":"`+hash+`"}`, key...).decode(t)
	if settled["status"] != "settled" || settled["by"] != "operator" || settled["tx_hash"] != hash || settled["reason"] != "sent back" {
		t.Errorf("settled as %v", settled)
	}
	b.mustCall(200, "POST", settle, `{"reason":"sent back","tx_hash":"`+hash+`"}`, key...)
	b.mustCall(409, "POST", settle, `{"reason":"twice"}`, key...)
	if outputs, total := b.unassigned("?status=settled"); total != "2" || len(outputs) != 2 {
		t.Errorf("%s are settled: %v", total, outputs)
	}
	if metrics := b.mustCall(200, "GET", "/metrics", "").body; !strings.Contains(metrics, "exchange_unassigned_outputs ") || !strings.Contains(metrics, "exchange_next_address_index 100") {
		t.Errorf("the metrics are\n%s", metrics)
	}
	if o := runExchange(t, []string{operatorKeyVariable + "=" + operatorKey}, "reconcile", "--server", b.url, "--from", "1"); o.code != 0 || !strings.Contains(o.stdout+o.stderr, " 0 differences") {
		t.Errorf("reconcile: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	// What the backup knew is as good as before.
	n.Wallet.Pay(pay(kept, buyPrice))
	n.Generate(1)
	b.stands(kept, "status", "confirmed", "aitbc_credited", "1000")
	if !strings.Contains(b.log.String(), "ALERT: bitcoin came to an address that this log has given to nobody") {
		t.Errorf("nobody was alerted\n%s", b.log)
	}
	b.verify()
}

func TestWhatARestoredBackupGivesOutIsNew(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	b := &buyer{t: t, data: data, options: []string{"--demo", "--auth", "open", "--log-level", "warn", "--operator-key-file", operatorKeyFile(t)}}
	b.service = startService(t, data, b.options...)
	b.id, b.token = b.login("aitbc1wallet_buyer")
	before := b.token
	_, ended := b.login("aitbc1wallet_buyer")
	deposit := func() string {
		t.Helper()
		return b.mustCall(201, "POST", "/api/users/"+b.id+"/deposits", `{"amount":5}`, "X-Session-Token", b.token).decode(t)["id"].(string)
	}
	ids := map[string]bool{deposit(): true}
	fresh := func(what string) {
		t.Helper()
		for range 3 {
			id := deposit()
			if ids[id] {
				t.Fatalf("%s: transaction %s was there before", what, id)
			}
			ids[id] = true
		}
	}
	dead := func(token, what string) {
		t.Helper()
		if a, err := b.call(http.DefaultClient, "GET", "/api/users/me", "", "X-Session-Token", token); err != nil || a.status != 401 {
			t.Errorf("%s: %d %s, %v", what, a.status, a.body, err)
		}
	}
	login := func() {
		t.Helper()
		id, token := b.login("aitbc1wallet_buyer")
		if id != b.id {
			t.Fatalf("the user is %s, was %s", id, b.id)
		}
		b.token = token
	}
	copied := b.backup()
	mark, err := os.ReadFile(filepath.Join(copied, "copy.json"))
	if err != nil {
		t.Fatal(err)
	}
	fresh("before the restore")
	b.mustCall(200, "POST", "/api/users/logout", "", "X-Session-Token", ended)

	b.restore(copied)
	dead(ended, "a session that was ended since the backup")
	dead(before, "a session of the backup")
	login()
	fresh("after the restore")
	if _, err := os.Stat(filepath.Join(b.data, "copy.json")); !os.IsNotExist(err) {
		t.Errorf("the mark is still there: %v", err)
	}

	// A stop between the record and the end of the mark: the copy is known by its name.
	stopped := func() {
		t.Helper()
		if code, _ := b.stop(); code != 0 {
			t.Fatalf("exit %d\n%s", code, b.log)
		}
	}
	stopped()
	if err := os.WriteFile(filepath.Join(b.data, "copy.json"), mark, 0o600); err != nil {
		t.Fatal(err)
	}
	b.restart()
	fresh("in the same session") // which a second restore would have ended
	if _, err := os.Stat(filepath.Join(b.data, "copy.json")); !os.IsNotExist(err) {
		t.Errorf("the mark is still there: %v", err)
	}

	// A backup of what was restored, and one by other means.
	second := b.backup()
	fresh("before the second restore")
	b.restore(second)
	dead(b.token, "a session of the second backup")
	login()
	fresh("after the second restore")
	stopped()
	third := filepath.Join(t.TempDir(), "third")
	copyDir(t, b.data, third)
	b.restart()
	fresh("before the third restore")
	if out, code := runTool(t, "restored", "--data", b.data); code != 1 || !strings.Contains(out, "in use") {
		t.Errorf("a running service's data are marked: exit %d\n%s", code, out)
	}
	if out, code := runTool(t, "restored", "--data", third); code != 0 || !strings.Contains(out, "marked") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	b.restore(third)
	dead(b.token, "a session of the third backup")
	login()
	fresh("after the third restore")
	_, stranger := b.login("aitbc1wallet_new_since")
	b.mustCall(200, "GET", "/api/users/me", "", "X-Session-Token", stranger)

	stopped()
	if restores := eventsOf(t, b.data, "log_restored"); len(restores) != 3 || fmt.Sprint(restores[2]["number"]) != "3" {
		t.Errorf("the log has the restores %v", restores)
	}
	if out, code := runVerify(t, b.data); code != 0 || !strings.Contains(out, "conserved") {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
	audit := runExchange(t, nil, "dump", "--what", "audit", "--data", b.data)
	if n := strings.Count(audit.stdout, `"action":"log.restore"`); n < 3 {
		t.Errorf("the audit log has %d restores\n%s", n, audit.stdout)
	}
}

func TestTheFirstAddressIndexOnlyGoesUp(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(105)
	b := newBuyer(t, n, "--log-level", "info")
	first := b.buy()
	copied := b.backup()
	again := func(index string) {
		t.Helper()
		b.kill()
		b.service = startService(t, b.data, append(slices.Clone(b.options), "--bitcoin-first-index", index)...)
	}
	again("20")
	b.buy()
	again("20") // as in a unit file that stays: it is above by now
	b.buy()
	if !strings.Contains(b.log.String(), "has no effect") {
		t.Errorf("nothing tells that the index is above\n%s", b.log)
	}
	b.kill()
	var indexes []string
	for _, e := range eventsOf(t, b.data, "payment_addressed") {
		indexes = append(indexes, fmt.Sprint(e["index"]))
	}
	if got := strings.Join(indexes, " "); got != "0 20 21" {
		t.Errorf("the addresses have the indexes %s", got)
	}
	if skipped := eventsOf(t, b.data, "indexes_skipped"); len(skipped) != 1 || fmt.Sprint(skipped[0]["from"], skipped[0]["to"]) != "1 20" {
		t.Errorf("skipped are %v", skipped)
	}

	b.restore(copied, "--bitcoin-first-index", "10050")
	b.id, b.token = b.login("aitbc1wallet_buyer")
	if q := b.buy(); q.address == first.address {
		t.Errorf("%+v is given out again", q)
	}
	b.kill()
	if given := eventsOf(t, b.data, "payment_addressed"); fmt.Sprint(given[1]["index"]) != "10050" {
		t.Errorf("after the restore the index is %v", given[1]["index"])
	}
	runExchange(t, nil, "serve", "--bitcoin-first-index", "5").failed(t, 2, "no -bitcoin-rpc")
}

func TestARepairThatCutsOffNothingMarksNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeLog(t, dir, lives())
	end := strconv.Itoa(len(lives()) + 2) // behind the journal's own frame and these
	out, errs, code := exchange("repair", "--data", dir, "--truncate-at", end, "--yes")
	if code != 0 || errs != "" || !strings.Contains(out, "nothing, the log ends there already") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if mark, err := local.ReadCopyMark(dir); mark != nil || err != nil {
		t.Errorf("the data is marked as a copy: %+v, %v", mark, err)
	}
	if out, errs, code := exchange("repair", "--data", dir, "--truncate-at", "5", "--yes"); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if mark, err := local.ReadCopyMark(dir); mark == nil || err != nil || !mark.Taken.IsZero() {
		t.Errorf("what was cut is marked as %+v, %v", mark, err)
	}
}
