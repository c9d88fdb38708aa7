package account

import (
	"fmt"
	"slices"
)

// What the chain shows of a payment becomes events here. Every command may be
// given again: what is known in the same place changes nothing.

// CodeTooManyOutputs: a payment has MaxOutputs outputs already.
const CodeTooManyOutputs Code = "too_many_outputs"

// SeeOutput says that an output to payment N is in the mempool.
type SeeOutput struct {
	N   uint32
	Out Outpoint
	BTC Money
	At  Time
}

// ConfirmOutput says that an output to payment N is in a block of the best chain.
type ConfirmOutput struct {
	N      uint32
	Out    Outpoint
	BTC    Money
	Height int32
	Block  ChainHash
	At     Time // when it was known, if it was not before
}

// RemoveOutput takes back SeeOutput or, with a Height, ConfirmOutput.
type RemoveOutput struct {
	N      uint32
	Out    Outpoint
	Height int32
	Block  ChainHash
}

// SettlePayment says what AITBC is due for payment N in all, and which outputs it
// is for. The difference to what was credited is credited; where the chain took
// back what was credited, it is frozen instead. Surplus is the part, in satoshi, of one
// of Outs that is not needed: it goes into the refund queue with the same record, so
// that what counts is never refunded later.
type SettlePayment struct {
	N         uint32
	Due       Money
	Outs      []Outpoint
	Surplus   Money
	SurplusOf Outpoint
}

// QueueRefund puts a part of an output into the refund queue, beside Before, which
// was there when that was found to be due: what is found twice is queued once. What
// counts for a credit, or what an operator answers for, is not refunded.
type QueueRefund struct {
	N      uint32
	Out    Outpoint
	BTC    Money // satoshi
	Before Money
}

// LiftFreeze is the operator's: what was frozen for payment N is free again, and they
// answer for the outputs that it was frozen for.
type LiftFreeze struct {
	N      uint32
	By     string
	Reason string
}

// payment returns transaction n, if it is a buy.
func (a *Account) payment(n uint32) (Transaction, *Error) {
	t, ok := a.History.At(n)
	if !ok || t.Type != TypeBuy {
		return t, refuse(CodeNotFound, "there is no such payment")
	}
	return t, nil
}

// roomForOutput checks that out is known, or that one more may be.
func roomForOutput(outputs []Output, out Outpoint) *Error {
	if len(outputs) < MaxOutputs || outputOf(outputs, out) >= 0 || expendable(outputs) >= 0 {
		return nil
	}
	return refuse(CodeTooManyOutputs, "this payment has %d outputs, the maximum", len(outputs))
}

// expendable returns the first output that nothing depends on any more, or -1.
func expendable(outputs []Output) int {
	return slices.IndexFunc(outputs, func(o Output) bool { return o.Gone && !o.Reversed && !o.Answered && o.Refunded == 0 })
}

func (c *SeeOutput) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.payment(c.N)
	if err != nil {
		return nil, 0, err
	}
	outputs := t.detail().Outputs
	if i := outputOf(outputs, c.Out); i >= 0 && !outputs[i].Gone {
		return nil, c.N, nil
	}
	if err := roomForOutput(outputs, c.Out); err != nil {
		return nil, 0, err
	}
	return []Event{&OutputSeen{N: c.N, Out: c.Out, BTC: c.BTC, At: c.At}}, c.N, nil
}

func (c *ConfirmOutput) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.payment(c.N)
	if err != nil {
		return nil, 0, err
	}
	outputs := t.detail().Outputs
	if i := outputOf(outputs, c.Out); i >= 0 && outputs[i].Height == c.Height && outputs[i].Block == c.Block {
		return nil, c.N, nil
	}
	if err := roomForOutput(outputs, c.Out); err != nil {
		return nil, 0, err
	}
	return []Event{&OutputConfirmed{N: c.N, Out: c.Out, BTC: c.BTC, Height: c.Height, Block: c.Block, At: c.At}}, c.N, nil
}

func (c *RemoveOutput) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.payment(c.N)
	if err != nil {
		return nil, 0, err
	}
	outputs := t.detail().Outputs
	i := outputOf(outputs, c.Out)
	if i < 0 || outputs[i].Gone || outputs[i].Height != c.Height || outputs[i].Block != c.Block {
		return nil, c.N, nil
	}
	return []Event{&OutputRemoved{N: c.N, Out: c.Out, Height: c.Height}}, c.N, nil
}

