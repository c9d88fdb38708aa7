package secondfactor

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"
)

// Recovery codes.
const (
	RecoveryCodes    = 10 // in a set
	recoveryBytes    = 10 // 80 random bits a code
	recoverySalt     = 16
	recoveryLength   = recoveryBytes * 8 / 5
	recoveryAlphabet = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's: no i, l, o, u
)

// RecoveryHash is what is stored of a recovery code. A password's hash has to be slow
// because people choose passwords; a code is 80 random bits, and SHA-256 of it takes
// 2^80 guesses, which no machine has made. The salt is each code's own, so that one
// guess can't be tried against everybody's at once.
type RecoveryHash struct {
	Salt [recoverySalt]byte
	Hash [sha256.Size]byte
}

// NewRecoveryCodes draws a set of codes, which are shown once, and what is stored.
func NewRecoveryCodes(random io.Reader) (codes []string, hashes []RecoveryHash, err error) {
	for range RecoveryCodes {
		var b [recoveryBytes + recoverySalt]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return nil, nil, fmt.Errorf("random number for a recovery code: %w", err)
		}
		code := spellCode(b[:recoveryBytes])
		h := RecoveryHash{Salt: [recoverySalt]byte(b[recoveryBytes:])}
		h.Hash = hashCode(&h.Salt, code)
		codes = append(codes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
		hashes = append(hashes, h)
	}
	return codes, hashes, nil
}

// CheckRecovery returns which of hashes code is of. The caller has to drop it, so
// that it never works again. The time depends on the number of hashes only.
func CheckRecovery(hashes []RecoveryHash, code string) (int, error) {
	plain, ok := plainCode(code)
	found := -1
	for i := range hashes {
		hash := hashCode(&hashes[i].Salt, plain)
		if subtle.ConstantTimeCompare(hash[:], hashes[i].Hash[:]) == 1 {
			found = i
		}
	}
	if !ok || found < 0 {
		return 0, fmt.Errorf("%w: recovery code: not one of the %d left", ErrRefused, len(hashes))
	}
	return found, nil
}

func hashCode(salt *[recoverySalt]byte, code string) [sha256.Size]byte {
	return sha256.Sum256(append(salt[:len(salt):len(salt)], code...))
}

// spellCode writes 5 bits a character.
func spellCode(b []byte) string {
	var s strings.Builder
	bits, n := uint(0), 0
	for _, c := range b {
		bits, n = bits<<8|uint(c), n+8
		for ; n >= 5; n -= 5 {
			s.WriteByte(recoveryAlphabet[bits>>(n-5)&31])
		}
	}
	return s.String()
}

// plainCode undoes what people do to a code: hyphens, spaces, capitals, and letters
// that look like digits.
func plainCode(code string) (string, bool) {
	if len(code) > 4*recoveryLength {
		return "", false
	}
	plain := strings.NewReplacer("-", "", " ", "", "o", "0", "i", "1", "l", "1").Replace(strings.ToLower(code))
	return plain, len(plain) == recoveryLength && strings.Trim(plain, recoveryAlphabet) == ""
}
