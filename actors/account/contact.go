package account

import (
	"crypto/subtle"
	"fmt"
	"strings"
	"time"
)

// Limits of the proof that an e-mail address is its user's.
const (
	MaxEmailCodes   = 5 // codes sent in EmailCodePeriod
	MaxWrongCodes   = 5 // tries at one code
	EmailCodePeriod = 24 * time.Hour
	EmailCodePause  = time.Minute // after a code that was not used

	// LocalDomain ends the addresses that accounts have to begin with. No mail goes there.
	LocalDomain = "@aitbc.local"
)

// Contact is what is known of where a user is written to. It is immutable once it is
// shared.
type Contact struct {
	Verified   string // the e-mail address that is the user's for sure; "" for none
	VerifiedAt Time

	CodeFor     string // address that the last code was sent to; "" once it is used
	Code        Hash   // of it
	CodeExpires Time
	WrongCodes  uint32 // tries that were wrong

	Codes []Time // when codes were sent, oldest first; those of the last EmailCodePeriod

	Recovery *Recovery // of the second factor; nil while none is under way
}

// VerifiedEmail is the address that may be written to, "" if there is none.
func (s *State) VerifiedEmail() string {
	if s.Contact == nil {
		return ""
	}
	return s.Contact.Verified
}

// EmailCodeSent says that a code goes to the account's address, which proves it.
type EmailCodeSent struct {
	Email     string `json:"email"`
	Code      Hash   `json:"code"`
	ExpiresAt Time   `json:"expires_at"`
}

// EmailCodeMissed says that somebody gave a wrong code.
type EmailCodeMissed struct{}

// EmailVerified says that the account's address is its user's.
type EmailVerified struct {
	Email string `json:"email"`
}

func (*EmailCodeSent) kind() kind   { return kindEmailCodeSent }
func (*EmailCodeMissed) kind() kind { return kindEmailCodeMissed }
func (*EmailVerified) kind() kind   { return kindEmailVerified }

// SendEmailCode says that a code is about to be sent to the account's address.
type SendEmailCode struct {
	Code     Hash
	Lifetime time.Duration
}

// ConfirmEmail gives a code back. A wrong one is accepted too, as a try: whether it was
// right is in the state that follows.
type ConfirmEmail struct {
	Code Hash
}

// The refusals of mail.
const (
	CodeNoEmail       Code = "no_email_address"     // the account has the address that it began with
	CodeTooManyEmails Code = "too_many_email_codes" // codes were sent too often
	CodeWrongCode     Code = "wrong_email_code"     // or one that is over
)

func (c *SendEmailCode) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	switch {
	case strings.HasSuffix(a.Email, LocalDomain):
		return nil, 0, refuse(CodeNoEmail, "this account has no e-mail address yet; set one first")
	case a.VerifiedEmail() == a.Email:
		return nil, 0, refuse(CodeNoChange, "the address %s is verified already", a.Email)
	}
	if err := a.mayHaveCode(at); err != nil {
		return nil, 0, err
	}
	return []Event{&EmailCodeSent{Email: a.Email, Code: c.Code, ExpiresAt: at.Add(c.Lifetime)}}, 0, nil
}

// mayHaveCode refuses a code more than there may be.
func (a *Account) mayHaveCode(at Time) *Error {
	codes := a.Contact.recentCodes(at)
	if early := len(codes) > 0 && a.Contact.CodeFor != "" && at < codes[len(codes)-1].Add(EmailCodePause); early || len(codes) >= MaxEmailCodes {
		return refuse(CodeTooManyEmails, "at most %d codes are sent in %s, and one in %s until it is used; use the newest one, or try again later", MaxEmailCodes, EmailCodePeriod, EmailCodePause)
	}
	return nil
}

// recentCodes are the times of Codes that count at a time.
func (c *Contact) recentCodes(at Time) []Time {
	if c == nil {
		return nil
	}
	codes := c.Codes
	for len(codes) > 0 && at >= codes[0].Add(EmailCodePeriod) {
		codes = codes[1:]
	}
	return codes
}

func (c *ConfirmEmail) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	if a.VerifiedEmail() == a.Email { // a code that is open is for something else
		return nil, 0, refuse(CodeWrongCode, "the address %s is verified already", a.Email)
	}
	switch right, err := a.checkCode(c.Code, at); {
	case err != nil:
		return nil, 0, err
	case !right:
		return []Event{&EmailCodeMissed{}}, 0, nil
	}
	return []Event{&EmailVerified{Email: a.Email}}, 0, nil
}

// checkCode reports whether code is the one that was sent, or why none would be.
func (a *Account) checkCode(code Hash, at Time) (right bool, err *Error) {
	switch c := a.Contact; {
	case c == nil || c.CodeFor == "" || c.CodeFor != a.Email || at >= c.CodeExpires:
		return false, refuse(CodeWrongCode, "there is no code for this address, or it has expired; ask for a new one")
	case c.WrongCodes >= MaxWrongCodes:
		return false, refuse(CodeWrongCode, "%d wrong codes were entered; ask for a new code", MaxWrongCodes)
	default:
		return subtle.ConstantTimeCompare(c.Code[:], code[:]) == 1, nil
	}
}

// contact returns a Contact that may be changed, for one change.
func (a *Account) contact() *Contact {
	if a.Contact == nil {
		return &Contact{}
	}
	c := *a.Contact
	return &c
}

func (e *EmailCodeSent) apply(a *Account, at Time) error {
	if e.Email == "" || e.Email != a.Email {
		return fmt.Errorf("a code for %q, the address is %q", e.Email, a.Email)
	}
	c := a.contact()
	codes := append([]Time(nil), c.recentCodes(at)...)
	if len(codes) >= MaxEmailCodes {
		return fmt.Errorf("%d codes were sent lately", len(codes))
	}
	c.CodeFor, c.Code, c.CodeExpires, c.WrongCodes, c.Codes = e.Email, e.Code, e.ExpiresAt, 0, append(codes, at)
	a.Contact = c
	return nil
}

func (e *EmailCodeMissed) apply(a *Account, _ Time) error {
	if a.Contact == nil || a.Contact.CodeFor == "" || a.Contact.WrongCodes >= MaxWrongCodes {
		return fmt.Errorf("no code is open")
	}
	c := a.contact()
	c.WrongCodes++
	a.Contact = c
	return nil
}

func (e *EmailVerified) apply(a *Account, at Time) error {
	if e.Email == "" || e.Email != a.Email {
		return fmt.Errorf("%q is verified, the address is %q", e.Email, a.Email)
	}
	c := a.contact()
	c.Verified, c.VerifiedAt = e.Email, at
	c.endCode()
	a.Contact = c
	return nil
}

func (c *Contact) endCode() { c.CodeFor, c.Code, c.CodeExpires, c.WrongCodes = "", Hash{}, 0, 0 }

// emailChanged ends what was known of the address before.
func (a *Account) emailChanged() {
	if a.Contact == nil {
		return
	}
	c := a.contact()
	c.Verified, c.VerifiedAt, c.Recovery = "", 0, nil // that took a factor, or an operator
	c.endCode()
	a.Contact = c
}
