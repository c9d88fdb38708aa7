package actors

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// unassigned follows what comes to addresses that were skipped, because somebody may
// have been given one whom this log does not know: after a restored backup. It is
// credited to nobody, and waits for an operator.
type unassigned struct {
	exchange *Exchange
	told     map[account.Outpoint]struct{} // of the chain's start, and then of the committer alone: outputs that somebody was alerted of

	indexes atomic.Pointer[map[string]uint32] // by address; nil before the chain starts
}

func (u *unassigned) init(x *Exchange) {
	u.exchange = x
	u.told = map[account.Outpoint]struct{}{}
}

// restored is what is durable; nil where nothing was ever skipped.
func (u *unassigned) restored() *account.Restored {
	if state := u.exchange.cursor.durable.Load(); state != nil {
		return state.Restored
	}
	return nil
}

// resume derives the skipped addresses, and returns what the chain has to know.
func (u *unassigned) resume() (r Resume) {
	restored := u.restored()
	r.NextIndex = restored.NextIndex()
	payer, err := u.exchange.payouts.payer()
	if restored == nil || err != nil {
		return r
	}
	keys := u.exchange.keys
	if keys == nil {
		keys = payer.Keys()
	}
	indexes := map[string]uint32{}
	for _, skipped := range restored.Ranges {
		// What was given out since the backup may be of a key that was moved to since.
		for _, all := range append([]*bitcoin.Keys{keys}, keys.Later(skipped.To-1)...) {
			for i, address := range all.Addresses(skipped.From, skipped.To) {
				if _, paid := u.exchange.payments.byAddress.Load(address); address != "" && !paid {
					indexes[address] = skipped.From + uint32(i)
					r.Addresses = append(r.Addresses, address)
				}
			}
		}
	}
	u.indexes.Store(&indexes)
	for _, o := range restored.Outputs {
		u.told[o.Out] = struct{}{}
		if !o.Gone {
			r.Outputs = append(r.Outputs, bitcoin.InBlock{
				Output: bitcoin.Output{Out: wireOut(o.Out), BTC: o.BTC, Address: o.Address},
				Block:  bitcoin.Ref{Height: o.Height, Hash: [32]byte(o.Block)},
			})
		}
	}
	return r
}

// index returns the index of an address that was skipped.
func (u *unassigned) index(address string) (index uint32, skipped bool) {
	if indexes := u.indexes.Load(); indexes != nil {
		index, skipped = (*indexes)[address]
	}
	return index, skipped
}

// take returns the order that a fact about an output without an owner leads to.
func (u *unassigned) take(fact bitcoin.Fact) (order, bool) {
	var output *bitcoin.Output
	var c account.MoveUnassigned
	switch f := fact.(type) {
	case *bitcoin.Seen:
		output = &f.Output
	case *bitcoin.InBlock:
		output, c.Height, c.Block = &f.Output, f.Block.Height, account.ChainHash(f.Block.Hash)
	case *bitcoin.Removed:
		output, c.Height, c.Block, c.Gone = &f.Output, f.Block.Height, account.ChainHash(f.Block.Hash), true
	default:
		return order{}, false
	}
	index, skipped := u.index(output.Address)
	if !skipped {
		return order{}, false
	}
	c.Out = account.Outpoint{TxID: account.ChainHash(output.Out.Hash), Index: output.Out.Index}
	c.Index, c.Address, c.BTC = index, output.Address, output.BTC
	return order{u.exchange.cursor, &c}, true
}

// observe tells the operator what they must know. It is called in the journal's order.
func (u *unassigned) observe(state *account.State, event account.Event) {
	log := u.exchange.log
	switch e := event.(type) {
	case *account.UnassignedOutputMoved:
		o := state.Restored.Outputs[state.Restored.Unassigned(e.Out)]
		about := []any{slog.String("output", e.Out.String()), slog.String("address", o.Address), slog.Int("index", int(o.Index)),
			slog.String("btc", o.BTC.String()), slog.Int("height", int(o.Height))}
		_, told := u.told[e.Out]
		u.told[e.Out] = struct{}{}
		switch {
		case !told:
			log.Error("ALERT: bitcoin came to an address that this log has given to nobody; find out whose it is, and settle it", about...)
		case e.Gone && o.SettledAt != 0:
			log.Error("ALERT: the chain took back an output without an owner that was settled", about...)
		case e.Gone:
			log.Warn("the chain took back an output without an owner", about...)
		}
	case *account.UnassignedOutputSettled:
		log.Info("an output without an owner is settled", slog.String("output", e.Out.String()), slog.String("by", e.By))
	}
}

