package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// testXpub is the account of BIP-84's test vector on a test network.
const testXpub = bitcointest.AccountKey

const buyPrice = 1_005_000 // satoshi for 1000 AITBC

// buyer is a user of a service that follows a node.
type buyer struct {
	*service
	t         *testing.T
	node      *bitcointest.Node
	data      string
	options   []string
	id, token string
}

func newBuyer(t *testing.T, node *bitcointest.Node, options ...string) *buyer {
	t.Helper()
	b := &buyer{t: t, node: node, data: t.TempDir(), options: append([]string{
		"--auth", "open", "--throttle", "off", "--log-level", "warn", "--bitcoin-network", "regtest", "--bitcoin-rpc", node.URL,
		"--bitcoin-rpc-user", node.User, "--bitcoin-rpc-pass-file", node.PassFile, "--bitcoin-xpub", testXpub, "--bitcoin-poll", "20ms",
		"--address-cooling-off", "0s", // nobody waits a day to sell here
		"--operator-key-file", operatorKeyFile(t),
	}, options...)}
	b.service = startService(t, b.data, b.options...)
	b.id, b.token = b.login("aitbc1wallet_buyer")
	return b
}

// operatorKeyFile returns a file with operatorKey, an admin's. Unlike the environment, it
// lets tests run beside others.
func operatorKeyFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "operators")
	if err := os.WriteFile(file, []byte(operatorKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// restart runs the service again after it was killed.
func (b *buyer) restart() {
	b.t.Helper()
	b.service = startService(b.t, b.data, b.options...)
}

// asked is a payment to be made.
type asked struct{ id, address string }

// buy asks for a payment, until the service follows the chain.
func (b *buyer) buy() (q asked) {
	b.t.Helper()
	b.until("a quote", func() bool {
		a, err := b.call(http.DefaultClient, "POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`, "X-Session-Token", b.token)
		if err != nil {
			b.t.Fatal(err)
		}
		if a.status == 503 && strings.Contains(a.body, "chain_down") {
			return false
		}
		if a.status != 201 {
			b.t.Fatalf("create-payment: %d %s", a.status, a.body)
		}
		m := a.decode(b.t)
		q = asked{m["payment_id"].(string), m["payment_address"].(string)}
		return true
	})
	return q
}

func (b *buyer) until(what string, done func() bool) {
	b.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("no %s within 30 s\n%s", what, b.log)
		}
	}
}

func (b *buyer) payment(q asked) map[string]any {
	b.t.Helper()
	return b.mustCall(200, "GET", "/api/exchange/payment-status/"+q.id, "", "X-Session-Token", b.token).decode(b.t)
}

// stands waits until a payment stands somewhere; want is name, value and so on.
func (b *buyer) stands(q asked, want ...string) {
	b.t.Helper()
	var last map[string]any
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		last = b.payment(q)
		all := true
		for i := 0; i < len(want); i += 2 {
			all = all && fmt.Sprint(last[want[i]]) == want[i+1]
		}
		if all {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	b.t.Fatalf("after 30 s the payment is %v, want %v\n%s", last, want, b.log)
}

// balance checks the balance, and what of it is frozen.
func (b *buyer) balance(balance, frozen string) {
	b.t.Helper()
	m := b.mustCall(200, "GET", "/api/users/"+b.id+"/balance", "", "X-Session-Token", b.token).decode(b.t)
	if fmt.Sprint(m["balance"]) != balance || fmt.Sprint(m["frozen"]) != frozen {
		b.t.Errorf("the balance is %v, want %s and %s frozen", m, balance, frozen)
	}
}

// verify stops the service and proves its log.
func (b *buyer) verify() {
	b.t.Helper()
	if code, _ := b.stop(); code != 0 {
		b.t.Errorf("exit %d\n%s", code, b.log)
	}
	if out, code := runVerify(b.t, b.data); code != 0 || !strings.Contains(out, "conserved") {
		b.t.Errorf("verify: exit %d\n%s", code, out)
	}
}

func pay(q asked, satoshi int64) bitcointest.Payment {
	return bitcointest.Payment{Address: q.address, Satoshi: satoshi}
}

func TestARealPaymentIsCreditedAfterItsConfirmations(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	b := newBuyer(t, n, "--confirmations", "3")
	exact, under, over, twice, split := b.buy(), b.buy(), b.buy(), b.buy(), b.buy()
	b.stands(exact, "status", "pending", "confirmations_required", "3")
	stream := b.openStream(b.id, b.token, "")
	tx := n.Wallet.Pay(pay(exact, buyPrice))
	b.stands(exact, "status", "seen", "tx_hash", tx.TxHash().String(), "confirmations", "0")
	n.Wallet.Pay(pay(under, buyPrice-5000))
	n.Wallet.Pay(pay(over, buyPrice+7000))
	n.Wallet.Pay(pay(twice, buyPrice))
	n.Wallet.Pay(pay(twice, buyPrice))
	n.Wallet.Pay(pay(split, 1_000_000), pay(split, 5000)) // one transaction, two outputs
	n.Generate(1)
	b.stands(exact, "status", "confirming", "confirmations", "1")
	n.Generate(1)
	b.stands(exact, "status", "confirming", "confirmations", "2")
	b.balance("0", "0")
	n.Generate(1)
	b.stands(exact, "status", "confirmed", "confirmations", "3", "aitbc_credited", "1000")
	b.stands(under, "status", "underpaid", "btc_received", "0.01", "btc_missing", "0.00005", "aitbc_credited", "0")
	b.stands(over, "status", "overpaid", "aitbc_credited", "1000", "btc_refund", "0.00007")
	b.stands(twice, "status", "overpaid", "aitbc_credited", "1000", "btc_refund", "0.01005")
	b.stands(split, "status", "confirmed", "aitbc_credited", "1000")
	n.Wallet.Pay(pay(under, 5000)) // the rest, in time
	n.Generate(3)
	b.stands(under, "status", "confirmed", "aitbc_credited", "1000")
	b.balance("5000", "0")

	// Whoever watches is told of each step, and of the second confirmation, which
	// changes nothing in the account.
	steps := []string{`"status":"seen"`, `"confirmations":1,`, `"confirmations":2,`, `"status":"confirmed"`}
	for len(steps) > 0 && stream.Scan() {
		if line := stream.Text(); strings.HasPrefix(line, `data: {"payment_id":"`+exact.id) && strings.Contains(line, steps[0]) {
			steps = steps[1:]
		}
	}
	if len(steps) > 0 {
		t.Errorf("the stream did not tell %s", steps)
	}
	b.verify()
}

func TestTheRateComesFromTheFeedWhileItIsYoung(t *testing.T) {
	t.Parallel()
	feed := filepath.Join(t.TempDir(), "rate.json")
	write := func(rate string, at time.Time) {
		t.Helper()
		content := fmt.Sprintf(`{"aitbc_per_btc":%s,"at":%q}`, rate, at.Format(time.RFC3339))
		if err := os.WriteFile(feed, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	buy := func(s *service, token string) answer {
		t.Helper()
		a, err := s.call(http.DefaultClient, "POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`, "X-Session-Token", token)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	write("200000", time.Now())
	s := startService(t, t.TempDir(), "--demo", "--rate-feed", feed, "--rate-max-age", "1h")
	_, token := s.login("aitbc1wallet_rates")
	if a := buy(s, token); a.status != 201 || !strings.Contains(a.body, `"btc_amount":0.005025,`) {
		t.Errorf("at the feed's rate: %d %s", a.status, a.body)
	}
	write("200000", time.Now().Add(-2*time.Hour))
	s = startService(t, t.TempDir(), "--demo", "--rate-feed", feed, "--rate-max-age", "1h")
	id, token := s.login("aitbc1wallet_rates")
	if a := buy(s, token); a.status != 503 || !strings.Contains(a.body, `"no_rate"`) {
		t.Errorf("at an old rate: %d %s", a.status, a.body)
	}
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1000}`, "X-Session-Token", token)
	s.mustCall(503, "POST", "/api/exchange/sell", `{"aitbc_amount":1000,"btc_address":"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"}`, "X-Session-Token", token)
	runExchange(t, nil, "serve", "--rate-lowest", "2", "--rate-highest", "1").failed(t, 2, `rate-lowest 2 is more than -rate-highest 1`)
}

func TestARealPaymentExpiresOrComesLate(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(105)
	b := newBuyer(t, n, "--payment-timeout", "2s", "--underpaid", "proportion")
	none, half, late := b.buy(), b.buy(), b.buy()
	n.Wallet.Pay(pay(half, buyPrice/2))
	n.Generate(1)
	b.stands(half, "status", "underpaid", "btc_received", "0.005025")
	b.stands(none, "status", "expired")
	b.stands(late, "status", "expired")
	b.stands(half, "status", "underpaid", "aitbc_credited", "500")
	n.Wallet.Pay(pay(late, buyPrice))
	b.stands(late, "status", "late")
	n.Generate(1)
	b.stands(late, "status", "late", "aitbc_credited", "0", "btc_refund", "0.01005")
	b.balance("500", "0")
	b.verify()
}

func TestAReorganisationTakesBackASightingAndFreezesACredit(t *testing.T) {
	t.Parallel()
	n, other := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(110)
	n.Connect(other)
	n.Disconnect(other)
	b := newBuyer(t, n, "--confirmations", "3")
	credited, sighted := b.buy(), b.buy()
	first, second := n.Wallet.Take(), n.Wallet.Take()
	n.Wallet.Send(n.Wallet.Spend(first, pay(credited, buyPrice)))
	n.Generate(2)
	n.Wallet.Send(n.Wallet.Spend(second, pay(sighted, buyPrice)))
	n.Generate(1)
	b.stands(credited, "status", "confirmed")
	b.stands(sighted, "status", "confirming", "confirmations", "1")
	b.balance("1000", "0")

	// A branch that is one longer takes three blocks back and spends both coins elsewhere.
	elsewhere := bitcointest.Payment{Address: n.Wallet.Address, Satoshi: 1000}
	other.Wallet.Send(n.Wallet.Spend(first, elsewhere))
	other.Wallet.Send(n.Wallet.Spend(second, elsewhere))
	other.Generate(4)
	n.Connect(other)
	b.until("a frozen credit", func() bool { return strings.Contains(b.log.String(), "ALERT: a reorganisation took back") })
	// What btcd keeps in its mempool of the branch that it left is its own affair.
	for _, q := range []asked{credited, sighted} {
		b.until("unconfirmed payment", func() bool {
			status := b.payment(q)["status"]
			return status == "seen" || status == "pending" || status == "underpaid"
		})
	}
	b.balance("1000", "1000")
	b.mustCall(409, "POST", "/api/users/"+b.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, "X-Session-Token", b.token)

	// Paid once more, the first is whole again.
	n.Wallet.Pay(pay(credited, buyPrice))
	n.Generate(3)
	b.until("lifted freeze", func() bool { return strings.Contains(b.log.String(), "a frozen amount is free again") })
	b.balance("1000", "0")
	b.verify()
}

func TestAKillBetweenBlockAndCreditCreditsEveryOutputOnce(t *testing.T) {
	t.Parallel()
	const rounds = 20
	n := bitcointest.Start(t)
	n.Generate(125)
	b := newBuyer(t, n)
	for round := range rounds {
		q := b.buy()
		n.Wallet.Pay(pay(q, buyPrice))
		n.Generate(1)
		// From at once to after the credit, which comes within the poll's 20 ms.
		<-time.After(time.Duration(round) * 3 * time.Millisecond)
		b.kill()
		b.restart()
		b.stands(q, "status", "confirmed", "aitbc_credited", "1000", "btc_refund", "0")
		b.balance(fmt.Sprint(1000*(round+1)), "0")
	}
	b.verify()
	credits := map[string]int{}
	indexes := map[string]bool{}
	dump := runExchange(t, nil, "dump", "--data", b.data)
	for line := range strings.Lines(dump.stdout) {
		var e struct {
			Event string      `json:"event"`
			Outs  []string    `json:"outs"`
			Index json.Number `json:"index"`
		}
		if strings.Contains(line, `"event":"payment_credited"`) {
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			for _, out := range e.Outs {
				credits[out]++
			}
		}
		if strings.Contains(line, `"event":"payment_addressed"`) {
			_, address, _ := strings.Cut(line, `"address":"`)
			indexes[address] = true
		}
	}
	if len(credits) != rounds || len(indexes) != rounds {
		t.Errorf("%d outputs were credited, and %d addresses given, in %d rounds", len(credits), len(indexes), rounds)
	}
	for out, times := range credits {
		if times != 1 {
			t.Errorf("output %s was credited %d times", out, times)
		}
	}
}

func TestANodeThatIsKilledLosesNoPayment(t *testing.T) {
	t.Parallel()
	n, other := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(105)
	n.Connect(other)
	b := newBuyer(t, n)
	q := b.buy()
	n.Kill()
	b.until("a failed look", func() bool { return strings.Contains(b.log.String(), "the Bitcoin node cannot be used") })
	b.stands(q, "status", "pending")
	other.Wallet.Send(n.Wallet.Spend(spendable(n, other), pay(q, buyPrice)))
	n.Restart() // with an empty chain
	other.Generate(1)
	n.Connect(other)
	b.stands(q, "status", "confirmed", "aitbc_credited", "1000")
	b.verify()
}

// spendable takes a coin of n's wallet, by the chain of another node.
func spendable(n, other *bitcointest.Node) bitcointest.Coin {
	return n.Wallet.TakeAt(other.Tip().Height)
}

// TestAThousandPaymentsOfOneBlockAreCredited logs the time from the block to the
// last credit.
func TestAThousandPaymentsOfOneBlockAreCredited(t *testing.T) {
	t.Parallel()
	const users, each = 10, account.MaxOpenPayments
	n := bitcointest.Start(t)
	n.Generate(115)
	b := newBuyer(t, n)
	buyers := make([]*buyer, users)
	var payments [users][]bitcointest.Payment
	b.buy() // the service follows the chain
	var wg sync.WaitGroup
	for i := range buyers {
		u := *b
		u.id, u.token = b.login(fmt.Sprintf("aitbc1wallet_thousand%d", i))
		buyers[i] = &u
		wg.Go(func() {
			for range each {
				payments[i] = append(payments[i], pay(u.buy(), buyPrice))
			}
		})
	}
	wg.Wait()
	for i := range buyers {
		n.Wallet.Pay(payments[i]...)
	}
	start := time.Now()
	n.Generate(1)
	mined := time.Now()
	for _, u := range buyers {
		u.until("a whole balance", func() bool {
			m := u.mustCall(200, "GET", "/api/users/"+u.id+"/balance", "", "X-Session-Token", u.token).decode(t)
			return fmt.Sprint(m["balance"]) == fmt.Sprint(each*1000)
		})
	}
	t.Logf("%d payments credited %s after the block, which took %s to be made", users*each, time.Since(mined).Round(time.Millisecond), mined.Sub(start).Round(time.Millisecond))
	b.verify()
}

func TestANodeOfAnotherNetworkIsRefused(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	options := func(network string, more ...string) []string {
		return append([]string{
			"serve", "--data", t.TempDir(), "--listen", freeAddress(t), "--bitcoin-network", network, "--bitcoin-rpc", n.URL,
			"--bitcoin-rpc-user", n.User, "--bitcoin-rpc-pass-file", n.PassFile, "--bitcoin-xpub",
		}, more...)
	}
	runExchange(t, nil, options("testnet", testXpub)...).failed(t, 1, `on regtest, testnet is configured`)
	runExchange(t, nil, options("mainnet", testXpub)...).failed(t, 2, `bitcoin-xpub.*test network, mainnet is configured`)
	private := "tprv8ZgxMBicQKsPeDgjzdC36fs6bMjGApWDNLR9erAXMs5skhMv36j9MV5ecvfavji5khqjWaWSFhN3YcCUUdiKH6isR4Pwy3U5y5egddBr16m"
	o := runExchange(t, nil, options("regtest", private)...)
	o.failed(t, 2, `private key`)
	if strings.Contains(o.stderr, private[4:]) {
		t.Errorf("the key is shown:\n%s", o.stderr)
	}
	runExchange(t, nil, options("regtest", testXpub, "--demo")...).failed(t, 2, `demo`)
	runExchange(t, nil, "serve", "--bitcoin-network", "regtest", "--bitcoin-xpub", testXpub).failed(t, 2, `no -bitcoin-rpc`)
}
