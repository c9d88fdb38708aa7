package actors_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// free returns a coin of a payment that no payout spends.
func (s *btcSim) free() bitcoin.Coin {
	s.t.Helper()
	payouts, _, _ := s.x.Payouts(0, 1000)
	for _, t := range s.transactions(isTrade) {
		for _, o := range t.Detail.Outputs {
			if !slices.ContainsFunc(payouts, func(p actors.PayoutView) bool {
				return slices.ContainsFunc(p.Coins, func(c account.PayoutCoin) bool { return c.Out == o.Out })
			}) {
				return bitcoin.Coin{Out: wire.OutPoint{Hash: [32]byte(o.Out.TxID), Index: o.Out.Index}, BTC: o.BTC, Index: t.Detail.Index}
			}
		}
	}
	s.t.Fatal("every coin is in a payout")
	return bitcoin.Coin{}
}

// signed signs a transaction that spends coins of the exchange's, and whose last output is
// change to an address of it, if it is not 0.
func (s *btcSim) signed(number uint32, tx *wire.MsgTx, coins []bitcoin.Coin, change account.Money, index uint32) *btcHeld {
	s.t.Helper()
	text, err := bitcoin.DescribePayout(s.chain.Keys(), tx, coins, change, index)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.signPacket(&btcPaper{number: number}, parsePacket(text))
}

// withCoin is a payout's transaction with another coin in it, of which fee goes to the
// miner and the rest to the change.
func (s *btcSim) withCoin(number uint32, coin bitcoin.Coin, fee account.Money) *btcHeld {
	s.t.Helper()
	p, _ := s.x.Payout(number)
	tx := new(wire.MsgTx)
	if err := tx.DeserializeNoWitness(bytes.NewReader(p.Unsigned)); err != nil {
		s.t.Fatal(err)
	}
	coins := []bitcoin.Coin{coin}
	for _, c := range p.Coins {
		coins = append(coins, bitcoin.Coin{Out: wire.OutPoint{Hash: [32]byte(c.Out.TxID), Index: c.Out.Index}, BTC: c.BTC, Change: c.Change, Index: c.Index})
	}
	tx.TxIn = append([]*wire.TxIn{wire.NewTxIn(&coin.Out, nil, nil)}, tx.TxIn...)
	change := p.Change + coin.BTC - fee
	tx.TxOut[len(tx.TxOut)-1].Value = int64(change)
	return s.signed(number, tx, coins, change, p.ChangeIndex)
}

// elsewhere spends a coin on what pays no sale.
func (s *btcSim) elsewhere(coin bitcoin.Coin) *wire.MsgTx {
	s.t.Helper()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&coin.Out, nil, nil))
	tx.AddTxOut(wire.NewTxOut(int64(coin.BTC)-5000, bitcointest.NewMemoryWallet("cold").Script))
	return s.signed(0, tx, []bitcoin.Coin{coin}, 0, 0).tx
}

// confirmed mines a transaction until it has all confirmations.
func (s *btcSim) confirmed(tx *wire.MsgTx) {
	s.t.Helper()
	t := s.template()
	t.Take, t.Extra = func(*wire.MsgTx) bool { return false }, []*wire.MsgTx{tx}
	s.node.Mine(t)
	for range s.life().wanted() {
		s.mineBlock(func(*wire.MsgTx) bool { return false })
	}
	s.pause(time.Minute)
}

func (s *btcSim) reconciles() {
	s.t.Helper()
	found, err := s.x.Reconcile(s.ctx, s.base+1, s.node.Tip().Height)
	if err != nil || len(found) > 0 {
		s.t.Errorf("reconcile: %+v, %v", found, err)
	}
}

// TestWhatSpendsACoinThatOnlyAReplacementHasIsKnown: the signer added a coin to a payout,
// and later spent that coin on something else.
func TestWhatSpendsACoinThatOnlyAReplacementHasIsKnown(t *testing.T) {
	payoutStory(t, func(s *btcSim, sale account.TransactionID) {
		number := s.exported()
		s.takePapers()
		coin := s.free()
		replacement := s.withCoin(number, coin, 5000)
		if _, sendErr, err := s.x.SignPayout(s.ctx, number, replacement.signed, "olga"); err != nil || sendErr != nil {
			t.Fatal(err, sendErr)
		}
		s.confirmed(s.elsewhere(coin))
		s.reconciles()
		// The replacement can't be paid any more. What was exported can.
		original := s.signPacket(&btcPaper{number: number}, parsePacket(s.papers[0].text))
		if _, sendErr, err := s.x.SignPayout(s.ctx, number, original.signed, "olga"); err != nil || sendErr != nil {
			t.Fatal(err, sendErr)
		}
		s.confirmed(original.tx)
		if p, _ := s.x.Payout(number); p.Status() != account.PayoutIsConfirmed || p.TxHash != account.ChainHash(original.tx.TxHash()) {
			t.Errorf("the payout is %s by %s", p.Status(), p.TxHash)
		}
		if sold, _, _ := s.x.Transaction(sale); sold.Status != account.Completed {
			t.Errorf("the sale is %s", sold.Status)
		}
		s.reconciles()
	})
}

func TestACoinThatASignerAddedToAPayoutIsInNoOtherOne(t *testing.T) {
	payoutStory(t, func(s *btcSim, _ account.TransactionID) {
		number := s.exported()
		replacement := s.withCoin(number, s.free(), 5000)
		if _, sendErr, err := s.x.SignPayout(s.ctx, number, replacement.signed, "olga"); err != nil || sendErr != nil {
			t.Fatal(err, sendErr)
		}
		s.node.Evict(replacement.tx.TxHash()) // it is sent again
		if _, err := s.x.Sell(s.session(s.users[1]), 200*account.Unit, bitcointest.NewMemoryWallet("another").Address, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.x.ExportPayout(s.ctx, 2, "olga"); codeOf(err) != actors.CodeNoCoins {
			t.Errorf("an export of the coin: %v", err)
		}
	})
}

// TestASaleThatAnotherPayoutsTransactionPaysTooIsAnAlert: a signer added a payee to a
// payout whose sale is in another one.
func TestASaleThatAnotherPayoutsTransactionPaysTooIsAnAlert(t *testing.T) {
	payoutStory(t, func(s *btcSim, first account.TransactionID) {
		s.exported()
		receipt, err := s.x.Sell(s.session(s.users[1]), 200*account.Unit, bitcointest.NewMemoryWallet("another").Address, nil)
		if err != nil {
			t.Fatal(err)
		}
		number := s.exported()
		p, _ := s.x.Payout(number)
		if !slices.Equal(p.Sales, []account.TransactionID{receipt.ID()}) {
			t.Fatalf("payout %d pays %v", number, p.Sales)
		}
		s.takePapers()
		packet, other := parsePacket(s.papers[1].text), parsePacket(s.papers[0].text)
		tx := packet.UnsignedTx
		payee := other.UnsignedTx.TxOut[0]
		tx.TxOut = slices.Insert(tx.TxOut, 1, payee)
		packet.Outputs = slices.Insert(packet.Outputs, 1, other.Outputs[0])
		tx.TxOut[2].Value -= payee.Value
		if err := s.node.Submit(s.signPacket(&btcPaper{number: number}, packet).tx); err != nil {
			t.Fatal(err)
		}
		s.pause(time.Minute)
		if len(s.alerts.with("a sale may be paid twice", first.String())) != 1 {
			t.Errorf("nobody is told: %q", s.alerts.with("ALERT"))
		}
	})
}
