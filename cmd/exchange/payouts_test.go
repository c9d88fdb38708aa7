package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// seller is a buyer whose payments are credited, and an operator.
type seller struct {
	*buyer
	bought []asked
}

// newSeller buys for so many coins of buyPrice.
func newSeller(t *testing.T, node *bitcointest.Node, coins int, options ...string) *seller {
	t.Helper()
	s := &seller{buyer: newBuyer(t, node, options...)}
	for range coins {
		q := s.buy()
		node.Wallet.Pay(pay(q, buyPrice))
		node.Generate(3)
		s.stands(q, "status", "confirmed", "aitbc_credited", "1000")
		s.bought = append(s.bought, q)
	}
	return s
}

// sell asks for a sale of 500 AITBC, 0.004975 BTC.
func (s *seller) sell() string {
	s.t.Helper()
	body := fmt.Sprintf(`{"aitbc_amount":500,"btc_address":%q}`, s.node.Wallet.Address)
	return s.mustCall(201, "POST", "/api/exchange/sell", body, "X-Session-Token", s.token).decode(s.t)["id"].(string)
}

// payouts runs exchange payouts against the service.
func (s *seller) payouts(args ...string) outcome {
	s.t.Helper()
	return runExchange(s.t, []string{operatorKeyVariable + "=" + operatorKey}, append(append([]string{"payouts"}, args...), "--server", s.url)...)
}

// export makes a payout and returns its PSBT.
func (s *seller) export() string {
	s.t.Helper()
	o := s.payouts("export", "--fee-rate", "5")
	if o.code != 0 {
		s.t.Fatalf("export: exit %d\n%s%s\n%s", o.code, o.stdout, o.stderr, s.log)
	}
	return strings.TrimSpace(o.stdout)
}

// give imports a signed PSBT, and checks that it is taken.
func (s *seller) give(n int, signed string) outcome {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "signed.psbt")
	if err := os.WriteFile(file, []byte(signed), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.payouts("import", "--payout", fmt.Sprint(n), "--psbt", file)
}

func (s *seller) payout(n int) map[string]any {
	s.t.Helper()
	return s.mustCall(200, "GET", fmt.Sprintf("/api/operator/payouts/%d", n), "", "Authorization", "Bearer "+operatorKey).decode(s.t)
}

func (s *seller) payoutIs(n int, status string) (p map[string]any) {
	s.t.Helper()
	s.until("payout that is "+status, func() bool {
		p = s.payout(n)
		return p["status"] == status
	})
	return p
}

// soldFor checks that a sale ended, once, with a transaction.
func (s *seller) soldFor(sale string, txHash any) {
	s.t.Helper()
	s.until("completed sale", func() bool {
		list := s.mustCall(200, "GET", "/api/users/"+s.id+"/transactions?type=sell", "", "X-Session-Token", s.token).decode(s.t)
		for _, t := range list["transactions"].([]any) {
			if t := t.(map[string]any); t["id"] == sale {
				return t["status"] == "completed" && t["tx_hash"] == txHash
			}
		}
		return false
	})
}

func (s *seller) killed() {
	s.t.Helper()
	s.kill()
	s.restart()
}

func hashOf(t *testing.T, text any) chainhash.Hash {
	t.Helper()
	hash, err := chainhash.NewHashFromStr(text.(string))
	if err != nil {
		t.Fatal(err)
	}
	return *hash
}

