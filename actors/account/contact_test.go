package account

import (
	"strings"
	"testing"
	"time"
)

// addressed is an account with an address that is not verified.
func addressed(t testing.TB) *Account {
	t.Helper()
	a := opened(t, 0)
	do(t, a, &ChangeProfile{Email: "anna@mail.example"}, start)
	return a
}

func TestAnAddressIsVerifiedByTheCodeThatWasSentToIt(t *testing.T) {
	a := addressed(t)
	refused(t, a, &ConfirmEmail{Code: session(1)}, nil, start, CodeWrongCode)
	do(t, a, &SendEmailCode{Code: session(1), Lifetime: time.Hour}, start)
	if a.VerifiedEmail() != "" {
		t.Error("an address is verified before its code came back")
	}
	shared := a.State
	before := shared.StateHash()
	do(t, a, &ConfirmEmail{Code: session(2)}, start)
	if a.VerifiedEmail() != "" || a.Contact.WrongCodes != 1 {
		t.Errorf("after a wrong code: %+v", a.Contact)
	}
	do(t, a, &ConfirmEmail{Code: session(1)}, start+5)
	if a.VerifiedEmail() != "anna@mail.example" || a.Contact.VerifiedAt != start+5 {
		t.Errorf("after the right code: %+v", a.Contact)
	}
	if shared.StateHash() != before {
		t.Error("a shared state has changed")
	}
	refused(t, a, &ConfirmEmail{Code: session(1)}, nil, start+6, CodeWrongCode) // once
	refused(t, a, &SendEmailCode{Code: session(3), Lifetime: time.Hour}, nil, start.Add(time.Hour), CodeNoChange)

	do(t, a, &ChangeProfile{Username: "anna"}, start+7)
	if a.VerifiedEmail() == "" {
		t.Error("another name takes the address away")
	}
	do(t, a, &ChangeProfile{Email: "eve@evil.example"}, start+8)
	if a.VerifiedEmail() != "" || a.Contact.VerifiedAt != 0 {
		t.Errorf("after another address: %+v", a.Contact)
	}
	do(t, a, &ChangeProfile{Email: "anna@mail.example"}, start+9)
	if a.VerifiedEmail() != "" {
		t.Error("an address that comes back is verified")
	}
}

func TestACodeHoldsForItsAddressItsTimeAndFewTries(t *testing.T) {
	a := addressed(t)
	do(t, a, &SendEmailCode{Code: session(1), Lifetime: time.Hour}, start)
	refused(t, a, &ConfirmEmail{Code: session(1)}, nil, start.Add(time.Hour), CodeWrongCode)
	for range MaxWrongCodes {
		do(t, a, &ConfirmEmail{Code: session(2)}, start)
	}
	refused(t, a, &ConfirmEmail{Code: session(1)}, nil, start, CodeWrongCode)

	a = addressed(t)
	do(t, a, &SendEmailCode{Code: session(1), Lifetime: time.Hour}, start)
	do(t, a, &ChangeProfile{Email: "eve@evil.example"}, start)
	refused(t, a, &ConfirmEmail{Code: session(1)}, nil, start, CodeWrongCode)

	a = addressed(t)
	do(t, a, &SendEmailCode{Code: session(1), Lifetime: time.Hour}, start)
	do(t, a, &SendEmailCode{Code: session(2), Lifetime: time.Hour}, start.Add(EmailCodePause))
	do(t, a, &ConfirmEmail{Code: session(1)}, start.Add(EmailCodePause)) // the last alone
	if a.VerifiedEmail() != "" {
		t.Error("a code that was replaced verifies")
	}
}

func TestCodesAreSentSeldom(t *testing.T) {
	a := addressed(t)
	now := start
	send := &SendEmailCode{Code: session(1), Lifetime: time.Hour}
	for range MaxEmailCodes {
		do(t, a, send, now)
		refused(t, a, send, nil, now.Add(EmailCodePause)-1, CodeTooManyEmails)
		now = now.Add(EmailCodePause)
	}
	refused(t, a, send, nil, start.Add(EmailCodePeriod)-1, CodeTooManyEmails)
	do(t, a, &ChangeProfile{Email: "other@mail.example"}, now)
	refused(t, a, send, nil, now.Add(time.Hour), CodeTooManyEmails) // another address is no way round
	do(t, a, send, start.Add(EmailCodePeriod))
	if len(a.Contact.Codes) != MaxEmailCodes {
		t.Errorf("%d codes are remembered", len(a.Contact.Codes))
	}
}

func TestAnAddressThatNobodyReadsAndASuspendedUserGetNoCode(t *testing.T) {
	a := opened(t, 0)
	if !strings.HasSuffix(a.Email, LocalDomain) {
		t.Fatalf("the address is %s", a.Email)
	}
	send := &SendEmailCode{Code: session(1), Lifetime: time.Hour}
	refused(t, a, send, nil, start, CodeNoEmail)
	a = addressed(t)
	do(t, a, &SetStatus{Status: Suspended, By: "ops", Reason: "r"}, start)
	refused(t, a, send, nil, start, CodeSuspended)
	refused(t, a, &ConfirmEmail{}, nil, start, CodeSuspended)
}
