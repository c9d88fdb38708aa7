package actors_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

const (
	simElevation = 40 * time.Minute // long enough to be used, and to end
	simStep      = account.Time(30 * time.Second / time.Microsecond)
)

// simFactors is what a user has beside the wallet: an authenticator app or nothing.
type simFactors struct {
	app      *simApp
	step     uint64                       // of the last code that was good
	elevated map[*simSession]account.Time // until when
}

// simApp is an authenticator app. What it holds is known once it was asked for.
type simApp struct {
	begun  account.Time // its enrolment
	secret string
	step   uint64 // of the code that enrolled it
}

// shows returns the step that the exchange takes a code for: the first within one of
// now and after last that has it.
func (a *simApp) shows(code string, last uint64, now account.Time) (uint64, bool) {
	current := uint64(now / simStep)
	for step := current - 1; step <= current+1; step++ {
		if step > last && a.code(step) == code {
			return step, true
		}
	}
	return 0, false
}

func (a *simApp) code(step uint64) string {
	code, err := hotp.GenerateCodeCustom(a.secret, step, hotp.ValidateOpts{Digits: otp.DigitsSix})
	if err != nil {
		panic(err)
	}
	return code
}

// factorCommand is mostly one that is accepted.
func (s *sim) factorCommand(shown *simAccount) simCommand {
	kinds := []string{"step up", "step up", "step up", "step up", "step up", "enrol", "remove factor", "reset factors"}
	if shown.factors.app == nil {
		kinds = []string{"enrol", "enrol", "enrol", "enrol", "enrol", "step up", "remove factor", "reset factors"}
	}
	return simCommand{kind: kinds[s.random.IntN(len(kinds))], by: "olga", reason: "test"}
}

// prepareFactor draws what a command about factors brings, and says what it is refused
// for by what is durable, without asking the account.
func (s *sim) prepareFactor(shown *simAccount, c *simCommand) {
	c.next = &simSession{}
	switch {
	case c.kind == "remove factor":
		return
	case shown.status == account.Suspended:
		c.refused = account.CodeSuspended
	case shown.status == account.Inactive:
		c.refused = account.CodeInactive
	case c.kind == "enrol":
		c.app = &simApp{begun: s.now()}
		c.refused = shown.admits(c, s.now())
	case shown.factors.app == nil:
		c.refused = account.CodeEnrolmentRequired
	default:
		now := uint64(s.now() / simStep)
		c.app = shown.factors.app
		c.hash = c.app.code(now + []uint64{0, 1, 1, 1, 2, ^uint64(0)}[s.random.IntN(6)]) // one step on, mostly
		if s.random.IntN(4) == 0 {
			c.hash = c.app.code(shown.lastStep()) // once more
		}
		var ok bool
		if c.step, ok = c.app.shows(c.hash, shown.lastStep(), s.now()); !ok {
			c.refused = account.CodeFactorRefused
		}
	}
}

// enrolApp enrols an app, and writes down what it holds.
func enrolApp(x *actors.Exchange, session *actors.Session, app *simApp) (actors.Rotated, error) {
	secret, _, err := x.BeginTOTP(session)
	if err != nil {
		return actors.Rotated{}, err
	}
	app.secret = secret
	code := app.code(uint64(app.begun / simStep))
	app.step, _ = app.shows(code, 0, app.begun)
	return x.ConfirmTOTP(session, code)
}

// live reports whether the command's session has not ended.
func (a *simAccount) live(c *simCommand, at account.Time) bool {
	return slices.Contains(a.sessions, c.session) && at < c.session.expires
}

// admits is what a guarded command is refused for.
func (a *simAccount) admits(c *simCommand, at account.Time) account.Code {
	switch {
	case !a.live(c, at):
		return account.CodeUnauthenticated
	case a.factors.app != nil && at >= a.factors.elevated[c.session]:
		return account.CodeFactorRequired
	}
	return ""
}

func (a *simAccount) changeFactors(c *simCommand, at account.Time) account.Code {
	f := &a.factors
	if c.kind == "reset factors" {
		if f.app == nil {
			return account.CodeNoChange
		}
		a.factors, a.sessions = simFactors{}, nil
		return ""
	}
	if c.kind == "step up" {
		switch {
		case !a.live(c, at):
			return account.CodeUnauthenticated
		case f.app == nil:
			return account.CodeEnrolmentRequired
		case f.app != c.app || c.step <= a.lastStep():
			return account.CodeFactorRefused
		}
		f.step = c.step
		a.rotate(c, at, at.Add(simElevation))
		return ""
	}
	if code := a.admits(c, at); code != "" {
		return code
	}
	if c.kind == "remove factor" && f.app == nil {
		return account.CodeNotFound
	}
	a.sessions = []*simSession{c.session}
	if c.kind == "remove factor" {
		a.factors = simFactors{}
		a.rotate(c, at, 0)
		return ""
	}
	f.app, f.step = c.app, 0 // which it tells itself
	a.rotate(c, at, at.Add(simElevation))
	return ""
}

// lastStep is that of the last code that was good.
func (a *simAccount) lastStep() uint64 { return max(a.factors.step, a.factors.app.step) }

// rotate puts another session in the place of the command's, which is used by that.
func (a *simAccount) rotate(c *simCommand, at, until account.Time) {
	c.next.created, c.next.expires = c.session.created, c.session.expires
	a.sessions[slices.Index(a.sessions, c.session)], a.used[c.next] = c.next, at
	delete(a.factors.elevated, c.session)
	if until != 0 {
		if a.factors.elevated == nil {
			a.factors.elevated = map[*simSession]account.Time{}
		}
		a.factors.elevated[c.next] = until
	}
}

// matchFactors compares a state's factors with the model's.
func (a *simAccount) matchFactors(state *account.State) error {
	f := state.Factors
	if (f != nil) != (a.factors.app != nil) {
		return fmt.Errorf("the factors are %+v, want some: %t", f, a.factors.app != nil)
	}
	if f != nil && (f.TOTP == nil || f.TOTP.Step != a.lastStep() || len(f.Recovery) != 10 || len(f.Passkeys) != 0) {
		return fmt.Errorf("the factors are %+v, the last step was %d", f, a.lastStep())
	}
	for _, session := range a.sessions {
		want := a.factors.elevated[session]
		if want <= a.updated {
			want = 0
		}
		if got := state.ElevatedUntil(session.hash, a.updated); session.known && got != want {
			return fmt.Errorf("a session is elevated until %s, want %s, of %v", got, want, slices.Collect(maps.Values(a.factors.elevated)))
		}
	}
	return nil
}
