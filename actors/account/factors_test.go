package account

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Short names for what a second factor is made of.
func sealed(n byte) []byte             { return []byte{1, n, 0xff} }
func recoveryCode(n byte) RecoveryCode { return RecoveryCode{Salt: [16]byte{n}, Hash: Hash{n, 0xcc}} }
func credential(n byte) []byte         { return []byte{0xa0, n} }

const stepUpTime = 5 * time.Minute

func rotation(from, to int) Rotation {
	return Rotation{Session: session(from), Next: session(to), Lifetime: stepUpTime}
}

// enrolled returns an account with an authenticator app and recovery codes 1 and 2. Its
// session 1 is elevated until start + stepUpTime; session 2 is not.
func enrolled(t rapid.TB) *Account {
	t.Helper()
	a := opened(t, 100*Unit)
	do(t, a, &EnrolTOTP{Rotation: rotation(0, 1), Secret: sealed(1), Step: 10, Recovery: []RecoveryCode{recoveryCode(1), recoveryCode(2)}}, start)
	do(t, a, login(2, start), start)
	return a
}

// soundFactors reports whether f is what Apply may make.
func soundFactors(f *Factors) bool {
	if f == nil {
		return true
	}
	for i := range f.Passkeys {
		if f.passkey(f.Passkeys[i].ID) != i {
			return false
		}
	}
	return (f.TOTP != nil || len(f.Passkeys) > 0) && len(f.Passkeys) <= MaxPasskeys &&
		len(f.Recovery) <= MaxRecoveryCodes && len(f.Elevated) <= MaxSessions
}

// guarded are the commands that a guard stands before.
func guarded(g Guard) map[string]Command {
	return map[string]Command{
		"withdrawal": &Withdraw{Guard: g, Amount: 1, To: "aitbc_00"},
		"sale":       &Sell{Guard: g, Amount: 1, BTC: 1, Address: "bc1q"},
		"e-mail":     &ChangeProfile{Guard: g, Email: "new@example.org"},
	}
}

func TestWhatIsGuardedTakesAnElevatedSession(t *testing.T) {
	const ok Code = ""
	end := start.Add(stepUpTime)
	for _, c := range []struct {
		name    string
		a       *Account
		session int
		asks    Asks
		now     Time
		want    Code
	}{
		{"nobody is asked", enrolled(t), 2, AskNobody, start, ok},
		{"an ended session, of nobody", enrolled(t), 0, AskNobody, start, ok},
		{"no factor, asked of who has one", opened(t, Unit), 0, AskEnrolled, start, ok},
		{"no factor, asked of all", opened(t, Unit), 0, AskAll, start, CodeEnrolmentRequired},
		{"elevated", enrolled(t), 1, AskEnrolled, start, ok},
		{"elevated, asked of all", enrolled(t), 1, AskAll, start, ok},
		{"until its last microsecond", enrolled(t), 1, AskEnrolled, end - 1, ok},
		{"and no longer", enrolled(t), 1, AskEnrolled, end, CodeFactorRequired},
		{"the same user's other session", enrolled(t), 2, AskEnrolled, start, CodeFactorRequired},
		{"the token before the rotation", enrolled(t), 0, AskEnrolled, start, CodeUnauthenticated},
		{"an expired session", enrolled(t), 1, AskEnrolled, start.Add(24 * time.Hour), CodeUnauthenticated},
		{"an expired session without a factor", opened(t, Unit), 0, AskEnrolled, start.Add(24 * time.Hour), CodeUnauthenticated},
	} {
		for what, command := range guarded(Guard{Session: session(c.session), Asks: c.asks}) {
			if c.want != ok {
				refused(t, c.a, command, nil, c.now, c.want)
			} else if _, err := c.a.Decide(command, nil, c.now); err != nil {
				t.Errorf("%s: %s: %v", c.name, what, err)
			}
		}
	}
	// Another username is nobody's business.
	do(t, enrolled(t), &ChangeProfile{Guard: Guard{Session: session(2), Asks: AskAll}, Username: "new"}, start)
}

func TestWhoIsRefusedLearnsWhatToShow(t *testing.T) {
	a := enrolled(t)
	do(t, a, &AddPasskey{Rotation: rotation(1, 3), ID: credential(1), Name: "k", Record: []byte{1}}, start)
	_, err := a.Decide(&Withdraw{Guard: Guard{session(3), AskEnrolled}, Amount: 1, To: "x"}, nil, start.Add(time.Hour))
	var e *Error
	if !errors.As(err, &e) || !slices.Equal(e.Factors.Names(), []string{"totp", "passkey", "recovery_code"}) {
		t.Errorf("%v with %v", err, e.Factors.Names())
	}
	if names := new(Factors).Kinds().Names(); len(names) != 0 {
		t.Errorf("no factor is %v", names)
	}
}

