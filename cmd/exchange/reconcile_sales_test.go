package main

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

func TestReconcileFindsSalesThatAreSettledTwice(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 3)
	failed, byHand := s.sell(), s.sell()
	exported := s.export()
	signed := bitcointest.Sign(t, exported, txscript.SigHashAll)
	// One output, and two sales that an operator completed with it.
	one := n.Wallet.Pay(bitcointest.Payment{Address: n.Wallet.Address, Satoshi: 497_500}).TxHash().String()
	n.Generate(1)
	var shared []string
	for range 2 {
		sale := s.sell()
		shared = append(shared, sale)
		s.mustCall(200, "POST", "/api/operator/transactions/"+sale+"/complete", `{"tx_hash":"`+one+`"}`, "Authorization", "Bearer "+operatorKey)
	}
	// Two sales of a payout that ended otherwise, as an older version let them.
	s.stop()
	id, err := account.ParseTransactionID(failed)
	if err != nil {
		t.Fatal(err)
	}
	other, err := account.ParseTransactionID(byHand)
	if err != nil {
		t.Fatal(err)
	}
	none := strings.Repeat("ab", 32)
	forge(t, s.data, map[account.UserID][]account.Event{id.User: {
		&account.SaleFreed{N: id.N}, &account.TxFailed{N: id.N, By: "forger", Reason: "test"},
		&account.SaleFreed{N: other.N}, &account.TxCompleted{N: other.N, Type: account.TypeSell, Amount: 500 * account.Unit, TxHash: none, By: "forger"},
	}})
	s.restart()
	if o := s.give(1, signed); o.code != 0 {
		t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.InMempool(hashOf(t, s.payout(1)["tx_hash"]))
	n.Generate(1)
	txHash := s.payoutIs(1, "confirmed")["tx_hash"].(string)
	s.until("two alerts", func() bool {
		return strings.Count(s.log.String(), "ALERT: a payout paid a sale that had ended otherwise") == 2
	})
	var o outcome
	s.until("followed chain", func() bool { o = s.reconcile("--from", "1", "--json"); return o.code != 2 })
	found := map[string]string{}
	for line := range strings.Lines(o.stdout) {
		var d difference
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		found[d.Kind+" "+d.What] += d.Out
	}
	want := map[string]string{
		"sale_paid_and_failed " + failed: txHash,
		"sale_paid_twice " + byHand:      txHash,
		"payout_missing " + byHand:       none,
		"output_shared " + shared[1]:     one,
	}
	if o.code != 1 || !maps.Equal(found, want) {
		t.Errorf("exit %d\n%s%s\nwant %v", o.code, o.stdout, o.stderr, want)
	}
}
