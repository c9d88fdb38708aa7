package actors

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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
	// WatchPayout sees transactions that pay to an address from now on.
	WatchPayout(address string)
}

// payouts pays sales by transactions that the operator signs elsewhere.
//
// A sale is never in two payouts that can both be paid: each is claimed in its own
// account first, and recorded in the system account before it is handed out. One whose
// payout was cancelled unsigned may have been signed all the same, so its next payout
// spends a coin of the cancelled one: the chain takes one of them at most.
type payouts struct {
	exchange *Exchange
	one      turns         // one export, import or cancellation at a time
	wake     chan struct{} // capacity 1: there is something to send
}

func (p *payouts) init(x *Exchange) {
	p.exchange = x
	p.one = newTurns()
	p.wake = make(chan struct{}, 1)
}

// payer returns the chain, if it can pay out.
func (p *payouts) payer() (Payer, error) {
	if payer, ok := p.exchange.cfg.Chain.(Payer); ok {
		return payer, nil
	}
	return nil, ErrPayoutsOff
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
	Paid          account.Money // satoshi, to all sales
	Confirmations int32         // at most what is wanted
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
	v := PayoutView{Payout: *payout}
	for _, sale := range payout.Sales {
		if t, _, ok := p.exchange.Transaction(sale); ok && t.Detail != nil {
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
	if p.Unsigned == nil {
		return "", &account.Error{Code: account.CodePayoutState, Message: fmt.Sprintf("payout %d is %s", n, p.Status())}
	}
	return psbtOf(payer.Keys(), p)
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

// SignPayout takes payout n as the operator's signer gave it back. It is durable before
// it is sent, and sent until it is in a block: an error of the node is in sendErr, and
// changes nothing of that.
func (x *Exchange) SignPayout(ctx context.Context, n uint32, signed, by string) (view PayoutView, sendErr, err error) {
	p := &x.payouts
	payer, err := p.payer()
	if err != nil {
		return view, nil, err
	}
	p.one.Lock()
	defer p.one.Unlock()
	payout, ok := p.all().At(n)
	if !ok {
		return view, nil, &account.Error{Code: account.CodeNotFound, Message: fmt.Sprintf("there is no payout %d", n)}
	}
	if payout.Unsigned == nil {
		return p.view(payout), nil, nil // confirmed before
	}
	exported, err := psbtOf(payer.Keys(), payout)
	if err != nil {
		return view, nil, err
	}
	tx, err := bitcoin.SignedPayout(exported, signed)
	if err != nil {
		return view, nil, &account.Error{Code: CodeBadPayout, Field: "psbt", Message: err.Error()}
	}
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		return view, nil, fmt.Errorf("payout %d: %w", n, err)
	}
	receipt, err := x.do(x.cursor, &account.SignPayout{Number: n, Tx: raw.Bytes(), By: by}, nil)
	if err != nil {
		return view, nil, err
	}
	payout, _ = receipt.State.Payouts.At(n)
	if payout.Status() == account.PayoutIsSigned {
		sendErr = p.send(ctx, payer, payout)
	}
	return p.view(payout), sendErr, nil
}

// send hands a signed payout to the network.
func (p *payouts) send(ctx context.Context, payer Payer, payout *account.Payout) error {
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(payout.Tx)); err != nil {
		return fmt.Errorf("payout %d: %w", payout.Number, err)
	}
	return payer.Node().Send(ctx, tx)
}

// CancelPayout gives up payout n: one that is not signed, or one of whose coins
// another transaction, spentBy, has taken with all confirmations. Its sales are free
// again.
func (x *Exchange) CancelPayout(ctx context.Context, n uint32, spentBy account.ChainHash, by, reason string) (view PayoutView, err error) {
	p := &x.payouts
	payer, err := p.payer()
	if err != nil {
		return view, err
	}
	p.one.Lock()
	defer p.one.Unlock()
	payout, ok := p.all().At(n)
	if !ok {
		return view, &account.Error{Code: account.CodeNotFound, Message: fmt.Sprintf("there is no payout %d", n)}
	}
	if spentBy != (account.ChainHash{}) {
		if err := p.isSpentBy(ctx, payer, payout, spentBy); err != nil {
			return view, err
		}
	}
	receipt, err := x.do(x.cursor, &account.CancelPayout{Number: n, SpentBy: spentBy, By: by, Reason: reason}, nil)
	if err != nil {
		return view, err
	}
	payout, _ = receipt.State.Payouts.At(n)
	return p.view(payout), p.free(payout)
}

// isSpentBy proves that a transaction other than the payout's own has taken a coin of
// it for good.
func (p *payouts) isSpentBy(ctx context.Context, payer Payer, payout *account.Payout, spentBy account.ChainHash) error {
	refuse := func(format string, args ...any) error {
		return &account.Error{Code: account.CodePayoutState, Field: "spent_by", Message: fmt.Sprintf(format, args...)}
	}
	if spentBy == payout.TxID {
		return refuse("that is the payout itself")
	}
	tx, confirmations, err := payer.Node().Confirmed(ctx, [32]byte(spentBy))
	switch {
	case bitcoin.IsNotFound(err):
		return refuse("the node has no transaction %s (it needs an index of transactions for this)", spentBy)
	case err != nil:
		return errors.Join(ErrNodeDown, err)
	case confirmations < int64(p.exchange.cfg.Terms.Confirmations):
		return refuse("transaction %s has %d confirmations of %d", spentBy, confirmations, p.exchange.cfg.Terms.Confirmations)
	}
	for _, in := range tx.TxIn {
		if slices.ContainsFunc(payout.Coins, func(c account.PayoutCoin) bool { return wireOut(c.Out) == in.PreviousOutPoint }) {
			return nil
		}
	}
	return refuse("transaction %s spends no input of payout %d", spentBy, payout.Number)
}

// free takes the sales of a cancelled payout out of it.
func (p *payouts) free(payout *account.Payout) error {
	orders := make([]order, 0, len(payout.Sales))
	for _, sale := range payout.Sales {
		if u, _ := p.exchange.directory.find(sale.User); u != nil {
			orders = append(orders, order{u, &account.FreeSale{N: sale.N, Payout: payout.Number}})
		}
	}
	return p.exchange.payments.sendAll(p.exchange.payments.ctx, orders)
}