func TestARetryOfWhatWasAcceptedTakesNoFactor(t *testing.T) {
	a := enrolled(t)
	idem := &Idempotency{Key: Key{1}}
	first := keyed(t, a, &Withdraw{Guard: Guard{session(1), AskEnrolled}, Amount: 1, To: "x"}, idem, start)
	again := keyed(t, a, &Withdraw{Guard: Guard{session(1), AskEnrolled}, Amount: 1, To: "x"}, idem, start.Add(time.Hour))
	if !again.Replayed || again.N != first.N {
		t.Errorf("the retry gives %+v, the first gave %+v", again, first)
	}
}

func TestAFactorCountsOnce(t *testing.T) {
	a := enrolled(t)
	refused(t, a, &StepUpByTOTP{rotation(2, 3), sealed(1), 10}, nil, start, CodeFactorRefused) // confirmed the app
	refused(t, a, &StepUpByTOTP{rotation(2, 3), sealed(2), 11}, nil, start, CodeFactorRefused) // of another app
	do(t, a, &StepUpByTOTP{rotation(2, 3), sealed(1), 11}, start)
	for _, step := range []uint64{0, 10, 11} {
		refused(t, a, &StepUpByTOTP{rotation(3, 4), sealed(1), step}, nil, start, CodeFactorRefused)
	}
	do(t, a, &StepUpByTOTP{rotation(3, 4), sealed(1), 12}, start)

	do(t, a, &StepUpByRecovery{rotation(4, 5), recoveryCode(2).Hash}, start)
	refused(t, a, &StepUpByRecovery{rotation(5, 6), recoveryCode(2).Hash}, nil, start, CodeFactorRefused)
	do(t, a, &StepUpByRecovery{rotation(5, 6), recoveryCode(1).Hash}, start)
	refused(t, a, &StepUpByRecovery{rotation(6, 7), recoveryCode(3).Hash}, nil, start, CodeFactorRefused)
	if kinds := a.Factors.Kinds(); kinds != FactorTOTP {
		t.Errorf("left are %v", kinds.Names())
	}

	do(t, a, &AddPasskey{Rotation: rotation(6, 7), ID: credential(1), Record: []byte{1}, Count: 5}, start)
	refused(t, a, &StepUpByPasskey{rotation(7, 8), credential(2), []byte{2}, 9}, nil, start, CodeFactorRefused)
	for _, count := range []uint32{0, 4, 5} {
		refused(t, a, &StepUpByPasskey{rotation(7, 8), credential(1), []byte{2}, count}, nil, start, CodeFactorRefused)
	}
	do(t, a, &StepUpByPasskey{rotation(7, 8), credential(1), []byte{2}, 6}, start+1)
	if p := a.Factors.Passkeys[0]; p.Count != 6 || p.Record[0] != 2 || p.UsedAt != start+1 || p.CreatedAt != start {
		t.Errorf("the passkey is %+v", p)
	}
	do(t, a, &AddPasskey{Rotation: rotation(8, 9), ID: credential(2), Record: []byte{1}}, start+1) // synced: it does not count
	do(t, a, &StepUpByPasskey{rotation(9, 10), credential(2), []byte{2}, 0}, start+1)
	do(t, a, &StepUpByPasskey{rotation(10, 11), credential(2), []byte{2}, 0}, start+1)
}

