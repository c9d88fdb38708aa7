package httpapi

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// param is one parameter that a request's query may have.
type param struct {
	name string
	seen bool
	set  func(value string) (wanted string, ok bool)
}

// decodeQuery reads the query into the parameters' targets; those that are not
// given are left alone. Unknown, repeated and wrong ones are refused by name.
func decodeQuery(args *fasthttp.Args, params ...param) *Problem {
	for key, value := range args.All() {
		p := findParam(params, key)
		switch {
		case p == nil:
			return badField(shorten(strings.ToValidUTF8(string(key), "?")), "is not a parameter of this request; its parameters are %s", paramNames(params))
		case p.seen:
			return badField(p.name, "is given twice")
		}
		p.seen = true
		if wanted, ok := p.set(string(value)); !ok {
			return badField(p.name, "must be %s", wanted)
		}
	}
	return nil
}

func findParam(params []param, name []byte) *param {
	for i := range params {
		if params[i].name == string(name) {
			return &params[i]
		}
	}
	return nil
}

func paramNames(params []param) string {
	names := make([]string, len(params))
	for i := range params {
		names[i] = params[i].name
	}
	return strings.Join(names, ", ")
}

// intParam is a whole number from low to high.
func intParam(name string, target *int, low, high int) param {
	return param{name: name, set: func(s string) (string, bool) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high || s[0] == '+' {
			return "a whole number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high), false
		}
		*target = n
		return "", true
	}}
}

// enumParam is one of a few words.
func enumParam(name string, target *string, words ...string) param {
	return param{name: name, set: func(s string) (string, bool) {
		for _, word := range words {
			if s == word {
				*target = word
				return "", true
			}
		}
		return "one of " + strings.Join(words, ", "), false
	}}
}

// textParam is a text of low to high bytes.
func textParam(name string, target *string, low, high int) param {
	return param{name: name, set: func(s string) (string, bool) {
		if len(s) < low || len(s) > high || !utf8.ValidString(s) || strings.ContainsFunc(s, isControl) {
			return charactersWanted(low, high), false
		}
		*target = s
		return "", true
	}}
}

// timeParam is a time after 1970 in RFC 3339.
func timeParam(name string, target *account.Time) param {
	return param{name: name, set: func(s string) (string, bool) {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || account.TimeOf(t) <= 0 {
			return "a time in RFC 3339, such as 2026-01-31T12:00:00Z", false
		}
		*target = account.TimeOf(t)
		return "", true
	}}
}
