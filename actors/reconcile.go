package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// MaxReconcile is how many blocks are compared at once.
const MaxReconcile = 144

// CodeBadRange: the heights to compare are not there.
const CodeBadRange account.Code = "bad_range"

// DifferenceKind says how log and chain differ.
type DifferenceKind string

// The kinds of differences.
const (
	NotInLog       DifferenceKind = "not_in_log"           // the chain pays, and the log does not say so
	NotOnChain     DifferenceKind = "not_on_chain"         // the log says so, and the chain does not pay
	OtherAmount    DifferenceKind = "other_amount"         // of an output
	OtherBlock     DifferenceKind = "other_block"          // of an output, or of a payout
	CreditedTwice  DifferenceKind = "credited_twice"       // more was credited than the outputs are worth
	PayoutMissing  DifferenceKind = "payout_missing"       // a sale was completed, or a payout mined, by what is not on the chain
	PayoutNotInLog DifferenceKind = "payout_not_in_log"    // the chain has a payout, and the log does not say so
	PayoutAmount   DifferenceKind = "payout_amount"        // a sale's transaction does not pay it
	RefundMissing  DifferenceKind = "refund_missing"       // a refund was settled by what is not on the chain
	SaleAndFailed  DifferenceKind = "sale_paid_and_failed" // the chain pays a sale that failed: the user has both
	SalePaidTwice  DifferenceKind = "sale_paid_twice"      // the chain pays a sale that another transaction completed
	OutputShared   DifferenceKind = "output_shared"        // two sales were completed by one output
)

// Difference is one difference between log and chain.
type Difference struct {
	Kind   DifferenceKind
	Height int32  // of the block it is about; 0 for none
	What   string // id of a payment or sale, or the number of a payout
	Out    string // output or transaction; "" for none
	Log    string // what the log says
	Chain  string // what the chain says
}

// Reconcile compares what the log and the node's best chain say of the blocks from
// one height to another, both included. The log is that of this moment: a block that
// is read while the chain goes on may show what a second look does not.
func (x *Exchange) Reconcile(ctx context.Context, from, to int32) ([]Difference, error) {
	payer, err := x.payouts.payer()
	if err != nil {
		return nil, err
	}
	tip := x.payments.tip.Load()
	if from < 1 || from > to || to > tip || to-from >= MaxReconcile {
		return nil, &account.Error{Code: CodeBadRange, Field: "to", Message: fmt.Sprintf("want heights from 1 to %d, which the log has followed, and at most %d at once", tip, MaxReconcile)}
	}
	r := reconciler{
		exchange: x, ctx: ctx, node: payer.Node(), from: from, to: to,
		paid: map[account.Outpoint]chainOutput{}, spends: map[account.ChainHash]chainTx{}, payer: payer,
	}
	if err := r.readBlocks(); err != nil {
		return nil, errors.Join(ErrNodeDown, err)
	}
	r.payments()
	if err := r.sales(); err != nil {
		return nil, errors.Join(ErrNodeDown, err)
	}
	slices.SortStableFunc(r.found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.What, b.What), cmp.Compare(a.Kind, b.Kind))
	})
	return r.found, nil
}

// chainOutput is an output to a payment's address, as the chain has it.
type chainOutput struct {
	payment account.TransactionID
	btc     account.Money
	block   bitcoin.Ref
}

type reconciler struct {
	exchange *Exchange
	ctx      context.Context
	node     *bitcoin.Node
	from, to int32
	since    account.Time // of the first block
	until    account.Time // of the last; without end where it is the newest

	paid   map[account.Outpoint]chainOutput
	spends map[account.ChainHash]chainTx // that are of payouts, or spend their coins
	payer  Payer
	found  []Difference
}

func (r *reconciler) add(d Difference) { r.found = append(r.found, d) }

