package actors

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// noticeBody is what the operator's systems are told of an act: its JSON is fixed when
// the act is decided. Members may be added, never changed.
type noticeBody struct {
	ID     string `json:"id"` // the same in every attempt
	Event  string `json:"event"`
	At     string `json:"at"`
	UserID string `json:"user_id"`

	Status string `json:"status,omitzero"` // of a user
	By     string `json:"by,omitzero"`
	Reason string `json:"reason,omitzero"`

	Transaction *noticeTransaction `json:"transaction,omitzero"`
}

// noticeTransaction is a transaction as it is after the act. Amounts are exact
// decimals, AITBC unless their name says BTC.
type noticeTransaction struct {
	ID     string         `json:"id"`
	Type   string         `json:"type"`
	Status string         `json:"status"`
	Amount jsontext.Value `json:"amount"`
	Fee    jsontext.Value `json:"fee,omitzero"`
	BTC    jsontext.Value `json:"btc_amount,omitzero"`
	BTCFee jsontext.Value `json:"btc_fee,omitzero"`
	To     string         `json:"to_address,omitzero"`
	TxHash string         `json:"tx_hash,omitzero"`

	// Of a payment: where it stands, and what it has received and brought so far.
	Payment  string         `json:"payment_status,omitzero"`
	Received jsontext.Value `json:"btc_received,omitzero"`
	Credited jsontext.Value `json:"credited,omitzero"`
	Frozen   jsontext.Value `json:"frozen,omitzero"`

	// The part of the payment that the act is about.
	Output      string         `json:"output,omitzero"` // TXID:INDEX
	OutputBTC   jsontext.Value `json:"output_btc,omitzero"`
	Height      int32          `json:"height,omitzero"`
	RefundBTC   jsontext.Value `json:"refund_btc,omitzero"`
	RefundTx    string         `json:"refund_tx_hash,omitzero"` // that sent it back
	CreditedNow jsontext.Value `json:"credited_now,omitzero"`
	FrozenNow   jsontext.Value `json:"frozen_now,omitzero"`
	FreedNow    jsontext.Value `json:"freed_now,omitzero"`
}

func amount(m account.Money) jsontext.Value { return m.Append(nil) }

// amountOrNone leaves out what is zero.
func amountOrNone(m account.Money) jsontext.Value {
	if m == 0 {
		return nil
	}
	return amount(m)
}

// isTold reports whether the operator's systems are told of e.
func isTold(e account.Event) bool {
	switch e.(type) {
	case *account.StatusChanged, *account.WithdrawalApproved, *account.WithdrawalRequested, *account.SaleRequested, *account.TxCompleted, *account.TxFailed,
		*account.OutputSeen, *account.OutputConfirmed, *account.OutputRemoved, *account.PaymentCredited,
		*account.RefundQueued, *account.RefundSettled, *account.CreditReversed, *account.FreezeLifted:
		return true
	}
	return false
}

