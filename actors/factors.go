package actors

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/secondfactor"
)

// ErrFactorsOff: the exchange was given nothing to keep such a factor with.
var ErrFactorsOff = errors.New("there are no second factors of this kind")

// FactorConfig is what second factors take.
type FactorConfig struct {
	// Required refuses what takes a factor to users who have none. Otherwise it is
	// asked of those who have one.
	Required bool
	// Lifetime is how long a session is elevated. Default 5 min.
	Lifetime time.Duration
	Secrets  *secondfactor.Secrets    // nil: no authenticator apps
	Passkeys *secondfactor.Ceremonies // nil: no passkeys
}

// issuer is what an authenticator app shows.
const issuer = "AITBC Exchange"

// guardOf is what a guarded command of the session is asked for, whichever way it came.
func (x *Exchange) guardOf(s *Session) account.Guard {
	if x.cfg.Factors.Required {
		return account.Guard{Session: s.hash, Asks: account.AskAll}
	}
	return account.Guard{Session: s.hash, Asks: account.AskEnrolled}
}

// PasskeyID names a passkey for its user to see.
type PasskeyID [8]byte

func passkeyID(credential []byte) PasskeyID {
	sum := sha256.Sum256(append([]byte("passkey id\x00"), credential...))
	return PasskeyID(sum[:8])
}

// PasskeyView is a passkey as its user sees it.
type PasskeyView struct {
	ID        PasskeyID
	Name      string
	CreatedAt account.Time
	UsedAt    account.Time
}

// FactorsView is what a user has beside the wallet.
type FactorsView struct {
	TOTP          bool
	Passkeys      []PasskeyView
	RecoveryCodes int          // left
	ElevatedUntil account.Time // of the session that asks; 0: it is not
	Required      bool
	Origins       []string // where passkeys work; none: nowhere
}

// Factors returns what the session's user has beside the wallet.
func (x *Exchange) Factors(s *Session) FactorsView {
	v := FactorsView{Required: x.cfg.Factors.Required, ElevatedUntil: s.State.ElevatedUntil(s.hash, x.now())}
	if x.cfg.Factors.Passkeys != nil {
		v.Origins = x.cfg.Factors.Passkeys.Origins()
	}
	if f := s.State.Factors; f != nil {
		v.TOTP, v.RecoveryCodes = f.TOTP != nil, len(f.Recovery)
		for i := range f.Passkeys {
			p := &f.Passkeys[i]
			v.Passkeys = append(v.Passkeys, PasskeyView{passkeyID(p.ID), p.Name, p.CreatedAt, p.UsedAt})
		}
	}
	return v
}

// Rotated is a session that goes on under a new token; the one before is dead.
type Rotated struct {
	Token         string
	ExpiresAt     account.Time // as before, if it is not used again
	ElevatedUntil account.Time // 0: it is not elevated
	RecoveryCodes []string     // with the user's first factor, and then never again

	state *account.State // that it led to
}

// rotate sends the command that gives the session a new token by a Rotation.
func (x *Exchange) rotate(s *Session, command func(account.Rotation) account.Command) (Rotated, error) {
	token, next, err := newToken(s.user.id, x.cfg.Random)
	if err != nil {
		return Rotated{}, err
	}
	receipt, err := x.do(s.user, command(account.Rotation{Session: s.hash, Next: next, Lifetime: x.cfg.Factors.Lifetime}), nil)
	if err != nil {
		return Rotated{}, err
	}
	rotated := Rotated{Token: token, ElevatedUntil: receipt.State.ElevatedUntil(next, x.now()), state: receipt.State}
	for i := range receipt.State.Sessions {
		if open := &receipt.State.Sessions[i]; open.Hash == next {
			rotated.ExpiresAt = open.End(x.uses.idle)
		}
	}
	return rotated, nil
}

// recoveryCodes draws codes, as they are shown and as they are kept.
func (x *Exchange) recoveryCodes() (shown []string, kept []account.RecoveryCode, err error) {
	shown, hashes, err := secondfactor.NewRecoveryCodes(x.cfg.Random)
	for _, h := range hashes {
		kept = append(kept, account.RecoveryCode{Salt: h.Salt, Hash: h.Hash})
	}
	return shown, kept, err
}

// enrol is rotate for a command that enrols a factor, and shows the recovery codes if
// the command made them the account's.
func (x *Exchange) enrol(s *Session, command func(account.Rotation, []account.RecoveryCode) account.Command) (Rotated, error) {
	shown, kept, err := x.recoveryCodes()
	if err != nil {
		return Rotated{}, err
	}
	rotated, err := x.rotate(s, func(r account.Rotation) account.Command { return command(r, kept) })
	if err == nil && rotated.state.Factors != nil && slices.Equal(rotated.state.Factors.Recovery, kept) {
		rotated.RecoveryCodes = shown
	}
	return rotated, err
}

// mayEnrol refuses who may not change the factors, before there is a factor to check.
func (x *Exchange) mayEnrol(s *Session) error {
	if refused := s.State.MayChange(); refused != nil {
		return refused
	}
	if refused := s.State.Admits(account.Guard{Session: s.hash, Asks: account.AskEnrolled}, x.now()); refused != nil {
		return refused
	}
	return nil
}