func TestAStepUpGivesTheSessionAnotherToken(t *testing.T) {
	a := enrolled(t)
	before := a.Sessions[1]
	now := start.Add(time.Minute)
	do(t, a, &StepUpByTOTP{rotation(2, 3), sealed(1), 11}, now)
	after := a.Sessions[1]
	if hasSession(a, 2, now) || !hasSession(a, 3, now) || !hasSession(a, 1, now) {
		t.Errorf("the sessions are %+v", a.Sessions)
	}
	if after.CreatedAt != before.CreatedAt || after.ExpiresAt != before.ExpiresAt || after.UsedAt != now {
		t.Errorf("the session is %+v, was %+v", after, before)
	}
	if got := a.ElevatedUntil(session(3), now); got != now.Add(stepUpTime) {
		t.Errorf("it is elevated until %s", got)
	}
	if a.ElevatedUntil(session(2), now) != 0 || a.ElevatedUntil(session(1), now) == 0 {
		t.Errorf("elevated are %+v", a.Factors.Elevated)
	}
	// Whoever has the old token, or one that is over, steps nothing up.
	refused(t, a, &StepUpByTOTP{rotation(2, 4), sealed(1), 12}, nil, now, CodeUnauthenticated)
	refused(t, a, &StepUpByTOTP{rotation(3, 4), sealed(1), 12}, nil, after.ExpiresAt, CodeUnauthenticated)
	// What is over is forgotten.
	do(t, a, &StepUpByTOTP{rotation(3, 4), sealed(1), 12}, start.Add(time.Hour))
	if len(a.Factors.Elevated) != 1 {
		t.Errorf("elevated are %+v", a.Factors.Elevated)
	}
}

func TestAFactorIsEnrolledAndRemovedByAnElevatedSessionOfWhoHasOne(t *testing.T) {
	changes := func(from, to int) map[string]Command {
		return map[string]Command{
			"another app":    &EnrolTOTP{Rotation: rotation(from, to), Secret: sealed(2), Step: 11},
			"no app":         &RemoveTOTP{rotation(from, to)},
			"a passkey":      &AddPasskey{Rotation: rotation(from, to), ID: credential(2), Record: []byte{1}},
			"no passkey":     &RemovePasskey{rotation(from, to), credential(1)},
			"recovery codes": &SetRecoveryCodes{session(from), []RecoveryCode{recoveryCode(9)}},
		}
	}
	with := func() *Account {
		a := opened(t, Unit)
		do(t, a, &EnrolTOTP{Rotation: rotation(0, 5), Secret: sealed(1), Step: 10, Recovery: []RecoveryCode{recoveryCode(1)}}, start)
		do(t, a, &AddPasskey{Rotation: rotation(5, 1), ID: credential(1), Record: []byte{1}}, start)
		do(t, a, login(2, start), start)
		return a
	}
	for what, c := range changes(2, 3) { // a stolen session, say
		refused(t, with(), c, nil, start, CodeFactorRequired)
		a := with()
		do(t, a, &SetStatus{Status: Suspended, By: "ops", Reason: "r"}, start)
		refused(t, a, c, nil, start, CodeSuspended)
		_ = what
	}
	for what, c := range changes(1, 3) {
		a := with()
		do(t, a, c, start)
		if what == "recovery codes" {
			if !slices.Equal(a.Factors.Recovery, []RecoveryCode{recoveryCode(9)}) || len(a.Sessions) != 2 {
				t.Errorf("%s: %+v, %d sessions", what, a.Factors.Recovery, len(a.Sessions))
			}
			continue
		}
		if len(a.Sessions) != 1 || !hasSession(a, 3, start) || a.ElevatedUntil(session(3), start) == 0 {
			t.Errorf("%s: sessions %+v, elevated %+v", what, a.Sessions, a.Factors.Elevated)
		}
		if !slices.Equal(a.Factors.Recovery, []RecoveryCode{recoveryCode(1)}) {
			t.Errorf("%s: the recovery codes are %+v", what, a.Factors.Recovery)
		}
	}
	// There is nothing to change for who has none.
	for what, want := range map[string]Code{"no app": CodeNotFound, "no passkey": CodeNotFound, "recovery codes": CodeEnrolmentRequired} {
		refused(t, opened(t, 0), changes(0, 1)[what], nil, start, want)
	}
	for _, c := range []Command{&StepUpByTOTP{Rotation: rotation(0, 1)}, &StepUpByPasskey{Rotation: rotation(0, 1)}, &StepUpByRecovery{Rotation: rotation(0, 1)}} {
		refused(t, opened(t, 0), c, nil, start, CodeEnrolmentRequired)
	}
	// A removal lengthens no elevation, a factor that was shown does.
	a, late := with(), start.Add(time.Minute)
	do(t, a, &RemoveTOTP{rotation(1, 3)}, late)
	do(t, a, &AddPasskey{Rotation: rotation(3, 4), ID: credential(2), Record: []byte{1}}, late+1)
	if got := a.ElevatedUntil(session(4), late+1); got != (late + 1).Add(stepUpTime) {
		t.Errorf("elevated until %s", got)
	}
}

