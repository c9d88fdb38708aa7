package account

import (
	"testing"
	"time"
)

const (
	recoveryDelay = 72 * time.Hour
	cancelCode    = "7KQ2M9DXW4"
)

// protected is an account with a verified address, an authenticator app and session 1,
// which is not elevated any more.
func protected(t testing.TB) *Account {
	t.Helper()
	a := addressed(t)
	do(t, a, &SendEmailCode{Code: session(101), Lifetime: time.Hour}, start.Add(-time.Hour))
	do(t, a, &ConfirmEmail{Code: session(101)}, start)
	do(t, a, &EnrolTOTP{Rotation: rotation(0, 1), Secret: sealed(1), Step: 7, Recovery: []RecoveryCode{recoveryCode(1)}}, start)
	return a
}

// recovering is protected with a recovery under way, since start.
func recovering(t testing.TB) *Account {
	t.Helper()
	a := protected(t)
	now := start.Add(EmailCodePause)
	do(t, a, &StartRecovery{Code: session(102), Lifetime: time.Hour}, now)
	do(t, a, &ConfirmRecovery{Code: session(102), Delay: recoveryDelay, Cancel: cancelCode}, now)
	return a
}

func TestALostFactorGoesAfterItsDelay(t *testing.T) {
	a := recovering(t)
	r := a.Contact.Recovery
	if r == nil || r.Until != r.RequestedAt.Add(recoveryDelay) || a.Factors == nil || a.Contact.CodeFor != "" {
		t.Fatalf("%+v, %+v", a.Contact, r)
	}
	refused(t, a, &StartRecovery{Code: session(103), Lifetime: time.Hour}, nil, r.RequestedAt.Add(time.Hour), CodeNoChange)
	nothing(t, a, &RemindRecovery{})
	nothing(t, a, &CompleteRecovery{})
	now := r.RequestedAt.Add(ReminderInterval)
	do(t, a, &RemindRecovery{}, now)
	nothing(t, a, &RemindRecovery{})
	if d, err := a.Decide(&CompleteRecovery{}, nil, r.Until-1); err != nil || len(d.Record.Events) != 0 {
		t.Errorf("too early: %+v, %v", d, err)
	}
	do(t, a, &SetStatus{Status: Suspended, By: "ops", Reason: "a check"}, now)
	refused(t, a, &CompleteRecovery{}, nil, r.Until, CodeSuspended)
	do(t, a, &SetStatus{Status: Active, By: "ops", Reason: "cleared"}, now)
	do(t, a, &CompleteRecovery{}, r.Until)
	if a.Factors != nil || len(a.Sessions) != 0 || a.Contact.Recovery != nil || a.VerifiedEmail() == "" {
		t.Errorf("%+v, %+v, %d sessions", a.Factors, a.Contact, len(a.Sessions))
	}
	nothing(t, a, &CompleteRecovery{})
}

func TestARecoveryIsStoppedByAFactorACodeOrAnOperator(t *testing.T) {
	for by, c := range map[string]*CancelRecovery{
		"code": {Session: session(1), Code: cancelCode}, "ops": {By: "ops"},
	} {
		a := recovering(t)
		do(t, a, c, start.Add(time.Hour))
		if a.Contact.Recovery != nil || a.Factors == nil {
			t.Errorf("%s: %+v", by, a.Contact)
		}
		refused(t, a, c, nil, start.Add(time.Hour), CodeNotFound)
	}
	a := recovering(t)
	late := start.Add(time.Hour) // no session is elevated any more
	refused(t, a, &CancelRecovery{Session: session(1)}, nil, late, CodeFactorRequired)
	refused(t, a, &CancelRecovery{Session: session(1), Code: "0000000000"}, nil, late, CodeWrongCode)
	refused(t, a, &CancelRecovery{Session: session(99)}, nil, late, CodeUnauthenticated)
	do(t, a, &StepUpByTOTP{Rotation: rotation(1, 2), Secret: sealed(1), Step: 9}, late)
	do(t, a, &CancelRecovery{Session: session(2)}, late)
	if a.Contact.Recovery != nil {
		t.Error("an elevated session stops nothing")
	}

	a = recovering(t)
	do(t, a, &ChangeProfile{Email: "other@mail.example"}, late)
	if a.Contact.Recovery != nil {
		t.Error("another address leaves the recovery under way")
	}
	a = recovering(t)
	do(t, a, &ResetFactors{By: "ops", Reason: "r"}, late)
	if a.Contact.Recovery != nil {
		t.Error("a reset leaves the recovery under way")
	}
}

func TestARecoveryTakesAFactorAnAddressAndTheRightCode(t *testing.T) {
	now := start.Add(EmailCodePause)
	begin := &StartRecovery{Code: session(102), Lifetime: time.Hour}
	refused(t, addressed(t), begin, nil, now, CodeNoChange) // there is no factor
	a := protected(t)
	a.emailChanged()
	refused(t, a, begin, nil, now, CodeNoEmail)
	a = protected(t)
	confirm := &ConfirmRecovery{Code: session(102), Delay: recoveryDelay, Cancel: cancelCode}
	refused(t, a, confirm, nil, now, CodeWrongCode)
	do(t, a, begin, now)
	refused(t, a, begin, nil, now, CodeTooManyEmails)
	for range MaxWrongCodes {
		do(t, a, &ConfirmRecovery{Code: session(7), Delay: recoveryDelay, Cancel: cancelCode}, now)
	}
	refused(t, a, confirm, nil, now, CodeWrongCode)
	if a.Contact.Recovery != nil {
		t.Error("a wrong code begins a recovery")
	}
}