// noticeOf says what e, of which they are told, is to the operator's systems. state is
// the account's after e.
func (x *Exchange) noticeOf(e account.Event, state *account.State) (b noticeBody) {
	switch e := e.(type) {
	case *account.StatusChanged:
		return noticeBody{Event: "user.status_changed", Status: e.Status.String(), By: e.By, Reason: e.Reason}
	case *account.WithdrawalRequested, *account.SaleRequested:
		return x.noticeOfTransaction("requested", state.History.Last(), state)
	case *account.WithdrawalApproved: // or a sale
		b = x.noticeOfTransaction("approved", e.N, state)
		b.By, b.Reason = e.By, e.Reason
	case *account.TxCompleted:
		b = x.noticeOfTransaction("completed", e.N, state)
		b.By, b.Reason = e.By, e.Reason
	case *account.TxFailed:
		b = x.noticeOfTransaction("failed", e.N, state)
		b.By, b.Reason = e.By, e.Reason
		if e.Expired {
			b.Event = "payment.expired"
		}
	case *account.OutputSeen:
		b = x.noticeOfTransaction("seen", e.N, state)
		b.Transaction.Output, b.Transaction.OutputBTC = e.Out.String(), amount(e.BTC)
	case *account.OutputConfirmed:
		b = x.noticeOfTransaction("confirming", e.N, state)
		b.Transaction.Output, b.Transaction.OutputBTC, b.Transaction.Height = e.Out.String(), amount(e.BTC), e.Height
		if b.Transaction.Payment == string(bitcoin.PaymentSeen) { // the block is not yet counted as the chain's last
			b.Transaction.Payment = string(bitcoin.PaymentConfirming)
		}
	case *account.OutputRemoved:
		b = x.noticeOfTransaction("output_removed", e.N, state)
		b.Transaction.Output, b.Transaction.Height = e.Out.String(), e.Height
	case *account.PaymentCredited:
		b = x.noticeOfTransaction("credited", e.N, state)
		b.Transaction.CreditedNow = amount(e.Amount)
	case *account.RefundQueued:
		b = x.noticeOfTransaction("refund_queued", e.N, state)
		b.Transaction.Output, b.Transaction.RefundBTC = e.Out.String(), amount(e.BTC)
	case *account.RefundSettled:
		b = x.noticeOfTransaction("refund_settled", e.N, state)
		b.Transaction.Output, b.Transaction.RefundBTC, b.Transaction.RefundTx = e.Out.String(), amount(e.BTC), e.TxHash
		b.By, b.Reason = e.By, e.Reason
	case *account.CreditReversed:
		b = x.noticeOfTransaction("credit_reversed", e.N, state)
		b.Transaction.Output, b.Transaction.FrozenNow = e.Out.String(), amount(e.Amount)
	case *account.FreezeLifted:
		b = x.noticeOfTransaction("freeze_lifted", e.N, state)
		b.Transaction.FreedNow, b.By, b.Reason = amount(e.Amount), e.By, e.Reason
	default:
		panic(fmt.Sprintf("actors: there is nothing to tell of a %T", e))
	}
	return b
}

// nouns are what transactions are called in the names of acts.
var nouns = map[account.Type]string{account.TypeBuy: "payment", account.TypeSell: "sale", account.TypeWithdrawal: "withdrawal"}

// noticeOfTransaction says how transaction n, a buy, sale or withdrawal, stands after
// an act. A payment that an operator completed is credited, whoever did it.
func (x *Exchange) noticeOfTransaction(act string, n uint32, state *account.State) noticeBody {
	t, _ := state.History.At(n)
	if t.Type == account.TypeBuy && act == "completed" {
		act = "credited"
	}
	d := t.Detail
	about := &noticeTransaction{
		ID: account.TransactionID{User: state.ID, N: n}.String(), Type: t.Type.String(), Status: t.Status.String(), Amount: amount(t.Amount),
		Fee: amountOrNone(t.Fee), BTC: amountOrNone(d.BTC), BTCFee: amountOrNone(d.BTCFee), To: d.To, TxHash: d.TxHash,
	}
	if t.Type == account.TypeBuy {
		v := x.Payment(&t)
		about.Payment, about.TxHash = string(v.State), v.TxHash
		about.Received, about.Credited, about.Frozen = amount(v.Received), amount(v.Credited), amountOrNone(d.Frozen)
	}
	return noticeBody{Event: nouns[t.Type] + "." + act, Transaction: about}
}

// text is the body of notice n of a user, of an act at a time.
func (b noticeBody) text(user account.UserID, n uint32, at account.Time) string {
	b.ID, b.At, b.UserID = account.NoticeID{User: user, N: n}.String(), at.String(), user.String()
	text, err := json.Marshal(&b)
	if err != nil {
		panic(err) // strings that came in as UTF-8, and numbers
	}
	return string(text)
}
