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
	CreditedTwice  DifferenceKind = "credited_twice"       // more was credited and refunded than the outputs are worth
	NoOwner        DifferenceKind = "no_owner"             // an output was neither credited nor refunded
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
	payer, err := x.payouts.started()
	if err != nil {
		return nil, err
	}
	tip := x.payments.tip.Load()
	if from < 1 || from > to || to > tip || to-from >= MaxReconcile {
		return nil, &account.Error{Code: CodeBadRange, Field: "to", Message: fmt.Sprintf("from and to must be heights from 1 to %d, which the log has followed, and at most %d at once", tip, MaxReconcile)}
	}
	r := reconciler{
		exchange: x, ctx: ctx, node: payer.Node(), from: from, to: to,
		paid: map[account.Outpoint]chainOutput{}, ownerless: map[account.Outpoint]chainOutput{}, spends: map[account.ChainHash]chainTx{}, payer: payer,
	}
	if err := r.readBlocks(); err != nil {
		return nil, errors.Join(ErrNodeDown, err)
	}
	r.payments()
	r.unassigned()
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
	index   uint32 // of the address, where it is nobody's
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

	paid map[account.Outpoint]chainOutput

	ownerless map[account.Outpoint]chainOutput // to addresses that this log has given to nobody

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
				c := chainOutput{btc: account.Money(out.Value), block: ref}
				address, ours := bitcoin.AddressOf(out.PkScript, network), false
				if c.payment, ours = x.payments.byAddress.Load(address); ours {
					r.paid[account.Outpoint{TxID: id, Index: uint32(i)}] = c
				} else if c.index, ours = x.unassigned.index(address); ours {
					r.ownerless[account.Outpoint{TxID: id, Index: uint32(i)}] = c
				}
			}
		}
	}
	if r.to == x.payments.tip.Load() {
		r.until = x.now()
	}
	return nil
}

// payments compares the outputs that paid, while nothing of them is being settled.
func (r *reconciler) payments() {
	r.exchange.payments.settling.Lock()
	defer r.exchange.payments.settling.Unlock()
	for _, u := range r.exchange.created.from(0) {
		state := u.durable.Load()
		if state.Counts.Of(account.TypeBuy, 0) == 0 {
			continue
		}
		for n, t := range state.History.Backward(1, state.History.Last(), account.TypeBuy, 0) {
			r.payment(account.TransactionID{User: u.id, N: n}, &t)
		}
	}
	for out, c := range r.paid { // what is left
		r.add(Difference{Kind: NotInLog, Height: c.block.Height, What: c.payment.String(), Out: out.String(), Chain: c.btc.String() + " BTC"})
	}
}

func (r *reconciler) payment(id account.TransactionID, t *account.Transaction) {
	d := *t.Detail
	d.Outputs = slices.Clone(d.Outputs) // as the chain has them, once they are compared
	inRange := false
	for i := range d.Outputs {
		o := &d.Outputs[i]
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
			o.Gone, o.Counted = true, false
		case there && (c.block.Height != o.Height || c.block.Hash != [32]byte(o.Block)):
			difference.Kind, difference.Log = OtherBlock, fmt.Sprintf("%d (%s)", o.Height, o.Block)
			difference.Chain = c.block.String()
			r.add(difference)
		}
		if there && c.btc != o.BTC {
			difference.Kind, difference.Log, difference.Chain = OtherAmount, o.BTC.String()+" BTC", c.btc.String()+" BTC"
			r.add(difference)
			o.BTC = c.btc
		}
	}
	if inRange {
		onChain := *t
		onChain.Detail = &d
		r.owners(id, &onChain)
	}
}

// owners holds a payment, with its outputs as the chain has them, to the rules that every
// one of them has an owner, and that no more is credited and refunded than they brought.
func (r *reconciler) owners(id account.TransactionID, t *account.Transaction) {
	terms := r.exchange.termsOf(t)
	if !t.Detail.Terms.Kept() { // whatever the tolerance was then
		const most = 100_000
		terms.TolerancePPM = max(terms.TolerancePPM, most)
	}
	if err := t.CheckValue(terms); err != nil {
		r.add(Difference{Kind: CreditedTwice, What: id.String(), Log: t.Credited().String() + " AITBC", Chain: err.Error()})
	}
	p := &r.exchange.payments
	for _, out := range t.Unowned(terms, p.tip.Load(), p.knownUntil()) {
		r.add(Difference{Kind: NoOwner, What: id.String(), Out: out.String(), Log: "neither credited nor refunded, and no operator answers for it"})
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
