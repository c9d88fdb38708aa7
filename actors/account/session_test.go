package account

import (
	"slices"
	"testing"
	"time"
)

func hasSession(a *Account, n int, now Time) bool {
	hash := session(n)
	_, live := a.HasSession(&hash, now, 0)
	return live
}

func TestASessionLivesUntilTheMicrosecondOfItsEnd(t *testing.T) {
	a := opened(t, 0)
	end := start.Add(24 * time.Hour)
	for now, want := range map[Time]bool{start: true, end - 1: true, end: false, end + 1: false} {
		if got := hasSession(a, 0, now); got != want {
			t.Errorf("%d µs before its end the session is live: %t, want %t", end-now, got, want)
		}
	}
	if hasSession(a, 1, start) || hasSession(New(testUser), 0, start) {
		t.Error("a session that was never opened is live")
	}
}

func TestTheOldestSessionGoesAtTheLimit(t *testing.T) {
	a := opened(t, 0) // session 0
	for n := 1; n < MaxSessions; n++ {
		do(t, a, login(n, start), start)
	}
	if len(a.Sessions) != MaxSessions || !hasSession(a, 0, start) {
		t.Fatalf("%d sessions are open, the first is live: %t", len(a.Sessions), hasSession(a, 0, start))
	}
	for n := MaxSessions; n < MaxSessions+3; n++ {
		do(t, a, login(n, start), start)
		if len(a.Sessions) != MaxSessions || hasSession(a, n-MaxSessions, start) || !hasSession(a, n-MaxSessions+1, start) || !hasSession(a, n, start) {
			t.Fatalf("after login %d there are %d sessions: %v", n, len(a.Sessions), a.Sessions)
		}
	}
}

func TestALoginDropsTheSessionsThatHaveExpired(t *testing.T) {
	a := opened(t, 0)
	short := login(1, start)
	short.ExpiresAt = start.Add(time.Minute)
	do(t, a, short, start)
	do(t, a, login(2, start), start)

	do(t, a, login(3, start), start.Add(time.Minute)-1)
	if len(a.Sessions) != 4 {
		t.Fatalf("%d sessions one microsecond before the end of one, want 4", len(a.Sessions))
	}
	do(t, a, login(4, start), start.Add(time.Minute))
	if len(a.Sessions) != 4 || hasSession(a, 1, start) {
		t.Fatalf("%d sessions at the end of one, want 4 without it", len(a.Sessions))
	}
	want := []Hash{session(0), session(2), session(3), session(4)}
	for i, s := range a.Sessions {
		if s.Hash != want[i] {
			t.Errorf("session %d is %x, want %x: the oldest comes first", i, s.Hash[:2], want[i][:2])
		}
	}
}

func TestALogoutEndsOneSession(t *testing.T) {
	a := opened(t, 0)
	do(t, a, login(1, start), start)
	published := a.State
	do(t, a, &Logout{Session: session(0)}, start)
	if hasSession(a, 0, start) || !hasSession(a, 1, start) {
		t.Errorf("session 0 is live: %t, session 1: %t", hasSession(a, 0, start), hasSession(a, 1, start))
	}
	before := session(0)
	if _, live := published.HasSession(&before, start, 0); !live {
		t.Error("a copy of the state has lost a session")
	}
	for _, gone := range []int{0, 7} {
		if d := keyed(t, a, &Logout{Session: session(gone)}, nil, start); len(d.Record.Events) != 0 {
			t.Errorf("a logout of a session that is gone has events %+v", d.Record.Events)
		}
	}
	do(t, a, &Logout{Session: session(1)}, start)
	if len(a.Sessions) != 0 {
		t.Errorf("%d sessions are left", len(a.Sessions))
	}
}

func TestAPublishedListOfSessionsIsNeverWritten(t *testing.T) {
	a := opened(t, 0)
	for n := 1; n < 3*MaxSessions; n++ {
		published, showed := a.State, slices.Clone(a.Sessions)
		do(t, a, login(n, start), start)
		if n%3 == 0 {
			do(t, a, &Logout{Session: session(n - 1)}, start)
		}
		if !slices.Equal(published.Sessions, showed) {
			t.Fatalf("login %d changed what was published", n)
		}
	}
}

func TestTheOtherSessionsEndAndTheOneThatAsksStays(t *testing.T) {
	a := opened(t, 0)
	for n := 1; n <= 3; n++ {
		do(t, a, login(n, start), start)
	}
	do(t, a, &EndOtherSessions{Session: session(2)}, start)
	if len(a.Sessions) != 1 || !hasSession(a, 2, start) || hasSession(a, 0, start) || hasSession(a, 3, start) {
		t.Errorf("the sessions left are %v", a.Sessions)
	}
	decision, err := a.Decide(&EndOtherSessions{Session: session(2)}, nil, start)
	if err != nil || len(decision.Record.Events) != 0 {
		t.Errorf("with no other session there is still something to do: %v, %v", decision.Record.Events, err)
	}
}