// factorUser is the session's user as passkeys know them.
func factorUser(s *Session) (*secondfactor.User, error) {
	u := &secondfactor.User{ID: s.user.id, Session: s.hash, Name: s.State.Username}
	if s.State.Factors != nil {
		for i := range s.State.Factors.Passkeys {
			p, err := secondfactor.DecodePasskey(s.State.Factors.Passkeys[i].Record)
			if err != nil {
				return nil, fmt.Errorf("user %s: passkey %d: %w", u.Name, i, err)
			}
			u.Passkeys = append(u.Passkeys, p)
		}
	}
	return u, nil
}

// BeginTOTP draws the secret of an authenticator app, and returns it as a user types it
// and as a QR code has it.
func (x *Exchange) BeginTOTP(s *Session) (secret, uri string, err error) {
	if x.cfg.Factors.Secrets == nil {
		return "", "", ErrFactorsOff
	}
	if err := x.mayEnrol(s); err != nil {
		return "", "", err
	}
	drawn, err := x.enrolments.Begin(&secondfactor.User{ID: s.user.id, Session: s.hash})
	if err != nil {
		return "", "", err
	}
	return drawn.String(), drawn.URL(issuer, s.State.Username), nil
}

// ConfirmTOTP enrols the app that shows code.
func (x *Exchange) ConfirmTOTP(s *Session, code string) (Rotated, error) {
	if x.cfg.Factors.Secrets == nil {
		return Rotated{}, ErrFactorsOff
	}
	u := &secondfactor.User{ID: s.user.id, Session: s.hash}
	secret, step, err := x.enrolments.Check(u, code)
	if err != nil {
		return Rotated{}, err
	}
	sealed, err := x.cfg.Factors.Secrets.Seal(s.user.id, secret)
	if err != nil {
		return Rotated{}, err
	}
	rotated, err := x.enrol(s, func(r account.Rotation, codes []account.RecoveryCode) account.Command {
		return &account.EnrolTOTP{Rotation: r, Secret: sealed, Step: step, Recovery: codes}
	})
	if err == nil {
		x.enrolments.End(u)
	}
	return rotated, err
}

// RemoveTOTP takes the authenticator app away.
func (x *Exchange) RemoveTOTP(s *Session) (Rotated, error) {
	return x.rotate(s, func(r account.Rotation) account.Command {
		return &account.RemoveTOTP{Rotation: r}
	})
}

// NewRecoveryCodes replaces the recovery codes. They are shown this once.
func (x *Exchange) NewRecoveryCodes(s *Session) ([]string, error) {
	shown, kept, err := x.recoveryCodes()
	if err != nil {
		return nil, err
	}
	if _, err := x.do(s.user, &account.SetRecoveryCodes{Session: s.hash, Codes: kept}, nil); err != nil {
		return nil, err
	}
	return shown, nil
}

// BeginPasskey returns the options for navigator.credentials.create, as JSON.
func (x *Exchange) BeginPasskey(s *Session) ([]byte, error) {
	if x.cfg.Factors.Passkeys == nil {
		return nil, ErrFactorsOff
	}
	if err := x.mayEnrol(s); err != nil {
		return nil, err
	}
	u, err := factorUser(s)
	if err != nil {
		return nil, err
	}
	return x.cfg.Factors.Passkeys.BeginCreate(u)
}

// AddPasskey enrols the passkey that the browser answered with.
func (x *Exchange) AddPasskey(s *Session, name string, answer []byte) (Rotated, error) {
	if x.cfg.Factors.Passkeys == nil {
		return Rotated{}, ErrFactorsOff
	}
	u, err := factorUser(s)
	if err != nil {
		return Rotated{}, err
	}
	p, err := x.cfg.Factors.Passkeys.FinishCreate(u, answer)
	if err != nil {
		return Rotated{}, err
	}
	return x.enrol(s, func(r account.Rotation, codes []account.RecoveryCode) account.Command {
		return &account.AddPasskey{Rotation: r, ID: p.ID, Name: name, Record: p.Append(nil), Count: p.SignCount, Recovery: codes}
	})
}

// RemovePasskey takes a passkey away.
func (x *Exchange) RemovePasskey(s *Session, id PasskeyID) (Rotated, error) {
	var credential []byte
	if f := s.State.Factors; f != nil {
		for i := range f.Passkeys {
			if passkeyID(f.Passkeys[i].ID) == id {
				credential = f.Passkeys[i].ID
			}
		}
	}
	return x.rotate(s, func(r account.Rotation) account.Command {
		return &account.RemovePasskey{Rotation: r, ID: credential}
	})
}

// ResetFactors takes every factor of a user away and ends their sessions: the operator's
// way for who has lost them all.
func (x *Exchange) ResetFactors(id account.UserID, by, reason string) (Receipt, error) {
	return x.operate(id, &account.ResetFactors{By: by, Reason: reason}, nil)
}

// openSecrets checks that the key opens every secret that there is.
func (x *Exchange) openSecrets(users []*user) error {
	if x.cfg.Factors.Secrets == nil {
		return nil
	}
	for _, u := range users {
		if f := u.durable.Load().Factors; f != nil && f.TOTP != nil {
			if _, err := x.cfg.Factors.Secrets.Open(u.id, f.TOTP.Secret); err != nil {
				return fmt.Errorf("user %s: %w", u.id, err)
			}
		}
	}
	return nil
}
