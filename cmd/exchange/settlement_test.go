package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// refunds returns how many entries the refund queue has.
func (b *buyer) refunds() string {
	b.t.Helper()
	return fmt.Sprint(b.mustCall(200, "GET", "/api/operator/refunds", "", "Authorization", "Bearer "+operatorKey).decode(b.t)["total"])
}

// operate has an operator end a payment.
func (b *buyer) operate(q asked, act, body string) {
	b.t.Helper()
	b.mustCall(200, "POST", "/api/operator/transactions/"+q.id+"/"+act, body, "Authorization", "Bearer "+operatorKey)
}

// restartWith ends the service in order and runs it with other options.
func (b *buyer) restartWith(options ...string) {
	b.t.Helper()
	if code, _ := b.stop(); code != 0 {
		b.t.Fatalf("exit %d\n%s", code, b.log)
	}
	b.options = append(b.options, options...)
	b.restart()
}

func TestChangedFlagsRefundNothingThatWasCreditedUnderOthers(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	b := newBuyer(t, n, "--overpaid", "proportion", "--late", "proportion", "--payment-tolerance", "5")
	over, short := b.buy(), b.buy()
	n.Wallet.Pay(pay(over, 2*buyPrice))
	n.Wallet.Pay(pay(short, buyPrice-40_000))
	n.Generate(1)
	b.stands(over, "status", "overpaid", "aitbc_credited", "2000")
	b.stands(short, "status", "confirmed", "aitbc_credited", "1000")
	b.restartWith("--payment-timeout", "1s")
	late := b.buy()
	b.stands(late, "status", "expired")
	n.Wallet.Pay(pay(late, buyPrice))
	n.Generate(1)
	b.stands(late, "status", "late", "aitbc_credited", "1000")

	strict := []string{"--overpaid", "refund", "--late", "refund", "--payment-tolerance", "0", "--underpaid", "refund", "--confirmations", "6", "--payment-timeout", "1h"}
	b.restartWith(strict...)
	fresh := b.buy() // under the new terms, and when it is credited all before has been dealt with
	for _, q := range []asked{over, short, late} {
		n.Wallet.Pay(pay(q, 1000))
	}
	n.Wallet.Pay(pay(fresh, buyPrice+5000))
	n.Generate(6)
	b.stands(fresh, "status", "overpaid", "confirmations_required", "6", "aitbc_credited", "1000", "btc_refund", "0.00005")
	b.stands(over, "status", "overpaid", "confirmations_required", "1", "btc_refund", "0")
	b.stands(short, "status", "confirmed", "aitbc_credited", "1000", "btc_refund", "0", "btc_received", "0.00966")
	b.stands(late, "status", "late", "btc_refund", "0")
	if got := b.refunds(); got != "1" {
		t.Errorf("%s refunds are due, want that of the new payment alone", got)
	}
	m := b.mustCall(200, "GET", "/api/users/"+b.id+"/balance", "", "X-Session-Token", b.token).decode(t)
	if fmt.Sprint(m["frozen"]) != "0" {
		t.Errorf("the balance is %v", m)
	}
	b.verify()
}

func TestAPaymentCompletedByHandIsNotSettledAgainByTheChain(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	b := newBuyer(t, n, "--payment-timeout", "10s")
	q := b.buy()
	short := n.Wallet.Pay(pay(q, buyPrice-5000))
	n.Generate(1)
	b.stands(q, "status", "underpaid", "btc_received", "0.01")
	b.operate(q, "complete", `{"tx_hash":"`+short.TxHash().String()+`"}`)
	b.stands(q, "status", "confirmed", "aitbc_credited", "1000", "btc_refund", "0")
	ends, err := time.Parse(time.RFC3339, b.payment(q)["expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	b.until("end of the quote", func() bool { return time.Now().After(ends) })
	n.Wallet.Pay(pay(q, 1000))
	n.Generate(1)
	b.stands(q, "status", "confirmed", "btc_received", "0.01001", "btc_refund", "0.00001")
	n.Generate(1)
	for range 2 {
		b.stands(q, "status", "confirmed", "aitbc_credited", "1000", "btc_refund", "0.00001", "btc_missing", "0")
		if got := b.refunds(); got != "1" {
			t.Errorf("%s refunds are due, want that of the dust alone", got)
		}
		b.balance("1000", "0")
		b.restartWith()
	}
	b.verify()
}

func TestFailingAPaymentQueuesWhatItReceivedWithoutARestart(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	b := newBuyer(t, n)
	half, seen := b.buy(), b.buy()
	n.Wallet.Pay(pay(half, buyPrice/2))
	n.Generate(1)
	b.stands(half, "status", "underpaid", "btc_received", "0.005025")
	n.Wallet.Pay(pay(seen, buyPrice))
	b.stands(seen, "status", "seen")
	b.operate(half, "fail", `{"reason":"asked for"}`)
	b.operate(seen, "fail", `{"reason":"asked for"}`)
	b.stands(half, "status", "failed", "btc_refund", "0.005025")
	b.stands(seen, "status", "failed", "btc_refund", "0")
	n.Generate(1)
	for range 2 {
		b.stands(half, "status", "failed", "btc_refund", "0.005025")
		b.stands(seen, "status", "failed", "btc_refund", "0.01005", "aitbc_credited", "0")
		if got := b.refunds(); got != "2" {
			t.Errorf("%s refunds are due, want 2", got)
		}
		b.balance("0", "0")
		b.restartWith()
	}
	b.verify()
}
