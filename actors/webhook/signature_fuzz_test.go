package webhook

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzVerify: a header is accepted if one signature in it is the one that Sign makes of
// the body at its time, but for the case of the digits; whatever else is refused, for one
// of the two reasons.
func FuzzVerify(f *testing.F) {
	at := time.Unix(1_795_600_000, 0)
	one := secrets[:1]
	good := Sign(one, `{"n":1}`, at)
	f.Add(`{"n":1}`, good)
	f.Add(`{"n":1} `, good)
	f.Add(`{"n":1}`, Sign(secrets, `{"n":1}`, at))
	f.Add("", "")
	f.Add(`{"n":1}`, strings.ToUpper(good))
	f.Add(`{"n":1}`, strings.Replace(good, "t=", "t=+", 1))
	f.Add(`.{"n":1}`, strings.Replace(good, "t=", "t=0", 1))
	f.Add(`{"n":1}`, "t=,v1=")
	f.Add(`{"n":1}`, good+",v1=00")
	f.Fuzz(func(t *testing.T, body, header string) {
		want := Sign(one, body, at)
		if err := Verify(one[0], body, want, at.Add(time.Minute), time.Minute); err != nil {
			t.Errorf("%q of %q: %v", want, body, err)
		}
		if err := Verify(one[0], body, want, at.Add(time.Minute+time.Second), time.Minute); !errors.Is(err, ErrTooOld) {
			t.Errorf("%q of %q is not too old: %v", want, body, err)
		}
		if err := Verify(secrets[1], body, want, at, time.Minute); !errors.Is(err, ErrSignature) {
			t.Errorf("another secret's signature of %q: %v", body, err)
		}
		seconds, sum, _ := strings.Cut(want, ",")
		err := Verify(one[0], body, header, at, time.Minute)
		switch {
		case err == nil && !(strings.HasPrefix(header, seconds+",") && strings.Contains(strings.ToLower(header), sum)):
			t.Errorf("%q is taken for %q", header, want)
		case err != nil && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrTooOld):
			t.Errorf("%q: %v", header, err)
		}
	})
}
