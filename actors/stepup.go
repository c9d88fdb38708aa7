package actors

import (
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/secondfactor"
)

// A step-up is checked here, where a clock and the secrets are, and decided by the
// account, where a factor counts once. What does not hold is an error that wraps
// secondfactor.ErrRefused, or an *account.Error with CodeFactorRefused where another
// request was first.

// mayStepUp refuses who has nothing to show.
func mayStepUp(s *Session) error {
	if refused := s.State.MayChange(); refused != nil {
		return refused
	}
	if s.State.Factors == nil {
		return account.EnrolFirst()
	}
	return nil
}

// StepUpByTOTP elevates the session by a code of the user's authenticator app.
func (x *Exchange) StepUpByTOTP(s *Session, code string) (Rotated, error) {
	if err := mayStepUp(s); err != nil {
		return Rotated{}, err
	}
	totp := s.State.Factors.TOTP
	if totp == nil || x.cfg.Factors.Secrets == nil {
		return Rotated{}, &account.Error{Code: account.CodeFactorRefused, Message: "this account has no authenticator app"}
	}
	secret, err := x.cfg.Factors.Secrets.Open(s.user.id, totp.Secret)
	if err != nil {
		return Rotated{}, err
	}
	step, err := secret.Check(code, totp.Step, x.cfg.Now())
	if err != nil {
		return Rotated{}, err
	}
	return x.rotate(s, func(r account.Rotation) account.Command {
		return &account.StepUpByTOTP{Rotation: r, Secret: totp.Secret, Step: step}
	})
}

// StepUpByRecovery elevates the session by a recovery code, which is then used up.
func (x *Exchange) StepUpByRecovery(s *Session, code string) (Rotated, error) {
	if err := mayStepUp(s); err != nil {
		return Rotated{}, err
	}
	var hashes []secondfactor.RecoveryHash
	for _, c := range s.State.Factors.Recovery {
		hashes = append(hashes, secondfactor.RecoveryHash{Salt: c.Salt, Hash: c.Hash})
	}
	i, err := secondfactor.CheckRecovery(hashes, code)
	if err != nil {
		return Rotated{}, err
	}
	return x.rotate(s, func(r account.Rotation) account.Command {
		return &account.StepUpByRecovery{Rotation: r, Code: hashes[i].Hash}
	})
}

// BeginStepUp returns the options for navigator.credentials.get, as JSON.
func (x *Exchange) BeginStepUp(s *Session) ([]byte, error) {
	if err := mayStepUp(s); err != nil {
		return nil, err
	}
	if x.cfg.Factors.Passkeys == nil {
		return nil, ErrFactorsOff
	}
	u, err := factorUser(s)
	if err != nil {
		return nil, err
	}
	return x.cfg.Factors.Passkeys.BeginAssert(u)
}

// StepUpByPasskey elevates the session by what the browser answered to BeginStepUp.
func (x *Exchange) StepUpByPasskey(s *Session, answer []byte) (Rotated, error) {
	if err := mayStepUp(s); err != nil {
		return Rotated{}, err
	}
	if x.cfg.Factors.Passkeys == nil {
		return Rotated{}, ErrFactorsOff
	}
	u, err := factorUser(s)
	if err != nil {
		return Rotated{}, err
	}
	_, p, err := x.cfg.Factors.Passkeys.FinishAssert(u, answer)
	if err != nil {
		return Rotated{}, err
	}
	return x.rotate(s, func(r account.Rotation) account.Command {
		return &account.StepUpByPasskey{Rotation: r, ID: p.ID, Record: p.Append(nil), Count: p.SignCount}
	})
}
