package actors_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/mail/mailtest"
)

// lost is a world with a user whose second factor is lost and whose recovery is under
// way, and a clock that can be set forward.
type lost struct {
	*world
	server *mailtest.Server
	ahead  atomic.Int64
	choose []func(*setup)
	s      *actors.Session
	token  string
	cancel string // the code that stops it, as the mail has it
}

func newLost(t *testing.T, delay time.Duration) *lost {
	t.Helper()
	l := &lost{server: mailtest.Start(t, mailtest.Clear)}
	clock := func(s *setup) {
		s.actors.RecoveryDelay = delay
		s.actors.Now = func() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }
	}
	l.choose = []func(*setup){mailing(t, l.server), withSecrets(t), clock}
	l.world = start(t, &memoryLog{}, l.choose...)
	s, _ := l.login("aitbc1wallet_a")
	l.verify(s, l.server, anna)
	l.enrolled(s)
	l.ahead.Add(int64(time.Hour)) // nobody is elevated any more
	_, l.token = l.login("aitbc1wallet_a")
	l.s = l.session(l.token)
	l.mailed()
	n := len(l.server.Messages())
	if _, _, err := l.StartRecovery(l.s); err != nil {
		t.Fatal(err)
	}
	code := codePattern.FindString(l.server.Wait(n + 1)[n].Text)
	if _, err := l.ConfirmEmail(l.s, code); codeOf(err) != account.CodeWrongCode {
		t.Errorf("a recovery's code verifies an address: %v", err)
	}
	if _, err := l.ConfirmRecovery(l.s, "00000-00000"); codeOf(err) != account.CodeWrongCode {
		t.Errorf("a wrong code: %v", err)
	}
	if _, err := l.ConfirmRecovery(l.s, code); err != nil {
		t.Fatal(err)
	}
	m := l.server.Wait(n + 2)[n+1]
	if l.cancel = codePattern.FindString(m.Text); l.cancel == "" || l.cancel == code || m.To != anna || m.Subject != "AITBC: your second factor will be removed" {
		t.Errorf("%+v", m)
	}
	return l
}

// later restarts the world after a time.
func (l *lost) later(d time.Duration) {
	l.t.Helper()
	l.mailed()
	l.stop()
	l.ahead.Add(int64(d))
	l.world = start(l.t, l.log, l.choose...)
}

// hasSession reports whether the user's session lives.
func (l *lost) hasSession() bool {
	_, live := l.Authenticate([]byte(l.token))
	return live
}

func TestALostFactorIsRemovedAfterDaysOfNotice(t *testing.T) {
	l := newLost(t, 72*time.Hour)
	n := len(l.server.Messages())
	id := l.s.UserID()
	l.later(23 * time.Hour)
	l.later(2 * time.Hour)
	reminder := l.server.Wait(n + 1)[n]
	if reminder.Subject != "AITBC: your second factor will be removed" || codePattern.FindString(reminder.Text) != l.cancel {
		t.Errorf("%+v", reminder)
	}
	l.later(24 * time.Hour)
	l.server.Wait(n + 2)
	if l.state(id).Factors == nil {
		t.Fatal("the factors are gone before their time")
	}
	l.later(24 * time.Hour)
	gone := l.server.Wait(n + 3)[n+2]
	if state := l.state(id); gone.Subject != "AITBC: all second factors were removed" || state.Factors != nil || len(state.Sessions) != 0 || state.Contact.Recovery != nil {
		t.Errorf("%s: %+v, %d sessions", gone.Subject, state.Factors, len(state.Sessions))
	}
	if l.hasSession() {
		t.Error("a session lives on")
	}
	l.later(48 * time.Hour)
	l.mailed()
	if got := len(l.server.Messages()); got != n+3 {
		t.Errorf("%d messages, want %d", got, n+3)
	}
}

func TestALostFactorIsRemovedWhileTheServiceRuns(t *testing.T) {
	l := newLost(t, 300*time.Millisecond)
	deadline := time.After(20 * time.Second)
	for l.hasSession() {
		select {
		case <-deadline:
			t.Fatalf("%+v", l.state(l.s.UserID()).Contact.Recovery)
		case <-time.After(time.Millisecond):
		}
	}
	if l.state(l.s.UserID()).Factors != nil {
		t.Error("the factors are there")
	}
}

func TestWhoeverHasTheMailOrTheFactorStopsARecovery(t *testing.T) {
	l := newLost(t, 72*time.Hour)
	if err := l.CancelRecovery(l.s, ""); codeOf(err) != account.CodeFactorRequired {
		t.Errorf("a session without a factor: %v", err)
	}
	if err := l.CancelRecovery(l.s, "00000-00000"); codeOf(err) != account.CodeWrongCode {
		t.Errorf("a wrong code: %v", err)
	}
	n := len(l.server.Messages())
	if err := l.CancelRecovery(l.s, strings.ToLower(strings.ReplaceAll(l.cancel, "-", " "))); err != nil {
		t.Fatal(err)
	}
	if m := l.server.Wait(n + 1)[n]; m.Subject != "AITBC: the removal of your second factor was stopped" {
		t.Errorf("%+v", m)
	}
	if err := l.CancelRecovery(l.s, l.cancel); codeOf(err) != account.CodeNotFound {
		t.Errorf("twice: %v", err)
	}
	l.later(100 * time.Hour)
	if l.state(l.s.UserID()).Factors == nil {
		t.Error("the factors are gone all the same")
	}

	l = newLost(t, 72*time.Hour)
	if _, err := l.OperatorCancelRecovery(l.s.UserID(), "ops"); err != nil || l.state(l.s.UserID()).Contact.Recovery != nil {
		t.Errorf("an operator: %v", err)
	}
}

func TestARecoveryWithoutAMailServerIsTheOperators(t *testing.T) {
	w := start(t, &memoryLog{}, withSecrets(t))
	s, _ := w.login("aitbc1wallet_a")
	if _, _, err := w.StartRecovery(w.enrolled(s)); !errors.Is(err, actors.ErrMailOff) {
		t.Error(err)
	}
}