// due is how many wait for an operator.
func (u *unassigned) due() (n int) {
	if restored := u.restored(); restored != nil {
		for _, o := range restored.Outputs {
			if o.SettledAt == 0 && !o.Gone {
				n++
			}
		}
	}
	return n
}

// UnassignedOutput is an output without an owner as an operator sees it.
type UnassignedOutput struct {
	account.UnassignedOutput
	Confirmations int32
}

// UnassignedOutputs returns up to limit outputs without an owner, those that wait or
// those that are settled, in the order in which they came, after the first skip of all;
// how many of them there are; and where the next page begins, 0 if there is none.
func (x *Exchange) UnassignedOutputs(settled bool, skip, limit int) (outputs []UnassignedOutput, total, next int) {
	restored := x.unassigned.restored()
	if restored == nil {
		return nil, 0, 0
	}
	for i, o := range restored.Outputs {
		if (o.SettledAt != 0) != settled {
			continue
		}
		total++
		switch {
		case i < skip:
		case len(outputs) < limit:
			outputs = append(outputs, x.unassigned.view(o))
		case next == 0:
			next = i
		}
	}
	return outputs, total, next
}

func (u *unassigned) view(o *account.UnassignedOutput) UnassignedOutput {
	v := UnassignedOutput{UnassignedOutput: *o}
	if o.Height > 0 {
		v.Confirmations = max(0, u.exchange.payments.tip.Load()-o.Height+1)
	}
	return v
}

// SettleUnassignedOutput says that an operator has dealt with an output without an
// owner. txHash is the Bitcoin transaction that did it, if any.
func (x *Exchange) SettleUnassignedOutput(out account.Outpoint, txHash, by, reason string) (UnassignedOutput, error) {
	if x.unassigned.restored().Unassigned(out) < 0 {
		return UnassignedOutput{}, &account.Error{Code: account.CodeNotFound, Message: "there is no unassigned output " + out.String()}
	}
	receipt, err := x.do(x.cursor, &account.SettleUnassigned{Out: out, TxHash: txHash, By: by, Reason: reason}, nil)
	if err != nil {
		return UnassignedOutput{}, err
	}
	r := receipt.State.Restored
	return x.unassigned.view(r.Outputs[r.Unassigned(out)]), nil
}

// unassigned compares the outputs without an owner. Those of blocks from before their
// addresses were skipped are not in the log.
func (r *reconciler) unassigned() {
	restored := r.exchange.unassigned.restored()
	if restored == nil {
		return
	}
	for _, o := range restored.Outputs {
		if o.Gone || o.Height == 0 {
			continue
		}
		c, there := r.ownerless[o.Out]
		delete(r.ownerless, o.Out)
		difference := Difference{Height: o.Height, What: fmt.Sprintf("address %d", o.Index), Out: o.Out.String(), Log: o.BTC.String() + " BTC"}
		switch {
		case !there && o.Height >= r.from && o.Height <= r.to:
			difference.Kind = NotOnChain
			r.add(difference)
		case there && (c.block.Height != o.Height || c.block.Hash != [32]byte(o.Block)):
			difference.Kind, difference.Log, difference.Chain = OtherBlock, fmt.Sprintf("%d (%s)", o.Height, o.Block), c.block.String()
			r.add(difference)
		}
	}
	for out, c := range r.ownerless { // what is left
		r.add(Difference{Kind: NotInLog, Height: c.block.Height, What: fmt.Sprintf("address %d", c.index), Out: out.String(), Chain: c.btc.String() + " BTC"})
	}
}
