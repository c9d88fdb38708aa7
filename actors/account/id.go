package account

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// UserID names a user and the one account they own.
type UserID uuid.UUID

// ParseUserID reads the canonical 36-character form of a UUID and no other.
func ParseUserID(s string) (UserID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id.String() != s {
		return UserID{}, fmt.Errorf("not a user id: want the form %s", uuid.Nil)
	}
	return UserID(id), nil
}

// String returns the canonical form of the UUID.
func (id UserID) String() string { return uuid.UUID(id).String() }

// Address is the address of the user's own AITBC wallet.
func (id UserID) Address() string { return "aitbc_" + hex.EncodeToString(id[:]) }

// TransactionID names one transaction for ever: the user, and the place in that
// user's history counted from 1. It needs no index to find and no random number,
// and is no secret: who may read a transaction is checked against the session.
type TransactionID struct {
	User UserID
	N    uint32
}

// String returns 32 hexadecimal digits, a hyphen, and N in decimal.
func (id TransactionID) String() string { return string(id.Append(nil)) }

// Append writes what String returns.
func (id TransactionID) Append(dst []byte) []byte {
	dst = hex.AppendEncode(dst, id.User[:])
	dst = append(dst, '-')
	return strconv.AppendUint(dst, uint64(id.N), 10)
}

// ParseTransactionID reads what String writes, and no other form.
func ParseTransactionID(s string) (TransactionID, error) {
	var id TransactionID
	bad := fmt.Errorf("not a transaction id: want 32 hexadecimal digits, a hyphen and a number")
	if len(s) < 34 || len(s) > 43 || s[32] != '-' || s[33] == '0' || s[33] == '+' {
		return id, bad
	}
	if _, err := hex.Decode(id.User[:], []byte(s[:32])); err != nil {
		return TransactionID{}, bad
	}
	n, err := strconv.ParseUint(s[33:], 10, 32)
	if err != nil {
		return TransactionID{}, bad
	}
	id.N = uint32(n)
	if id.String() != s { // one spelling an id: no upper-case digits
		return TransactionID{}, bad
	}
	return id, nil
}

// Time is an instant in microseconds since the Unix epoch, UTC. Zero means none.
type Time int64

// TimeOf converts a time.Time, dropping what is finer than a microsecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Std converts to a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d/time.Microsecond) }

// Append writes t in RFC 3339 with microseconds, UTC.
func (t Time) Append(dst []byte) []byte {
	return t.Std().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

// String returns what Append writes.
func (t Time) String() string { return string(t.Append(nil)) }