func TestWithTheLastFactorGoesAllThatRestsOnIt(t *testing.T) {
	a := enrolled(t)
	do(t, a, &RemoveTOTP{rotation(1, 3)}, start)
	if a.Factors != nil || !hasSession(a, 3, start) || hasSession(a, 2, start) {
		t.Errorf("factors %+v, sessions %+v", a.Factors, a.Sessions)
	}
	refused(t, a, &Withdraw{Guard: Guard{session(3), AskAll}, Amount: 1, To: "x"}, nil, start, CodeEnrolmentRequired)

	a = enrolled(t)
	do(t, a, &ResetFactors{By: "ops", Reason: "lost"}, start)
	if a.Factors != nil || len(a.Sessions) != 0 {
		t.Errorf("factors %+v, sessions %+v", a.Factors, a.Sessions)
	}
	refused(t, a, &ResetFactors{By: "ops", Reason: "lost"}, nil, start, CodeNoChange)
}

func TestPasskeysHaveALimitAndOneEach(t *testing.T) {
	a := enrolled(t)
	for n := range byte(MaxPasskeys) {
		do(t, a, &AddPasskey{Rotation: rotation(int(n)+1, int(n)+2), ID: credential(n), Record: []byte{1}}, start)
	}
	refused(t, a, &AddPasskey{Rotation: rotation(MaxPasskeys+1, 99), ID: credential(99), Record: []byte{1}}, nil, start, CodeTooManyPasskeys)
	refused(t, a, &AddPasskey{Rotation: rotation(MaxPasskeys+1, 99), ID: credential(0), Record: []byte{1}}, nil, start, CodeFactorRefused)
}

func TestAChangeOfFactorsLeavesWhatIsSharedAsItIs(t *testing.T) {
	a := enrolled(t)
	do(t, a, &AddPasskey{Rotation: rotation(1, 3), ID: credential(1), Record: []byte{1}, Count: 1}, start)
	shared := a.State
	before := shared.StateHash()
	next := 3
	for _, c := range []func(r Rotation) Command{
		func(r Rotation) Command { return &StepUpByTOTP{r, sealed(1), 11} },
		func(r Rotation) Command { return &StepUpByPasskey{r, credential(1), []byte{2}, 2} },
		func(r Rotation) Command { return &StepUpByRecovery{r, recoveryCode(1).Hash} },
		func(r Rotation) Command { return &AddPasskey{Rotation: r, ID: credential(2), Record: []byte{1}} },
		func(r Rotation) Command { return &RemovePasskey{r, credential(1)} },
		func(r Rotation) Command { return &EnrolTOTP{Rotation: r, Secret: sealed(2), Step: 1} },
	} {
		do(t, a, c(rotation(next, next+1)), start)
		next++
		if shared.StateHash() != before {
			t.Fatalf("%T changed a state that was shared", c(Rotation{}))
		}
	}
}

func TestFactorEventsThatDoNotFollowAreRefused(t *testing.T) {
	for _, e := range []Event{
		&TOTPUsed{Step: 10}, &PasskeyUsed{ID: credential(1), Record: []byte{1}, Count: 1}, &PasskeyRemoved{ID: credential(1)},
		&RecoveryCodeUsed{Code: Hash{7}}, &SessionRotated{From: session(9), To: session(10)}, &SessionRotated{From: session(1), To: session(2)},
	} {
		a := enrolled(t)
		if err := a.Apply(&Record{User: testUser, Seq: a.Seq + 1, At: start, Events: []Event{e}}); !errors.Is(err, ErrApply) {
			t.Errorf("%#v: %v", e, err)
		}
	}
	for _, e := range []Event{
		&TOTPUsed{Step: 99}, &TOTPRemoved{}, &RecoveryCodesSet{Codes: []RecoveryCode{recoveryCode(1)}}, &SessionRotated{From: session(0), To: session(1), Until: start + 1},
	} {
		a := opened(t, 0)
		if err := a.Apply(&Record{User: testUser, Seq: a.Seq + 1, At: start, Events: []Event{e}}); !errors.Is(err, ErrApply) {
			t.Errorf("without a factor: %#v: %v", e, err)
		}
	}
}

