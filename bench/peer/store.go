package peer

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// Session is the SHA-256 of a token, the only form in which one is kept.
type Session [32]byte

// SessionLifetime is that of the exchange.
const SessionLifetime = 24 * time.Hour

// ErrSession is returned where a session does not exist or is another user's.
var ErrSession = errors.New("no such session of this user")

// Store does an operation's work. Amounts are base units. What it returns without
// an error is durable. Its methods may be called from any goroutine.
type Store interface {
	// Login finds the wallet's user or makes one, and adds a session.
	Login(ctx context.Context, wallet string, session Session) (id uuid.UUID, created time.Time, err error)
	// Deposit adds amount to the user's balance and an entry to the history, in one
	// transaction, and returns the entry's number and time.
	Deposit(ctx context.Context, session Session, user uuid.UUID, amount int64) (n int64, at time.Time, err error)
	// Balance reads the user's balance and when it last changed.
	Balance(ctx context.Context, session Session, user uuid.UUID) (balance int64, at time.Time, err error)
	// History reads the newest entries, at most limit, and how many there are.
	History(ctx context.Context, session Session, user uuid.UUID, limit int) (entries []Entry, total int64, err error)
}

// Entry is one deposit in a user's history.
type Entry struct {
	N      int64
	Amount int64
	At     time.Time
}
