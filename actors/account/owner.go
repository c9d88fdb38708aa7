package account

import "fmt"

// Every output that pays to a payment has one owner in the end: the credit that it
// counts for, the refund queue, or an operator who answers for it. This file says who
// that is, in the one place that settling, deadlines, the start of the service and what
// is shown all ask.

// ByHand reports whether an operator, or the payer of a demo, has completed the buy.
func (t *Transaction) ByHand() bool {
	return t.Type == TypeBuy && t.Status == Completed && (t.Detail.Credited == 0 || t.Detail.By != "chain")
}

// Ended reports whether an operator has settled the buy: completed it, failed it, or
// answered for what a reorganisation took back. The chain's rules credit nothing more
// for it: what comes later goes into the refund queue.
func (t *Transaction) Ended() bool {
	return t.ByHand() || t.Detail.Answered > 0 || (t.Status == Failed && !t.Detail.Expired)
}

// Answers reports whether an operator answers for an output of the buy. One who
// completed a payment of before that was kept answers for what was known by then.
func (t *Transaction) Answers(o *Output) bool {
	return o.Answered || (!t.Detail.Terms.Kept() && !o.Counted && t.ByHand() && o.At <= t.ConfirmedAt)
}

// isOpen reports whether o, of t, is on the chain and has no owner yet, or not one for
// the whole of it.
func (t *Transaction) isOpen(o *Output) bool {
	return !o.Gone && !o.Counted && o.Refunded < o.BTC && !t.Answers(o)
}

// Undecided reports whether there is something to settle of the buy yet: whether the
// chain may change it, which has outputs without an owner or took back some that
// counted; and whether the end of its quote may.
func (t *Transaction) Undecided() (byChain, byClock bool) {
	if t.Type != TypeBuy {
		return false, false
	}
	byClock = t.Status == Pending
	for i := range t.Detail.Outputs {
		o := &t.Detail.Outputs[i]
		isOpen := t.isOpen(o)
		byChain = byChain || isOpen || o.Reversed
		byClock = byClock || isOpen
	}
	return byChain || t.Surplus() > 0, byClock
}

// Surplus is the part of what counts, in satoshi, that a buy which was credited as
// quoted does not need. There is some only where a version that did not queue the refund
// together with the credit was stopped between them.
func (t *Transaction) Surplus() Money {
	if t.Credited() != t.Amount || t.ByHand() || t.Detail.Answered > 0 || t.Detail.Terms.Kept() {
		return 0
	}
	return max(0, t.counted()-t.Detail.BTC)
}

// refundable is the part of o, of t, that may go into the refund queue, in satoshi.
func (t *Transaction) refundable(o *Output) Money {
	switch {
	case o.Gone || t.Answers(o):
		return 0
	case o.Counted:
		return min(t.Surplus(), o.BTC-o.Refunded)
	}
	return o.BTC - o.Refunded
}

// counted is what counts for the credit, in satoshi.
func (t *Transaction) counted() (sum Money) {
	for i := range t.Detail.Outputs {
		if o := &t.Detail.Outputs[i]; o.Counted {
			sum += o.BTC - o.Refunded
		}
	}
	return sum
}

// outpoints returns the outputs of t for which take is true.
func (t *Transaction) outpoints(take func(*Output) bool) (outs []Outpoint) {
	if t.Detail == nil {
		return nil
	}
	for i := range t.Detail.Outputs {
		if o := &t.Detail.Outputs[i]; take(o) {
			outs = append(outs, o.Out)
		}
	}
	return outs
}

// CheckValue holds the buy to its first rule: what was credited at its price, and what
// went into the refund queue, is no more than what its outputs brought, but for the
// tolerance and for what an operator answers for. terms are the payment's own, or where
// those were not kept, the most that they can have been.
func (t *Transaction) CheckValue(terms PaymentTerms) error {
	d := t.Detail
	if d.Terms.Kept() {
		terms = d.Terms
	}
	answered := d.Answered
	if t.ByHand() {
		answered = t.Credited()
	}
	var brought, refunded Money // in satoshi; what vanished is in neither
	for i := range d.Outputs {
		o := &d.Outputs[i]
		switch {
		case o.Counted && (o.Gone || o.Reversed || o.Answered):
			return fmt.Errorf("output %s counts, and does not: %+v", o.Out, *o)
		case o.Gone:
		case t.Answers(o): // only its refunds
			brought, refunded = brought+o.Refunded, refunded+o.Refunded
		default:
			brought, refunded = brought+o.BTC, refunded+o.Refunded
		}
	}
	worth := Money(0)
	if chain := t.Credited() - answered - d.Frozen; chain > 0 {
		var ok bool
		if worth, ok = d.BTC.MulDivDown(chain, t.Amount); !ok {
			return fmt.Errorf("%s AITBC at %s BTC for %s are out of range", chain, d.BTC, t.Amount)
		}
		worth = max(0, worth-terms.tolerated(max(1, d.BTC)))
	}
	if worth > brought-refunded {
		return fmt.Errorf("%s AITBC were credited, %s frozen and %s answered for by an operator; with refunds of %s BTC that is more than the %s BTC received",
			t.Credited(), d.Frozen, answered, refunded, brought)
	}
	return nil
}

// Unowned returns the outputs that have no owner though nothing is waited for: the quote
// is over by known, up to which all is known that was paid, and they are as deep below
// tip as terms want, which are as for CheckValue.
func (t *Transaction) Unowned(terms PaymentTerms, tip int32, known Time) (outs []Outpoint) {
	if t.Detail.Terms.Kept() {
		terms = t.Detail.Terms
	}
	if known <= t.Detail.ExpiresAt && !t.Ended() {
		return nil
	}
	for i := range t.Detail.Outputs {
		o := &t.Detail.Outputs[i]
		switch deep := o.Height > 0 && tip-o.Height+1 >= terms.Confirmations; {
		case !t.isOpen(o):
		case deep:
			outs = append(outs, o.Out)
		case o.At <= t.Detail.ExpiresAt && !t.Ended():
			return nil // it is waited for
		}
	}
	return outs
}
