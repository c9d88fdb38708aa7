package bitcoin

import (
	"slices"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
)

// Quote is what a payer was promised: AITBC for BTC, until ExpiresAt.
type Quote struct {
	AITBC     account.Money
	BTC       account.Money // satoshi, positive
	ExpiresAt time.Time
}

// Rule says what becomes of a payment that is not as it was quoted.
type Rule uint8

// The rules.
const (
	// Refund puts the money into the operator's refund queue.
	Refund Rule = iota
	// Proportion credits AITBC in proportion, at the quote's rate, rounded down.
	Proportion
)

// Policy is the operator's. The zero value asks for no confirmation and refunds
// whatever is not as quoted.
type Policy struct {
	// Confirmations make an output count; 1 is the block that it is in.
	Confirmations int32
	// TolerancePPM is the part of a quote, in millionths, that may be missing from a
	// payment in full. It is the exchange's loss.
	TolerancePPM int64
	Underpaid    Rule // less than the quote, and the time is over
	Overpaid     Rule // what is more than the quote
	Late         Rule // outputs that came after the quote had expired
}

// Received is an output that paid to a payment's address.
type Received struct {
	Out    wire.OutPoint
	BTC    account.Money // satoshi
	Height int32         // of its block; 0 in the mempool
	At     time.Time     // when it was first known; it is late after Quote.ExpiresAt
	// Refunded is the part of BTC that went into the refund queue before. It is
	// never credited afterwards.
	Refunded account.Money
}

// PaymentState is where a payment is, as the payer is told.
type PaymentState string

// The states. Underpaid and expired may still be followed by another where an
// output that was in time becomes known late.
const (
	PaymentPending    PaymentState = "pending"    // nothing was paid, and there is time
	PaymentSeen       PaymentState = "seen"       // enough was paid, and is in no block yet
	PaymentConfirming PaymentState = "confirming" // enough was paid, and has some confirmations
	PaymentCredited   PaymentState = "credited"   // paid as quoted
	PaymentUnderpaid  PaymentState = "underpaid"  // too little was paid so far, or at the end
	PaymentOverpaid   PaymentState = "overpaid"   // paid, and more than quoted
	PaymentLate       PaymentState = "late"       // paid after the quote had expired
	PaymentExpired    PaymentState = "expired"    // nothing was paid, and the time is over
)

// RefundDue is a part of an output that goes into the refund queue.
type RefundDue struct {
	Out wire.OutPoint
	BTC account.Money // satoshi
}

// Assessment is what the outputs of a payment amount to.
type Assessment struct {
	State PaymentState
	// Confirmations of the output that made the payment enough, up to the policy's.
	Confirmations int32
	// Paid is the sum of all outputs, and Missing what is wanting to the quote.
	Paid, Missing account.Money
	// Credit is the AITBC due for all outputs together, what was credited before
	// included. It is lower than before only where a reorganisation took outputs back.
	Credit account.Money
	// Outs are the outputs that Credit is for, if there is any.
	Outs []wire.OutPoint
	// Refunds go into the refund queue now; what Received.Refunded says is not in it.
	Refunds []RefundDue
	// Final: the time is over, and no output that was in time is on its way.
	Final bool
}

// Assess applies a policy to the outputs that paid for a quote. tip is the height of
// the best chain, and now the time up to which everything that was paid is known:
// while the chain is being caught up, the time of its last block.
//
// Only outputs with enough confirmations are credited or refunded. Amounts are exact,
// fractions are rounded down. No more is credited than was paid for, but for
// Policy.TolerancePPM.
func Assess(q Quote, p Policy, received []Received, tip int32, now time.Time) Assessment {
	if q.BTC <= 0 || q.AITBC < 0 {
		panic("bitcoin: a quote of nothing")
	}
	a := assessor{quote: q, policy: p, tip: tip, enough: q.BTC - tolerated(q.BTC, p.TolerancePPM)}
	a.received = slices.Clone(received)
	// Confirmations count for what is credited first; the order of the rest is fixed,
	// so that the same outputs have the same answer.
	slices.SortFunc(a.received, func(x, y Received) int {
		if c := a.confirmations(y) - a.confirmations(x); c != 0 {
			return int(c)
		}
		if c := x.At.Compare(y.At); c != 0 {
			return c
		}
		return compareOut(x.Out, y.Out)
	})
	return a.assess(now.After(q.ExpiresAt))
}

