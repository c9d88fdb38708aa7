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

var errUserID = fmt.Errorf("not a user id: want the form %s", uuid.Nil)

// ParseUserID reads the canonical 36-character form of a UUID, in lower case, and
// no other. It does not allocate: every request to a user's path comes by here.
func ParseUserID[T string | []byte](s T) (UserID, error) {
	var id UserID
	if len(s) != 36 {
		return id, errUserID
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return UserID{}, errUserID
			}
			continue
		}
		digit := hexDigit(s[i])
		if digit < 0 {
			return UserID{}, errUserID
		}
		id[n/2] = id[n/2]<<4 | byte(digit)
		n++
	}
	return id, nil
}

// hexDigit returns the value of a lower-case hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// String returns the canonical form of the UUID.
func (id UserID) String() string { return uuid.UUID(id).String() }

// Append writes what String returns.
func (id UserID) Append(dst []byte) []byte {
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// Address is the address of the user's own AITBC wallet.
func (id UserID) Address() string { return string(id.AppendAddress(nil)) }

// AppendAddress writes what Address returns.
func (id UserID) AppendAddress(dst []byte) []byte {
	return hex.AppendEncode(append(dst, "aitbc_"...), id[:])
}

// TransactionID names one transaction for ever: the user, and the place in that
// user's history counted from 1. It needs no index to find and no random number,
// and is no secret: who may read a transaction is checked against the session.
type TransactionID struct {
	User UserID `json:"User"`
	N    uint32 `json:"N"`
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
	// The time package has a fast path for whole seconds alone.
	dst = t.Std().AppendFormat(dst, time.RFC3339)
	micros := int64(t) % 1_000_000
	if micros < 0 {
		micros += 1_000_000
	}
	dst[len(dst)-1] = '.'
	for scale := int64(100_000); scale > 0; scale /= 10 {
		dst = append(dst, byte('0'+micros/scale%10))
	}
	return append(dst, 'Z')
}

// String returns what Append writes.
func (t Time) String() string { return string(t.Append(nil)) }
