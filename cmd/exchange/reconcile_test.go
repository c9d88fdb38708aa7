package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// forge writes events into the log of a stopped service, as if it had found them.
func forge(t *testing.T, data string, forged map[account.UserID][]account.Event) {
	t.Helper()
	l, err := readLedger(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := local.Open(local.Config{Dir: data})
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
	for id, events := range forged {
		a := l.accounts[id]
		for _, event := range events {
			r := account.Record{User: id, Seq: a.Seq + 1, At: a.UpdatedAt, Events: []account.Event{event}}
			if err := a.Apply(&r); err != nil {
				t.Fatal(err)
			}
			encoded, done := r.Append(nil), make(durable, 1)
			if err := journal.Reserve(len(encoded)); err != nil {
				t.Fatal(err)
			}
			journal.Append(encoded, done)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// durable is told when a record is.
type durable chan error

func (d durable) Committed(err error) { d <- err }

// reconcile runs exchange reconcile against the service.
func (s *seller) reconcile(args ...string) outcome {
	s.t.Helper()
	return runExchange(s.t, []string{operatorKeyVariable + "=" + operatorKey}, append(append([]string{"reconcile"}, args...), "--server", s.url)...)
}

// outputOf returns the output of a payment, as the stopped service's log has it.
func outputOf(t *testing.T, l *ledger, q asked) (id account.TransactionID, o account.Output) {
	t.Helper()
	id, err := account.ParseTransactionID(q.id)
	if err != nil {
		t.Fatal(err)
	}
	tx, ok := l.accounts[id.User].History.At(id.N)
	if !ok || len(tx.Detail.Outputs) != 1 {
		t.Fatalf("payment %s is %+v", q.id, tx)
	}
	return id, tx.Detail.Outputs[0]
}

func TestReconcileFindsEveryKindOfDifferenceAndNoOther(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 4)
	over := s.buy()
	n.Wallet.Pay(pay(over, buyPrice+7000))
	n.Generate(1)
	s.stands(over, "btc_refund", "0.00007")
	paid := s.sell()
	if o := s.give(1, bitcointest.Sign(t, s.export(), txscript.SigHashAll)); o.code != 0 {
		t.Fatalf("import: %s", o.stderr)
	}
	n.Generate(1)
	s.soldFor(paid, s.payoutIs(1, "confirmed")["tx_hash"])
	n.Generate(account.MaxTrail) // beyond what a start looks at again
	s.until("followed chain", func() bool {
		return s.reconcile("--from", fmt.Sprint(n.Tip().Height)).code == 0
	})
	if o := s.reconcile("--from", "1"); o.code != 0 || o.stdout != "" || !strings.Contains(o.stderr, fmt.Sprintf("%d blocks compared, 0 differences", n.Tip().Height)) {
		t.Fatalf("a clean log: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if o := s.reconcile("--from", "1", "--to", "100000"); o.code != 2 {
		t.Errorf("blocks that are not there: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}

	// What an operator says that is not so.
	key := []string{"Authorization", "Bearer " + operatorKey}
	none, other := strings.Repeat("ab", 32), n.Wallet.Pay(bitcointest.Payment{Address: n.Wallet.Address, Satoshi: 1000})
	n.Generate(1)
	gone, wrong := s.sell(), s.sell()
	s.mustCall(200, "POST", "/api/operator/transactions/"+gone+"/complete", `{"tx_hash":"`+none+`"}`, key...)
	s.mustCall(200, "POST", "/api/operator/transactions/"+wrong+"/complete", `{"tx_hash":"`+other.TxHash().String()+`"}`, key...)
	refund := s.mustCall(200, "GET", "/api/operator/refunds", "", key...).decode(t)["refunds"].([]any)[0].(map[string]any)
	s.mustCall(200, "POST", fmt.Sprintf("/api/operator/refunds/%s/%s/settle", refund["payment_id"], refund["outpoint"]), `{"tx_hash":"`+none+`","reason":"sent"}`, key...)
	late := s.buy()
	s.stop()
	little := n.Wallet.Pay(pay(late, 5000))
	n.Generate(1)

	// What the log says that is not so.
	l, err := readLedger(s.data, nil)
	if err != nil {
		t.Fatal(err)
	}
	twice, twiceOut := outputOf(t, l, s.bought[0])
	block, blockOut := outputOf(t, l, s.bought[1])
	lost, lostOut := outputOf(t, l, s.bought[2])
	extra, extraOut := outputOf(t, l, s.bought[3])
	lateID, err := account.ParseTransactionID(late.id)
	if err != nil {
		t.Fatal(err)
	}
	littleOut := account.Outpoint{TxID: account.ChainHash(little.TxHash())}
	fake := account.Outpoint{TxID: account.ChainHash{7}}
	system := l.accounts[account.SystemID]
	first, _ := system.Payouts.At(1)
	payout := func(number uint32, txid account.ChainHash) account.Payout {
		p := *first
		return account.Payout{
			Number: number, Sales: p.Sales, Coins: []account.PayoutCoin{{Out: fake, BTC: account.Money(number)}}, TxID: txid, Unsigned: []byte{1},
			ExportedAt: system.UpdatedAt, ChangedAt: system.UpdatedAt, By: "forger",
		}
	}
	forge(t, s.data, map[account.UserID][]account.Event{
		twice.User: {
			&account.PaymentCredited{N: twice.N, Amount: 1000 * account.Unit, Outs: []account.Outpoint{twiceOut.Out}},
			&account.OutputConfirmed{N: block.N, Out: blockOut.Out, BTC: blockOut.BTC, Height: blockOut.Height + 1, Block: account.ChainHash{1}, At: blockOut.At},
			&account.OutputRemoved{N: lost.N, Out: lostOut.Out, Height: lostOut.Height},
			&account.OutputConfirmed{N: lateID.N, Out: littleOut, BTC: 4999, Height: n.Tip().Height, Block: account.ChainHash(n.Tip().Hash), At: extraOut.At},
			&account.OutputConfirmed{N: extra.N, Out: fake, BTC: 5, Height: extraOut.Height, Block: extraOut.Block, At: extraOut.At},
		},
		account.SystemID: {
			&account.PayoutExported{Payout: payout(2, twiceOut.Out.TxID)},
			&account.PayoutExported{Payout: payout(3, account.ChainHash{8})},
			&account.PayoutMined{Number: 3, Height: first.Height, Block: first.Block},
			&account.PayoutExported{Payout: payout(4, lostOut.Out.TxID)},
			&account.PayoutMined{Number: 4, Height: first.Height, Block: first.Block},
		},
	})
	s.restart()
	var o outcome
	newest := fmt.Sprint(n.Tip().Height)
	s.until("followed chain", func() bool { o = s.reconcile("--from", "1", "--to", newest, "--json"); return o.code != 2 })
	found := map[string]string{}
	for line := range strings.Lines(o.stdout) {
		var d difference
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		found[d.Kind+" "+d.What] += d.Out
	}
	want := map[string]string{
		"credited_twice " + twice.String():                   "",
		"other_block " + block.String():                      blockOut.Out.String(),
		"not_in_log " + lost.String():                        lostOut.Out.String(),
		"not_on_chain " + extra.String():                     fake.String(),
		"other_amount " + late.id:                            littleOut.String(),
		"payout_missing " + gone:                             none,
		"payout_amount " + wrong:                             other.TxHash().String(),
		"refund_missing " + fmt.Sprint(refund["payment_id"]): none,
		"payout_not_in_log payout 2":                         twiceOut.Out.TxID.String(),
		"payout_missing payout 3":                            account.ChainHash{8}.String(),
		"other_block payout 4":                               lostOut.Out.TxID.String(),
	}
	if o.code != 1 || !maps.Equal(found, want) {
		t.Errorf("exit %d\n%s%s\nwant %v", o.code, o.stdout, o.stderr, slices.Sorted(maps.Keys(want)))
	}
	if o := s.reconcile("--from", "1"); o.code != 1 || strings.Count(o.stdout, "\n") != len(want) {
		t.Errorf("for a person: exit %d\n%s", o.code, o.stdout)
	}
}
