package actors

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/aitbc/exchange/actors/account"
)

// RefundID names an entry of the refund queue: an output of a payment.
type RefundID struct {
	Payment account.TransactionID
	Out     account.Outpoint
}

// String returns PAYMENT.TXID:INDEX.
func (id RefundID) String() string { return id.Payment.String() + "." + id.Out.String() }

// ParseRefundID reads what String writes.
func ParseRefundID(s string) (id RefundID, err error) {
	payment, out, found := strings.Cut(s, ".")
	if !found {
		return id, errors.New("not a refund: want the payment's id, a point, and the output as TXID:INDEX")
	}
	if id.Payment, err = account.ParseTransactionID(payment); err == nil {
		id.Out, err = account.ParseOutpoint(out)
	}
	return id, err
}

// Refund is an entry of the refund queue as it stands.
type Refund struct {
	RefundID
	Output account.Output // Output.At is when the money was first known
	Due    account.Money  // satoshi; 0 where it is settled
	Last   account.Refund // how it was settled, the last time; zero before
}

// refundQueue knows every output of which something was set aside to be sent back.
type refundQueue struct {
	mu      sync.RWMutex
	open    map[RefundID]account.Time // guarded by mu; by when the money came
	settled map[RefundID]account.Time // guarded by mu
}

func (q *refundQueue) init() {
	q.open, q.settled = map[RefundID]account.Time{}, map[RefundID]account.Time{}
}

// note puts an output, of which something was set aside, where state says that it belongs.
func (q *refundQueue) note(state *account.State, n uint32, o *account.Output) {
	id := RefundID{account.TransactionID{User: state.ID, N: n}, o.Out}
	to, from := q.open, q.settled
	if state.RefundDue(n, o) == 0 {
		to, from = from, to
	}
	q.mu.Lock()
	to[id] = o.At
	delete(from, id)
	q.mu.Unlock()
}

// noteOut is note for an output by its name.
func (q *refundQueue) noteOut(state *account.State, n uint32, out account.Outpoint) {
	if t, ok := state.History.At(n); ok && t.Detail != nil {
		for i := range t.Detail.Outputs {
			if o := &t.Detail.Outputs[i]; o.Out == out && o.Refunded > 0 {
				q.note(state, n, o)
			}
		}
	}
}

// due is how many wait.
func (q *refundQueue) due() int {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return len(q.open)
}

type refundEntry struct {
	at account.Time
	id RefundID
}

// order is that of a list: oldest first, and the same every time.
func (e refundEntry) order(other refundEntry) int {
	if c := (openEntry{e.at, e.id.Payment}).order(openEntry{other.at, other.id.Payment}); c != 0 {
		return c
	}
	if c := slices.Compare(e.id.Out.TxID[:], other.id.Out.TxID[:]); c != 0 {
		return c
	}
	return cmp.Compare(e.id.Out.Index, other.id.Out.Index)
}

func (q *refundQueue) list(settled bool) []refundEntry {
	from := q.open
	if settled {
		from = q.settled
	}
	q.mu.RLock()
	entries := make([]refundEntry, 0, len(from))
	for id, at := range from {
		entries = append(entries, refundEntry{at, id})
	}
	q.mu.RUnlock()
	slices.SortFunc(entries, refundEntry.order)
	return entries
}

// Refunds returns up to limit refunds, those that wait or those that are settled, in
// the order in which the money came; how many there are; and whether more follow.
// after is the last of the page before, which may be settled meanwhile, or the zero
// value.
func (x *Exchange) Refunds(settled bool, after RefundID, limit int) (refunds []Refund, total int, more bool) {
	all := x.refunds.list(settled)
	first := 0
	if last, ok := x.Refund(after); ok {
		found := false
		if first, found = slices.BinarySearchFunc(all, refundEntry{last.Output.At, after}, refundEntry.order); found {
			first++
		}
	}
	end := min(len(all), first+limit)
	for _, e := range all[first:end] {
		if r, ok := x.Refund(e.id); ok {
			refunds = append(refunds, r)
		}
	}
	return refunds, len(all), end < len(all)
}

// Refund returns one entry of the refund queue.
func (x *Exchange) Refund(id RefundID) (r Refund, ok bool) {
	t, state, found := x.Transaction(id.Payment)
	if !found || t.Detail == nil {
		return r, false
	}
	i := slices.IndexFunc(t.Detail.Outputs, func(o account.Output) bool { return o.Out == id.Out })
	if i < 0 || t.Detail.Outputs[i].Refunded == 0 {
		return r, false
	}
	r = Refund{RefundID: id, Output: t.Detail.Outputs[i]}
	r.Due = state.RefundDue(id.Payment.N, &r.Output)
	if state.Outgoing != nil {
		for _, paid := range state.Outgoing.Refunds {
			if paid.N == id.Payment.N && paid.Out == id.Out {
				r.Last = paid
			}
		}
	}
	return r, true
}

// SettleRefund says that an operator has sent a refund back. txHash is the Bitcoin
// transaction that did it, if any.
func (x *Exchange) SettleRefund(id RefundID, txHash, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.settle(id.Payment, &account.SettleRefund{N: id.Payment.N, Out: id.Out, TxHash: txHash, By: by, Reason: reason}, idem)
}
