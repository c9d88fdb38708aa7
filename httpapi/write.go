package httpapi

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/aitbc/exchange/actors/account"
)

// The functions of this file append one member to a JSON object that begins with
// '{' and that the caller ends with '}'.

// appendKey writes a member's name. The name is a constant that needs no escape.
func appendKey(b []byte, name string) []byte {
	if n := len(b); n > 0 && b[n-1] != '{' && b[n-1] != '[' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func appendString(b []byte, name, value string) []byte {
	return appendQuoted(appendKey(b, name), value)
}

// appendUserID, appendTransactionID and appendAddress write what needs no escape,
// without making a string of it first.
func appendUserID(b []byte, name string, id account.UserID) []byte {
	return append(id.Append(append(appendKey(b, name), '"')), '"')
}

func appendTransactionID(b []byte, name string, id account.TransactionID) []byte {
	return append(id.Append(append(appendKey(b, name), '"')), '"')
}

func appendAddress(b []byte, name string, id account.UserID) []byte {
	return append(id.AppendAddress(append(appendKey(b, name), '"')), '"')
}

// appendQuoted writes a JSON string; what is not UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, value string) []byte {
	if isPlain(value) {
		b = append(b, '"')
		b = append(b, value...)
		return append(b, '"')
	}
	quoted, err := jsontext.AppendQuote(b, value)
	if err != nil {
		quoted, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(value, "\uFFFD"))
	}
	return quoted
}

// isPlain reports whether value stands in a JSON string as it is, as nearly all do.
func isPlain(value string) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendStringOrNull writes null for an empty string.
func appendStringOrNull(b []byte, name, value string) []byte {
	if value == "" {
		return append(appendKey(b, name), "null"...)
	}
	return appendString(b, name, value)
}

// appendStrings writes an array of strings.
func appendStrings(b []byte, name string, values []string) []byte {
	b = append(appendKey(b, name), '[')
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, value)
	}
	return append(b, ']')
}

func appendUint(b []byte, name string, value uint64) []byte {
	return strconv.AppendUint(appendKey(b, name), value, 10)
}

func appendBool(b []byte, name string, value bool) []byte {
	return strconv.AppendBool(appendKey(b, name), value)
}

func appendMoney(b []byte, name string, value account.Money) []byte {
	return value.Append(appendKey(b, name))
}

// appendTime writes null for the zero time.
func appendTime(b []byte, name string, value account.Time) []byte {
	b = appendKey(b, name)
	if value == 0 {
		return append(b, "null"...)
	}
	return append(value.Append(append(b, '"')), '"')
}

// appendRatio writes numerator/denominator as an exact decimal of at most places
// places, cut off there. The denominator is positive. It writes no name.
func appendRatio(b []byte, numerator, denominator account.Money, places int) []byte {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)
	scaled := scale.Mul(scale, big.NewInt(int64(numerator)))
	digits := scaled.Quo(scaled, big.NewInt(int64(denominator))).String()
	if missing := places + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	whole, part := digits[:len(digits)-places], strings.TrimRight(digits[len(digits)-places:], "0")
	b = append(b, whole...)
	if part != "" {
		b = append(append(b, '.'), part...)
	}
	return b
}
