package account

// Hash is a SHA-256 digest: of a session's secret, never the secret itself.
type Hash [32]byte

// Key is the first half of the SHA-256 of an Idempotency-Key and of who used it.
type Key [16]byte

// Fingerprint is the first half of the SHA-256 of the request that used a Key.
type Fingerprint [16]byte

// Status says what a user may do. The numbers are in the log.
type Status uint8

// The user statuses. Only an active user changes anything.
const (
	Active    Status = 1
	Inactive  Status = 2 // closed by the operator, for no fault
	Suspended Status = 3 // stopped by the operator

	numUserStatuses = 4
)

var statusNames = [numUserStatuses]string{"", "active", "inactive", "suspended"}

func (s Status) String() string {
	if s == 0 || s >= numUserStatuses {
		return "unknown"
	}
	return statusNames[s]
}

// ParseStatus reads what String writes.
func ParseStatus(s string) (Status, bool) {
	for status := Active; status < numUserStatuses; status++ {
		if statusNames[status] == s {
			return status, true
		}
	}
	return 0, false
}

// Event is something that happened to one account. Everything that Apply needs
// is in it. The set is closed: the types of this package, as pointers. What a tool
// prints of one is named by its kind and by its fields' json tags, never by Go names.
type Event interface {
	// kind is the event's number in the log; a number is never used again. kinds.go
	// has the table of them.
	kind() kind
	// append and read are the event's binary form, see codec.go.
	append(dst []byte) []byte
	read(r *reader)
	// apply changes a; at is the time of the event's record.
	apply(a *Account, at Time) error
}

type kind uint8

const (
	kindCreated             kind = 1
	kindLoggedIn            kind = 2
	kindLoggedOut           kind = 3
	kindProfileChanged      kind = 4
	kindStatusChanged       kind = 5
	kindDeposited           kind = 6
	kindWithdrawalRequested kind = 7
	kindSaleRequested       kind = 8
	kindPaymentCreated      kind = 9
	kindTxCompleted         kind = 10
	kindTxFailed            kind = 11
	kindCredited            kind = 12
	kindDebited             kind = 13
	kindKeyUsed             kind = 14
	kindOtherSessionsEnded  kind = 15
	kindSessionUsed         kind = 16

	// 17 to 28 are what a user has beside the wallet.
	kindTOTPEnrolled     kind = 17
	kindTOTPUsed         kind = 18
	kindTOTPRemoved      kind = 19
	kindPasskeyAdded     kind = 20
	kindPasskeyUsed      kind = 21
	kindPasskeyRemoved   kind = 22
	kindRecoveryCodesSet kind = 23
	kindRecoveryCodeUsed kind = 24
	kindSessionRotated   kind = 25
	kindFactorsReset     kind = 26

	// What a restored backup brings with it.
	kindAccountRestored         kind = 27
	kindLogRestored             kind = 28
	kindIndexesSkipped          kind = 72
	kindUnassignedOutputMoved   kind = 73
	kindUnassignedOutputSettled kind = 74

	// 30 to 35 are what keeps value from leaving too easily.
	kindAddressAdded       kind = 30
	kindAddressRemoved     kind = 31
	kindWithdrawalApproved kind = 32

	// 36 to 45 are what others are told, and where users are written to.
	kindNoticeQueued      kind = 36
	kindNoticeSettled     kind = 37
	kindNoticeReplayed    kind = 38
	kindNoticeLost        kind = 39
	kindEmailCodeSent     kind = 40
	kindEmailCodeMissed   kind = 41
	kindEmailVerified     kind = 42
	kindRecoveryRequested kind = 43
	kindRecoveryReminded  kind = 44
	kindRecoveryCancelled kind = 45

	// What is paid out.
	kindPayoutExported  kind = 46
	kindPayoutSigned    kind = 47
	kindPayoutMined     kind = 48
	kindPayoutUnmined   kind = 49
	kindPayoutConfirmed kind = 50
	kindPayoutCancelled kind = 51
	kindSaleClaimed     kind = 52
	kindSaleFreed       kind = 53
	kindRefundSettled   kind = 65

	// Which transactions pay it.
	kindPayoutTxSeen      kind = 54
	kindPayoutReplaced    kind = 55
	kindPayoutTxMined     kind = 66
	kindPayoutTxUnmined   kind = 67
	kindPayoutTxConfirmed kind = 68
	kindPayoutUnspent     kind = 69

	// 56 to 64 are what the chain shows of payments.
	kindPaymentAddressed kind = 56
	kindOutputSeen       kind = 57
	kindOutputConfirmed  kind = 58
	kindOutputRemoved    kind = 59
	kindPaymentCredited  kind = 60
	kindRefundQueued     kind = 61
	kindCreditReversed   kind = 62
	kindFreezeLifted     kind = 63
	kindChainAdvanced    kind = 64

	// 29, 75 and 76 are what a data directory is tied to; see codec_identity.go.

	// What of payments is settled, and under which terms.
	kindCreditBacked    kind = 33
	kindTermsAgreed     kind = 70
	kindOutputsAnswered kind = 71

	numKinds = 80
)

