package account

import "time"

// Command asks an account to change. The set is closed: the types of this package.
// Text in a command has been checked by whoever made it (length, characters);
// what depends on the account is checked by Decide.
type Command interface {
	// decide returns the events of the command, and the number of the transaction
	// it is about (0 if none), or the rule that refuses it.
	decide(a *Account, at Time) (events []Event, n uint32, err *Error)
	// name is that of the command in a log, see commandnames.go.
	name() string
}

// Idempotency names a request that may be sent again.
type Idempotency struct {
	Key         Key
	Fingerprint Fingerprint
}

// Login opens a session, and the account if there is none. The wallet, and the
// e-mail address and username to begin with, are the caller's to keep unique.
type Login struct {
	Wallet    string
	Email     string
	Username  string
	Session   Hash
	ExpiresAt Time
	Client    string // the address that it came from, for the notice of it; "" where it is not known
	Restores  uint32 // of the log so far; as the names, used when the account is made
}

// Logout ends the session.
type Logout struct {
	Session Hash
}

// EndOtherSessions ends every session but Session.
type EndOtherSessions struct {
	Session Hash
}

// UseSession writes down that the session is in use, unless that was done less than
// Every ago.
type UseSession struct {
	Session Hash
	Every   Time
}

// ChangeProfile sets what is not empty.
type ChangeProfile struct {
	Guard    Guard // of another e-mail address
	Email    string
	Username string
}

// SetStatus is for the operator.
type SetStatus struct {
	Status Status
	By     string
	Reason string
}

// Deposit adds AITBC: the demo faucet, or the operator.
type Deposit struct {
	Amount Money
	By     string
}

// Withdraw holds Amount + Fee until the operator completes or fails it.
type Withdraw struct {
	Guard Guard
	Safeguards
	Amount Money
	Fee    Money
	To     string
}

// Sell holds Amount until the operator has paid the Bitcoin, or fails it.
type Sell struct {
	Guard Guard
	Safeguards
	Amount  Money
	BTC     Money // satoshi to pay out
	BTCFee  Money
	Address string
}

// CreatePayment quotes BTC for Amount until Lifetime is over.
type CreatePayment struct {
	Amount   Money
	BTC      Money // satoshi to pay, fee included
	BTCFee   Money
	Address  string
	Derived  bool   // Address is the one at Index of the exchange's extended public key
	Index    uint32 // never that of another payment
	Lifetime time.Duration
	Notes    string
	Terms    PaymentTerms // what becomes of what is not paid as quoted; not Kept: not kept
}

// Complete ends a pending transaction well: the chain for a payment, or the
// operator. Of is the type it must have, zero for any. A withdrawal or sale of more
// than FourEyesAbove takes the approval of another operator; 0: none does.
type Complete struct {
	N             uint32
	FourEyesAbove Money
	Of            Type
	TxHash        string
	Confirmations uint32
	By            string
	Reason        string
}

// Fail ends a pending transaction without moving value. Of is the type it must
// have, zero for any.
type Fail struct {
	N      uint32
	Of     Type
	By     string
	Reason string
}

// ExpirePayment fails a payment whose time is over.
type ExpirePayment struct {
	N uint32
}

// Credit adds AITBC by the operator.
type Credit struct {
	Amount Money
	By     string
	Reason string
}

// Debit takes AITBC by the operator, never what is held.
type Debit struct {
	Amount Money
	By     string
	Reason string
}

// Refused asks for nothing: whoever made it knows already that Err is the answer,
// unless the request was accepted before. What a request was refused for, such as
// a price, may have changed since then.
type Refused struct {
	Err *Error
}
