package actors

import (
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// The states of a payment that are not bitcoin's.
const (
	PaymentConfirmed bitcoin.PaymentState = "confirmed" // bitcoin.PaymentCredited, by the name that clients know
	PaymentFailed    bitcoin.PaymentState = "failed"    // ended by an operator
)

// PaymentView is where a payment stands, as its payer is told.
type PaymentView struct {
	State         bitcoin.PaymentState
	Confirmations uint32 // so far, at most Required
	Required      uint32
	Received      account.Money // satoshi, of all outputs that the chain has
	Missing       account.Money // satoshi to the quote
	Credited      account.Money // AITBC
	Refund        account.Money // satoshi, set aside to be sent back
	TxHash        string        // of the first output, "" before
}

// Payment returns where a buy stands at this moment, by the terms it was quoted under.
func (x *Exchange) Payment(t *account.Transaction) PaymentView {
	d := t.Detail
	a := x.payments.assess(t, x.now())
	v := PaymentView{
		State: a.State, Confirmations: uint32(a.Confirmations), Required: uint32(x.termsOf(t).Confirmations),
		Received: a.Paid, Missing: a.Missing, Credited: t.Credited(), TxHash: d.TxHash,
	}
	for i := range d.Outputs {
		v.Refund += d.Outputs[i].Refunded
		if v.TxHash == "" && !d.Outputs[i].Gone {
			v.TxHash = d.Outputs[i].Out.TxID.String()
		}
	}
	switch {
	case t.Status == account.Failed && !d.Expired:
		v.State = PaymentFailed
	case t.ByHand(), t.Status == account.Completed && d.Answered > 0 && d.Frozen == 0 && v.Credited >= t.Amount:
		v.Missing = 0 // whoever completed it, or answers for it, asks for no more
		v.State = PaymentConfirmed
	case v.Credited == 0 && (v.State == bitcoin.PaymentCredited || v.State == bitcoin.PaymentOverpaid):
		v.State = bitcoin.PaymentConfirming // what is due is not yet durable
	case v.State == bitcoin.PaymentCredited:
		v.State = PaymentConfirmed
	case t.Status == account.Pending && v.State == bitcoin.PaymentExpired:
		v.State = bitcoin.PaymentPending // until the chain is known to hold nothing for it
	case t.Status == account.Completed && (v.State == bitcoin.PaymentExpired || v.State == bitcoin.PaymentPending):
		v.State = bitcoin.PaymentUnderpaid // the chain took it back
	case t.Status == account.Failed && len(d.Outputs) == 0:
		v.State = bitcoin.PaymentExpired
	}
	if v.State == PaymentConfirmed {
		v.Confirmations = min(max(v.Confirmations, d.Confirmations), v.Required)
	}
	return v
}