func (c *SettlePayment) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.payment(c.N)
	if err != nil {
		return nil, 0, err
	}
	d, credited := t.detail(), t.Credited()
	grows := c.Due > credited
	if t.ByHand() || (grows && t.Ended()) || (c.Due == 0 && credited == 0) {
		return nil, c.N, nil
	}
	fresh, err := t.mayCount(c)
	if err != nil {
		return nil, 0, err
	}
	reversed := slices.IndexFunc(d.Outputs, func(o Output) bool { return o.Reversed && !slices.Contains(c.Outs, o.Out) })
	var frozen Money
	if reversed >= 0 && !grows {
		frozen = credited - c.Due
	}
	var events []Event
	switch {
	case grows:
		if err := a.canGrow(c.Due - credited); err != nil {
			return nil, 0, err
		}
		events = append(events, &PaymentCredited{N: c.N, Amount: c.Due - credited, Outs: c.Outs})
		if d.Frozen > 0 {
			events = append(events, &FreezeLifted{N: c.N, Amount: d.Frozen, By: "chain"})
		} else if reversed >= 0 {
			events = append(events, &CreditBacked{N: c.N, Outs: c.Outs})
		}
	case frozen < d.Frozen:
		events = append(events, &FreezeLifted{N: c.N, Amount: d.Frozen - frozen, Outs: c.Outs, By: "chain"})
	default:
		if frozen > d.Frozen {
			events = append(events, &CreditReversed{N: c.N, Out: d.Outputs[reversed].Out, Amount: frozen - d.Frozen})
		}
		if fresh || (reversed >= 0 && frozen == 0 && credited > 0) {
			events = append(events, &CreditBacked{N: c.N, Outs: c.Outs})
		}
	}
	if c.Surplus > 0 {
		events = append(events, &RefundQueued{N: c.N, Out: c.SurplusOf, BTC: c.Surplus})
	}
	return events, c.N, nil
}

// mayCount checks that the outputs of c may count for what t has brought, and reports
// whether any of them does not count yet.
func (t *Transaction) mayCount(c *SettlePayment) (fresh bool, err *Error) {
	surplus := c.Surplus == 0
	for _, out := range c.Outs {
		i := outputOf(t.Detail.Outputs, out)
		if i < 0 {
			return false, refuse(CodeNoChange, "this payment has no output %s", out)
		}
		o := &t.Detail.Outputs[i]
		if o.Counted {
			continue
		}
		fresh = true
		if o.Height == 0 || o.Refunded == o.BTC || t.Answers(o) {
			return false, refuse(CodeNoChange, "output %s is in no block, refunded, or answered for by an operator", out)
		}
		surplus = surplus || (out == c.SurplusOf && c.Surplus > 0 && c.Surplus < o.BTC-o.Refunded)
	}
	if !surplus {
		return false, refuse(CodeNoChange, "there are no %s BTC of output %s to refund", c.Surplus, c.SurplusOf)
	}
	return fresh, nil
}

func (c *QueueRefund) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.payment(c.N)
	if err != nil {
		return nil, 0, err
	}
	outputs := t.detail().Outputs
	i := outputOf(outputs, c.Out)
	if i < 0 || c.BTC <= 0 || c.Before != outputs[i].Refunded || c.BTC > t.refundable(&outputs[i]) {
		return nil, 0, refuse(CodeNoChange, "there are no %s BTC of output %s to refund", c.BTC, c.Out)
	}
	return []Event{&RefundQueued{N: c.N, Out: c.Out, BTC: c.BTC}}, c.N, nil
}

func (c *LiftFreeze) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.payment(c.N)
	if err != nil {
		return nil, 0, err
	}
	frozen := t.detail().Frozen
	if frozen == 0 {
		return nil, 0, refuse(CodeNoChange, "nothing is frozen for this payment")
	}
	return []Event{
		&FreezeLifted{N: c.N, Amount: frozen, By: c.By, Reason: c.Reason},
		&OutputsAnswered{N: c.N, Amount: frozen, Outs: t.outpoints(func(o *Output) bool { return o.Reversed })},
	}, c.N, nil
}

// received returns payment n with outputs and detail of its own, to be changed and
// put back with History.replace.
func (a *Account) received(n uint32) (Transaction, *Detail, error) {
	t, ok := a.History.At(n)
	if !ok || t.Type != TypeBuy {
		return t, nil, fmt.Errorf("no payment %d", n)
	}
	d := t.detail() // unpacked for this call alone
	t.Detail = &d
	return t, &d, nil
}

func (e *OutputSeen) apply(a *Account, _ Time) error {
	return a.found(e.N, Output{Out: e.Out, BTC: e.BTC, At: e.At})
}

