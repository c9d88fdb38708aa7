package secondfactor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/secondfactor/factortest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

type clock struct{ now time.Time }

func newCeremonies(t *testing.T) (*Ceremonies, *clock) {
	t.Helper()
	c := &clock{noon}
	all, err := NewCeremonies("AITBC", []string{"https://exchange.example"}, func() time.Time { return c.now })
	if err != nil {
		t.Fatal(err)
	}
	return all, c
}

// enrolled is a user with a passkey.
func enrolled(t *testing.T, c *Ceremonies) (*User, *factortest.Authenticator) {
	t.Helper()
	u, a := &User{ID: [16]byte{1}, Name: "user_1"}, factortest.New(t, "https://exchange.example", "exchange.example")
	opts, err := c.BeginCreate(u)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.FinishCreate(u, a.Create(t, opts))
	if err != nil {
		t.Fatal(err)
	}
	// What is kept is what the account's event holds.
	stored, err := DecodePasskey(p.Append(nil))
	if err != nil || !reflect.DeepEqual(stored, p) {
		t.Fatalf("%+v is stored as %+v, %v", p, stored, err)
	}
	u.Passkeys = []Passkey{stored}
	return u, a
}

func begin(t *testing.T, f func(*User) ([]byte, error), u *User) []byte {
	t.Helper()
	opts, err := f(u)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(opts, []byte(`"userVerification":"required"`)) {
		t.Errorf("the options do not require that the user is verified: %s", opts)
	}
	return opts
}

func TestAPasskeyIsMadeAndSigns(t *testing.T) {
	c, _ := newCeremonies(t)
	u, a := enrolled(t, c)
	for range 3 {
		which, p, err := c.FinishAssert(u, a.Get(t, begin(t, c.BeginAssert, u)))
		if err != nil {
			t.Fatal(err)
		}
		if which != 0 || p.SignCount != a.Count {
			t.Errorf("passkey %d with count %d, want 0 with %d", which, p.SignCount, a.Count)
		}
		u.Passkeys[which] = p
	}
	if got := u.Passkeys[0].Transports; !reflect.DeepEqual(got, []string{"internal", "hybrid"}) {
		t.Errorf("transports %v", got)
	}
}

func TestASyncedPasskeyCountsNothingAndWorks(t *testing.T) {
	c, _ := newCeremonies(t)
	u, a := enrolled(t, c)
	for range 2 {
		a.Count = ^uint32(0) // get makes it 0
		if _, _, err := c.FinishAssert(u, a.Get(t, begin(t, c.BeginAssert, u))); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsWrongWithAnAssertionIsRefused(t *testing.T) {
	for _, attack := range []struct {
		name   string
		do     func(t *testing.T, c *Ceremonies, now *clock, u *User, a *factortest.Authenticator) []byte
		reason string
	}{
		{"another origin", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			a.Origin = "https://exchange.example.evil.example"
			return a.Get(t, begin(t, c.BeginAssert, u))
		}, "origin"},
		{"another party", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			a.Party = "evil.example"
			return a.Get(t, begin(t, c.BeginAssert, u))
		}, "RP Hash"},
		{"user not verified", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			a.Flags = 1
			return a.Get(t, begin(t, c.BeginAssert, u))
		}, "verif"},
		{"user not present", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			a.Flags = 4
			return a.Get(t, begin(t, c.BeginAssert, u))
		}, "presen"},
		{"another key", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			a.Key = factortest.New(t, "https://exchange.example", "exchange.example").Key
			return a.Get(t, begin(t, c.BeginAssert, u))
		}, "signature"},
		{"another's passkey", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			return factortest.New(t, "https://exchange.example", "exchange.example").Get(t, begin(t, c.BeginAssert, u))
		}, ""},
		{"an old challenge", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			old := a.Get(t, begin(t, c.BeginAssert, u))
			begin(t, c.BeginAssert, u)
			return old
		}, "challenge"},
		{"too late", func(t *testing.T, c *Ceremonies, now *clock, u *User, a *factortest.Authenticator) []byte {
			answer := a.Get(t, begin(t, c.BeginAssert, u))
			now.now = noon.Add(ceremonyLifetime)
			return answer
		}, "no such ceremony"},
		{"never asked", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			answer := a.Get(t, begin(t, c.BeginAssert, u))
			c.FinishAssert(u, []byte("{}"))
			return answer // the challenge is used up by the wrong answer
		}, "no such ceremony"},
		{"an answer to the other ceremony", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			return a.Get(t, begin(t, c.BeginCreate, u))
		}, "no such ceremony"},
		{"a clone", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			_, p, err := c.FinishAssert(u, a.Get(t, begin(t, c.BeginAssert, u)))
			if err != nil {
				t.Fatal(err)
			}
			u.Passkeys[0] = p
			a.Count-- // the copy has not seen the last one
			return a.Get(t, begin(t, c.BeginAssert, u))
		}, "copy"},
		{"not JSON", func(t *testing.T, c *Ceremonies, _ *clock, u *User, a *factortest.Authenticator) []byte {
			begin(t, c.BeginAssert, u)
			return []byte("\xFF")
		}, ""},
	} {
		t.Run(attack.name, func(t *testing.T) {
			c, now := newCeremonies(t)
			u, a := enrolled(t, c)
			_, _, err := c.FinishAssert(u, attack.do(t, c, now, u, a))
			if !errors.Is(err, ErrRefused) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(attack.reason)) {
				t.Errorf("%v, want it refused because of %q", err, attack.reason)
			}
		})
	}
}

