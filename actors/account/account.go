package account

import (
	"crypto/subtle"
	"errors"
	"time"
)

// Limits of one account.
const (
	MaxSessions     = 32      // open sessions; the oldest goes
	MaxOpenPayments = 100     // buys waiting for Bitcoin
	MaxKeys         = 100_000 // idempotency keys remembered at once
	MaxHistory      = 1<<32 - 1

	// KeyLifetime is how long an idempotency key is remembered.
	KeyLifetime = 24 * time.Hour
)

// Session is one open login. The token itself is known to its client alone.
type Session struct {
	Hash      Hash
	CreatedAt Time
	ExpiresAt Time
	UsedAt    Time // as it was last written down, which is not at each use
}

// End is when the session ends if it is not used again. idle is how long it may go
// unused, 0 for as long as it lasts.
func (s *Session) End(idle Time) Time {
	if idle > 0 {
		return min(s.ExpiresAt, s.UsedAt+idle)
	}
	return s.ExpiresAt
}

// State is what there is to know of an account: an immutable value once it is
// shared. A copy costs O(1) whatever the length of the history.
type State struct {
	ID        UserID
	Seq       uint64 // records applied; zero means that the account does not exist
	Wallet    string
	Email     string
	Username  string
	Status    Status
	CreatedAt Time
	LastLogin Time
	UpdatedAt Time // of the last record; never goes back
	BalanceAt Time // of the last change of Balance or Held

	Balance Money // what the user owns, held or not
	Held    Money // the part of Balance that pending sales and withdrawals have claimed
	Frozen  Money // what was credited for payments that the chain took back

	Sessions []Session // oldest first; replaced, never written
	History  History
	Counts   Counts

	Trail    *Trail    // of the system account: the place in the chain; nil for all others
	Identity *Identity // of the system account: what the data directory is tied to; nil for all others
	Outbox   *Outbox   // notices; nil where there never was one
	Contact  *Contact  // nil where no address was ever to be verified
	Payouts  *Payouts  // of the system account: all there were; nil for all others
	Outgoing *Outgoing // sales in payouts, and refunds that were paid; nil for most

	Restores uint32    // of the log, as far as the account has taken them over
	Restored *Restored // of the system account: what restored backups left behind; nil for all others

	// Of the system account: known transactions of payouts, but for those that were exported; nil for all others.
	PayoutTxs *PayoutTxs

	Factors     *Factors     // nil for who has none; replaced, never written
	AddressBook *AddressBook // nil where there never was one; replaced, never written

	keys []keyUse // idempotency keys, oldest first; replaced or appended to
}

// Counts is the number of transactions by type and status.
type Counts [numTypes][numStatuses]uint32

// Of returns how many transactions have the type and status; zero stands for any.
func (c *Counts) Of(t Type, s TransactionStatus) uint32 {
	var n uint32
	for ti := range c {
		for si := range c[ti] {
			if (t == 0 || int(t) == ti) && (s == 0 || int(s) == si) {
				n += c[ti][si]
			}
		}
	}
	return n
}

// Available is what nothing pending has claimed: Balance less Held.
func (s *State) Available() Money { return s.Balance - s.Held }

// Spendable is what the user may take out: what is available, less Frozen.
func (s *State) Spendable() Money { return max(0, s.Available()-s.Frozen) }

// HasSession reports whether hash names a session that is live at now, and when it
// was used as far as is written down. Its time does not depend on which session, if
// any, it is. idle is as for Session.End.
func (s *State) HasSession(hash *Hash, now, idle Time) (used Time, live bool) {
	found := 0
	for i := range s.Sessions {
		session := &s.Sessions[i]
		same := subtle.ConstantTimeCompare(session.Hash[:], hash[:])
		used |= session.UsedAt & -Time(same)
		if now < session.End(idle) {
			found |= same
		}
	}
	return used, found == 1
}

// Account is a State and what only its owner may touch. One goroutine owns it.
type Account struct {
	State
	ring     keyring
	spending *spending // nil until a daily limit is asked for
}

// New returns the empty account of id: it exists after its first event.
func New(id UserID) *Account { return &Account{State: State{ID: id}} }

// Resume returns an account that goes on from s, which stays as it is. An account
// may go on from one state once: two would write to what they share.
func Resume(s *State) *Account { return &Account{State: *s} }

// Exists reports whether the account has been created.
func (s *State) Exists() bool { return s.Seq != 0 }

// ErrApply is what every error of Apply wraps: a record that does not follow from
// the account it is applied to. For a live account that is a broken invariant.
var ErrApply = errors.New("record does not fit the account")