func (r *reconciler) readBlocks() error {
	x := r.exchange
	network := r.node.Network()
	for height := r.from; height <= r.to; height++ {
		hash, err := r.node.BlockHash(r.ctx, height)
		if err != nil {
			return err
		}
		block, err := r.node.Block(r.ctx, hash)
		if err != nil {
			return err
		}
		ref, at := bitcoin.Ref{Height: height, Hash: hash}, account.TimeOf(block.Header.Timestamp)
		if height == r.from {
			r.since = at
		}
		r.until = at
		for _, tx := range block.Transactions {
			id := account.ChainHash(tx.TxHash())
			if r.isOfPayouts(id, tx) {
				r.spends[id] = chainTx{tx, ref}
			}
			for i, out := range tx.TxOut {
				if payment, ours := x.payments.byAddress.Load(bitcoin.AddressOf(out.PkScript, network)); ours {
					r.paid[account.Outpoint{TxID: id, Index: uint32(i)}] = chainOutput{payment, account.Money(out.Value), ref}
				}
			}
		}
	}
	if r.to == x.payments.tip.Load() {
		r.until = x.now()
	}
	return nil
}

// payments compares the outputs that paid.
func (r *reconciler) payments() {
	for _, u := range r.exchange.created.from(0) {
		state := u.durable.Load()
		if state.Counts.Of(account.TypeBuy, 0) == 0 {
			continue
		}
		for n, t := range state.History.Backward(1, state.History.Len(), account.TypeBuy, 0) {
			r.payment(account.TransactionID{User: u.id, N: n}, &t)
		}
	}
	for out, c := range r.paid { // what is left
		r.add(Difference{Kind: NotInLog, Height: c.block.Height, What: c.payment.String(), Out: out.String(), Chain: c.btc.String() + " BTC"})
	}
}

func (r *reconciler) payment(id account.TransactionID, t *account.Transaction) {
	d := t.Detail
	inRange := false
	var counted account.Money
	for i := range d.Outputs {
		o := &d.Outputs[i]
		if o.Counted {
			counted += o.BTC - o.Refunded
		}
		if o.Gone || o.Height == 0 {
			continue
		}
		difference := Difference{What: id.String(), Out: o.Out.String(), Height: o.Height}
		c, there := r.paid[o.Out]
		isInRange := o.Height >= r.from && o.Height <= r.to
		inRange = inRange || isInRange
		if there {
			delete(r.paid, o.Out)
			difference.Height = c.block.Height
		}
		switch {
		case !there && isInRange && d.Derived:
			difference.Kind, difference.Log = NotOnChain, o.BTC.String()+" BTC"
			r.add(difference)
		case there && (c.block.Height != o.Height || c.block.Hash != [32]byte(o.Block)):
			difference.Kind, difference.Log = OtherBlock, fmt.Sprintf("%d (%s)", o.Height, o.Block)
			difference.Chain = c.block.String()
			r.add(difference)
		}
		if there && c.btc != o.BTC {
			difference.Kind, difference.Log, difference.Chain = OtherAmount, o.BTC.String()+" BTC", c.btc.String()+" BTC"
			r.add(difference)
		}
	}
	if inRange && d.Credited > 0 && d.Frozen == 0 && d.BTC > 0 {
		worth, ok := t.Amount.MulDivDown(counted, d.BTC)
		if counted >= d.BTC-d.BTC/10 { // whatever the tolerance was then
			worth = max(worth, t.Amount)
		}
		if ok && d.Credited > worth {
			r.add(Difference{Kind: CreditedTwice, What: id.String(), Log: d.Credited.String() + " AITBC", Chain: fmt.Sprintf("%s BTC, worth %s AITBC", counted, worth)})
		}
	}
}

// refund looks up the transaction that a settled refund names.
func (r *reconciler) refund(user account.UserID, f *account.Refund) error {
	if !r.inTime(f.At) || f.TxHash == "" {
		return nil
	}
	tx, err := r.lookup(f.TxHash)
	if err == nil && tx == nil {
		r.add(Difference{Kind: RefundMissing, What: account.TransactionID{User: user, N: f.N}.String(), Out: f.TxHash, Log: f.BTC.String() + " BTC of " + f.Out.String()})
	}
	return err
}

// lookup returns a transaction of the chain, nil if it is in no block. The node needs
// an index of transactions for it.
func (r *reconciler) lookup(hash string) (*wire.MsgTx, error) {
	id, err := account.ParseChainHash(strings.ToLower(hash))
	if err != nil {
		return nil, nil // an operator's own words
	}
	tx, confirmations, err := r.node.Confirmed(r.ctx, [32]byte(id))
	if bitcoin.IsNotFound(err) || (err == nil && confirmations < 1) {
		return nil, nil
	}
	return tx, err
}
