package secondfactor

import (
	"fmt"
	"io"
	"time"
)

// Limits of enrolments.
const (
	enrolmentLifetime = 10 * time.Minute
	maxEnrolments     = 100_000 // sessions with one under way, about 20 MB
)

// Enrolments are the secrets of authenticator apps that have not shown a code yet. They
// are in memory alone. Its methods may be called from any goroutine.
type Enrolments struct {
	random   io.Reader
	now      func() time.Time
	underWay *pending[TOTPSecret]
}

// NewEnrolments returns no enrolments yet.
func NewEnrolments(random io.Reader, now func() time.Time) *Enrolments {
	return &Enrolments{random: random, now: now, underWay: newPending[TOTPSecret](maxEnrolments, enrolmentLifetime, now)}
}

// Begin draws a secret for the user's app. A session has one enrolment under way; a
// second one takes the first one's place.
func (e *Enrolments) Begin(u *User) (TOTPSecret, error) {
	secret, err := NewTOTPSecret(e.random)
	if err != nil {
		return secret, err
	}
	return secret, e.underWay.put(u.asker(), secret)
}

// Check returns the secret under way and the step that code is of: the app has it. The
// enrolment goes on until End, so that who mistyped a code tries again.
func (e *Enrolments) Check(u *User, code string) (secret TOTPSecret, step uint64, err error) {
	secret, ok := e.underWay.get(u.asker())
	if !ok {
		return secret, 0, ErrNoEnrolment
	}
	step, err = secret.Check(code, 0, e.now())
	return secret, step, err
}

// End forgets the session's enrolment.
func (e *Enrolments) End(u *User) { e.underWay.take(u.asker()) }

// ErrNoEnrolment means that the session has no enrolment under way.
var ErrNoEnrolment = fmt.Errorf("no enrolment is under way, or its %s are over", enrolmentLifetime)
