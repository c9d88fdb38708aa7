package account

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// What was enrolled and shown has been checked by whoever made the command: that a
// code is that of its step, a recovery code that of its hash, and what a passkey
// signed. Decide sees to it that each counts once, and that it is still the account's.

// Rotation gives who holds Session a new token in its place, and elevates it. The old
// one is dead with the record: what a thief has of the session is worth no more than
// before.
type Rotation struct {
	Session  Hash
	Next     Hash
	Lifetime time.Duration // of the elevation
}

// StepUpByTOTP elevates the session by the code of a step.
type StepUpByTOTP struct {
	Rotation
	Secret []byte // sealed, as the account has it: that the code was checked by
	Step   uint64
}

// StepUpByPasskey elevates the session by a passkey, which is Record from now on.
type StepUpByPasskey struct {
	Rotation
	ID, Record []byte
	Count      uint32
}

// StepUpByRecovery elevates the session by a recovery code, which is then used up.
type StepUpByRecovery struct {
	Rotation
	Code Hash
}

// EnrolTOTP sets the authenticator app, in place of another if there is one. Step is
// that of the code that proved it. With the first factor comes Recovery.
type EnrolTOTP struct {
	Rotation
	Secret   []byte // sealed
	Step     uint64
	Recovery []RecoveryCode
}

// RemoveTOTP takes the authenticator app away.
type RemoveTOTP struct {
	Rotation
}

// AddPasskey adds a passkey. With the first factor comes Recovery.
type AddPasskey struct {
	Rotation
	ID       []byte
	Name     string
	Record   []byte
	Count    uint32
	Recovery []RecoveryCode
}

// RemovePasskey takes a passkey away.
type RemovePasskey struct {
	Rotation
	ID []byte
}

// SetRecoveryCodes replaces the recovery codes that are left.
type SetRecoveryCodes struct {
	Session Hash
	Codes   []RecoveryCode
}

// ResetFactors is the operator's, for a user who has lost them all: no factor is left,
// nor any session.
type ResetFactors struct {
	By     string
	Reason string
}

// rotate ends the command's record: the session goes on under another token, elevated
// until then, or not if that is 0.
func (c *Rotation) rotate(until Time, events ...Event) ([]Event, uint32, *Error) {
	return append(events, &SessionRotated{From: c.Session, To: c.Next, Until: until}), 0, nil
}

// elevate is rotate with an elevation that begins now.
func (c *Rotation) elevate(at Time, events ...Event) ([]Event, uint32, *Error) {
	return c.rotate(at.Add(c.Lifetime), events...)
}

// may refuses a step-up before the factor is looked at.
func (c *Rotation) may(a *Account, at Time) *Error {
	if err := a.MayChange(); err != nil {
		return err
	}
	switch {
	case !a.live(c.Session, at):
		return refuse(CodeUnauthenticated, "this session has ended")
	case a.Factors == nil:
		return EnrolFirst()
	}
	return nil
}

// mayChange refuses a change of the factors, which takes one of those that there are.
func (c *Rotation) mayChange(a *Account, at Time) *Error {
	if err := a.MayChange(); err != nil {
		return err
	}
	return a.Admits(Guard{Session: c.Session, Asks: AskEnrolled}, at)
}

// changed are the events of a change of the factors. The user's other sessions end with
// it: if one is a thief's, this is the moment at which its owner sees to that. OWASP ASVS
// 5.0 (7.4.3) asks to offer it; here it is done unasked.
func (c *Rotation) changed(a *Account, events ...Event) []Event {
	if len(a.Sessions) > 1 {
		events = append(events, &OtherSessionsEnded{Session: c.Session})
	}
	return events
}

func factorRefused() *Error {
	return refuse(CodeFactorRefused, "wrong code or passkey, or one that has been used before")
}

func (c *StepUpByTOTP) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := c.may(a, at); err != nil {
		return nil, 0, err
	}
	totp := a.Factors.TOTP
	if totp == nil || c.Step <= totp.Step || !bytes.Equal(c.Secret, totp.Secret) {
		return nil, 0, factorRefused()
	}
	return c.elevate(at, &TOTPUsed{Step: c.Step})
}

