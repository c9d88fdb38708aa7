package account

import "fmt"

// Code is the machine-readable name of a domain error. httpapi alone turns codes
// into HTTP statuses; clients match on them, so they never change.
type Code string

// The domain errors.
const (
	CodeInsufficientFunds Code = "insufficient_funds"     // available balance is less than what the command takes
	CodeBalanceLimit      Code = "balance_limit"          // the balance would leave the range of Money
	CodeSuspended         Code = "account_suspended"      // the operator suspended the user
	CodeInactive          Code = "account_inactive"       // the operator closed the account
	CodeNotFound          Code = "not_found"              // no such account or transaction
	CodeNotPending        Code = "not_pending"            // the transaction has reached its final status
	CodeKeyReused         Code = "idempotency_key_reused" // the key was used for another request
	CodeTooManyKeys       Code = "too_many_idempotency_keys"
	CodeTooManyPayments   Code = "too_many_open_payments"
	CodeHistoryFull       Code = "history_full"
	CodeTaken             Code = "taken"           // a username or e-mail address belongs to somebody else
	CodeNoChange          Code = "no_change"       // the account is in the wanted state already
	CodeUnauthenticated   Code = "unauthenticated" // no live session of this account

	CodeFactorRequired    Code = "second_factor_required"           // the session is not elevated
	CodeEnrolmentRequired Code = "second_factor_enrolment_required" // the user has no factor to elevate it by
	CodeFactorRefused     Code = "second_factor_refused"            // what was shown does not hold
	CodeTooManyPasskeys   Code = "too_many_passkeys"
)

// Error is a command refused by the account's rules: nothing was changed.
type Error struct {
	Code    Code
	Field   string      // the request's field at fault, "" when none is
	Message string      // one sentence for the caller, with the values that matter
	Factors FactorKinds // with CodeFactorRequired, those that the user has
	RetryAt Time        // when the same command is accepted if nothing else changes; 0: unknown
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
