package account

import "fmt"

// Type says what a transaction moves and why. The numbers are in the log.
type Type uint8

// The transaction types.
const (
	TypeBuy        Type = 1 // AITBC bought with Bitcoin: a payment
	TypeSell       Type = 2 // AITBC sold for Bitcoin
	TypeDeposit    Type = 3
	TypeWithdrawal Type = 4
	TypeCredit     Type = 5 // by the operator, with a reason
	TypeDebit      Type = 6 // by the operator, with a reason

	numTypes = 7
)

var typeNames = [numTypes]string{"", "buy", "sell", "deposit", "withdrawal", "credit", "debit"}

func (t Type) String() string {
	if t == 0 || t >= numTypes {
		return fmt.Sprintf("type(%d)", uint8(t))
	}
	return typeNames[t]
}

// ParseType reads what String writes.
func ParseType(s string) (Type, bool) {
	for t := Type(1); t < numTypes; t++ {
		if typeNames[t] == s {
			return t, true
		}
	}
	return 0, false
}

// TransactionStatus is where a transaction stands; completed and failed are
// final. The numbers are in the log.
type TransactionStatus uint8

// The transaction statuses.
const (
	Pending   TransactionStatus = 1
	Completed TransactionStatus = 2
	Failed    TransactionStatus = 3

	numStatuses = 4
)

var transactionStatusNames = [numStatuses]string{"", "pending", "completed", "failed"}

func (s TransactionStatus) String() string {
	if s == 0 || s >= numStatuses {
		return fmt.Sprintf("status(%d)", uint8(s))
	}
	return transactionStatusNames[s]
}

// ParseTransactionStatus reads what String writes.
func ParseTransactionStatus(s string) (TransactionStatus, bool) {
	for t := TransactionStatus(1); t < numStatuses; t++ {
		if transactionStatusNames[t] == s {
			return t, true
		}
	}
	return 0, false
}

// Transaction is one line of a user's history.
type Transaction struct {
	CreatedAt   Time              `json:"created_at"`
	ConfirmedAt Time              `json:"confirmed_at"` // when it was completed; zero before, and if it failed
	Amount      Money             `json:"amount"`       // AITBC base units, positive
	Fee         Money             `json:"fee"`          // AITBC base units, on top of Amount
	Detail      *Detail           `json:"detail"`       // immutable; nil where there is nothing more to say
	Type        Type              `json:"type"`
	Status      TransactionStatus `json:"status"`
}

// Detail is what only some transactions have. Once shared it is never written.
type Detail struct {
	To            string `json:"to"`         // withdrawal: AITBC address; sell: BTC address; buy: address to pay to
	Notes         string `json:"notes"`      // the payer's own words
	BTC           Money  `json:"btc"`        // buy: satoshi to pay, fee included; sell: satoshi paid out, fee taken off
	BTCFee        Money  `json:"btc_fee"`    // the exchange's fee in satoshi, a part of BTC (buy) or taken from it (sell)
	ExpiresAt     Time   `json:"expires_at"` // buy: when the quote ends
	TxHash        string `json:"tx_hash"`    // Bitcoin transaction that settled it
	Confirmations uint32 `json:"confirmations"`
	Expired       bool   `json:"expired"` // failed because its time ran out
	By            string `json:"by"`      // who settled or made it: "" the user, "chain", "clock" or an operator's name
	Reason        string `json:"reason"`  // why, in the operator's words

	// Of a withdrawal or sale that two operators look at:
	ApprovedBy string `json:"approved_by"` // the first of them
	Approval   string `json:"approval"`    // why, in their words

	// Of a buy:
	Terms PaymentTerms `json:"terms"` // that it was quoted under; not Kept where it is older than they are

	// Of a buy, from the chain:
	Derived  bool     `json:"derived"`  // To is derived from the exchange's extended public key
	Index    uint32   `json:"index"`    // of the key
	Credited Money    `json:"credited"` // AITBC, in all; 0 where it is Amount or nothing: see Transaction.Credited
	Frozen   Money    `json:"frozen"`   // the part of Credited that the chain took back
	Answered Money    `json:"answered"` // the part of it that an operator answers for by OutputsAnswered, whatever the chain has
	Outputs  []Output `json:"outputs"`  // that paid to To, in the order in which they were found
}

// detail returns t.Detail, or an empty one.
func (t *Transaction) detail() Detail {
	if t.Detail == nil {
		return Detail{}
	}
	return *t.Detail
}

// AsCreated returns t as it was answered when it was made: the first response,
// which a retried request gets again.
func (t Transaction) AsCreated() Transaction {
	switch t.Type {
	case TypeBuy, TypeSell, TypeWithdrawal:
		t.Status, t.ConfirmedAt = Pending, 0
		d := t.detail()
		d.TxHash, d.Confirmations, d.Expired, d.By, d.Reason = "", 0, false, "", ""
		d.Credited, d.Frozen, d.Answered, d.Outputs = 0, 0, 0, nil
		d.ApprovedBy, d.Approval = "", ""
		t.Detail = &d
	}
	return t
}

// Credited is what a buy has brought: less than Amount, or more, where it was not
// paid as quoted.
func (t *Transaction) Credited() Money {
	switch {
	case t.Type != TypeBuy || t.Status != Completed:
		return 0
	case t.Detail != nil && t.Detail.Credited != 0:
		return t.Detail.Credited
	}
	return t.Amount
}

// Description says in a few words what t is, for a person.
func (t Transaction) Description() string {
	d := t.detail()
	switch t.Type {
	case TypeBuy:
		return fmt.Sprintf("Bought with %s BTC", d.BTC)
	case TypeSell:
		return fmt.Sprintf("Sold for %s BTC to %s", d.BTC, d.To)
	case TypeDeposit:
		return "Deposit"
	case TypeWithdrawal:
		return "Withdrawal to " + d.To
	case TypeCredit, TypeDebit:
		return d.Reason
	}
	return ""
}

// debit is what completing t takes from the balance, and what is held for it
// while it is pending. Zero for a type that brings value in.
func (t *Transaction) debit() Money {
	switch t.Type {
	case TypeSell, TypeWithdrawal, TypeDebit:
		return t.Amount + t.Fee
	}
	return 0
}
