package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// replacement is what the signer makes of a payout: what alter does to it, signed.
func (s *seller) replacement(exported string, alter func(*psbt.Packet)) (signed string, tx *wire.MsgTx) {
	s.t.Helper()
	packet, err := psbt.NewFromRawBytes(strings.NewReader(exported), true)
	if err != nil {
		s.t.Fatal(err)
	}
	alter(packet)
	bitcointest.SignPacket(s.t, packet, txscript.SigHashAll)
	if signed, err = packet.B64Encode(); err != nil {
		s.t.Fatal(err)
	}
	if tx, err = txOf(signed); err != nil {
		s.t.Fatal(err)
	}
	return signed, tx
}

// raiseFee takes satoshi from the change.
func raiseFee(satoshi int64) func(*psbt.Packet) {
	return func(packet *psbt.Packet) {
		packet.UnsignedTx.TxOut[len(packet.UnsignedTx.TxOut)-1].Value -= satoshi
	}
}

// dropFirstPayee gives what the first one was to have back to the change, but for a fee.
func dropFirstPayee(packet *psbt.Packet) {
	out := packet.UnsignedTx.TxOut
	out[len(out)-1].Value += out[0].Value - 2000
	packet.UnsignedTx.TxOut, packet.Outputs = out[1:], packet.Outputs[1:]
}

// agrees checks that log and chain say the same of all blocks.
func (s *seller) agrees() {
	s.t.Helper()
	var o outcome
	s.until("followed chain", func() bool {
		o = s.reconcile("--from", "1", "--to", fmt.Sprint(s.node.Tip().Height))
		return o.code != 2
	})
	if o.code != 0 {
		s.t.Errorf("reconcile: exit %d\n%s%s\n%s", o.code, o.stdout, o.stderr, s.log)
	}
}

// pays signs and imports a new payout, and mines it.
func (s *seller) pays(n int, sale string) {
	s.t.Helper()
	if o := s.give(n, bitcointest.Sign(s.t, s.export(), txscript.SigHashAll)); o.code != 0 || o.stderr != "" {
		s.t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if sales := s.payout(n)["sales"].([]any); len(sales) != 1 || sales[0] != sale {
		s.t.Fatalf("payout %d has %v, want %s", n, sales, sale)
	}
	s.node.Generate(2)
	s.soldFor(sale, s.payoutIs(n, "confirmed")["tx_hash"])
}

// refusesToEnd checks that nobody ends a sale by hand.
func (s *seller) refusesToEnd(sale string) {
	s.t.Helper()
	for _, action := range []string{"complete", "fail"} {
		a := s.mustCall(409, "POST", "/api/operator/transactions/"+sale+"/"+action, `{"reason":"by hand"}`, "Authorization", "Bearer "+operatorKey)
		if !strings.Contains(a.body, "in_payout") {
			s.t.Errorf("%s by hand: %s", action, a.body)
		}
	}
}

func TestAPayoutWhoseFeeTheSignerRaisedIsPaidOnce(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"imported", "sent by somebody else"} {
		t.Run(how, func(t *testing.T) {
			n := bitcointest.Start(t)
			n.Generate(110)
			s := newSeller(t, n, 1, "--confirmations", "2")
			sale := s.sell()
			exported := s.export()
			if o := s.give(1, bitcointest.Sign(t, exported, txscript.SigHashAll)); o.code != 0 || o.stderr != "" {
				t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
			}
			first := s.payout(1)
			n.InMempool(hashOf(t, first["tx_hash"]))
			signed, tx := s.replacement(exported, raiseFee(2000))
			if how == "imported" {
				if o := s.give(1, signed); o.code != 0 || o.stderr != "" {
					t.Fatalf("import of the replacement: exit %d\n%s%s", o.code, o.stdout, o.stderr)
				}
				n.InMempool(tx.TxHash())
				s.killed()
			} else {
				n.Wallet.Send(tx)
			}
			n.Generate(1)
			s.payoutIs(1, "mined")
			s.refusesToEnd(sale)
			s.killed()
			n.Generate(1)
			p := s.payoutIs(1, "confirmed")
			if p["tx_hash"] != tx.TxHash().String() || p["tx_hash"] == first["tx_hash"] {
				t.Errorf("it is paid by %v, want %s", p["tx_hash"], tx.TxHash())
			}
			s.soldFor(sale, tx.TxHash().String())
			if o := s.payouts("cancel", "--payout", "1", "--reason", "replaced", "--spent-by", tx.TxHash().String()); o.code != 1 {
				t.Errorf("a payout is cancelled by what pays it:\n%s%s", o.stdout, o.stderr)
			}
			s.pays(2, s.sell()) // from the change of the replacement: there is no other coin
			s.agrees()
			s.verify()
		})
	}
}

