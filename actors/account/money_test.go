package account

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAnAmountIsReadExactlyOrRefused(t *testing.T) {
	sixtyFour := "0." + strings.Repeat("0", maxMoneyText-4) + "e1"
	tests := []struct {
		text string
		want Money
		err  error
	}{
		{"0", 0, nil},
		{"-0", 0, nil},
		{"0.0", 0, nil},
		{"0.00000000", 0, nil},
		{"1", Unit, nil},
		{"12.5", 12_5000_0000, nil},
		{"-12.5", -12_5000_0000, nil},
		{"0.00000001", 1, nil},
		{"-0.00000001", -1, nil},
		{"100", 100 * Unit, nil},
		{"90071992.54740993", 9007199254740993, nil}, // 2^53+1, which no float64 is
		{"92233720368.54775807", MaxMoney, nil},
		{"-92233720368.54775807", -MaxMoney, nil},
		{"9223372036854775807e-8", MaxMoney, nil},

		{"92233720368.54775808", 0, ErrMoneyRange},
		{"-92233720368.54775808", 0, ErrMoneyRange},
		{"92233720369", 0, ErrMoneyRange},
		{"184467440737.09551616", 0, ErrMoneyRange}, // 2^64 units would wrap to 0
		{"184467440737.09551617", 0, ErrMoneyRange}, // and this to 1
		{"340282366920938463463374607431.76821157", 0, ErrMoneyRange},
		{"99999999999999999999999999", 0, ErrMoneyRange},

		{"1e3", 1000 * Unit, nil},
		{"1E3", 1000 * Unit, nil},
		{"1e+3", 1000 * Unit, nil},
		{"1e003", 1000 * Unit, nil},
		{"1e0", Unit, nil},
		{"1e-8", 1, nil},
		{"1.5e-7", 15, nil},
		{"0.000000001e1", 1, nil}, // nine places made eight
		{"0.0000000000000001e8", 1, nil},
		{"1.2345678e1", 12_3456_7800, nil},
		{"0e30", 0, nil},
		{"0e-8", 0, nil},
		{"9e10", 90_000_000_000 * Unit, nil},
		{"1e11", 0, ErrMoneyRange},
		{"1e30", 0, ErrMoneyRange},
		{"1e31", 0, ErrMoneyRange},
		{"1e400", 0, ErrMoneyRange},
		{"0e400", 0, ErrMoneyRange},
		{"1e-400", 0, ErrMoneyRange},
		{"1e99999999999999999999999999", 0, ErrMoneyRange},
		{"1e18446744073709551616", 0, ErrMoneyRange}, // 2^64: a wrapped power would be 0

		{"0.000000001", 0, ErrMoneyPlaces},
		{"1.000000000", 0, ErrMoneyPlaces},
		{"0.000000000", 0, ErrMoneyPlaces},
		{"1e-9", 0, ErrMoneyPlaces},
		{"10e-9", 0, ErrMoneyPlaces},
		{"1.5e-8", 0, ErrMoneyPlaces},
		{"0e-9", 0, ErrMoneyPlaces},
		{"1e-30", 0, ErrMoneyPlaces},
		{sixtyFour, 0, ErrMoneyPlaces},

		{"", 0, ErrMoneySyntax},
		{"-", 0, ErrMoneySyntax},
		{"--1", 0, ErrMoneySyntax},
		{"+1", 0, ErrMoneySyntax},
		{" 1", 0, ErrMoneySyntax},
		{"1 ", 0, ErrMoneySyntax},
		{"1\n", 0, ErrMoneySyntax},
		{"1,5", 0, ErrMoneySyntax},
		{"1_000", 0, ErrMoneySyntax},
		{"01", 0, ErrMoneySyntax},
		{"00", 0, ErrMoneySyntax},
		{"-01", 0, ErrMoneySyntax},
		{"1.", 0, ErrMoneySyntax},
		{"1.e1", 0, ErrMoneySyntax},
		{".5", 0, ErrMoneySyntax},
		{".", 0, ErrMoneySyntax},
		{"1.2.3", 0, ErrMoneySyntax},
		{"1e", 0, ErrMoneySyntax},
		{"1e+", 0, ErrMoneySyntax},
		{"1e1.5", 0, ErrMoneySyntax},
		{"1e400x", 0, ErrMoneySyntax},
		{"e1", 0, ErrMoneySyntax},
		{"0x10", 0, ErrMoneySyntax},
		{"NaN", 0, ErrMoneySyntax},
		{"Infinity", 0, ErrMoneySyntax},
		{"null", 0, ErrMoneySyntax},
		{"١", 0, ErrMoneySyntax}, // a digit, but not one of JSON's
		{"1\x00", 0, ErrMoneySyntax},

		{strings.Repeat("9", maxMoneyText), 0, ErrMoneyRange},
		{strings.Repeat("9", maxMoneyText+1), 0, ErrMoneyRange},
		{"0." + strings.Repeat("0", maxMoneyText-1), 0, ErrMoneyRange}, // 65 characters
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseMoney(tt.text)
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("ParseMoney(%q) = %d, %v; want %d, %v", tt.text, got, err, tt.want, tt.err)
			}
			if b, errB := ParseMoney([]byte(tt.text)); b != got || errB != err {
				t.Errorf("as bytes it is %d, %v; as a string %d, %v", b, errB, got, err)
			}
		})
	}
	if len(sixtyFour) != maxMoneyText {
		t.Errorf("the longest text of the table has %d characters, want %d", len(sixtyFour), maxMoneyText)
	}
}

