package actors

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// chainTx is a transaction as the chain has it.
type chainTx struct {
	tx    *wire.MsgTx
	block bitcoin.Ref
}

// isOfPayouts reports whether a transaction is one of a payout, or spends a coin of one.
func (r *reconciler) isOfPayouts(id account.ChainHash, tx *wire.MsgTx) bool {
	index := r.exchange.payouts.index()
	if _, known := index.At(id); known {
		return true
	}
	return slices.ContainsFunc(tx.TxIn, func(in *wire.TxIn) bool { return len(index.Spending(outpointOf(in.PreviousOutPoint))) > 0 })
}

// sales compares payouts, the sales that were completed in the time of the blocks, and
// the refunds that were settled in it.
func (r *reconciler) sales() error {
	r.payoutTxs()
	completed := map[string][]account.TransactionID{} // by transaction
	var within []account.TransactionID
	for _, u := range r.exchange.created.from(0) {
		state := u.durable.Load()
		if state.Counts.Of(account.TypeSell, account.Completed) > 0 {
			for n, t := range state.History.Backward(1, state.History.Last(), account.TypeSell, account.Completed) {
				id, hash := account.TransactionID{User: u.id, N: n}, strings.ToLower(t.Detail.TxHash)
				completed[hash] = append(completed[hash], id)
				if r.inTime(t.ConfirmedAt) && hash != "" {
					within = append(within, id)
				}
			}
		}
		if state.Outgoing == nil {
			continue
		}
		for i := range state.Outgoing.Refunds {
			if err := r.refund(u.id, &state.Outgoing.Refunds[i]); err != nil {
				return err
			}
		}
	}
	looked := map[string]bool{}
	for _, id := range within {
		t, _, _ := r.exchange.Transaction(id)
		if hash := strings.ToLower(t.Detail.TxHash); !looked[hash] {
			looked[hash] = true
			if err := r.completed(hash, completed[hash]); err != nil {
				return err
			}
		}
	}
	return nil
}

// payoutTxs compares the transactions of payouts, and what they pay.
func (r *reconciler) payoutTxs() {
	payouts := &r.exchange.payouts
	index := payouts.index()
	for _, tx := range index.All() {
		difference := Difference{What: fmt.Sprintf("payout %d", tx.Payout), Out: tx.ID.String(), Log: "in no block"}
		if payout, ok := payouts.all().At(tx.Payout); ok {
			difference.Log = string(payout.Status())
		} else {
			difference.What = "what spent a coin of a payout"
		}
		c, there := r.spends[tx.ID]
		if difference.Height = tx.Height; there {
			difference.Height, difference.Chain = c.block.Height, c.block.String()
		}
		switch {
		case there && tx.Height == 0:
			difference.Kind = PayoutNotInLog
		case there && (tx.Height != c.block.Height || [32]byte(tx.Block) != c.block.Hash):
			difference.Kind, difference.Log = OtherBlock, fmt.Sprintf("%d (%s)", tx.Height, tx.Block)
		case !there && tx.Height >= r.from && tx.Height <= r.to:
			difference.Kind = PayoutMissing
		}
		if difference.Kind != "" {
			r.add(difference)
		}
	}
	treasury := payouts.treasury()
	for id, c := range r.spends {
		tx, known := index.At(id)
		if !known {
			var coins []account.Outpoint
			for _, in := range c.tx.TxIn {
				coins = append(coins, outpointOf(in.PreviousOutPoint))
			}
			described, touched := payouts.describe(r.payer, c.tx, coins, treasury)
			tx = &described
			r.add(Difference{Kind: PayoutNotInLog, Height: c.block.Height, What: fmt.Sprintf("payout %d", touched[0].Number), Out: id.String(), Chain: c.block.String()})
		}
		for _, paid := range tx.Pays {
			r.paidSale(id, c, paid)
		}
	}
}

// paidSale compares a sale with the output that pays it.
func (r *reconciler) paidSale(id account.ChainHash, c chainTx, paid account.PaidSale) {
	t, _, ok := r.exchange.Transaction(paid.Sale)
	if !ok || t.Detail == nil || int(paid.Index) >= len(c.tx.TxOut) || !r.pays(c.tx.TxOut[paid.Index], &t) {
		return
	}
	difference := Difference{Height: c.block.Height, What: paid.Sale.String(), Out: id.String(), Log: t.Status.String(), Chain: t.Detail.BTC.String() + " BTC to " + t.Detail.To}
	switch {
	case t.Status == account.Failed:
		difference.Kind = SaleAndFailed
	case t.Status == account.Completed && !isPaidBy(&t, id):
		difference.Kind, difference.Log = SalePaidTwice, strings.TrimSpace("completed by "+t.Detail.TxHash)
	default:
		return
	}
	r.add(difference)
}

// pays reports whether an output is what a sale is to be paid.
func (r *reconciler) pays(out *wire.TxOut, t *account.Transaction) bool {
	script, err := bitcoin.ScriptOf(t.Detail.To, r.node.Network())
	return err == nil && account.Money(out.Value) == t.Detail.BTC && bytes.Equal(out.PkScript, script)
}

func (r *reconciler) inTime(at account.Time) bool { return at >= r.since && at <= r.until }

// completed compares the sales that were completed with a transaction with what that
// pays: each output is one sale's.
func (r *reconciler) completed(hash string, sales []account.TransactionID) error {
	tx, err := r.lookup(hash)
	if err != nil {
		return err
	}
	slices.SortFunc(sales, func(a, b account.TransactionID) int {
		return cmp.Or(bytes.Compare(a.User[:], b.User[:]), cmp.Compare(a.N, b.N))
	})
	taken := map[int]bool{}
	for _, id := range sales {
		t, _, _ := r.exchange.Transaction(id)
		difference := Difference{Kind: PayoutMissing, What: id.String(), Out: t.Detail.TxHash, Log: t.Detail.BTC.String() + " BTC to " + t.Detail.To}
		if tx != nil {
			var paid account.Money
			isPaid := false
			difference.Kind = PayoutAmount
			for i, out := range tx.TxOut {
				switch {
				case !r.pays(out, &t):
					if bitcoin.AddressOf(out.PkScript, r.node.Network()) == t.Detail.To {
						paid += account.Money(out.Value)
					}
				case taken[i]:
					difference.Kind = OutputShared
				case !isPaid:
					taken[i], isPaid = true, true
				}
			}
			if isPaid {
				continue
			}
			difference.Chain = paid.String() + " BTC"
		}
		if r.inTime(t.ConfirmedAt) {
			r.add(difference)
		}
	}
	return nil
}