func (e *OutputConfirmed) apply(a *Account, _ Time) error {
	if e.Height <= 0 {
		return fmt.Errorf("an output in a block at height %d", e.Height)
	}
	return a.found(e.N, Output{Out: e.Out, BTC: e.BTC, At: e.At, Height: e.Height, Block: e.Block})
}

// found adds an output to payment n, or gives it another place.
func (a *Account) found(n uint32, found Output) error {
	t, d, err := a.received(n)
	if err != nil {
		return err
	}
	i := outputOf(d.Outputs, found.Out)
	switch {
	case i < 0 && len(d.Outputs) >= MaxOutputs:
		drop := expendable(d.Outputs)
		if drop < 0 {
			return fmt.Errorf("payment %d has %d outputs", n, len(d.Outputs))
		}
		d.Outputs = append(slices.Delete(d.Outputs, drop, drop+1), found)
	case i < 0:
		d.Outputs = append(d.Outputs, found)
	case d.Outputs[i].BTC != found.BTC:
		return fmt.Errorf("output %s of %s BTC was one of %s", found.Out, found.BTC, d.Outputs[i].BTC)
	default:
		o := &d.Outputs[i]
		o.Height, o.Block, o.Gone, o.At = found.Height, found.Block, false, min(o.At, found.At)
	}
	a.History.replace(n, t)
	return nil
}

func (e *OutputRemoved) apply(a *Account, _ Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	i := outputOf(d.Outputs, e.Out)
	if i < 0 || d.Outputs[i].Gone || d.Outputs[i].Height != e.Height {
		return fmt.Errorf("payment %d has no output %s at height %d", e.N, e.Out, e.Height)
	}
	o := &d.Outputs[i]
	o.Height, o.Block, o.Gone = 0, ChainHash{}, true
	o.Reversed, o.Counted = o.Reversed || o.Counted, false
	a.History.replace(e.N, t)
	return nil
}

func (e *PaymentCredited) apply(a *Account, at Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	balance, ok := a.Balance.Add(e.Amount)
	if !ok || e.Amount <= 0 {
		return fmt.Errorf("balance %s and a credit of %s", a.Balance, e.Amount)
	}
	credited, ok := t.Credited().Add(e.Amount)
	if !ok || len(e.Outs) == 0 {
		return fmt.Errorf("payment %d: %s credited and %s more for %d outputs", e.N, t.Credited(), e.Amount, len(e.Outs))
	}
	if err := count(d.Outputs, e.Outs); err != nil {
		return err
	}
	d.Credited = credited
	if t.Status != Completed {
		a.Counts[TypeBuy][t.Status]--
		a.Counts[TypeBuy][Completed]++
		t.Status, t.ConfirmedAt = Completed, at
		d.TxHash, d.Expired, d.By, d.Reason = e.Outs[0].TxID.String(), false, "chain", ""
	}
	a.Balance, a.BalanceAt = balance, at
	a.History.replace(e.N, t)
	return nil
}

// count marks outputs as part of what was credited.
func count(outputs []Output, outs []Outpoint) error {
	for _, out := range outs {
		i := outputOf(outputs, out)
		if i < 0 || outputs[i].Gone {
			return fmt.Errorf("there is no output %s to credit", out)
		}
		outputs[i].Counted, outputs[i].Reversed = true, false
	}
	return nil
}

func (e *RefundQueued) apply(a *Account, _ Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	i := outputOf(d.Outputs, e.Out)
	if i < 0 || e.BTC <= 0 || e.BTC > d.Outputs[i].BTC-d.Outputs[i].Refunded {
		return fmt.Errorf("payment %d: a refund of %s BTC of output %s", e.N, e.BTC, e.Out)
	}
	d.Outputs[i].Refunded += e.BTC
	a.History.replace(e.N, t)
	return nil
}

func (e *CreditReversed) apply(a *Account, at Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	if e.Amount <= 0 || e.Amount > t.Credited()-d.Frozen {
		return fmt.Errorf("payment %d: %s frozen of %s, and %s more", e.N, d.Frozen, t.Credited(), e.Amount)
	}
	d.Frozen += e.Amount
	a.Frozen += e.Amount
	a.BalanceAt = at
	a.History.replace(e.N, t)
	return nil
}

func (e *FreezeLifted) apply(a *Account, at Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	if e.Amount <= 0 || e.Amount > d.Frozen {
		return fmt.Errorf("payment %d: %s frozen, and %s lifted", e.N, d.Frozen, e.Amount)
	}
	if err := count(d.Outputs, e.Outs); err != nil {
		return err
	}
	if d.Frozen -= e.Amount; d.Frozen == 0 {
		notMissed(d.Outputs)
	}
	a.Frozen -= e.Amount
	a.BalanceAt = at
	a.History.replace(e.N, t)
	return nil
}