func TestASaleIsPaidOnceHoweverOftenTheServiceIsKilled(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2, "--confirmations", "2")
	first, second := s.sell(), s.sell()
	s.killed()

	// Of many exports at once, one has the sales.
	answers := make([]answer, 4)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() {
			answers[i], _ = s.call(http.DefaultClient, "POST", "/api/operator/payouts", `{"fee_rate":5}`, "Authorization", "Bearer "+operatorKey)
		})
	}
	group.Wait()
	made := 0
	for _, a := range answers {
		switch {
		case a.status == 201:
			made++
		case a.status != 409 || !strings.Contains(a.body, "nothing_to_pay"):
			t.Errorf("an export beside another: %d %s", a.status, a.body)
		}
	}
	if made != 1 {
		t.Fatalf("%d payouts were made\n%s", made, s.log)
	}
	s.killed()
	if o := s.payouts("export"); o.code != 1 || !strings.Contains(o.stderr, "no sale is free") {
		t.Errorf("a second export: exit %d\n%s", o.code, o.stderr)
	}
	// While it is in the payout, nobody ends a sale by hand.
	for _, action := range []string{"complete", "fail"} {
		a := s.mustCall(409, "POST", "/api/operator/transactions/"+first+"/"+action, `{"reason":"by hand"}`, "Authorization", "Bearer "+operatorKey)
		if !strings.Contains(a.body, "in_payout") {
			t.Errorf("%s by hand: %s", action, a.body)
		}
	}

	exported := s.payout(1)
	text := exported["psbt"].(string)
	file := filepath.Join(t.TempDir(), "payout.psbt")
	if o := s.payouts("export", "--payout", "1", "--out", file); o.code != 0 {
		t.Errorf("printing it again: %s%s", o.stdout, o.stderr)
	}
	if again, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(again)) != text {
		t.Errorf("it is %s, %v; was %s", again, err, text)
	}
	s.refusesTampered(text)
	signed := bitcointest.Sign(t, text, txscript.SigHashAll)
	if o := s.give(1, signed); o.code != 0 || !strings.Contains(o.stdout, "signed") || o.stderr != "" {
		t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.InMempool(hashOf(t, exported["tx_hash"]))
	s.killed()
	if o := s.give(1, signed); o.code != 0 || o.stderr != "" { // once more changes nothing
		t.Errorf("a second import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if o := s.payouts("cancel", "--payout", "1", "--reason", "changed my mind"); o.code != 1 || !strings.Contains(o.stderr, "signed") {
		t.Errorf("cancelling what is signed: exit %d\n%s", o.code, o.stderr)
	}
	n.Generate(1)
	s.payoutIs(1, "mined")
	s.killed()
	n.Generate(1)
	s.payoutIs(1, "confirmed")
	s.soldFor(first, exported["tx_hash"])
	s.soldFor(second, exported["tx_hash"])
	s.killed()
	s.soldFor(second, exported["tx_hash"])
	s.balance("1000", "0")

	// The chain has what was promised, and the change can be spent by the next payout.
	tx, confirmations, err := n.Confirmed(t.Context(), hashOf(t, exported["tx_hash"]))
	if err != nil || confirmations != 2 || len(tx.TxOut) != 3 || tx.TxOut[0].Value != 497_500 || tx.TxOut[1].Value != 497_500 {
		t.Fatalf("%d confirmations, %v, %+v", confirmations, err, tx)
	}
	third := s.sell()
	fourth := bitcointest.Sign(t, s.export(), txscript.SigHashAll)
	if o := s.give(2, fourth); o.code != 0 || o.stderr != "" {
		t.Fatalf("import: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	n.Generate(2)
	s.soldFor(third, s.payoutIs(2, "confirmed")["tx_hash"])
	if o := s.payouts("list"); strings.Count(o.stdout, "\n") != 2 || strings.Count(o.stdout, "confirmed") != 2 {
		t.Errorf("the list is\n%s%s", o.stdout, o.stderr)
	}
	s.verify()
}

// TestClaimsAndPayoutsAgreeAfterAStop stops the service between the claim of a sale and
// the payout's record, and between a payout's end and the sale's: what the log then
// holds is written into it.
func TestClaimsAndPayoutsAgreeAfterAStop(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 2)
	sale := s.sell()
	id, err := account.ParseTransactionID(sale)
	if err != nil {
		t.Fatal(err)
	}
	between := func(event account.Event) {
		t.Helper()
		s.stop()
		forge(t, s.data, map[account.UserID][]account.Event{id.User: {event}})
		s.restart()
	}
	between(&account.SaleClaimed{N: id.N, Payout: 1})
	s.export()
	if sales := s.payout(1)["sales"].([]any); len(sales) != 1 || sales[0] != sale {
		t.Fatalf("the payout has %v", sales)
	}
	// Cancelled, and not freed.
	if o := s.payouts("cancel", "--payout", "1", "--reason", "test"); o.code != 0 {
		t.Fatalf("cancel: %s", o.stderr)
	}
	between(&account.SaleClaimed{N: id.N, Payout: 1})
	s.export()
	// In a payout, and not claimed.
	between(&account.SaleFreed{N: id.N})
	s.until("claimed sale", func() bool {
		a, err := s.call(http.DefaultClient, "POST", "/api/operator/payouts", `{"fee_rate":5}`, "Authorization", "Bearer "+operatorKey)
		return err == nil && a.status == 409 && strings.Contains(a.body, "nothing_to_pay")
	})
	s.mustCall(409, "POST", "/api/operator/transactions/"+sale+"/fail", `{"reason":"by hand"}`, "Authorization", "Bearer "+operatorKey)
	// Confirmed, and not completed.
	if o := s.give(2, bitcointest.Sign(t, s.payout(2)["psbt"].(string), txscript.SigHashAll)); o.code != 0 {
		t.Fatalf("import: %s", o.stderr)
	}
	s.stop()
	n.Generate(1)
	height, block := n.Tip().Height, account.ChainHash(n.Tip().Hash)
	forge(t, s.data, map[account.UserID][]account.Event{account.SystemID: {
		&account.PayoutMined{Number: 2, Height: height, Block: block}, &account.PayoutConfirmed{Number: 2},
	}})
	s.restart()
	s.soldFor(sale, s.payoutIs(2, "confirmed")["tx_hash"])
	s.verify()
}

// refusesTampered gives payout 1 changed in each way that would pay somebody else.
func (s *seller) refusesTampered(text string) {
	s.t.Helper()
	for what, tamper := range map[string]func(*wire.MsgTx){
		"another payee":  func(tx *wire.MsgTx) { tx.TxOut[0].PkScript = slices.Concat([]byte{0, 20}, make([]byte, 20)) },
		"another amount": func(tx *wire.MsgTx) { tx.TxOut[0].Value++ },
		"a payee less":   func(tx *wire.MsgTx) { tx.TxOut = tx.TxOut[1:] },
		"change to another": func(tx *wire.MsgTx) {
			tx.TxOut[len(tx.TxOut)-1].PkScript = slices.Concat([]byte{0, 20}, make([]byte, 20))
		},
	} {
		packet, err := psbt.NewFromRawBytes(strings.NewReader(text), true)
		if err != nil {
			s.t.Fatal(err)
		}
		tamper(packet.UnsignedTx)
		packet.Outputs = packet.Outputs[:len(packet.UnsignedTx.TxOut)]
		bitcointest.SignPacket(s.t, packet, txscript.SigHashAll)
		signed, err := packet.B64Encode()
		if err != nil {
			s.t.Fatal(err)
		}
		if o := s.give(1, signed); o.code != 1 || !strings.Contains(o.stderr, "not the payout that was exported, nor a replacement of it") {
			s.t.Errorf("%s: exit %d\n%s%s", what, o.code, o.stdout, o.stderr)
		}
	}
	for what, signed := range map[string]string{
		"no signature": text, "a part signed": bitcointest.Sign(s.t, text, txscript.SigHashSingle), "no PSBT": "cHNidP8=",
	} {
		if o := s.give(1, signed); o.code != 1 || !strings.Contains(o.stderr, "Not the payout") {
			s.t.Errorf("%s: exit %d\n%s%s", what, o.code, o.stdout, o.stderr)
		}
	}
	if status := s.payout(1)["status"]; status != "exported" {
		s.t.Errorf("after what was refused the payout is %s", status)
	}
}

func TestASignedPayoutIsSentWhenTheNodeIsBackAndAfterAReorganisation(t *testing.T) {
	t.Parallel()
	n, other, third := bitcointest.Start(t), bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(110)
	n.Connect(other)
	n.Connect(third)
	s := newSeller(t, n, 1, "--confirmations", "2")
	sale := s.sell()
	signed := bitcointest.Sign(t, s.export(), txscript.SigHashAll)
	id := hashOf(t, s.payout(1)["tx_hash"])
	n.Kill()
	if o := s.give(1, signed); o.code != 0 || !strings.Contains(o.stderr, "did not take it yet") {
		t.Fatalf("import without a node: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.killed()
	n.Restart()
	n.Connect(third) // which has the blocks that the kill cost; the other node must not hear of the transaction
	s.until("transaction in the mempool", func() bool {
		ids, err := n.Mempool(t.Context())
		return err == nil && slices.Contains(ids, id)
	})
	n.Disconnect(third)
	n.Generate(1)
	s.payoutIs(1, "mined")
	other.Generate(2)
	n.Connect(other)
	s.until("taken back confirmation", func() bool {
		return strings.Contains(s.log.String(), "a reorganisation took a payout out of its block")
	})
	n.InMempool(id)
	n.Generate(2)
	s.payoutIs(1, "confirmed")
	s.soldFor(sale, id.String())
	s.verify()
}

func TestACancelledPayoutCannotBePaidBesideTheNextOne(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(110)
	s := newSeller(t, n, 3)
	sale := s.sell()
	signed := bitcointest.Sign(t, s.export(), txscript.SigHashAll) // and kept
	if o := s.payouts("cancel", "--payout", "1", "--reason", "the signer is broken"); o.code != 0 {
		t.Fatalf("cancel: %s%s", o.stdout, o.stderr)
	}
	s.killed()
	if o := s.give(1, signed); o.code != 1 || !strings.Contains(o.stderr, "cancelled") {
		t.Errorf("import of what was cancelled: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.export()
	first, second := s.payout(1), s.payout(2)
	if !slices.ContainsFunc(second["inputs"].([]any), func(in any) bool { return slices.Contains(first["inputs"].([]any), in) }) {
		t.Fatalf("both can be paid: %v and %v", first["inputs"], second["inputs"])
	}
	// The signer sends the first one all the same. Its sale is paid, by it.
	tx, err := txOf(signed)
	if err != nil {
		t.Fatal(err)
	}
	n.Wallet.Send(tx)
	n.Generate(1)
	s.payoutIs(1, "confirmed")
	s.soldFor(sale, first["tx_hash"])
	if !strings.Contains(s.log.String(), "ALERT: a payout that was cancelled is in a block") {
		t.Errorf("the operator was not told:\n%s", s.log)
	}
	// The second can never be paid: it is given up by what has taken its coin.
	if o := s.payouts("cancel", "--payout", "2", "--reason", "x", "--spent-by", strings.Repeat("ab", 32)); o.code != 1 {
		t.Errorf("cancelled by a transaction that is not there: %s%s", o.stdout, o.stderr)
	}
	if o := s.payouts("cancel", "--payout", "2", "--reason", "paid by the first", "--spent-by", first["tx_hash"].(string)); o.code != 0 {
		t.Errorf("cancel: %s%s", o.stdout, o.stderr)
	}
	if o := s.payouts("export"); o.code != 1 || !strings.Contains(o.stderr, "no sale is free") {
		t.Errorf("another export: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.verify()
}

// txOf returns the transaction of a PSBT that is signed in full.
func txOf(signed string) (*wire.MsgTx, error) {
	packet, err := psbt.NewFromRawBytes(strings.NewReader(signed), true)
	if err == nil {
		err = psbt.MaybeFinalizeAll(packet)
	}
	if err != nil {
		return nil, err
	}
	return psbt.Extract(packet)
}