func (c *StepUpByPasskey) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := c.may(a, at); err != nil {
		return nil, 0, err
	}
	i := a.Factors.passkey(c.ID)
	if i < 0 || !counts(a.Factors.Passkeys[i].Count, c.Count) {
		return nil, 0, factorRefused()
	}
	return c.elevate(at, &PasskeyUsed{ID: c.ID, Record: c.Record, Count: c.Count})
}

// counts reports whether after is a sign count that may follow before: a higher one,
// unless the passkey does not count.
func counts(before, after uint32) bool { return after > before || before == 0 && after == 0 }

func (c *StepUpByRecovery) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := c.may(a, at); err != nil {
		return nil, 0, err
	}
	if a.Factors.recovery(c.Code) < 0 {
		return nil, 0, factorRefused()
	}
	return c.elevate(at, &RecoveryCodeUsed{Code: c.Code})
}

func (c *EnrolTOTP) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := c.mayChange(a, at); err != nil {
		return nil, 0, err
	}
	events := []Event{&TOTPEnrolled{Secret: c.Secret, Step: c.Step}}
	if a.Factors == nil {
		events = append(events, &RecoveryCodesSet{Codes: c.Recovery})
	}
	return c.elevate(at, c.changed(a, events...)...)
}

func (c *AddPasskey) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := c.mayChange(a, at); err != nil {
		return nil, 0, err
	}
	events := []Event{&PasskeyAdded{ID: c.ID, Name: c.Name, Record: c.Record, Count: c.Count}}
	switch {
	case a.Factors == nil:
		events = append(events, &RecoveryCodesSet{Codes: c.Recovery})
	case a.Factors.passkey(c.ID) >= 0:
		return nil, 0, factorRefused()
	case len(a.Factors.Passkeys) == MaxPasskeys:
		return nil, 0, refuse(CodeTooManyPasskeys, "an account has at most %d passkeys; remove one first", MaxPasskeys)
	}
	return c.elevate(at, c.changed(a, events...)...)
}

func (c *RemoveTOTP) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := c.mayChange(a, at); err != nil {
		return nil, 0, err
	}
	if a.Factors == nil || a.Factors.TOTP == nil {
		return nil, 0, refuse(CodeNotFound, "this account has no authenticator app")
	}
	return c.remove(a, at, len(a.Factors.Passkeys), &TOTPRemoved{})
}

func (c *RemovePasskey) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := c.mayChange(a, at); err != nil {
		return nil, 0, err
	}
	if a.Factors == nil || a.Factors.passkey(c.ID) < 0 {
		return nil, 0, refuse(CodeNotFound, "there is no such passkey")
	}
	left := len(a.Factors.Passkeys) - 1
	if a.Factors.TOTP != nil {
		left++
	}
	return c.remove(a, at, left, &PasskeyRemoved{ID: c.ID})
}

// remove keeps the elevation that there is, while a factor is left to elevate by.
func (c *Rotation) remove(a *Account, at Time, left int, removed Event) ([]Event, uint32, *Error) {
	until := Time(0)
	if left > 0 {
		until = a.ElevatedUntil(c.Session, at)
	}
	return c.rotate(until, c.changed(a, removed)...)
}

func (c *SetRecoveryCodes) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	if err := a.Admits(Guard{Session: c.Session, Asks: AskAll}, at); err != nil {
		return nil, 0, err
	}
	return []Event{&RecoveryCodesSet{Codes: c.Codes}}, 0, nil
}

func (c *ResetFactors) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if a.Factors == nil {
		return nil, 0, refuse(CodeNoChange, "this account has no second factor")
	}
	return []Event{&FactorsReset{By: c.By, Reason: c.Reason}}, 0, nil
}

// newFactors returns a copy of the factors to change and put back: what others see of
// them stays as it is.
func (a *Account) newFactors() *Factors {
	f := &Factors{}
	if a.Factors != nil {
		*f = *a.Factors
	}
	return f
}

// setFactors puts f in place. Recovery codes and elevations are nothing by themselves.
func (a *Account) setFactors(f *Factors) {
	a.Factors = f
	if f.TOTP == nil && len(f.Passkeys) == 0 {
		a.Factors = nil
	}
}

func (e *TOTPEnrolled) apply(a *Account, at Time) error {
	f := a.newFactors()
	f.TOTP = &TOTP{Secret: e.Secret, Step: e.Step, EnrolledAt: at}
	a.setFactors(f)
	return nil
}