func TestAPasskeyIsNotMadeTwiceNorElsewhere(t *testing.T) {
	c, _ := newCeremonies(t)
	u, a := enrolled(t, c)
	if _, err := c.FinishCreate(u, a.Create(t, begin(t, c.BeginCreate, u))); !errors.Is(err, ErrRefused) {
		t.Errorf("made twice: %v", err)
	}
	a = factortest.New(t, "https://exchange.example", "exchange.example")
	a.Origin = "https://evil.example"
	if _, err := c.FinishCreate(u, a.Create(t, begin(t, c.BeginCreate, u))); !errors.Is(err, ErrRefused) {
		t.Errorf("made at another origin: %v", err)
	}
	a = factortest.New(t, "https://exchange.example", "exchange.example")
	a.Flags = 1
	if _, err := c.FinishCreate(u, a.Create(t, begin(t, c.BeginCreate, u))); !errors.Is(err, ErrRefused) {
		t.Errorf("made without verifying the user: %v", err)
	}
	if _, err := c.BeginAssert(&User{ID: [16]byte{2}}); !errors.Is(err, ErrRefused) {
		t.Errorf("a user without passkeys: %v", err)
	}
}

func TestAFullHouseRefusesUntilSomeHaveExpired(t *testing.T) {
	c, now := newCeremonies(t)
	u, a := enrolled(t, c)
	opts := begin(t, c.BeginAssert, u)
	for n := range uint64(maxCeremonies - 1) {
		var id [16]byte
		binary.BigEndian.PutUint64(id[8:], n+1)
		c.underWay.of[asker{user: id}] = pendingEntry[ceremony]{expires: noon.Add(time.Minute)}
	}
	late := &User{ID: [16]byte{9}, Passkeys: u.Passkeys}
	if _, err := c.BeginAssert(late); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	if _, _, err := c.FinishAssert(u, a.Get(t, opts)); err != nil {
		t.Errorf("the flood pushed out a ceremony: %v", err)
	}
	begin(t, c.BeginAssert, u)
	now.now = noon.Add(time.Minute)
	begin(t, c.BeginAssert, late)
	if len(c.underWay.of) != 2 {
		t.Errorf("%d under way, want 2", len(c.underWay.of))
	}
}

// FuzzDecodePasskey: what is read is written as it was.
func FuzzDecodePasskey(f *testing.F) {
	p := Passkey{ID: []byte("id"), PublicKey: bytes.Repeat([]byte{7}, 300), SignCount: 9, Flags: 5, Transports: []string{"usb", "nfc"}}
	f.Add(p.Append(nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePasskey(b)
		if err == nil && !bytes.Equal(p.Append(nil), b) {
			t.Errorf("%x is read as %+v, which is %x", b, p, p.Append(nil))
		}
	})
}
