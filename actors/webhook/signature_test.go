package webhook

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestVerify(t *testing.T) {
	const secret, body = "of the tests", `{"n":1}`
	at := time.Unix(1_700_000_000, 0)
	good := Sign([][]byte{[]byte(secret)}, body, at)
	// As openssl dgst -sha256 -hmac "of the tests" has it of 1700000000.{"n":1}
	if want := "t=1700000000,v1=b4d3c88eb991e85c80419d1a4c5f8c159cab84bb0f9a29dc0d7099fd69abad6d"; good != want {
		t.Errorf("signature %s, want %s", good, want)
	}
	rotated := Sign([][]byte{[]byte("another"), []byte(secret)}, body, at)
	for _, c := range []struct {
		name   string
		secret string
		body   string
		header string
		now    time.Time
		want   error
	}{
		{"good", secret, body, good, at.Add(time.Minute), nil},
		{"the second of two", secret, body, rotated, at, nil},
		{"the first of two", "another", body, rotated, at, nil},
		{"of another body", secret, `{"n":2}`, good, at, ErrSignature},
		{"of another secret", "other", body, good, at, ErrSignature},
		{"neither of two", "other", body, rotated, at, ErrSignature},
		{"with another time", secret, body, strings.Replace(good, "t=17", "t=18", 1), at, ErrSignature},
		{"recorded", secret, body, good, at.Add(time.Hour), ErrTooOld},
		{"of the future", secret, body, good, at.Add(-time.Hour), ErrTooOld},
		{"none", secret, body, "", at, ErrSignature},
		{"cut", secret, body, good[:40], at, ErrSignature},
		{"an empty one", secret, body, "t=1700000000,v1=", at, ErrSignature},
	} {
		if err := Verify([]byte(c.secret), c.body, c.header, c.now, 5*time.Minute); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestAFileOfSecretsIsReadOrRefusedWithoutShowingThem(t *testing.T) {
	const a, b = "0123456789abcdef-a", "0123456789abcdef-b"
	got, err := ReadSecrets(strings.NewReader("# until May\n" + a + "\n\n  " + b + "  \n"))
	if err != nil || len(got) != 2 || string(got[0]) != a || string(got[1]) != b {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"", "# none\n", "too-short", strings.Repeat("x", maxSecret+1), strings.Repeat(a+"\n", maxSecrets+1)} {
		if _, err := ReadSecrets(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "too-short") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}