func (e *TOTPUsed) apply(a *Account, _ Time) error {
	f := a.newFactors()
	if f.TOTP == nil || e.Step <= f.TOTP.Step {
		return fmt.Errorf("a code of step %d, where the authenticator app is %+v", e.Step, f.TOTP)
	}
	totp := *f.TOTP
	totp.Step = e.Step
	f.TOTP = &totp
	a.setFactors(f)
	return nil
}

func (e *TOTPRemoved) apply(a *Account, _ Time) error {
	f := a.newFactors()
	if f.TOTP == nil {
		return fmt.Errorf("no authenticator app to remove")
	}
	f.TOTP = nil
	a.setFactors(f)
	return nil
}

func (e *PasskeyAdded) apply(a *Account, at Time) error {
	f := a.newFactors()
	if len(f.Passkeys) >= MaxPasskeys || f.passkey(e.ID) >= 0 {
		return fmt.Errorf("passkey %x, where there are %d", e.ID, len(f.Passkeys))
	}
	added := Passkey{ID: e.ID, Name: e.Name, Record: e.Record, Count: e.Count, CreatedAt: at}
	f.Passkeys = append(slices.Clip(f.Passkeys), added)
	a.setFactors(f)
	return nil
}

func (e *PasskeyUsed) apply(a *Account, at Time) error {
	f := a.newFactors()
	i := f.passkey(e.ID)
	if i < 0 || !counts(f.Passkeys[i].Count, e.Count) {
		return fmt.Errorf("passkey %x used with count %d, where there are %d", e.ID, e.Count, len(f.Passkeys))
	}
	f.Passkeys = slices.Clone(f.Passkeys)
	p := &f.Passkeys[i]
	p.Record, p.Count, p.UsedAt = e.Record, e.Count, at
	a.setFactors(f)
	return nil
}

func (e *PasskeyRemoved) apply(a *Account, _ Time) error {
	f := a.newFactors()
	i := f.passkey(e.ID)
	if i < 0 {
		return fmt.Errorf("no passkey %x to remove", e.ID)
	}
	f.Passkeys = slices.Delete(slices.Clone(f.Passkeys), i, i+1)
	a.setFactors(f)
	return nil
}

func (e *RecoveryCodesSet) apply(a *Account, _ Time) error {
	if a.Factors == nil {
		return fmt.Errorf("%d recovery codes without a factor", len(e.Codes))
	}
	f := a.newFactors()
	f.Recovery = e.Codes
	a.setFactors(f)
	return nil
}

func (e *RecoveryCodeUsed) apply(a *Account, _ Time) error {
	f := a.newFactors()
	i := f.recovery(e.Code)
	if i < 0 {
		return fmt.Errorf("recovery code %x is none of the %d left", e.Code, len(f.Recovery))
	}
	f.Recovery = slices.Delete(slices.Clone(f.Recovery), i, i+1)
	a.setFactors(f)
	return nil
}

func (e *SessionRotated) apply(a *Account, at Time) error {
	if e.Until != 0 && a.Factors == nil {
		return fmt.Errorf("session elevated without a factor")
	}
	i := slices.IndexFunc(a.Sessions, func(s Session) bool { return s.Hash == e.From })
	if i < 0 || slices.ContainsFunc(a.Sessions, func(s Session) bool { return s.Hash == e.To }) {
		return fmt.Errorf("session %x becomes %x, of %d sessions", e.From, e.To, len(a.Sessions))
	}
	a.Sessions = slices.Clone(a.Sessions)
	a.Sessions[i].Hash, a.Sessions[i].UsedAt = e.To, at
	if a.Factors == nil {
		return nil
	}
	f := a.newFactors()
	f.Elevated = nil
	for _, other := range a.Factors.Elevated {
		if other.Session != e.To && at < other.Until && a.live(other.Session, at) {
			f.Elevated = append(f.Elevated, other)
		}
	}
	if e.Until != 0 {
		f.Elevated = append(f.Elevated, Elevation{Session: e.To, Until: e.Until})
	}
	a.setFactors(f)
	return nil
}

func (e *FactorsReset) apply(a *Account, _ Time) error {
	a.Factors, a.Sessions = nil, nil
	a.endRecovery()
	return nil
}
