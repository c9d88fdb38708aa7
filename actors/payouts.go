package actors

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// ErrPayoutsOff: there is no Bitcoin node to pay out with.
var ErrPayoutsOff = errors.New("payouts take a Bitcoin node")

// Codes of what an operator asks of a payout.
const (
	CodeNothingToPay account.Code = "nothing_to_pay" // no sale is free to go
	CodeBadPayout    account.Code = "bad_payout"     // what was signed is not what was exported, or not in full
	CodeNoCoins      account.Code = "no_coins"       // the coins do not pay for it
)

// Payer is a Chain that can pay out: it derives from the exchange's key, and asks and
// tells the node.
type Payer interface {
	Chain
	Keys() *bitcoin.Keys
	Node() *bitcoin.Node
	// WatchCoins reports from now on what spends the coins, and what comes back to the
	// change address with an index.
	WatchCoins(coins []wire.OutPoint, change uint32)
	// ChangeIndex returns which change address an output script pays to.
	ChangeIndex(script []byte) (uint32, bool)
}

// payouts pays sales by transactions that the operator signs elsewhere.
//
// A sale is never in two payouts that can both be paid: each is claimed in its own
// account first, and recorded in the system account before it is handed out. One whose
// payout was cancelled unsigned may have been signed all the same, so its next payout
// spends a coin of the cancelled one: the chain takes one of them at most.
type payouts struct {
	exchange *Exchange
	one      turns         // one at a time exports, imports, cancels, ends a sale by hand, or takes what the chain shows
	wake     chan struct{} // capacity 1: there is something to send

	indexed  atomic.Pointer[indexedPayouts]
	compared atomic.Bool                 // with the node's coins, since the start
	lost     map[uint32]account.Outpoint // guarded by one: a coin of a payout that was spent before the chain was watched, nobody knows by what
	paid     map[account.ChainHash]bool  // guarded by one: confirmed transactions whose sales have ended
	told     map[account.ChainHash]bool  // guarded by one: transactions that an operator was told of
}

func (p *payouts) init(x *Exchange) {
	p.exchange = x
	p.one = newTurns()
	p.wake = make(chan struct{}, 1)
	p.lost, p.paid, p.told = map[uint32]account.Outpoint{}, map[account.ChainHash]bool{}, map[account.ChainHash]bool{}
}

// payer returns the chain, if it can pay out.
func (p *payouts) payer() (Payer, error) {
	if payer, ok := p.exchange.cfg.Chain.(Payer); ok {
		return payer, nil
	}
	return nil, ErrPayoutsOff
}

// isOff reports whether there is no chain that can pay out, so that nothing of payouts changes.
func (p *payouts) isOff() bool {
	_, err := p.payer()
	return err != nil
}

// all returns what is durable.
func (p *payouts) all() *account.Payouts {
	if state := p.exchange.cursor.durable.Load(); state != nil && state.Payouts != nil {
		return state.Payouts
	}
	return &account.Payouts{}
}

// nextNumber is that of the next payout, which also names its change address.
func (p *payouts) nextNumber() uint32 {
	if state := p.exchange.cursor.durable.Load(); state != nil {
		return state.NextPayout()
	}
	return 1
}

// LeftOut is a pending sale that an export did not take, and why.
type LeftOut struct {
	Sale account.TransactionID
	Why  string
}

// PayoutView is a payout as an operator sees it.
type PayoutView struct {
	account.Payout
	TxHash        account.ChainHash // that is in a block, or is sent, or was exported
	Paid          account.Money     // satoshi, to the sales that TxHash pays
	Adopted       bool              // from the chain: it was never exported as the log has it
	Confirmations int32             // at most what is wanted
}

// Payouts returns up to limit payouts, newest first, from number below on; 0 is the
// newest. next is where the next page begins, 0 where there is none.
func (x *Exchange) Payouts(below uint32, limit int) (list []PayoutView, total int, next uint32) {
	all := x.payouts.all().List
	n := len(all)
	if below != 0 {
		n, _ = slices.BinarySearchFunc(all, below, func(p *account.Payout, below uint32) int { return cmp.Compare(p.Number, below) })
	}
	for ; n > 0 && len(list) < limit; n-- {
		list = append(list, x.payouts.view(all[n-1]))
	}
	if n > 0 {
		next = all[n-1].Number + 1
	}
	return list, len(all), next
}

// Payout returns payout number n.
func (x *Exchange) Payout(n uint32) (PayoutView, bool) {
	p, ok := x.payouts.all().At(n)
	if !ok {
		return PayoutView{}, false
	}
	return x.payouts.view(p), true
}

func (p *payouts) view(payout *account.Payout) PayoutView {
	v := PayoutView{Payout: *payout, TxHash: payout.SentTx()}
	if payout.Height > 0 || payout.Confirmed {
		v.TxHash = payout.MinedTx()
	}
	tx, known := p.index().At(v.TxHash)
	v.Adopted = p.isAdopted(payout)
	if known && v.TxHash != payout.TxID {
		v.Fee, v.Change = tx.Fee, 0
		for i, coin := range tx.Change {
			if v.Change += coin.BTC; i == 0 {
				v.ChangeIndex = coin.Index
			}
		}
	}
	for _, sale := range payout.Sales {
		if t, _, ok := p.exchange.Transaction(sale); ok && t.Detail != nil && (!known || tx.Sale(sale)) {
			v.Paid += t.Detail.BTC
		}
	}
	if payout.Height > 0 {
		v.Confirmations = min(max(0, p.exchange.payments.tip.Load()-payout.Height+1), int32(p.exchange.cfg.Terms.Confirmations))
	}
	return v
}

// PSBT returns an exported payout for the operator's signer, in base64.
func (x *Exchange) PSBT(n uint32) (string, error) {
	payer, err := x.payouts.payer()
	if err != nil {
		return "", err
	}
	p, ok := x.payouts.all().At(n)
	if !ok {
		return "", &account.Error{Code: account.CodeNotFound, Message: fmt.Sprintf("there is no payout %d", n)}
	}
	if p.Unsigned == nil || x.payouts.isAdopted(p) {
		return "", &account.Error{Code: account.CodePayoutState, Message: fmt.Sprintf("payout %d is %s", n, p.Status())}
	}
	return psbtOf(payer.Keys(), p)
}

// isAdopted reports whether a payout was taken over from the chain.
func (p *payouts) isAdopted(payout *account.Payout) bool {
	state := p.exchange.cursor.durable.Load()
	if state == nil {
		return false
	}
	_, known := state.PayoutTxs.At(payout.TxID)
	return known
}

func psbtOf(keys *bitcoin.Keys, p *account.Payout) (string, error) {
	tx, err := parseTx(p.Unsigned)
	if err != nil {
		return "", err
	}
	return bitcoin.DescribePayout(keys, tx, coinsOf(p), p.Change, p.ChangeIndex)
}

func coinsOf(p *account.Payout) []bitcoin.Coin {
	coins := make([]bitcoin.Coin, len(p.Coins))
	for i, c := range p.Coins {
		coins[i] = bitcoin.Coin{Out: wireOut(c.Out), BTC: c.BTC, Change: c.Change, Index: c.Index}
	}
	return coins
}

func parseTx(raw []byte) (*wire.MsgTx, error) {
	tx := new(wire.MsgTx)
	if err := tx.DeserializeNoWitness(bytes.NewReader(raw)); err == nil {
		return tx, nil
	}
	tx = new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("a payout's transaction: %w", err)
	}
	return tx, nil
}