func TestAnAmountIsWrittenAsTheShortestDecimal(t *testing.T) {
	for m, want := range map[Money]string{
		0:                "0",
		1:                "0.00000001",
		-1:               "-0.00000001",
		10:               "0.0000001",
		Unit - 1:         "0.99999999",
		Unit:             "1",
		-Unit:            "-1",
		Unit + 1:         "1.00000001",
		Unit / 2:         "0.5",
		10 * Unit:        "10",
		12_3456_7800:     "12.345678",
		-12_0500_0000:    "-12.05",
		MaxMoney:         "92233720368.54775807",
		-MaxMoney:        "-92233720368.54775807",
		math.MinInt64:    "-92233720368.54775808",
		100_000 * Unit:   "100000",
		9007199254740993: "90071992.54740993",
	} {
		if got := m.String(); got != want {
			t.Errorf("Money(%d) is written %q, want %q", int64(m), got, want)
		}
		if got := string(m.Append([]byte("x="))); got != "x="+want {
			t.Errorf("Money(%d) is appended as %q, want %q", int64(m), got, "x="+want)
		}
	}
}

func TestASumOrDifferenceOutOfRangeIsSaid(t *testing.T) {
	const least = Money(math.MinInt64)
	tests := []struct {
		a, b     Money
		sum, sub bool
	}{
		{0, 0, true, true},
		{1, -1, true, true},
		{MaxMoney, 0, true, true},
		{MaxMoney, 1, false, true},
		{MaxMoney - 1, 1, true, true},
		{MaxMoney, MaxMoney, false, true},
		{MaxMoney, -1, true, false},
		{MaxMoney, least, true, false},
		{0, least, true, false},
		{-1, least, false, true},
		{least, 0, true, true},
		{least, 1, true, false},
		{least, -1, false, true},
		{least + 1, -1, true, true},
		{least, least, false, true},
		{least, MaxMoney, true, false},
		{-1, MaxMoney, true, true},
		{-2, MaxMoney, true, false},
	}
	for _, tt := range tests {
		if _, ok := tt.a.Add(tt.b); ok != tt.sum {
			t.Errorf("%d + %d is in range: %t, want %t", tt.a, tt.b, ok, tt.sum)
		}
		if _, ok := tt.a.Sub(tt.b); ok != tt.sub {
			t.Errorf("%d - %d is in range: %t, want %t", tt.a, tt.b, ok, tt.sub)
		}
	}
}

func TestSumsAndDifferencesAreThoseOfBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := Money(rapid.Int64().Draw(t, "a")), Money(rapid.Int64().Draw(t, "b"))
		check := func(what string, got Money, ok bool, want *big.Int) {
			if ok != want.IsInt64() || (ok && int64(got) != want.Int64()) {
				t.Fatalf("%d %s %d = %d, %t; want %s", a, what, b, got, ok, want)
			}
		}
		sum, ok := a.Add(b)
		check("+", sum, ok, new(big.Int).Add(bigOf(a), bigOf(b)))
		difference, ok := a.Sub(b)
		check("-", difference, ok, new(big.Int).Sub(bigOf(a), bigOf(b)))
	})
}

