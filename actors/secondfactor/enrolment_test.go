package secondfactor

import (
	"crypto/rand"
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestAnEnrolmentIsOfOneSessionAndTenMinutes(t *testing.T) {
	now := noon
	all := NewEnrolments(rand.Reader, func() time.Time { return now })
	u := &User{ID: [16]byte{1}, Session: [32]byte{1}}
	thief := &User{ID: [16]byte{1}, Session: [32]byte{2}}
	refused := func(what string, u *User, secret TOTPSecret, want error) {
		t.Helper()
		if _, _, err := all.Check(u, code(t, secret, now)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	begin := func(u *User) TOTPSecret {
		t.Helper()
		secret, err := all.Begin(u)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	refused("never begun", u, TOTPSecret{}, ErrNoEnrolment)
	secret := begin(u)
	refused("another session's", thief, secret, ErrNoEnrolment)
	begin(thief)
	now = now.Add(10*time.Minute - 1)
	for range 2 { // it goes on until it is ended
		got, step, err := all.Check(u, code(t, secret, now))
		if err != nil || got != secret || step != uint64(now.Unix()/30) {
			t.Errorf("%x, step %d, %v", got, step, err)
		}
		refused("a wrong code", u, TOTPSecret{9}, ErrRefused)
	}
	second := begin(u)
	refused("one before the last", u, secret, ErrRefused)
	if _, _, err := all.Check(u, code(t, second, now)); err != nil {
		t.Error(err)
	}
	all.End(u)
	refused("an ended one", u, second, ErrNoEnrolment)
	third := begin(u)
	now = now.Add(10 * time.Minute)
	refused("ten minutes later", u, third, ErrNoEnrolment)
}

func TestPasskeysAreBoundToTheFirstOriginWithADomain(t *testing.T) {
	for _, c := range []struct {
		origins, want []string
	}{
		{[]string{"http://127.0.0.1:8080", "http://localhost:8080"}, []string{"http://localhost:8080"}},
		{[]string{"https://exchange.example", "https://other.example", "https://exchange.example:8443"}, []string{"https://exchange.example", "https://exchange.example:8443"}},
		{[]string{"https://192.0.2.1", "https://[2001:db8::1]:443"}, nil},
		{[]string{"http://:8080"}, nil},
		{[]string{"http://exchange:8080"}, nil},
		{nil, nil},
	} {
		all, err := NewCeremonies("AITBC", c.origins, time.Now)
		if c.want == nil {
			if !errors.Is(err, ErrNoHost) {
				t.Errorf("%v: %v, want ErrNoHost", c.origins, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(all.Origins(), c.want) {
			t.Errorf("%v: %v, want %v", c.origins, err, c.want)
		}
	}
}

func TestACeremonyIsOfTheSessionThatBeganIt(t *testing.T) {
	c, _ := newCeremonies(t)
	u, a := enrolled(t, c)
	opts := begin(t, c.BeginAssert, u)
	thief := &User{ID: u.ID, Session: [32]byte{9}, Name: u.Name, Passkeys: u.Passkeys}
	begin(t, c.BeginAssert, thief) // does not push it out
	answer := a.Get(t, opts)
	if _, _, err := c.FinishAssert(thief, answer); !errors.Is(err, ErrRefused) {
		t.Errorf("another session's answer: %v", err)
	}
	if _, _, err := c.FinishAssert(u, answer); err != nil {
		t.Error(err)
	}
}
