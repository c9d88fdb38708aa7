package secondfactor

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"pgregory.net/rapid"

	"github.com/aitbc/exchange/actors/secondfactor/factortest"
)

// The test values of RFC 6238, appendix B, for SHA-1: its eight digits' last six.
func TestTheCodesOfRFC6238(t *testing.T) {
	secret := TOTPSecret([]byte("12345678901234567890"))
	for _, v := range []struct {
		unix int64
		code string
	}{{59, "94287082"}, {1111111109, "07081804"}, {1111111111, "14050471"}, {1234567890, "89005924"}, {2000000000, "69279037"}, {20000000000, "65353130"}} {
		step, err := secret.Check(v.code[2:], 0, time.Unix(v.unix, 0))
		if err != nil || step != uint64(v.unix/30) {
			t.Errorf("at %d: step %d, %v", v.unix, step, err)
		}
	}
}

func code(t testing.TB, s TOTPSecret, at time.Time) string {
	t.Helper()
	return factortest.Code(t, s.String(), at)
}

func TestACodeWorksAStepAroundItsTimeAndOnce(t *testing.T) {
	s, err := NewTOTPSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mine := code(t, s, noon)
	for seconds, works := range map[int]bool{-31: false, -30: true, 0: true, 29: true, 59: true, 60: false} {
		if _, err := s.Check(mine, 0, noon.Add(time.Duration(seconds)*time.Second)); works != (err == nil) {
			t.Errorf("%d seconds on: %v", seconds, err)
		}
	}
	step, err := s.Check(mine, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Check(mine, step, noon.Add(time.Second)); !errors.Is(err, ErrRefused) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := s.Check(code(t, s, noon.Add(-30*time.Second)), step, noon); !errors.Is(err, ErrRefused) {
		t.Errorf("an earlier code after a later: %v", err)
	}
	if next, err := s.Check(code(t, s, noon.Add(30*time.Second)), step, noon); err != nil || next != step+1 {
		t.Errorf("the next code: step %d, %v", next, err)
	}
	for _, wrong := range []string{"", "1", "12345", mine + "0", "abcdef", strings.Repeat("1", 1<<16)} {
		if _, err := s.Check(wrong, 0, noon); !errors.Is(err, ErrRefused) {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
}

// Whatever codes come in whatever order, accepted steps only grow.
func TestAcceptedStepsOnlyGrow(t *testing.T) {
	s := TOTPSecret{1}
	rapid.Check(t, func(t *rapid.T) {
		now, last := noon, uint64(0)
		for range 10 {
			now = now.Add(time.Duration(rapid.IntRange(-40, 60).Draw(t, "seconds")) * time.Second)
			c, err := totp.GenerateCode(s.String(), now.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "off"))*30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			step, err := s.Check(c, last, now)
			if err == nil {
				if step <= last {
					t.Fatalf("step %d after %d", step, last)
				}
				last = step
			}
		}
	})
}

func TestTheURLIsReadByTheApps(t *testing.T) {
	s := TOTPSecret([]byte("12345678901234567890"))
	key, err := otp.NewKeyFromURL(s.URL("AITBC Exchange", "user_1 & co"))
	if err != nil {
		t.Fatal(err)
	}
	if key.Secret() != s.String() || key.Issuer() != "AITBC Exchange" || key.AccountName() != "user_1 & co" || key.Period() != 30 || key.Digits() != 6 {
		t.Errorf("%s", key.URL())
	}
	if strings.Contains(key.URL(), "+") { // which apps show as it is
		t.Errorf("%s", key.URL())
	}
}

func TestARecoveryCodeWorksAsPeopleTypeItAndOnce(t *testing.T) {
	codes, hashes, err := NewRecoveryCodes(rand.Reader)
	if err != nil || len(codes) != RecoveryCodes || len(hashes) != RecoveryCodes {
		t.Fatalf("%d codes, %d hashes, %v", len(codes), len(hashes), err)
	}
	seen := map[string]bool{}
	for i, code := range codes {
		if seen[code] {
			t.Errorf("%s twice", code)
		}
		seen[code] = true
		for _, typed := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", " "), strings.ReplaceAll(code, "0", "O"), strings.ReplaceAll(code, "1", "l")} {
			if which, err := CheckRecovery(hashes, typed); err != nil || which != i {
				t.Errorf("%s: %d, %v", typed, which, err)
			}
		}
	}
	left := append(hashes[:3:3], hashes[4:]...)
	if _, err := CheckRecovery(left, codes[3]); !errors.Is(err, ErrRefused) {
		t.Errorf("a second time: %v", err)
	}
	for _, wrong := range []string{"", codes[0][1:], codes[0] + "0", "uuuu-uuuu-uuuu-uuuu", strings.Repeat("0", 1<<16)} {
		if _, err := CheckRecovery(hashes, wrong); !errors.Is(err, ErrRefused) {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
	if _, err := CheckRecovery(nil, codes[0]); !errors.Is(err, ErrRefused) {
		t.Errorf("no code is left: %v", err)
	}
}
