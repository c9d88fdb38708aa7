package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// refusedStart runs serve on data, which must end it with exit code 2 and words of
// what the data is, what was asked for and what to do.
func refusedStart(t *testing.T, data string, options []string, words ...string) {
	t.Helper()
	o := runExchange(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, options...)...)
	if o.code != 2 {
		t.Errorf("serve %v: exit %d, want 2\n%s", options, o.code, o.stderr)
	}
	for _, word := range append(words, "-data "+data) {
		if !strings.Contains(o.stderr, word) {
			t.Errorf("serve %v does not say %q:\n%s", options, word, o.stderr)
		}
	}
	if strings.Contains(o.stderr, "msg=ready") {
		t.Errorf("serve %v was ready", options)
	}
}

func TestARealExchangeIsNeverServedAsADemoNorADemoAsReal(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := startService(t, data, "--demo=false", "--auth", "open")
	id, token := s.login("aitbc1wallet_real")
	s.stop()
	refusedStart(t, data, nil, "a real exchange", "demo mode was asked for (-demo is auto, and -listen 127.0.0.1:0 a loopback address)", "give -demo=false")
	refusedStart(t, data, []string{"--demo"}, "a real exchange", "by -demo=true", "give -demo=false")
	s = startService(t, data, "--demo=false", "--auth", "open")
	s.mustCall(403, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	s.stop()

	data = t.TempDir()
	s = startService(t, data)
	id, token = s.login("aitbc1wallet_demo")
	s.stop()
	refusedStart(t, data, []string{"--demo=false"}, "a demo", "a real exchange was asked for (by -demo=false)", "another -data")
	refusedStart(t, data, []string{
		"--bitcoin-network", "regtest", "--bitcoin-rpc", "http://127.0.0.1:1", "--bitcoin-rpc-user", "x", "--bitcoin-rpc-pass-file", os.DevNull, "--bitcoin-xpub", testXpub,
	}, "a demo", "by -bitcoin-rpc", "another -data")
	s = startService(t, data)
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	s.stop()
	if out, code := runVerify(t, data); code != 0 || !strings.Contains(out, "identity       a demo\n") {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
	if o := runExchange(t, nil, "repair", "--data", data, "--truncate-at", "2"); o.code != 0 || !strings.Contains(o.stdout, "that the data is tied to demo mode is lost with it") {
		t.Errorf("repair: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// fingerprint is that of testXpub.
const fingerprint = "fd13aac9"

func TestTheNetworkAndTheKeyOfTheDataStay(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(101)
	b := newBuyer(t, n)
	b.buy()
	b.stop()
	with := func(flag, value string) []string {
		options := slices.Clone(b.options)
		options[slices.Index(options, flag)+1] = value
		return options
	}
	refusedStart(t, b.data, with("--bitcoin-xpub", bitcointest.SecondAccountKey), "account key "+fingerprint, "account key 1cfc2f8e", "exchange key move")
	nobody := with("--bitcoin-rpc", "http://127.0.0.1:1")
	fresh := t.TempDir()
	runExchange(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", fresh}, nobody...)...).failed(t, 1, "it has to say once that it is on regtest")
	if out, _ := runVerify(t, fresh); !strings.Contains(out, "neither demo nor real yet") {
		t.Errorf("before the node had said its network the data was tied:\n%s", out)
	}
	elsewhere := with("--bitcoin-network", "testnet4")
	elsewhere[slices.Index(elsewhere, "--bitcoin-rpc")+1] = "http://127.0.0.1:1" // no node that would say so itself
	refusedStart(t, b.data, elsewhere, "on regtest", "-bitcoin-network is testnet4", "give -bitcoin-network regtest")
	refusedStart(t, b.data, []string{"--demo=false"}, "on regtest", "-bitcoin-network is mainnet", "give -bitcoin-network regtest")
	refusedStart(t, b.data, nil, "a real exchange on regtest with account key "+fingerprint, "give -demo=false")

	// The same key, spelt with its origin.
	b.options = with("--bitcoin-xpub", "[73c5da0a/84h/0h/0h]"+testXpub)
	b.restart()
	b.buy()
	b.stop()
	// Without a node nobody can buy, and nothing is simulated.
	s := startService(t, b.data, "--demo=false", "--bitcoin-network", "regtest", "--auth", "open")
	if a, err := s.call(http.DefaultClient, "POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`, "X-Session-Token", b.token); err != nil || a.status != 503 {
		t.Errorf("create-payment without a node: %d %s, %v", a.status, a.body, err)
	}
	if !strings.Contains(s.log.String(), "nobody can buy") {
		t.Errorf("the operator was not told:\n%s", s.log)
	}
}

// earlier is the data of a version that tied none: real, of testXpub on regtest; demo;
// real that was started in demo mode once; or neither.
func earlier(t *testing.T, which string) (data string) {
	t.Helper()
	data = t.TempDir()
	dir := filepath.Join(data, "log", "0000")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join("testdata", "before_identity", which+".log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00000000000000000001"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheDataOfAnEarlierVersionIsTakenForWhatItShows(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	node := []string{"--auth", "open", "--log-level", "warn", "--bitcoin-network", "regtest", "--bitcoin-rpc", n.URL, "--bitcoin-rpc-user", n.User, "--bitcoin-rpc-pass-file", n.PassFile, "--bitcoin-poll", "20ms", "--bitcoin-xpub"}

	refusedStart(t, earlier(t, "demo"), []string{"--demo=false"}, "a demo", "a real exchange was asked for")
	refusedStart(t, earlier(t, "neither"), nil, "say -demo or -demo=false once")
	for _, which := range []string{"real", "both"} {
		refusedStart(t, earlier(t, which), nil, "a real exchange", "give -demo=false")
		refusedStart(t, earlier(t, which), append(node, bitcointest.SecondAccountKey), "has address 1, bcrt1qnjg0jd8228aq7egyzacy8cys3knf9xvr3v5hfj", "account key 1cfc2f8e", "the key and the network")
	}
	startService(t, earlier(t, "neither"), "--demo").stop()
	startService(t, earlier(t, "neither"), "--demo=false").stop()

	data := earlier(t, "demo")
	startService(t, data).stop()
	if o := runExchange(t, nil, "key", "list", "--data", data); o.code != 0 || o.stdout != "a demo\n" {
		t.Errorf("key list: exit %d, %s%s", o.code, o.stdout, o.stderr)
	}
	for which, alerts := range map[string]int{"real": 0, "both": 1} {
		data := earlier(t, which)
		b := &buyer{service: startService(t, data, append(node, testXpub)...), t: t, node: n, data: data}
		b.id, b.token = b.login("aitbc1wallet_newcomer")
		if q := b.buy(); q.address != derived(t, testXpub, 2) { // after the two that it has
			t.Errorf("%s: the next address is %s", which, q.address)
		}
		b.stop()
		if got := strings.Count(b.log.String(), "ALERT: this data is of a real exchange that was started in demo mode once"); got != alerts {
			t.Errorf("%s: %d alerts, want %d:\n%s", which, got, alerts, b.log)
		}
		if o := runExchange(t, nil, "key", "list", "--data", data); o.code != 0 || !strings.Contains(o.stdout, "a real exchange on regtest with account key "+fingerprint+"\n") || !strings.Contains(o.stdout, testXpub) {
			t.Errorf("key list: exit %d, %s%s", o.code, o.stdout, o.stderr)
		}
		refusedStart(t, data, append(node, bitcointest.SecondAccountKey), "account key "+fingerprint, "account key 1cfc2f8e")
	}
}

// derived returns an address of an extended public key on regtest.
func derived(t *testing.T, xpub string, index uint32) string {
	t.Helper()
	keys, err := bitcoin.ParseKeys(xpub, bitcoin.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	address, err := keys.Address(index)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func TestAfterAMoveToAnotherKeyBothArePaidAndSpent(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 1)
	open := s.buy() // under the first key, and paid under the second
	s.stop()

	move := func(args ...string) outcome {
		t.Helper()
		return runExchange(t, nil, append([]string{"key", "move", "--data", s.data, "--bitcoin-network", "regtest"}, args...)...)
	}
	move("--bitcoin-xpub", testXpub).failed(t, 1, "account key "+fingerprint+" is in use already")
	move("--bitcoin-xpub", "tprv8ggPT9EgUnMNoBNEMU7su15GkrUPkZ1UMdjmtJqo8G6BjQujBVmWEgaM284nCMEu8SYxrqjMs9YXWEeiEEKyg7XhTw2UrGzVqbxi4CwYEDU").failed(t, 2, "private key")
	move().failed(t, 2, "-bitcoin-xpub is missing")
	runExchange(t, nil, "key", "move", "--data", s.data, "--bitcoin-network", "signet", "--bitcoin-xpub", bitcointest.SecondAccountKey).failed(t, 1, "on regtest .* of signet")
	runExchange(t, nil, "key", "move", "--data", t.TempDir(), "--bitcoin-network", "regtest", "--bitcoin-xpub", bitcointest.SecondAccountKey).failed(t, 1, "has no log")
	if o := move("--bitcoin-xpub", bitcointest.SecondAccountKey, "--by", "olga", "--bitcoin-first-index", "5"); o.code != 0 || !strings.Contains(o.stdout, "moved to account key 1cfc2f8e, for addresses from 5 on and change from payout 1 on") {
		t.Fatalf("key move: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	move("--bitcoin-xpub", testXpub).failed(t, 1, "was moved on from before")
	refusedStart(t, s.data, s.options, "account key 1cfc2f8e", "account key "+fingerprint, "moved on from")

	s.options[slices.Index(s.options, "--bitcoin-xpub")+1] = bitcointest.SecondAccountKey
	s.restart()
	if o := move("--bitcoin-xpub", testXpub); o.code != 1 || !strings.Contains(o.stderr, "in use by process") {
		t.Errorf("key move beside the service: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	next := s.buy()
	if want := derived(t, bitcointest.SecondAccountKey, 5); next.address != want {
		t.Errorf("the next address is %s, want %s", next.address, want)
	}
	for _, q := range []asked{open, next} {
		n.Wallet.Pay(pay(q, buyPrice))
		n.Generate(1)
		s.stands(q, "status", "confirmed", "aitbc_credited", "1000")
	}
	// Five sales take more than the two coins of the first key.
	sales := []string{s.sell(), s.sell(), s.sell(), s.sell(), s.sell()}
	exported := s.export()
	if inputs := s.payout(1)["inputs"].([]any); len(inputs) != 3 {
		t.Fatalf("the payout spends %v", inputs)
	}
	one := bitcointest.Sign(t, exported, txscript.SigHashAll)
	if o := s.give(1, one); o.code != 1 {
		t.Errorf("with one signature missing: exit %d\n%s", o.code, o.stdout)
	}
	if o := s.give(1, bitcointest.SignSecond(t, one, txscript.SigHashAll)); o.code != 0 || o.stderr != "" {
		t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(1)
	payout := s.payoutIs(1, "confirmed")
	for _, sale := range sales {
		s.soldFor(sale, payout["tx_hash"])
	}
	// Its change is of the second key.
	last := s.sell()
	if o := s.give(2, bitcointest.SignSecond(t, s.export(), txscript.SigHashAll)); o.code != 0 || o.stderr != "" {
		t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(1)
	s.soldFor(last, s.payoutIs(2, "confirmed")["tx_hash"])
	s.verify()
	if out, _ := runVerify(t, s.data); !strings.Contains(out, "account key "+fingerprint+" for addresses from 0 to 4 and change from 0 to 0") || !strings.Contains(out, "account key 1cfc2f8e for addresses from 5 on and change from 1 on") {
		t.Errorf("verify says of the keys\n%s", out)
	}
	if o := runExchange(t, nil, "dump", "--data", s.data, "--what", "audit"); !strings.Contains(o.stdout, `"actor":"operator:olga","action":"key.move","target":"key:1cfc2f8e"`) {
		t.Errorf("the audit log does not have the move:\n%s", o.stdout)
	}
	if o := runExchange(t, nil, "dump", "--data", s.data, "--what", "accounts", "--user", account.SystemID.String()); !strings.Contains(o.stdout, `"identity":{"mode":"real","network":"regtest","genesis":"0f9188f1`) || !strings.Contains(o.stdout, `"fingerprint":"1cfc2f8e"`) {
		t.Errorf("dump says of the system account\n%s", o.stdout)
	}
}

// TestACoinThatTheKeyDoesNotDeriveIsInNoPayout has a payment in the log whose address is
// not the one of its index, as a log would that was served with two keys.
func TestACoinThatTheKeyDoesNotDeriveIsInNoPayout(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 1)
	user, err := account.ParseUserID(s.id)
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	system, _ := readLedger(s.data, nil)
	price := account.Money(9 * buyPrice) // the largest coin, so that it would be taken first
	wrong := derived(t, bitcointest.SecondAccountKey, 7)
	forge(t, s.data, map[account.UserID][]account.Event{user: {&account.PaymentAddressed{
		Amount: 9000 * account.Unit, BTC: price, BTCFee: 45_000, Index: 7, Address: wrong, ExpiresAt: system.accounts[user].UpdatedAt + 3_600_000_000,
	}}})
	s.restart()
	n.Wallet.Pay(bitcointest.Payment{Address: wrong, Satoshi: int64(price)})
	n.Generate(1)
	s.until("the credit", func() bool {
		m := s.mustCall(200, "GET", "/api/users/"+s.id+"/balance", "", "X-Session-Token", s.token).decode(t)
		return m["balance"].(interface{ String() string }).String() == "10000"
	})
	sale := s.sell()
	exported := s.export()
	if inputs := s.payout(1)["inputs"].([]any); len(inputs) != 1 {
		t.Fatalf("the payout spends %v", inputs)
	}
	if !strings.Contains(s.log.String(), "ALERT: a coin does not pay to the address that the account key derives") {
		t.Errorf("the operator was not told:\n%s", s.log)
	}
	if o := s.give(1, bitcointest.Sign(t, exported, txscript.SigHashAll)); o.code != 0 || o.stderr != "" {
		t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(1)
	s.soldFor(sale, s.payoutIs(1, "confirmed")["tx_hash"])
	s.verify()
}
