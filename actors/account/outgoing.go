package account

import (
	"fmt"
	"slices"
)

// Outgoing is what of an account is on its way out, or has gone, on the chain: the
// sales that are in a payout, and the refunds that were paid. It is immutable once
// shared, and nil for most accounts.
type Outgoing struct {
	Claims  []Claim  // by sale
	Refunds []Refund // oldest first
}

// Claim says that a sale is in a payout.
type Claim struct {
	N      uint32 // of the sale
	Payout uint32
}

// Refund is an entry of the refund queue that was paid.
type Refund struct {
	N      uint32 // of the payment
	Out    Outpoint
	BTC    Money // satoshi
	At     Time
	TxHash string // the Bitcoin transaction that paid it, "" where it was settled otherwise
	By     string
	Reason string
}

// MaxRefunds is how many refunds of one account may be settled.
const MaxRefunds = 10_000

// ClaimSale puts a pending sale into a payout that By exports. One of more than
// FourEyesAbove takes the approval of another operator; 0: none does.
type ClaimSale struct {
	N, Payout     uint32
	FourEyesAbove Money
	By            string
	Chain         bool // a transaction that is in a block pays it: nothing stands against that
}

// FreeSale takes it out again, if it is in this one.
type FreeSale struct{ N, Payout uint32 }

// PaySale completes a sale that a confirmed payout has paid, in whichever it is now.
type PaySale struct {
	N, Payout     uint32
	TxHash        string
	Confirmations uint32
}

// SettleRefund says that what is due of an output has been sent back.
type SettleRefund struct {
	N      uint32
	Out    Outpoint
	TxHash string
	By     string
	Reason string
}

// ClaimOf returns the payout that sale n is in, 0 if it is in none.
func (s *State) ClaimOf(n uint32) uint32 {
	if s.Outgoing != nil {
		for _, c := range s.Outgoing.Claims {
			if c.N == n {
				return c.Payout
			}
		}
	}
	return 0
}

// RefundDue returns what of o, of payment n, is still to be sent back.
func (s *State) RefundDue(n uint32, o *Output) Money {
	due := o.Refunded
	if s.Outgoing != nil {
		for i := range s.Outgoing.Refunds {
			if r := &s.Outgoing.Refunds[i]; r.N == n && r.Out == o.Out {
				due -= r.BTC
			}
		}
	}
	return due
}

// unclaimed refuses what would end a sale that is in a payout.
func (a *Account) unclaimed(n uint32) *Error {
	if payout := a.ClaimOf(n); payout != 0 {
		return refuse(CodeInPayout, "this sale is in payout %d, which ends it; cancel the payout first", payout)
	}
	return nil
}

func (c *ClaimSale) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.open(c.N, TypeSell)
	if err != nil {
		return nil, 0, err
	}
	if a.Status == Suspended && !c.Chain {
		return nil, 0, refuse(CodeSuspended, "this account is suspended")
	}
	if a.ClaimOf(c.N) == c.Payout {
		return nil, c.N, nil
	}
	if err := a.unclaimed(c.N); err != nil {
		return nil, 0, err
	}
	if err := t.FourEyes(c.FourEyesAbove, c.By); err != nil {
		return nil, 0, err
	}
	return []Event{&SaleClaimed{N: c.N, Payout: c.Payout}}, c.N, nil
}

func (c *FreeSale) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if c.Payout == 0 || a.ClaimOf(c.N) != c.Payout {
		return nil, 0, nil
	}
	return []Event{&SaleFreed{N: c.N}}, c.N, nil
}

func (c *PaySale) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.open(c.N, TypeSell)
	if err != nil {
		return nil, 0, err
	}
	events := []Event{&TxCompleted{
		N: c.N, Type: t.Type, Amount: t.Amount, Fee: t.Fee,
		TxHash: c.TxHash, Confirmations: c.Confirmations, By: "chain", Reason: fmt.Sprintf("payout %d", c.Payout),
	}}
	if a.ClaimOf(c.N) != 0 {
		events = append(events, &SaleFreed{N: c.N})
	}
	return events, c.N, nil
}

func (c *SettleRefund) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.payment(c.N)
	if err != nil {
		return nil, 0, err
	}
	outputs := t.detail().Outputs
	i := outputOf(outputs, c.Out)
	if i < 0 || outputs[i].Refunded == 0 {
		return nil, 0, refuse(CodeNotFound, "there is no refund of output %s of this payment", c.Out)
	}
	due := a.RefundDue(c.N, &outputs[i])
	if due == 0 {
		return nil, 0, refuse(CodeNoChange, "this refund is settled already")
	}
	if a.Outgoing != nil && len(a.Outgoing.Refunds) >= MaxRefunds {
		return nil, 0, refuse(CodeHistoryFull, "this account has reached the limit of %d settled refunds", MaxRefunds)
	}
	return []Event{&RefundSettled{N: c.N, Out: c.Out, BTC: due, TxHash: c.TxHash, By: c.By, Reason: c.Reason}}, c.N, nil
}

// outgoing returns a copy that may be changed.
func (a *Account) outgoingCopy() *Outgoing {
	if a.Outgoing == nil {
		return &Outgoing{}
	}
	return &Outgoing{Claims: slices.Clone(a.Outgoing.Claims), Refunds: slices.Clip(a.Outgoing.Refunds)}
}

func (a *Account) setOutgoing(o *Outgoing) {
	if len(o.Claims) == 0 {
		o.Claims = nil
	}
	if a.Outgoing = o; o.Claims == nil && len(o.Refunds) == 0 {
		a.Outgoing = nil
	}
}

func (e *SaleClaimed) apply(a *Account, _ Time) error {
	t, err := a.pending(e.N)
	if err != nil {
		return err
	}
	if other := a.ClaimOf(e.N); t.Type != TypeSell || e.Payout == 0 || other != 0 {
		return fmt.Errorf("%s %d of payout %d is claimed by payout %d", t.Type, e.N, other, e.Payout)
	}
	o := a.outgoingCopy()
	i, _ := slices.BinarySearchFunc(o.Claims, e.N, func(c Claim, n uint32) int { return int(int64(c.N) - int64(n)) })
	o.Claims = slices.Insert(o.Claims, i, Claim{N: e.N, Payout: e.Payout})
	a.setOutgoing(o)
	return nil
}

func (e *SaleFreed) apply(a *Account, _ Time) error {
	if a.ClaimOf(e.N) == 0 {
		return fmt.Errorf("sale %d is in no payout", e.N)
	}
	o := a.outgoingCopy()
	o.Claims = slices.DeleteFunc(o.Claims, func(c Claim) bool { return c.N == e.N })
	a.setOutgoing(o)
	return nil
}

func (e *RefundSettled) apply(a *Account, at Time) error {
	t, ok := a.History.At(e.N)
	if !ok || t.Type != TypeBuy {
		return fmt.Errorf("no payment %d", e.N)
	}
	outputs := t.detail().Outputs
	i := outputOf(outputs, e.Out)
	if i < 0 || e.BTC <= 0 || e.BTC > a.RefundDue(e.N, &outputs[i]) {
		return fmt.Errorf("payment %d: %s BTC of output %s sent back", e.N, e.BTC, e.Out)
	}
	o := a.outgoingCopy()
	if len(o.Refunds) >= MaxRefunds {
		return fmt.Errorf("%d refunds are the most there can be", MaxRefunds)
	}
	o.Refunds = append(o.Refunds, Refund{N: e.N, Out: e.Out, BTC: e.BTC, At: at, TxHash: e.TxHash, By: e.By, Reason: e.Reason})
	a.setOutgoing(o)
	return nil
}
