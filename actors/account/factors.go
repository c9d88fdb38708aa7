package account

import (
	"bytes"
	"encoding/hex"
	"slices"
)

// Limits of what one account has beside the wallet.
const (
	MaxPasskeys      = 16
	MaxRecoveryCodes = 16

	maxSealed       = 256  // bytes of a sealed secret
	maxCredentialID = 1023 // bytes, by WebAuthn
	maxCredential   = 4096 // bytes of a passkey's record
)

// Factors are what a user has beside the wallet: an immutable value once it is
// shared. There is none without an authenticator app or a passkey.
type Factors struct {
	TOTP     *TOTP
	Passkeys []Passkey      // in the order in which they were added
	Recovery []RecoveryCode // those that are not used up
	Elevated []Elevation    // as of the last rotation; what is over is dropped then
}

// TOTP is an authenticator app.
type TOTP struct {
	Secret     []byte // sealed: what it is, only the secrets' key tells
	Step       uint64 // of the last code that was good; no code of it or before is again
	EnrolledAt Time
}

// Passkey is a WebAuthn credential.
type Passkey struct {
	ID        []byte
	Name      string // the user's
	Record    []byte // public key and all else that checking it takes
	Count     uint32 // its sign count; 0 for one that does not count
	CreatedAt Time
	UsedAt    Time // 0 if it was not
}

// RecoveryCode is what is kept of a recovery code.
type RecoveryCode struct {
	Salt [16]byte
	Hash Hash
}

// Elevation is a session whose user has shown a factor a short while ago.
type Elevation struct {
	Session Hash
	Until   Time
}

// FactorKinds is a set of kinds of factor.
type FactorKinds uint8

// The kinds of factor.
const (
	FactorTOTP FactorKinds = 1 << iota
	FactorPasskey
	FactorRecovery

	AllFactors = FactorTOTP | FactorPasskey | FactorRecovery
)

var factorNames = [...]string{"totp", "passkey", "recovery_code"}

// Names lists the kinds by the names that clients know.
func (k FactorKinds) Names() []string {
	names := make([]string, 0, len(factorNames))
	for i, name := range factorNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Kinds returns the kinds that the user can show. f may be nil.
func (f *Factors) Kinds() (kinds FactorKinds) {
	if f == nil {
		return 0
	}
	if f.TOTP != nil {
		kinds |= FactorTOTP
	}
	if len(f.Passkeys) > 0 {
		kinds |= FactorPasskey
	}
	if len(f.Recovery) > 0 {
		kinds |= FactorRecovery
	}
	return kinds
}

// passkey returns where the passkey of an id is, or -1.
func (f *Factors) passkey(id []byte) int {
	return slices.IndexFunc(f.Passkeys, func(p Passkey) bool { return bytes.Equal(p.ID, id) })
}

// recovery returns where a recovery code is, or -1.
func (f *Factors) recovery(hash Hash) int {
	return slices.IndexFunc(f.Recovery, func(c RecoveryCode) bool { return c.Hash == hash })
}

// ElevatedUntil is when the elevation of session ends, 0 if it has none at now.
func (s *State) ElevatedUntil(session Hash, now Time) Time {
	if s.Factors != nil {
		for _, e := range s.Factors.Elevated {
			if e.Session == session && now < e.Until {
				return e.Until
			}
		}
	}
	return 0
}

// Guard is what a command asks of the session that sent it. Decide checks it, so that
// nothing comes between the check and what the command does. The zero Guard asks for
// nothing: an operator's command has it, and the clock's.
type Guard struct {
	Session Hash
	Asks    Asks
}

// Asks says who has to show a second factor.
type Asks uint8

// What a Guard asks for.
const (
	AskNobody   Asks = iota
	AskEnrolled      // an elevated session, of users who have a factor
	AskAll           // an elevated session; who has no factor has to enrol one first
)

// live reports whether a session of the account has not ended. That it was not idle for
// too long has been checked by who took its token.
func (s *State) live(session Hash, at Time) bool {
	return slices.ContainsFunc(s.Sessions, func(open Session) bool { return open.Hash == session && at < open.ExpiresAt })
}

// Admits refuses what the guard does not let pass at a time.
func (s *State) Admits(g Guard, at Time) *Error {
	switch {
	case g.Asks == AskNobody:
		return nil
	case !s.live(g.Session, at):
		return refuse(CodeUnauthenticated, "this session has ended")
	case s.Factors == nil && g.Asks == AskAll:
		return EnrolFirst()
	case s.Factors == nil || s.ElevatedUntil(g.Session, at) != 0:
		return nil
	}
	err := refuse(CodeFactorRequired, "this takes a second factor: show one of yours at /api/auth/step-up, and send the request again with the session_token of the answer")
	err.Factors = s.Factors.Kinds()
	return err
}

// EnrolFirst is the refusal of what takes a factor where there is none.
func EnrolFirst() *Error {
	return refuse(CodeEnrolmentRequired, "this takes a second factor, and you have none: enrol an authenticator app or a passkey first, at /api/users/me/factors")
}

// MarshalText returns the hash in hexadecimal, for who looks at the log.
func (c RecoveryCode) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, c.Hash[:]), nil }