func TestFactorsThatWouldNotBeWrittenAreRefused(t *testing.T) {
	for what, f := range map[string]*Factors{
		"none":                {},
		"recovery alone":      {Recovery: []RecoveryCode{recoveryCode(1)}},
		"a key twice":         {Passkeys: []Passkey{{ID: credential(1), Record: []byte{1}}, {ID: credential(1), Record: []byte{2}}}},
		"too many keys":       {Passkeys: slices.Repeat([]Passkey{{ID: credential(1), Record: []byte{1}}}, MaxPasskeys+1)},
		"too many elevations": {TOTP: &TOTP{Secret: sealed(1)}, Elevated: make([]Elevation, MaxSessions+1)},
	} {
		s := opened(t, 0).State
		s.Factors = f
		if _, err := DecodeState(s.AppendState(nil)); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v, want ErrState", what, err)
		}
	}
}

func someFactors() *Factors {
	return &Factors{
		TOTP:     &TOTP{Secret: sealed(1), Step: 1, EnrolledAt: start},
		Passkeys: []Passkey{{ID: credential(1), Name: "k", Record: []byte{1}, Count: 1, CreatedAt: start, UsedAt: start}},
		Recovery: []RecoveryCode{recoveryCode(1)},
		Elevated: []Elevation{{session(1), start}},
	}
}

// factorChanges has one change for each thing that there is to change.
func factorChanges() map[string]func(*Factors) {
	changes := map[string]func(*Factors){
		"factors":       func(*Factors) {},
		"app":           func(f *Factors) { f.TOTP = nil },
		"sealed secret": func(f *Factors) { f.TOTP.Secret = sealed(2) },
		"credential":    func(f *Factors) { f.Passkeys[0].ID = credential(2) },
		"record":        func(f *Factors) { f.Passkeys[0].Record = []byte{2} },
		"passkeys":      func(f *Factors) { f.Passkeys = nil },
		"recovery":      func(f *Factors) { f.Recovery = nil },
		"elevations":    func(f *Factors) { f.Elevated = nil },
	}
	fields := func(of string, get func(f *Factors) any) {
		kind := reflect.TypeOf(get(someFactors())).Elem()
		for i := range kind.NumField() {
			if kind.Field(i).Type.Kind() == reflect.Slice {
				continue
			}
			changes[of+"."+kind.Field(i).Name] = func(f *Factors) {
				field := reflect.ValueOf(get(f)).Elem().Field(i)
				switch field.Kind() {
				case reflect.Array:
					field.Index(0).SetUint(field.Index(0).Uint() + 1)
				case reflect.String:
					field.SetString("x")
				case reflect.Int64:
					field.SetInt(field.Int() + 1)
				default:
					field.SetUint(field.Uint() + 1)
				}
			}
		}
	}
	fields("TOTP", func(f *Factors) any { return f.TOTP })
	fields("Passkey", func(f *Factors) any { return &f.Passkeys[0] })
	fields("RecoveryCode", func(f *Factors) any { return &f.Recovery[0] })
	fields("Elevation", func(f *Factors) any { return &f.Elevated[0] })
	return changes
}

// stepUp draws a step-up of some session, often one that holds.
func (m *machine) stepUp(t *rapid.T) Command {
	r := m.rotation(t)
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return &StepUpByTOTP{r, sealed(rapid.ByteRange(1, 2).Draw(t, "secret")), rapid.Uint64Range(0, 40).Draw(t, "step")}
	case 1:
		return &StepUpByPasskey{r, credential(rapid.ByteRange(1, 3).Draw(t, "id")), []byte{2}, rapid.Uint32Range(0, 20).Draw(t, "count")}
	}
	return &StepUpByRecovery{r, recoveryCode(rapid.ByteRange(1, 3).Draw(t, "code")).Hash}
}

// changeFactors draws a change of the factors.
func (m *machine) changeFactors(t *rapid.T) Command {
	r, codes := m.rotation(t), []RecoveryCode{recoveryCode(1), recoveryCode(2)}
	id := credential(rapid.ByteRange(1, 3).Draw(t, "id"))
	switch rapid.IntRange(0, 5).Draw(t, "change") {
	case 0:
		return &RemoveTOTP{r}
	case 1:
		return &RemovePasskey{r, id}
	case 2:
		return &SetRecoveryCodes{r.Session, codes}
	case 3:
		return &AddPasskey{Rotation: r, ID: id, Name: "k", Record: []byte{1}, Count: rapid.Uint32Range(0, 3).Draw(t, "count"), Recovery: codes}
	}
	return &EnrolTOTP{Rotation: r, Secret: sealed(rapid.ByteRange(1, 2).Draw(t, "secret")), Step: 1, Recovery: codes}
}

func (m *machine) rotation(t *rapid.T) Rotation {
	from := m.someSession(t)
	m.logins++
	return rotation(from, m.logins)
}
