package main

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// Scripts and people read what dump and repair print. testdata/*.golden has all of it
// for a log with every kind of event, so that a renamed Go type or field shows here
// before it shows there.

var update = flag.Bool("update", false, "write the golden files anew")

// checkGolden compares got with a golden file, line by line.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(golden) {
		return
	}
	want := strings.SplitAfter(string(golden), "\n")
	for i, line := range strings.SplitAfter(got, "\n") {
		if i >= len(want) || line != want[i] {
			expected := "no more"
			if i < len(want) {
				expected = want[i]
			}
			t.Fatalf("%s, line %d is\n%s, want\n%s\nWhere that is meant, and whoever reads it knows of it, write the file anew: "+
				"go test ./cmd/exchange -run Golden -update", path, i+1, line, expected)
		}
	}
	t.Fatalf("%s has %d lines more", path, len(want)-strings.Count(got, "\n")-1)
}

// writeLog writes records to the log of a data directory, one a frame.
func writeLog(t *testing.T, dir string, records [][]byte) {
	t.Helper()
	store, err := local.Open(local.Config{Dir: dir})
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
	for _, encoded := range records {
		if err := journal.Reserve(len(encoded)); err != nil {
			t.Fatal(err)
		}
		durable := make(done, 1)
		journal.Append(encoded, durable)
		if err := <-durable; err != nil {
			t.Fatal(err)
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// everyKind returns the golden records of package account, one of each kind of event, by
// kind: written one a frame, that of kind 7 is in frame 8, after the journal's own. Where
// there is no such kind the record is empty, so that a new kind moves no other.
func everyKind(t *testing.T) [][]byte {
	t.Helper()
	paths, err := filepath.Glob("../../actors/account/testdata/record_v1/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	var records [][]byte
	for _, path := range paths {
		if filepath.Base(path) == "history.golden" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var record account.Record
		if err := record.Decode(encoded); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		record.Events = nil
		empty := record.Append(nil)
		kind := int(encoded[len(empty)]) // what follows the count of events
		for len(records) < kind {
			records = append(records, empty)
		}
		records[kind-1] = encoded
	}
	if len(records) == 0 {
		t.Fatal("package account has no golden records")
	}
	return records
}

func TestTheDumpOfEveryKindOfEventIsTheGoldenOne(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, everyKind(t))
	out, errs, code := exchange("dump", "--data", dir)
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	checkGolden(t, "dump_events", out)
}

func TestWhatARepairWouldLoseIsPrintedAsInTheGoldenFile(t *testing.T) {
	dir := t.TempDir()
	records := slices.Concat([][]byte{[]byte("not a record")}, everyKind(t))
	writeLog(t, dir, records)
	out, errs, code := exchange("repair", "--data", dir, "--truncate-at", "2")
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	checkGolden(t, "repair", masked(dir, out))
	dir = t.TempDir()
	writeLog(t, dir, records[:4])
	if out, errs, code = exchange("repair", "--data", dir, "--truncate-at", "4", "--yes"); code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	checkGolden(t, "repair_yes", masked(dir, out))
}

var sizes = regexp.MustCompile(`[0-9]+ bytes from offset [0-9]+`)

// masked takes out of a repair's output what is not the same each time, or with each
// new kind of event.
func masked(dir, out string) string {
	return sizes.ReplaceAllString(strings.ReplaceAll(out, dir, "DIR"), "N bytes from offset N")
}

func TestTheAuditLogIsDumpedAndRepairedAsInTheGoldenFiles(t *testing.T) {
	dir := t.TempDir()
	store, err := local.Open(local.Config{Dir: filepath.Join(dir, auditName)})
	if err != nil {
		t.Fatal(err)
	}
	journal, err := persistence.Open(persistence.Config{Log: store})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	log, err := actors.OpenAuditLog(journal, func() time.Time { now = now.Add(time.Second); return now }, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	user := account.UserID{1}
	for _, act := range []actors.Act{
		{Actor: "system", Action: "service.start", Note: "1.2.3"},
		{Actor: "operator:olga", Action: "user.suspend", Target: "user:" + user.String(), Note: `asked by the "bank"`},
		{Actor: "user:" + user.String(), Action: "address.add", Target: "user:" + user.String(), Note: "aitbc_<elsewhere>: für später"},
	} {
		if err := log.Write(act); err != nil {
			t.Fatal(err)
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	out, errs, code := exchange("dump", "--data", dir, "--what", "audit")
	if code != 0 || errs != "" {
		t.Fatalf("dump: exit %d: %s", code, errs)
	}
	checkGolden(t, "dump_audit", out)
	if out, errs, code = exchange("repair", "--data", dir, "--audit", "--truncate-at", "2"); code != 0 || errs != "" {
		t.Fatalf("repair: exit %d: %s", code, errs)
	}
	checkGolden(t, "repair_audit", masked(dir, out))
}

var fixtureStart = account.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))

// life returns the records of one account: an event each, a second apart.
func life(id account.UserID, events ...account.Event) [][]byte {
	var records [][]byte
	for i, event := range events {
		at := fixtureStart.Add(time.Duration(i) * time.Second)
		record := account.Record{User: id, Seq: uint64(i) + 1, At: at, Events: []account.Event{event}}
		records = append(records, record.Append(nil))
	}
	return records
}

// lives are accounts with a transaction of each type, settled in each way, and with
// everything that a detail of one may hold. They are made of events, which mean the same
// for ever: what a command does may change.
func lives() [][]byte {
	const unit = account.Unit
	session, expires := account.Hash{1}, fixtureStart.Add(24*time.Hour)
	out := func(n byte) account.Outpoint { return account.Outpoint{TxID: account.ChainHash{n}, Index: uint32(n)} }
	block := account.ChainHash{31: 0xbb}
	user := life(account.UserID{1},
		&account.Created{Wallet: "aitbc1wallet_1", Email: "w@x", Username: "user_1"},
		&account.LoggedIn{Session: session, ExpiresAt: expires},
		&account.Deposited{Amount: 500 * unit},                                                // 1
		&account.Deposited{Amount: unit / 2, By: "olga"},                                      // 2
		&account.Credited{Amount: 5 * unit, By: "olga", Reason: "sorry"},                      // 3
		&account.Debited{Amount: 1, By: "olga", Reason: "too sorry"},                          // 4
		&account.WithdrawalRequested{Amount: 10 * unit, Fee: unit / 2, To: "aitbc_elsewhere"}, // 5
		&account.WithdrawalApproved{N: 5, By: "oleg", Reason: "called back"},
		&account.TxCompleted{
			N: 5, Type: account.TypeWithdrawal, Amount: 10 * unit, Fee: unit / 2,
			TxHash: strings.Repeat("ab", 32), Confirmations: 6, By: "olga", Reason: "sent",
		},
		&account.SaleRequested{Amount: 20 * unit, BTC: 19_900, BTCFee: 100, Address: "bc1qsale"}, // 6
		&account.TxFailed{N: 6, By: "olga", Reason: "no such address"},
		&account.SaleRequested{Amount: 30 * unit, BTC: 29_850, BTCFee: 150, Address: "bc1qsale"}, // 7
		&account.PaymentCreated{ // 8
			Amount: 1000 * unit, BTC: 100_5000, BTCFee: 5000, Address: "bc1q8", ExpiresAt: expires, Notes: `für "später"`,
		},
		&account.PaymentAddressed{ // 9
			Amount: 1000 * unit, BTC: 100_5000, BTCFee: 5000, Index: 300, Address: "bc1q9", ExpiresAt: expires, Notes: "<now>",
		},
		&account.OutputSeen{N: 9, Out: out(1), BTC: 50_0000, At: fixtureStart},
		&account.OutputConfirmed{N: 9, Out: out(2), BTC: 60_0000, Height: 850_000, Block: block, At: fixtureStart},
		&account.OutputConfirmed{N: 9, Out: out(3), BTC: 50_0000, Height: 850_001, Block: block, At: fixtureStart},
		&account.PaymentCredited{N: 9, Amount: 1100 * unit, Outs: []account.Outpoint{out(2), out(3)}},
		&account.RefundQueued{N: 9, Out: out(3), BTC: 9_5000},
		&account.OutputRemoved{N: 9, Out: out(3), Height: 850_001},
		&account.CreditReversed{N: 9, Out: out(3), Amount: 500 * unit},
		&account.TOTPEnrolled{Secret: []byte{1}, Step: 7},
	)
	expired := life(account.UserID{2},
		&account.Created{Wallet: "aitbc1wallet_2", Email: "v@x", Username: "user_2"},
		&account.PaymentCreated{Amount: unit, BTC: 1005, BTCFee: 5, Address: "bc1q1", ExpiresAt: fixtureStart},
		&account.TxFailed{N: 1, Expired: true, By: "clock"},
		&account.StatusChanged{Status: account.Suspended, By: "olga", Reason: "a check"},
	)
	system := life(account.SystemID,
		&account.Created{},
		&account.ChainAdvanced{First: 850_000, Hashes: []account.ChainHash{block}, Time: fixtureStart},
	)
	return slices.Concat(user, expired, system)
}

func TestTheDumpOfAccountsIsTheGoldenOne(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, lives())
	for name, args := range map[string][]string{"dump_accounts": nil, "dump_history": {"--history"}} {
		out, errs, code := exchange(append([]string{"dump", "--data", dir, "--what", "accounts"}, args...)...)
		if code != 0 || errs != "" {
			t.Fatalf("exit %d: %s", code, errs)
		}
		if args != nil { // a transaction a line
			out = strings.ReplaceAll(out, `{"id"`, "\n{\"id\"")
		}
		checkGolden(t, name, out)
	}
}

func TestTheDumpOfWhatTheDataIsTiedToIsTheGoldenOne(t *testing.T) {
	dir := t.TempDir()
	writeLog(t, dir, life(account.SystemID,
		&account.Created{},
		&account.ModeSet{Mode: account.RealMode},
		&account.NetworkSet{Network: "regtest", Genesis: account.ChainHash{31: 0xaa}},
		&account.ExtendedKeyAdded{Fingerprint: account.KeyFingerprint{1, 2, 3, 4}, Text: "tpub-first"},
		&account.ExtendedKeyAdded{Fingerprint: account.KeyFingerprint{5, 6, 7, 8}, Text: "tpub-second", External: 300, Change: 7, By: "olga"},
	))
	out, errs, code := exchange("dump", "--data", dir, "--what", "accounts")
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	checkGolden(t, "dump_identity", out)
}
