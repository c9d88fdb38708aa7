package account

import (
	"errors"
	"math"
	"math/bits"
)

// Money is an exact amount in base units: 1 AITBC = 10^8 units, and where a
// field says BTC, 1 BTC = 10^8 satoshi. The sign is meaningful only in
// differences; amounts in commands and events are positive.
type Money int64

const (
	// Unit is one whole AITBC (or BTC) in base units.
	Unit Money = 100_000_000
	// MaxMoney is the largest amount that can be held.
	MaxMoney Money = math.MaxInt64

	moneyPlaces   = 8
	maxMoneyText  = 64 // longest accepted text, bytes
	maxMoneyPower = 30 // largest accepted exponent, either way
)

// What is wrong with the text of an amount.
var (
	ErrMoneySyntax = errors.New("must be a decimal number such as 12.5")
	ErrMoneyPlaces = errors.New("must have at most 8 decimal places")
	ErrMoneyRange  = errors.New("must be at most 92233720368.54775807")
)

// ParseMoney reads an exact decimal in the grammar of a JSON number (RFC 8259,
// section 6). It never rounds: more than 8 decimal places, counted after the
// exponent is applied, are ErrMoneyPlaces even when they are zeros.
func ParseMoney[T string | []byte](s T) (Money, error) {
	if len(s) > maxMoneyText {
		return 0, ErrMoneyRange
	}
	i, negative := 0, false
	if i < len(s) && s[i] == '-' {
		negative = true
		i++
	}
	var digits uint64
	overflow := false
	push := func(c byte) {
		hi, lo := bits.Mul64(digits, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		overflow = overflow || hi != 0 || carry != 0
		digits = sum
	}

	start := i
	for i < len(s) && isDigit(s[i]) {
		push(s[i])
		i++
	}
	if i == start || (s[start] == '0' && i > start+1) {
		return 0, ErrMoneySyntax
	}
	places := 0
	if i < len(s) && s[i] == '.' {
		i++
		start = i
		for i < len(s) && isDigit(s[i]) {
			push(s[i])
			i++
		}
		if places = i - start; places == 0 {
			return 0, ErrMoneySyntax
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		sign := 1
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			if s[i] == '-' {
				sign = -1
			}
			i++
		}
		power := 0
		start = i
		for i < len(s) && isDigit(s[i]) {
			power = min(power*10+int(s[i]-'0'), maxMoneyPower+1)
			i++
		}
		if i == start {
			return 0, ErrMoneySyntax
		}
		if i == len(s) && power > maxMoneyPower {
			return 0, ErrMoneyRange
		}
		places -= sign * power
	}
	if i != len(s) {
		return 0, ErrMoneySyntax
	}
	if places > moneyPlaces {
		return 0, ErrMoneyPlaces
	}
	for ; places < moneyPlaces && digits != 0; places++ {
		push('0')
	}
	if overflow || digits > math.MaxInt64 {
		return 0, ErrMoneyRange
	}
	if negative {
		return -Money(digits), nil
	}
	return Money(digits), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Append writes m as the shortest exact decimal, which is also a JSON number.
func (m Money) Append(dst []byte) []byte {
	u := uint64(m)
	if m < 0 {
		dst = append(dst, '-')
		u = -u
	}
	var text [24]byte
	i := len(text)
	fraction, whole := u%uint64(Unit), u/uint64(Unit)
	if fraction != 0 {
		n := moneyPlaces
		for fraction%10 == 0 {
			fraction /= 10
			n--
		}
		for ; n > 0; n-- {
			i--
			text[i] = byte('0' + fraction%10)
			fraction /= 10
		}
		i--
		text[i] = '.'
	}
	for {
		i--
		text[i] = byte('0' + whole%10)
		if whole /= 10; whole == 0 {
			break
		}
	}
	return append(dst, text[i:]...)
}

// String returns m as Append writes it.
func (m Money) String() string { return string(m.Append(nil)) }

// Add returns m+n, and false where that leaves the range of an int64.
func (m Money) Add(n Money) (Money, bool) {
	sum := m + n
	return sum, (sum > m) == (n > 0)
}

// Sub returns m-n, and false where that leaves the range of an int64.
func (m Money) Sub(n Money) (Money, bool) {
	difference := m - n
	return difference, (difference < m) == (n > 0)
}

// MulDivUp returns m*numerator/denominator rounded up, in exact 128-bit
// arithmetic, and false on overflow. All three must be positive or zero, the
// denominator positive.
func (m Money) MulDivUp(numerator, denominator Money) (Money, bool) {
	quotient, remainder, ok := m.mulDiv(numerator, denominator)
	if !ok || remainder == 0 {
		return quotient, ok
	}
	return quotient.Add(1)
}

// MulDivDown is MulDivUp rounded down.
func (m Money) MulDivDown(numerator, denominator Money) (Money, bool) {
	quotient, _, ok := m.mulDiv(numerator, denominator)
	return quotient, ok
}

func (m Money) mulDiv(numerator, denominator Money) (quotient Money, remainder uint64, ok bool) {
	if m < 0 || numerator < 0 || denominator <= 0 {
		return 0, 0, false
	}
	hi, lo := bits.Mul64(uint64(m), uint64(numerator))
	if hi >= uint64(denominator) {
		return 0, 0, false
	}
	q, r := bits.Div64(hi, lo, uint64(denominator))
	return Money(q), r, q <= math.MaxInt64
}