func TestAReplacementThatDropsAPayeeFreesThatOneAlone(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2, "--confirmations", "2")
	first, second := s.sell(), s.sell()
	exported := s.export()
	signed, tx := s.replacement(exported, dropFirstPayee)
	if o := s.give(1, signed); o.code != 1 || !strings.Contains(o.stderr, "no output pays sale "+second) {
		t.Errorf("import of what leaves one out: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Wallet.Send(tx)
	s.until("known replacement", func() bool {
		return s.payout(1)["status"] == "exported" && strings.Contains(s.log.String(), "by another transaction")
	})
	if o := s.payouts("cancel", "--payout", "1", "--reason", "x"); o.code != 1 || !strings.Contains(o.stderr, tx.TxHash().String()) {
		t.Errorf("cancelled while it is on its way: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(1)
	s.payoutIs(1, "mined")
	s.refusesToEnd(second)
	if o := s.payouts("export"); o.code != 1 || !strings.Contains(o.stderr, "no sale is free") {
		t.Errorf("an export before it is decided: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(1)
	s.soldFor(first, tx.TxHash().String())
	s.payoutIs(1, "confirmed")
	s.pays(2, second)
	s.agrees()
	s.verify()
}

func TestNobodyEndsASaleThatACancelledPayoutMayStillPay(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2, "--confirmations", "3")
	sale := s.sell()
	signed := bitcointest.Sign(t, s.export(), txscript.SigHashAll) // and kept
	if o := s.payouts("cancel", "--payout", "1", "--reason", "the signer is broken"); o.code != 0 {
		t.Fatalf("cancel: %s%s", o.stdout, o.stderr)
	}
	s.refusesToEnd(sale)
	s.killed()
	s.refusesToEnd(sale)
	s.export()
	tx, err := txOf(signed)
	if err != nil {
		t.Fatal(err)
	}
	n.Wallet.Send(tx)
	n.Generate(1)
	s.payoutIs(1, "mined")
	// It has its sale back at once: giving up the next one frees nothing.
	if o := s.payouts("cancel", "--payout", "2", "--reason", "the first one is mined"); o.code != 0 {
		t.Fatalf("cancel: %s%s", o.stdout, o.stderr)
	}
	s.refusesToEnd(sale)
	if o := s.payouts("export"); o.code != 1 || !strings.Contains(o.stderr, "no sale is free") {
		t.Errorf("another export: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(2)
	s.payoutIs(1, "confirmed")
	s.soldFor(sale, tx.TxHash().String())
	s.agrees()
	s.verify()
}

// restoreOlder puts the data of a copy in the place of the service's, and starts it.
func (s *seller) restoreOlder(data string) {
	s.t.Helper()
	s.stop()
	s.data = data
	s.restart()
}

func TestARestoredLogDoesNotPayAgainWhatWasPaidSince(t *testing.T) {
	t.Parallel()
	for _, isMined := range []bool{true, false} {
		t.Run(fmt.Sprintf("mined %t", isMined), func(t *testing.T) {
			n := bitcointest.Start(t)
			n.Generate(110)
			s := newSeller(t, n, 2, "--confirmations", "2")
			sale := s.sell()
			s.stop()
			older := t.TempDir()
			if err := os.CopyFS(older, os.DirFS(s.data)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(older, "secrets.key"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.restart()
			if o := s.give(1, bitcointest.Sign(t, s.export(), txscript.SigHashAll)); o.code != 0 || o.stderr != "" {
				t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
			}
			id := s.payout(1)["tx_hash"].(string)
			n.InMempool(hashOf(t, id))
			if isMined {
				n.Generate(1)
				s.payoutIs(1, "mined")
			}
			s.restoreOlder(older)
			if o := s.payouts("export", "--fee-rate", "5"); o.code != 1 || !strings.Contains(o.stderr, "no sale is free") {
				t.Fatalf("it is paid again: exit %d\n%s%s\n%s", o.code, o.stdout, o.stderr, s.log)
			}
			s.refusesToEnd(sale)
			if !strings.Contains(s.log.String(), "ALERT: the chain pays sales") {
				t.Errorf("the operator was not told:\n%s", s.log)
			}
			s.killed()
			n.Generate(2)
			s.soldFor(sale, id)
			list := s.payouts("list")
			if strings.Count(list.stdout, "confirmed") != 1 || !strings.Contains(list.stdout, id) {
				t.Errorf("the payouts are\n%s%s", list.stdout, list.stderr)
			}
			s.agrees()
			s.verify()
		})
	}
}

// TestAPayoutThatWasReplacedBeforeSpendsWereWatchedIsAskedFor has a log that says that the
// block with the replacement was read, as one does that was written by an older version.
func TestAPayoutThatWasReplacedBeforeSpendsWereWatchedIsAskedFor(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2)
	sale := s.sell()
	exported := s.export()
	_, tx := s.replacement(exported, raiseFee(2000))
	s.stop()
	n.Wallet.Send(tx)
	n.Generate(1)
	tip := n.Tip()
	forge(t, s.data, map[account.UserID][]account.Event{account.SystemID: {
		&account.ChainAdvanced{First: tip.Height, Hashes: []account.ChainHash{account.ChainHash(tip.Hash)}, Time: 1},
	}})
	s.restart()
	s.until("an alert", func() bool { return strings.Contains(s.log.String(), "nobody knows by what: its sales may be paid") })
	if o := s.payouts("cancel", "--payout", "1", "--reason", "x"); o.code != 1 || !strings.Contains(o.stderr, "say which transaction") {
		t.Errorf("cancelled: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.refusesToEnd(sale)
	o := s.payouts("cancel", "--payout", "1", "--reason", "x", "--spent-by", tx.TxHash().String())
	if o.code != 1 || !strings.Contains(o.stderr, "pays 1 of the 1 sales") {
		t.Errorf("named: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.soldFor(sale, tx.TxHash().String())
	if p := s.payoutIs(1, "confirmed"); p["tx_hash"] != tx.TxHash().String() {
		t.Errorf("the payout is %v", p)
	}
	s.agrees()
	s.verify()
}

// TestASaleThatAnOlderVersionFreedAlthoughAReplacementPaidItIsNotPaidAgain has a log that
// says what an older version wrote: the operator named the replacement as a stranger.
func TestASaleThatAnOlderVersionFreedAlthoughAReplacementPaidItIsNotPaidAgain(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2)
	sale := s.sell()
	id, err := account.ParseTransactionID(sale)
	if err != nil {
		t.Fatal(err)
	}
	_, tx := s.replacement(s.export(), raiseFee(2000))
	s.stop()
	n.Wallet.Send(tx)
	n.Generate(1)
	tip := n.Tip()
	forge(t, s.data, map[account.UserID][]account.Event{
		id.User: {&account.SaleFreed{N: id.N}},
		account.SystemID: {
			&account.ChainAdvanced{First: tip.Height, Hashes: []account.ChainHash{account.ChainHash(tip.Hash)}, Time: 1},
			&account.PayoutCancelled{Number: 1, SpentBy: account.ChainHash(tx.TxHash()), By: "chain", Reason: "spent"},
		},
	})
	s.restart()
	if o := s.payouts("export", "--fee-rate", "5"); o.code != 1 || !strings.Contains(o.stderr, "no sale is free") {
		t.Fatalf("it is paid again: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.soldFor(sale, tx.TxHash().String())
	s.agrees()
	s.verify()
}

// TestAPayoutWhoseCoinAStrangerTookIsFreeOnceTheOperatorSaysSo: the signer's wallet moved
// the coin elsewhere, and a reorganisation takes that back.
func TestAPayoutWhoseCoinAStrangerTookIsFreeOnceTheOperatorSaysSo(t *testing.T) {
	t.Parallel()
	n, other := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(110)
	n.Connect(other)
	s := newSeller(t, n, 2, "--confirmations", "2")
	sale := s.sell()
	exported := s.export()
	signed, stranger := s.replacement(exported, func(packet *psbt.Packet) {
		dropFirstPayee(packet)
		packet.UnsignedTx.TxOut[0].PkScript = slices.Concat([]byte{0, 20}, make([]byte, 20))
	})
	if o := s.give(1, signed); o.code != 1 || !strings.Contains(o.stderr, "no output pays sale") {
		t.Errorf("import of what pays a stranger: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Disconnect(other)
	n.Wallet.Send(stranger)
	n.Generate(2)
	s.until("an alert", func() bool { return strings.Contains(s.log.String(), "ALERT: a payout can't be paid any more") })
	s.refusesToEnd(sale) // it is claimed still
	if o := s.payouts("cancel", "--payout", "1", "--reason", "x", "--spent-by", stranger.TxHash().String()); o.code != 0 {
		t.Fatalf("cancel: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.mustCall(200, "POST", "/api/operator/transactions/"+sale+"/fail", `{"reason":"by hand"}`, "Authorization", "Bearer "+operatorKey)
	next := s.sell()
	s.export()
	other.Generate(3)
	n.Connect(other)
	s.until("an alert", func() bool { return strings.Contains(s.log.String(), "it may be paid after all") })
	if sales := s.payout(2)["sales"].([]any); sales[0] != next {
		t.Errorf("payout 2 has %v", sales)
	}
	s.verify()
}

func TestAReplacementThatAReorganisationTookBackIsSentAgain(t *testing.T) {
	t.Parallel()
	n, other := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(110)
	n.Connect(other)
	s := newSeller(t, n, 1, "--confirmations", "2")
	sale := s.sell()
	exported := s.export()
	if o := s.give(1, bitcointest.Sign(t, exported, txscript.SigHashAll)); o.code != 0 {
		t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.InMempool(hashOf(t, s.payout(1)["tx_hash"]))
	n.Disconnect(other)
	signed, tx := s.replacement(exported, raiseFee(2000))
	if o := s.give(1, signed); o.code != 0 || o.stderr != "" {
		t.Fatalf("import of the replacement: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(1)
	s.payoutIs(1, "mined")
	other.Generate(2)
	n.Connect(other)
	s.until("taken back confirmation", func() bool {
		return strings.Contains(s.log.String(), "a reorganisation took a payout out of its block")
	})
	s.refusesToEnd(sale)
	// The branch may have mined what was exported: either is the payout.
	n.Generate(2)
	paid := s.payoutIs(1, "confirmed")["tx_hash"]
	s.soldFor(sale, paid)
	if _, confirmations, err := n.Confirmed(t.Context(), hashOf(t, paid)); err != nil || confirmations < 2 {
		t.Errorf("it is paid by %v, with %d confirmations, %v; the replacement is %s", paid, confirmations, err, tx.TxHash())
	}
	s.agrees()
	s.verify()
}

func TestATransactionThatPaysTwoPayoutsSettlesTheSalesOfBoth(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2, "--confirmations", "2")
	first := s.sell()
	exported := s.export()
	second := s.sell()
	another, err := psbt.NewFromRawBytes(strings.NewReader(s.export()), true)
	if err != nil {
		t.Fatal(err)
	}
	_, tx := s.replacement(exported, func(packet *psbt.Packet) {
		packet.UnsignedTx.TxIn = append(packet.UnsignedTx.TxIn, another.UnsignedTx.TxIn...)
		packet.Inputs = append(packet.Inputs, another.Inputs...)
		packet.UnsignedTx.TxOut = append(packet.UnsignedTx.TxOut, another.UnsignedTx.TxOut...)
		packet.Outputs = append(packet.Outputs, another.Outputs...)
	})
	n.Wallet.Send(tx)
	n.Generate(2)
	s.soldFor(first, tx.TxHash().String())
	s.soldFor(second, tx.TxHash().String())
	list := s.payouts("list").stdout
	if strings.Count(list, "confirmed") != 1 || strings.Count(list, "cancelled") != 1 {
		t.Errorf("the payouts are\n%s", list)
	}
	s.pays(3, s.sell()) // from what came back of both
	s.agrees()
	s.verify()
}

// TestASaleThatIsPaidBesideItsPayoutIsNotPaidByThatAsWell: the signer paid one payout's
// sale from another one's coin.
func TestASaleThatIsPaidBesideItsPayoutIsNotPaidByThatAsWell(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2, "--confirmations", "2")
	first := s.sell()
	exported := s.export()
	one, err := psbt.NewFromRawBytes(strings.NewReader(exported), true)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"aitbc_amount":400,"btc_address":%q}`, n.Wallet.Address)
	second := s.mustCall(201, "POST", "/api/exchange/sell", body, "X-Session-Token", s.token).decode(t)["id"].(string)
	_, tx := s.replacement(s.export(), func(packet *psbt.Packet) {
		out := packet.UnsignedTx.TxOut
		out[1].Value -= one.UnsignedTx.TxOut[0].Value - out[0].Value
		out[0].Value = one.UnsignedTx.TxOut[0].Value
	})
	n.Wallet.Send(tx)
	s.until("an alert", func() bool { return strings.Contains(s.log.String(), "ALERT: a sale may be paid twice") })
	if o := s.give(1, bitcointest.Sign(t, exported, txscript.SigHashAll)); o.code != 1 || !strings.Contains(o.stderr, "may pay sale "+first+" beside it") {
		t.Errorf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(2)
	s.soldFor(first, tx.TxHash().String())
	s.until("an alert", func() bool { return strings.Contains(s.log.String(), "ALERT: a payout can't be paid any more") })
	for _, number := range []string{"1", "2"} {
		if o := s.payouts("cancel", "--payout", number, "--reason", "paid by hand"); o.code != 0 {
			t.Errorf("cancel %s: exit %d\n%s%s", number, o.code, o.stdout, o.stderr)
		}
	}
	s.pays(4, second)
	s.agrees()
	s.verify()
}
