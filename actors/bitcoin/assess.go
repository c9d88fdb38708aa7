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
type Rule = account.Rule

// The rules.
const (
	Refund     = account.RuleRefund
	Proportion = account.RuleProportion
)

// Policy is what a payment was quoted under.
type Policy = account.PaymentTerms

// Settled is what was decided of a payment before. It is a floor: what counts for a
// credit goes on to do so for as long as the chain has it, whatever the policy says.
type Settled struct {
	Credited account.Money // AITBC
	Answered account.Money // the part of Credited that an operator answers for
	Ended    bool          // an operator has settled the payment: nothing more is credited
	Missing  bool          // an output that counted is not on the chain any more
}

// Received is an output that paid to a payment's address, and is on the chain.
type Received struct {
	Out    wire.OutPoint
	BTC    account.Money // satoshi
	Height int32         // of its block; 0 in the mempool
	At     time.Time     // when it was first known; it is late after Quote.ExpiresAt
	// Refunded is the part of BTC that went into the refund queue before. It is
	// never credited afterwards.
	Refunded account.Money

	Counted  bool // for what was credited: final, and never refunded
	Reversed bool // it counted, the chain took it back, and has it again
	Answered bool // an operator answers for it: it is neither credited nor refunded
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
	// None is of an output that counts. At most one is a part of one of Outs.
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
func Assess(q Quote, p Policy, before Settled, received []Received, tip int32, now time.Time) Assessment {
	if q.BTC <= 0 || q.AITBC < 0 {
		panic("bitcoin: a quote of nothing")
	}
	a := assessor{quote: q, policy: p, before: before, tip: tip, enough: p.Enough(q.BTC)}
	a.received = slices.Clone(received)
	// What counts comes first, then what has the most confirmations; the order of the
	// rest is fixed, so that the same outputs have the same answer.
	slices.SortFunc(a.received, func(x, y Received) int {
		if x.Counted != y.Counted {
			if x.Counted {
				return -1
			}
			return 1
		}
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

type assessor struct {
	quote    Quote
	policy   Policy
	before   Settled
	tip      int32
	enough   account.Money
	received []Received // what counts first, then most confirmed first
}

func (a *assessor) confirmations(r Received) int32 {
	if r.Height == 0 || r.Height > a.tip {
		return 0
	}
	return a.tip - r.Height + 1
}

// isFinal reports whether an output may be settled. What was is final for ever.
func (a *assessor) isFinal(r Received) bool {
	return r.Counted || a.confirmations(r) >= a.policy.Confirmations
}

func (a *assessor) isLate(r Received) bool { return r.At.After(a.quote.ExpiresAt) }

// isOpen reports whether nothing was decided of an output.
func (a *assessor) isOpen(r Received) bool { return !r.Counted && !r.Reversed && !r.Answered }

// counts reports whether an output may be, or is, part of what is credited.
func (a *assessor) counts(r Received) bool {
	if !a.isOpen(r) {
		return !r.Answered
	}
	return !a.before.Ended && (!a.isLate(r) || a.policy.Late == Proportion)
}

// sums are what the outputs come to.
type sums struct {
	counting, settled account.Money // of outputs that count: all, and those that are final
	backing           account.Money // of outputs that counted before, and are final
	inTime            account.Money // of outputs that are not late
	inFlight          bool          // an output in time is not final yet
	late              bool          // a late output counts
	missing           bool          // what counted is not all there
	reached           int32         // confirmations of the output that made it enough; -1 if none did
}

func (a *assessor) sum(out *Assessment) sums {
	s := sums{missing: a.before.Missing, reached: -1}
	for _, r := range a.received {
		out.Paid = plus(out.Paid, r.BTC)
		if !a.isLate(r) {
			s.inTime = plus(s.inTime, r.BTC)
			s.inFlight = s.inFlight || !(r.Answered || a.isFinal(r))
		}
		s.missing = s.missing || (r.Reversed && !a.isFinal(r))
		if !a.counts(r) {
			continue
		}
		net := r.BTC - r.Refunded
		s.counting = plus(s.counting, net)
		s.late = s.late || a.isLate(r)
		if a.isFinal(r) {
			s.settled = plus(s.settled, net)
			if !a.isOpen(r) {
				s.backing = plus(s.backing, net)
			}
		}
		if s.reached < 0 && s.counting >= a.enough {
			s.reached = a.confirmations(r)
			if r.Counted {
				s.reached = max(s.reached, a.policy.Confirmations)
			}
		}
	}
	out.Missing = max(0, a.quote.BTC-s.counting)
	return s
}

func (a *assessor) assess(expired bool) (out Assessment) {
	s := a.sum(&out)
	out.Final = expired && !s.inFlight // no output can make it more, but a late one

	takes := true // what is open, and counts
	switch {
	case a.before.Ended:
		out.Refunds = a.refund(account.MaxMoney, a.isOpen)
	case s.settled >= a.enough:
		out.Credit = a.quote.AITBC
		if over := s.settled - a.quote.BTC; over > 0 && a.policy.Overpaid == Proportion {
			out.Credit = a.proportion(s.settled)
		} else if over > 0 {
			out.Refunds = a.refund(over, a.counts)
		}
	case out.Final && a.policy.Underpaid == Proportion && a.proportion(s.settled) > 0:
		out.Credit = a.proportion(s.settled)
	case out.Final:
		takes = false
		out.Refunds = a.refund(account.MaxMoney, func(r Received) bool { return a.isOpen(r) && a.counts(r) })
	default:
		takes = false
	}
	if a.policy.Late == Refund && !a.before.Ended {
		out.Refunds = append(out.Refunds, a.refund(account.MaxMoney, func(r Received) bool { return a.isOpen(r) && a.isLate(r) })...)
	}
	out.Credit = max(out.Credit, a.floor(&s))
	if out.Credit > 0 {
		out.Outs = a.outs(out.Refunds, takes)
	}
	out.Confirmations = min(max(s.reached, 0), a.policy.Confirmations)
	out.State = a.state(&out, &s, expired)
	return out
}

// floor is what is due by what counted before. The outputs of it that are left stand for
// their part, at the quote's rate.
func (a *assessor) floor(s *sums) account.Money {
	if !s.missing {
		return a.before.Credited
	}
	return min(a.before.Credited, plus(a.before.Answered, a.proportion(s.backing)))
}

// outs returns what stands for the credit, without what goes back.
func (a *assessor) outs(refunds []RefundDue, takes bool) (outs []wire.OutPoint) {
	for _, r := range a.received {
		left := r.BTC - r.Refunded
		for _, due := range refunds {
			if due.Out == r.Out {
				left -= due.BTC
			}
		}
		if left > 0 && a.isFinal(r) && a.counts(r) && (takes || !a.isOpen(r)) {
			outs = append(outs, r.Out)
		}
	}
	return outs
}

func (a *assessor) state(out *Assessment, s *sums, expired bool) PaymentState {
	full := s.settled >= a.enough || (out.Credit >= a.quote.AITBC && out.Credit > 0)
	switch {
	case len(a.received) == 0 && expired:
		return PaymentExpired
	case len(a.received) == 0:
		return PaymentPending
	case s.inTime == 0:
		return PaymentLate
	case full && s.inTime < a.enough && s.late:
		return PaymentLate // it took a late output
	case full && out.Paid > a.quote.BTC:
		return PaymentOverpaid
	case full:
		return PaymentCredited
	case s.reached > 0:
		return PaymentConfirming
	case s.reached == 0:
		return PaymentSeen
	}
	return PaymentUnderpaid
}

// proportion is the AITBC for an amount at the quote's rate, rounded down.
func (a *assessor) proportion(btc account.Money) account.Money {
	credit, ok := a.quote.AITBC.MulDivDown(btc, a.quote.BTC)
	if !ok {
		return account.MaxMoney // the account refuses it
	}
	return credit
}

// refund takes an amount from the final outputs for which take is true and which do not
// count yet, from the newest on.
func (a *assessor) refund(amount account.Money, take func(Received) bool) (due []RefundDue) {
	for _, r := range slices.Backward(a.received) {
		if part := min(amount, r.BTC-r.Refunded); part > 0 && !r.Counted && take(r) && a.isFinal(r) {
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
