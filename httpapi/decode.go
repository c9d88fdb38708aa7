package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// field is one member that a request's JSON object may have, and where it goes.
type field struct {
	name     string
	required bool
	seen     bool
	money    *account.Money
	text     *string
	object   *[]byte
	min, max int // length of text, characters
	breaks   bool
}

// money is a required amount above zero, as a JSON number or a decimal string.
func money(name string, target *account.Money) field {
	return field{name: name, required: true, money: target}
}

// text is a required string of min to max characters.
func text(name string, target *string, min, max int) field {
	return field{name: name, required: true, text: target, min: min, max: max}
}

// object is a required JSON object, which is taken as it is: whoever reads it checks it.
func object(name string, target *[]byte) field {
	return field{name: name, required: true, object: target}
}

// optional returns f as a member that may be missing; its target is then left alone.
func (f field) optional() field {
	f.required = false
	return f
}

// lines returns f as a text that may have line breaks.
func (f field) lines() field {
	f.breaks = true
	return f
}

// jsonReader is what decoding one body takes.
type jsonReader struct {
	bytes   bytes.Reader
	decoder *jsontext.Decoder
}

var jsonReaders = sync.Pool{New: func() any { return &jsonReader{decoder: jsontext.NewDecoder(new(bytes.Reader))} }}

// decodeObject reads body, one JSON object and nothing else, into the fields'
// targets. Members that are unknown, repeated, missing or of another type are
// refused by name. Numbers never pass through a float. Nothing of body is kept. An
// empty body stands for an empty object.
func decodeObject(body []byte, fields ...field) *Problem {
	if len(body) > 0 {
		r := jsonReaders.Get().(*jsonReader)
		defer jsonReaders.Put(r)
		r.bytes.Reset(body)
		r.decoder.Reset(&r.bytes)
		if p := decodeMembers(r.decoder, fields); p != nil {
			return p
		}
	}
	for i := range fields {
		if f := &fields[i]; f.required && !f.seen {
			return badField(f.name, "is missing; give %s", f.wanted())
		}
	}
	return nil
}

func decodeMembers(d *jsontext.Decoder, fields []field) *Problem {
	opening, err := d.ReadToken()
	if err != nil {
		return badJSON(d, err)
	}
	if opening.Kind() != '{' {
		return badRequest("the body must be one JSON object")
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return badJSON(d, err)
		}
		f := findField(fields, name)
		if f == nil {
			return badField(shorten(name.String()), "is not a field of this request; %s", known(fields))
		}
		f.seen = true
		if f.object != nil {
			if kind := d.PeekKind(); kind != '{' && kind != 0 {
				return badField(f.name, "must be %s, not %s", f.wanted(), kindName(kind))
			}
			value, err := d.ReadValue()
			if err != nil {
				return badJSON(d, err)
			}
			*f.object = bytes.Clone(value)
			continue
		}
		// PeekKind comes before ReadToken so that what is nested is refused unread.
		if kind := d.PeekKind(); kind == '{' || kind == '[' {
			return badField(f.name, "must be %s, not an object or array", f.wanted())
		}
		value, err := d.ReadToken()
		if err != nil {
			return badJSON(d, err)
		}
		if p := f.set(value); p != nil {
			return p
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return badJSON(d, err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return badRequest("the body must end with the JSON object")
	}
	return nil
}

func findField(fields []field, name jsontext.Token) *field {
	text := name.String()
	for i := range fields {
		if fields[i].name == text {
			return &fields[i]
		}
	}
	return nil
}

// set stores value in the field's target.
func (f *field) set(value jsontext.Token) *Problem {
	kind := value.Kind()
	if f.money != nil {
		if kind != '0' && kind != '"' {
			return badField(f.name, "must be %s, not %s", f.wanted(), kindName(kind))
		}
		amount, err := account.ParseMoney(value.String())
		if err == nil && amount <= 0 {
			return badField(f.name, "must be more than zero")
		}
		if err != nil {
			return badField(f.name, "%v", err)
		}
		*f.money = amount
		return nil
	}
	if kind != '"' {
		return badField(f.name, "must be %s, not %s", f.wanted(), kindName(kind))
	}
	s := value.String()
	if n := utf8.RuneCountInString(s); n < f.min || n > f.max {
		return badField(f.name, "must be %s, not %d", charactersWanted(f.min, f.max), n)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return isControl(r) && !(f.breaks && r == '\n') }) {
		return badField(f.name, "must have no control characters")
	}
	*f.text = strings.Clone(s)
	return nil
}

// charactersWanted says what length is right.
func charactersWanted(min, max int) string {
	if min == max {
		return fmt.Sprintf("%d characters", min)
	}
	return fmt.Sprintf("%d to %d characters", min, max)
}

func isControl(r rune) bool {
	return r < 0x20 || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029'
}

func (f *field) wanted() string {
	if f.money != nil {
		return "an amount such as 12.5"
	}
	if f.object != nil {
		return "an object"
	}
	return "a string"
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '0':
		return "a number"
	case '[':
		return "an array"
	}
	return "a string"
}

// known lists the fields that a request may have.
func known(fields []field) string {
	if len(fields) == 0 {
		return "it takes none"
	}
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	return "its fields are " + strings.Join(names, ", ")
}

// shorten keeps a name that a stranger made up from filling a response.
func shorten(name string) string {
	const most = 64
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "..."
}

// badJSON says what is wrong with the syntax, and where.
func badJSON(d *jsontext.Decoder, err error) *Problem {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		name := ""
		if errors.As(err, &syntax) {
			name = syntax.JSONPointer.LastToken()
		}
		return badField(shorten(name), "is given twice")
	case errors.As(err, &syntax):
		return badRequest("the body is not valid JSON: %v at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return badRequest("the body is not valid JSON: it ends at byte %d, before the object does", d.InputOffset())
}

// checkContentType refuses a body that does not say that it is JSON.
func checkContentType(ctx *fasthttp.RequestCtx, body []byte) *Problem {
	if len(body) == 0 {
		return nil
	}
	return checkMediaType(ctx, "application/json")
}

// checkMediaType refuses a body that does not say that it is of the type, in UTF-8.
func checkMediaType(ctx *fasthttp.RequestCtx, wanted string) *Problem {
	given := ctx.Request.Header.ContentType()
	mediaType, parameters, _ := bytes.Cut(given, []byte{';'})
	charset := bytes.TrimSpace(parameters)
	if bytes.EqualFold(bytes.TrimSpace(mediaType), []byte(wanted)) &&
		(len(charset) == 0 || bytes.EqualFold(charset, []byte("charset=utf-8"))) {
		return nil
	}
	return &Problem{Status: fasthttp.StatusUnsupportedMediaType, Code: "unsupported_media_type", Title: "Unsupported media type",
		Detail: "the Content-Type must be " + wanted}
}