// tolerated is the part of amount that may be missing, rounded down.
func tolerated(amount account.Money, ppm int64) account.Money {
	t, ok := amount.MulDivDown(account.Money(ppm), 1_000_000)
	if !ok || t >= amount {
		return amount - 1 // something has to be paid
	}
	return t
}

type assessor struct {
	quote    Quote
	policy   Policy
	tip      int32
	enough   account.Money
	received []Received // most confirmed first
}

func (a *assessor) confirmations(r Received) int32 {
	if r.Height == 0 || r.Height > a.tip {
		return 0
	}
	return a.tip - r.Height + 1
}

func (a *assessor) isLate(r Received) bool { return r.At.After(a.quote.ExpiresAt) }

// counts reports whether an output may become AITBC at all.
func (a *assessor) counts(r Received) bool { return !a.isLate(r) || a.policy.Late == Proportion }

func (a *assessor) assess(expired bool) (out Assessment) {
	var (
		sum, settled account.Money      // of outputs that count: all, and those confirmed
		inTime       account.Money      // of outputs that are not late
		inFlight     bool               // an output in time is not confirmed yet
		reached      int32         = -1 // confirmations of the output that made it enough
	)
	for _, r := range a.received {
		n := a.confirmations(r)
		out.Paid = plus(out.Paid, r.BTC)
		if !a.isLate(r) {
			inTime = plus(inTime, r.BTC)
			inFlight = inFlight || n < a.policy.Confirmations
		}
		if !a.counts(r) {
			continue
		}
		net := r.BTC - r.Refunded
		sum = plus(sum, net)
		if n >= a.policy.Confirmations {
			settled = plus(settled, net)
			if net > 0 {
				out.Outs = append(out.Outs, r.Out)
			}
		}
		if reached < 0 && sum >= a.enough {
			reached = n
		}
	}
	out.Missing = max(0, a.quote.BTC-sum)
	final := expired && !inFlight // no output can make it more, but a late one
	out.Final = final

	switch {
	case settled >= a.enough:
		out.Credit = a.quote.AITBC
		if over := settled - a.quote.BTC; over > 0 && a.policy.Overpaid == Proportion {
			out.Credit = a.proportion(settled)
		} else if over > 0 {
			out.Refunds = a.refund(over, a.counts)
		}
	case final && a.policy.Underpaid == Proportion:
		out.Credit = a.proportion(settled)
	case final:
		out.Refunds = a.refund(settled, a.counts)
	}
	if a.policy.Late == Refund {
		out.Refunds = append(out.Refunds, a.refund(account.MaxMoney, a.isLate)...)
	}

	out.Confirmations = min(max(reached, 0), a.policy.Confirmations)
	switch {
	case len(a.received) == 0 && expired:
		out.State = PaymentExpired
	case len(a.received) == 0:
		out.State = PaymentPending
	case inTime == 0:
		out.State = PaymentLate
	case settled >= a.enough && inTime < a.enough:
		out.State = PaymentLate // it took a late output
	case settled >= a.enough && out.Paid > a.quote.BTC:
		out.State = PaymentOverpaid
	case settled >= a.enough:
		out.State = PaymentCredited
	case reached > 0:
		out.State = PaymentConfirming
	case reached == 0:
		out.State = PaymentSeen
	default:
		out.State = PaymentUnderpaid
	}
	return out
}

// proportion is the AITBC for an amount at the quote's rate, rounded down.
func (a *assessor) proportion(btc account.Money) account.Money {
	credit, ok := a.quote.AITBC.MulDivDown(btc, a.quote.BTC)
	if !ok {
		return account.MaxMoney // the account refuses it
	}
	return credit
}

// refund takes an amount from the confirmed outputs for which take is true, from the
// newest on.
func (a *assessor) refund(amount account.Money, take func(Received) bool) (due []RefundDue) {
	for _, r := range slices.Backward(a.received) {
		if part := min(amount, r.BTC-r.Refunded); part > 0 && take(r) && a.confirmations(r) >= a.policy.Confirmations {
			due = append(due, RefundDue{r.Out, part})
			amount -= part
		}
	}
	return due
}

// plus adds amounts and stays at the largest: there are fewer satoshi than that.
func plus(x, y account.Money) account.Money {
	if sum, ok := x.Add(y); ok {
		return sum
	}
	return account.MaxMoney
}