// Created opens the account. It is the first event of its user, and only that.
type Created struct {
	Wallet   string `json:"wallet"` // as the user gave it, in its canonical form
	Email    string `json:"email"`
	Username string `json:"username"`
}

// LoggedIn opens a session, after dropping those that have expired and, at the
// limit, the oldest.
type LoggedIn struct {
	Session   Hash `json:"session"`
	ExpiresAt Time `json:"expires_at"`
}

// LoggedOut ends a session.
type LoggedOut struct {
	Session Hash `json:"session"`
}

// OtherSessionsEnded ends every session but Session.
type OtherSessionsEnded struct {
	Session Hash `json:"session"`
}

// SessionUsed says that a session was in use at the record's time. It is written now
// and then, not at each use.
type SessionUsed struct {
	Session Hash `json:"session"`
}

// ProfileChanged gives the account's e-mail address and username from now on.
type ProfileChanged struct {
	Email    string `json:"email"`
	Username string `json:"username"`
}

// StatusChanged is the operator's doing.
type StatusChanged struct {
	Status Status `json:"status"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// Deposited adds a completed deposit.
type Deposited struct {
	Amount Money  `json:"amount"`
	By     string `json:"by"` // "" the demo faucet, otherwise the operator's name
}

// WithdrawalRequested adds a pending withdrawal and holds Amount + Fee.
type WithdrawalRequested struct {
	Amount Money  `json:"amount"`
	Fee    Money  `json:"fee"`
	To     string `json:"to"`
}

// SaleRequested adds a pending sale and holds Amount.
type SaleRequested struct {
	Amount  Money  `json:"amount"`
	BTC     Money  `json:"btc"`     // satoshi to pay out
	BTCFee  Money  `json:"btc_fee"` // satoshi kept by the exchange
	Address string `json:"address"`
}

// PaymentCreated adds a pending buy: a quote for Amount until ExpiresAt.
type PaymentCreated struct {
	Amount    Money  `json:"amount"`
	BTC       Money  `json:"btc"` // satoshi to pay, BTCFee included
	BTCFee    Money  `json:"btc_fee"`
	Address   string `json:"address"` // where to pay
	ExpiresAt Time   `json:"expires_at"`
	Notes     string `json:"notes"`
}

// TxCompleted completes a pending transaction: a buy is credited, what was held
// for a sale or withdrawal leaves the account. Type, Amount and Fee repeat the
// transaction's, so that value can be counted from the events alone; Apply
// refuses an event that contradicts it.
type TxCompleted struct {
	N             uint32 `json:"n"`
	Type          Type   `json:"type"`
	Amount        Money  `json:"amount"`
	Fee           Money  `json:"fee"`
	TxHash        string `json:"tx_hash"`
	Confirmations uint32 `json:"confirmations"`
	By            string `json:"by"`
	Reason        string `json:"reason"`
}

// TxFailed fails a pending transaction and releases what was held for it.
type TxFailed struct {
	N       uint32 `json:"n"`
	Expired bool   `json:"expired"`
	By      string `json:"by"`
	Reason  string `json:"reason"`
}

// Credited adds a completed credit by the operator.
type Credited struct {
	Amount Money  `json:"amount"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// Debited adds a completed debit by the operator.
type Debited struct {
	Amount Money  `json:"amount"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// KeyUsed remembers that the record it is in answered an idempotent request,
// with transaction N.
type KeyUsed struct {
	Key         Key         `json:"key"`
	Fingerprint Fingerprint `json:"fingerprint"`
	N           uint32      `json:"n"`
}

func (*Created) kind() kind             { return kindCreated }
func (*LoggedIn) kind() kind            { return kindLoggedIn }
func (*LoggedOut) kind() kind           { return kindLoggedOut }
func (*ProfileChanged) kind() kind      { return kindProfileChanged }
func (*StatusChanged) kind() kind       { return kindStatusChanged }
func (*Deposited) kind() kind           { return kindDeposited }
func (*WithdrawalRequested) kind() kind { return kindWithdrawalRequested }
func (*SaleRequested) kind() kind       { return kindSaleRequested }
func (*PaymentCreated) kind() kind      { return kindPaymentCreated }
func (*TxCompleted) kind() kind         { return kindTxCompleted }
func (*TxFailed) kind() kind            { return kindTxFailed }
func (*Credited) kind() kind            { return kindCredited }
func (*Debited) kind() kind             { return kindDebited }
func (*KeyUsed) kind() kind             { return kindKeyUsed }
func (*OtherSessionsEnded) kind() kind  { return kindOtherSessionsEnded }
func (*SessionUsed) kind() kind         { return kindSessionUsed }
