package account

import (
	"crypto/subtle"
	"fmt"
	"time"
)

// ReminderInterval is how often a user is reminded of a recovery that is under way.
const ReminderInterval = 24 * time.Hour

// Recovery is the way back for who has lost their second factor: after a delay all
// factors go, unless somebody stops it. The user is written to at once and every day.
type Recovery struct {
	RequestedAt Time
	Until       Time   // when the factors go
	RemindedAt  Time   // when the user was last written to
	Cancel      string // the code that stops it; it can do nothing else, so it is kept as it is
}

// recovery returns the recovery that is under way, nil if there is none.
func (s *State) recovery() *Recovery {
	if s.Contact == nil {
		return nil
	}
	return s.Contact.Recovery
}

// RecoveryRequested begins a recovery.
type RecoveryRequested struct {
	Until  Time   `json:"until"`
	Cancel string `json:"cancel"`
}

// RecoveryReminded says that the user is written to again.
type RecoveryReminded struct{}

// RecoveryCancelled stops a recovery.
type RecoveryCancelled struct {
	By string `json:"by"` // "" the user, "clock", or an operator's name
}

func (*RecoveryRequested) kind() kind { return kindRecoveryRequested }
func (*RecoveryReminded) kind() kind  { return kindRecoveryReminded }
func (*RecoveryCancelled) kind() kind { return kindRecoveryCancelled }

// StartRecovery says that a code is about to be sent, with which a recovery begins.
type StartRecovery struct {
	Code     Hash
	Lifetime time.Duration
}

// ConfirmRecovery gives that code back. As with ConfirmEmail a wrong one is accepted, as
// a try.
type ConfirmRecovery struct {
	Code   Hash
	Delay  time.Duration
	Cancel string
}

// CancelRecovery stops a recovery: by its code, by an elevated session, or by an
// operator.
type CancelRecovery struct {
	Session Hash
	Code    string // "" for none
	By      string // an operator, "" for the user
}

// RemindRecovery has the user written to, once in a ReminderInterval.
type RemindRecovery struct{}

// CompleteRecovery takes the factors away, once the time has come.
type CompleteRecovery struct{}

func (c *StartRecovery) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	switch {
	case a.Factors == nil:
		return nil, 0, refuse(CodeNoChange, "this account has no second factor that could be lost")
	case a.VerifiedEmail() == "":
		return nil, 0, refuse(CodeNoEmail, "this takes a verified e-mail address, and this account has none; ask the operator")
	case a.recovery() != nil:
		return nil, 0, refuse(CodeNoChange, "a reset of the second factors is already under way")
	}
	if err := a.mayHaveCode(at); err != nil {
		return nil, 0, err
	}
	return []Event{&EmailCodeSent{Email: a.Email, Code: c.Code, ExpiresAt: at.Add(c.Lifetime)}}, 0, nil
}

func (c *ConfirmRecovery) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	right, err := a.checkCode(c.Code, at)
	switch {
	case err != nil:
		return nil, 0, err
	case !right:
		return []Event{&EmailCodeMissed{}}, 0, nil
	case a.Factors == nil, a.VerifiedEmail() == "", a.recovery() != nil:
		return nil, 0, refuse(CodeNoChange, "this account has no second factor to reset, or a reset is already under way")
	}
	return []Event{&RecoveryRequested{Until: at.Add(c.Delay), Cancel: c.Cancel}}, 0, nil
}

func (c *CancelRecovery) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	r := a.recovery()
	switch {
	case r == nil:
		return nil, 0, refuse(CodeNotFound, "no reset of the second factors is under way")
	case c.By != "":
	case c.Code != "":
		if subtle.ConstantTimeCompare([]byte(r.Cancel), []byte(c.Code)) != 1 {
			return nil, 0, refuse(CodeWrongCode, "wrong code: use the one of the newest e-mail about the reset of the second factors")
		}
	default:
		if err := a.Admits(Guard{Session: c.Session, Asks: AskEnrolled}, at); err != nil {
			return nil, 0, err
		}
	}
	return []Event{&RecoveryCancelled{By: c.By}}, 0, nil
}

func (c *RemindRecovery) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if r := a.recovery(); r == nil || at < r.RemindedAt.Add(ReminderInterval) || at >= r.Until {
		return nil, 0, nil
	}
	return []Event{&RecoveryReminded{}}, 0, nil
}

func (c *CompleteRecovery) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	switch r := a.recovery(); {
	case r == nil || at < r.Until:
		return nil, 0, nil
	case a.Factors == nil:
		return []Event{&RecoveryCancelled{By: "clock"}}, 0, nil
	}
	if err := a.MayChange(); err != nil { // the operator may still look into it
		return nil, 0, err
	}
	return []Event{&FactorsReset{By: "clock", Reason: "recovery"}}, 0, nil
}

func (e *RecoveryRequested) apply(a *Account, at Time) error {
	if a.recovery() != nil || a.VerifiedEmail() == "" || e.Cancel == "" {
		return fmt.Errorf("a recovery is under way, or nobody could be written to")
	}
	c := a.contact()
	c.Recovery = &Recovery{RequestedAt: at, Until: e.Until, RemindedAt: at, Cancel: e.Cancel}
	c.endCode()
	a.Contact = c
	return nil
}

func (e *RecoveryReminded) apply(a *Account, at Time) error {
	if a.recovery() == nil {
		return fmt.Errorf("no reset of the second factors is under way")
	}
	c := a.contact()
	r := *c.Recovery
	r.RemindedAt = at
	c.Recovery = &r
	a.Contact = c
	return nil
}

func (e *RecoveryCancelled) apply(a *Account, _ Time) error {
	if a.recovery() == nil {
		return fmt.Errorf("no reset of the second factors is under way")
	}
	a.endRecovery()
	return nil
}

// endRecovery ends the recovery that is under way, if there is one.
func (a *Account) endRecovery() {
	if a.recovery() != nil {
		c := a.contact()
		c.Recovery = nil
		a.Contact = c
	}
}
