package account

import (
	"errors"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// FuzzParseMoney compares ParseMoney with a slow reader made of a regular
// expression and math/big, for every text.
func FuzzParseMoney(f *testing.F) {
	for _, seed := range []string{
		"", "0", "-0", "1", "12.5", "1e3", "1E+3", "1e-8", "1e-9", "0.000000001e1", "0e400", "1e400", "01", "+1", " 1",
		"1,5", "1.", ".5", "92233720368.54775807", "92233720368.54775808", "-92233720368.54775808",
		"184467440737.09551617", "1.000000000", strings.Repeat("9", 65), "1e18446744073709551616",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseMoney(text)
		if b, errB := ParseMoney([]byte(text)); b != got || errB != err {
			t.Fatalf("%q as bytes is %d, %v; as a string %d, %v", text, b, errB, got, err)
		}
		want, wantErr := slowMoney(text)
		if !errors.Is(err, wantErr) || (wantErr == nil && err != nil) {
			t.Fatalf("%q gives %v, want %v", text, err, wantErr)
		}
		if err != nil {
			if got != 0 {
				t.Fatalf("%q is refused with %v, and yet is %d", text, err, got)
			}
			return
		}
		if want.Cmp(new(big.Rat).SetInt64(int64(got))) != 0 {
			t.Fatalf("%q is %d units, want %s", text, got, want)
		}
		written := got.String()
		if back, err := ParseMoney(written); err != nil || back != got {
			t.Fatalf("%q is written %q, which is read as %d, %v", text, written, back, err)
		}
		if strings.Contains(written, ".") && strings.HasSuffix(written, "0") {
			t.Fatalf("%q is written %q, which could be shorter", text, written)
		}
	})
}

var jsonNumber = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$`)

// slowMoney returns the exact number of base units that text stands for.
func slowMoney(text string) (*big.Rat, error) {
	if len(text) > maxMoneyText {
		return nil, ErrMoneyRange
	}
	parts := jsonNumber.FindStringSubmatch(text)
	if parts == nil {
		return nil, ErrMoneySyntax
	}
	power := 0
	if parts[2] != "" {
		var err error
		if power, err = strconv.Atoi(parts[2]); err != nil || power > maxMoneyPower || power < -maxMoneyPower {
			return nil, ErrMoneyRange
		}
	}
	if len(parts[1])-power > moneyPlaces {
		return nil, ErrMoneyPlaces
	}
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, ErrMoneySyntax
	}
	value.Mul(value, new(big.Rat).SetInt64(int64(Unit)))
	if new(big.Rat).Abs(value).Cmp(new(big.Rat).SetInt64(int64(MaxMoney))) > 0 {
		return nil, ErrMoneyRange
	}
	return value, nil
}