func TestAProductIsRoundedTheWayItIsAsked(t *testing.T) {
	tests := []struct {
		m, numerator, denominator Money
		up, down                  Money
	}{
		{0, 5, 3, 0, 0},
		{10, 1, 3, 4, 3},
		{9, 1, 3, 3, 3},
		{1, 1, MaxMoney, 1, 0},
		{MaxMoney, MaxMoney, MaxMoney, MaxMoney, MaxMoney},
		{MaxMoney, 1, 2, MaxMoney/2 + 1, MaxMoney / 2},
		{199, 5000, 1_000_000, 1, 0}, // half a percent of 199 satoshi
		{200, 5000, 1_000_000, 1, 1},
		{201, 5000, 1_000_000, 2, 1},
	}
	for _, tt := range tests {
		if up, ok := tt.m.MulDivUp(tt.numerator, tt.denominator); !ok || up != tt.up {
			t.Errorf("%d*%d/%d rounded up is %d, %t; want %d", tt.m, tt.numerator, tt.denominator, up, ok, tt.up)
		}
		if down, ok := tt.m.MulDivDown(tt.numerator, tt.denominator); !ok || down != tt.down {
			t.Errorf("%d*%d/%d rounded down is %d, %t; want %d", tt.m, tt.numerator, tt.denominator, down, ok, tt.down)
		}
	}
	for _, bad := range [][3]Money{
		{-1, 1, 1}, {1, -1, 1}, {1, 1, -1}, {1, 1, 0}, {0, 0, 0},
		{MaxMoney, 2, 1}, {MaxMoney, MaxMoney, 1}, {MaxMoney, MaxMoney, MaxMoney - 1},
	} {
		if got, ok := bad[0].MulDivUp(bad[1], bad[2]); ok {
			t.Errorf("%d*%d/%d rounded up is %d, want none", bad[0], bad[1], bad[2], got)
		}
		if got, ok := bad[0].MulDivDown(bad[1], bad[2]); ok {
			t.Errorf("%d*%d/%d rounded down is %d, want none", bad[0], bad[1], bad[2], got)
		}
	}
}

// The largest quotient that fits below may leave the range when it is rounded up.
func TestRoundingUpBeyondTheRangeIsSaid(t *testing.T) {
	// MaxMoney + a half: (2*MaxMoney + 1) / 2, with 2*MaxMoney+1 = 3 * 6148914691236517205.
	const third = Money(6148914691236517205)
	if down, ok := third.MulDivDown(3, 2); !ok || down != MaxMoney {
		t.Errorf("rounded down it is %d, %t; want %d", down, ok, MaxMoney)
	}
	if up, ok := third.MulDivUp(3, 2); ok {
		t.Errorf("rounded up it is %d, want none", up)
	}
}

func TestProductsAreThoseOfBigIntegers(t *testing.T) {
	positive := rapid.OneOf(rapid.Int64Min(0), rapid.Int64Range(0, 1_000_000), rapid.Just(int64(Unit)))
	rapid.Check(t, func(t *rapid.T) {
		m := Money(positive.Draw(t, "m"))
		numerator := Money(positive.Draw(t, "numerator"))
		denominator := Money(max(1, positive.Draw(t, "denominator")))
		product := new(big.Int).Mul(bigOf(m), bigOf(numerator))
		down, remainder := product.QuoRem(product, bigOf(denominator), new(big.Int))
		up := new(big.Int).Set(down)
		if remainder.Sign() != 0 {
			up.Add(up, big.NewInt(1))
		}
		if got, ok := m.MulDivDown(numerator, denominator); ok != down.IsInt64() || (ok && int64(got) != down.Int64()) {
			t.Fatalf("down: %d, %t; want %s", got, ok, down)
		}
		if got, ok := m.MulDivUp(numerator, denominator); ok != up.IsInt64() || (ok && int64(got) != up.Int64()) {
			t.Fatalf("up: %d, %t; want %s", got, ok, up)
		}
	})
}

func TestReadingAndWritingAnAmountDoesNotAllocate(t *testing.T) {
	text, buffer := []byte("92233720368.54775807"), make([]byte, 0, 64)
	var m Money
	if n := testing.AllocsPerRun(100, func() { m, _ = ParseMoney(text) }); n != 0 {
		t.Errorf("ParseMoney allocates %v times, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { buffer = m.Append(buffer[:0]) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}

func bigOf(m Money) *big.Int { return big.NewInt(int64(m)) }
