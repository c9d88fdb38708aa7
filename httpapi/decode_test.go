package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// payment is an object with every kind of field there is.
type payment struct {
	amount, most account.Money
	to, notes    string
}

func (p *payment) decode(body string) *Problem {
	return decodeObject([]byte(body),
		money("amount", &p.amount),
		money("most", &p.most).optional(),
		text("to", &p.to, 1, 8),
		text("notes", &p.notes, 0, 5).optional(),
	)
}

func TestAnObjectIsDecodedToTheUnit(t *testing.T) {
	for body, want := range map[string]payment{
		`{"amount":12.5,"to":"x"}`:                                  {amount: 12_5000_0000, to: "x"},
		`{"amount":"12.5","to":"x"}`:                                {amount: 12_5000_0000, to: "x"},
		` { "to" : "x" , "amount" : 0.00000001 } ` + "\n":           {amount: 1, to: "x"},
		`{"amount":92233720368.54775807,"to":"x"}`:                  {amount: account.MaxMoney, to: "x"},
		`{"amount":90071992.54740993,"to":"x"}`:                     {amount: 9007199254740993, to: "x"}, // no float64 is this
		`{"amount":1e2,"to":"x"}`:                                   {amount: 100 * account.Unit, to: "x"},
		`{"amount":1E-8,"to":"x"}`:                                  {amount: 1, to: "x"},
		`{"am\u006funt":"\u0031","to":"\u00e9\ud83d\ude00\""}`:      {amount: account.Unit, to: "é😀\""},
		`{"amount":1,"to":"éééééééé","notes":"","most":2}`:          {amount: account.Unit, to: "éééééééé", most: 2 * account.Unit},
		`{"amount":1,"to":"\\u0000","notes":"a b/c"}`:               {amount: account.Unit, to: `\u0000`, notes: "a b/c"},
		`{"notes":"12345","most":"0.1","to":"12345678","amount":3}`: {amount: 3 * account.Unit, most: account.Unit / 10, to: "12345678", notes: "12345"},
	} {
		var got payment
		if p := got.decode(body); p != nil {
			t.Errorf("%s: %v", body, p)
		} else if got != want {
			t.Errorf("%s: got %+v, want %+v", body, got, want)
		}
	}
}

func TestABadObjectIsRefusedWithTheFieldAndTheReason(t *testing.T) {
	deep := strings.Repeat("[", 60_000)
	for _, c := range []struct{ body, field, detail string }{
		// the shape
		{`null`, "", "object"},
		{`[]`, "", "object"},
		{`[{"amount":1,"to":"x"}]`, "", "object"},
		{`"x"`, "", "object"},
		{`1`, "", "object"},
		{`true`, "", "object"},
		{deep, "", "object"},
		{`{"amount":1,"to":"x"}{}`, "", "end with the JSON object"},
		{`{"amount":1,"to":"x"}1`, "", "end with the JSON object"},
		{`{"amount":1,"to":"x"},`, "", "end with the JSON object"},
		{`{"amount":1,"to":"x"} /**/`, "", "end with the JSON object"},
		{`{"amount":1,"to":"x"}` + "\x00", "", "end with the JSON object"},
		// the syntax, with the offset
		{` `, "", "byte"},
		{`{`, "", "byte"},
		{`{"amount"`, "", "byte 9"},
		{`{"amount":`, "", "byte"},
		{`{"amount":1`, "", "byte 11"},
		{`{"amount":1,`, "", "byte"},
		{`{"amount":1,}`, "", "byte 11"},
		{`{"amount":1 "to":"x"}`, "", "byte 12"},
		{`{"amount" 1}`, "", "byte 10"},
		{`{amount:1}`, "", "byte 1"},
		{`{'amount':1}`, "", "byte 1"},
		{`{1:1}`, "", "byte 1"},
		{`{null:1}`, "", "byte 1"},
		{`{"to":"x` + "\n" + `"}`, "", "byte 8"},
		{`{"to":"\x"}`, "", "byte 7"},
		{`{"to":"\ud800"}`, "", "byte 7"},
		{`{"to":"` + "\xff" + `"}`, "", "byte 7"},
		{"{\"\xc3\":1}", "", "byte 2"},
		{"\xef\xbb\xbf" + `{"amount":1,"to":"x"}`, "", "byte 0"},
		{"\xff\xfe{\x00}\x00", "", "byte 0"},
		{`{"amount":NaN,"to":"x"}`, "", "byte 10"},
		{`{"amount":Infinity,"to":"x"}`, "", "byte 10"},
		{`{"amount":+1,"to":"x"}`, "", "byte 10"},
		{`{"amount":01,"to":"x"}`, "amount", "more than zero"}, // the 0 is read first,
		{`{"amount":.5,"to":"x"}`, "", "byte 10"},
		{`{"amount":0x10,"to":"x"}`, "amount", "more than zero"},
		{`{"amount":nul,"to":"x"}`, "", "byte 13"},
		// the members
		{``, "amount", "missing"},
		{`{}`, "amount", "missing"},
		{`{"to":"x"}`, "amount", "missing"},
		{`{"amount":1}`, "to", "missing"},
		{`{"amount":1,"to":"x","extra":1}`, "extra", "amount, most, to, notes"},
		{`{"Amount":1,"to":"x"}`, "Amount", "not a field of this request"},
		{`{"":1}`, "", "not a field of this request"},
		{`{"amount\u0000":1}`, "amount\x00", "not a field of this request"},
		{`{"` + strings.Repeat("é", 1000) + `":1}`, strings.Repeat("é", 32) + "...", "not a field of this request"},
		{`{"amount":1,"amount":1,"to":"x"}`, "amount", "twice"},
		{`{"amount":1,"am\u006funt":1,"to":"x"}`, "amount", "twice"},
		{`{"amount":1,"to":"x","to":"x"}`, "to", "twice"},
		{`{"amount":1,"to":"x","notes":"","notes":""}`, "notes", "twice"},
		// money
		{`{"amount":null,"to":"x"}`, "amount", "null"},
		{`{"amount":true,"to":"x"}`, "amount", "12.5"},
		{`{"amount":[1],"to":"x"}`, "amount", "12.5"},
		{`{"amount":{"a":1},"to":"x"}`, "amount", "12.5"},
		{`{"amount":` + deep, "amount", "12.5"},
		{`{"amount":0,"to":"x"}`, "amount", "more than zero"},
		{`{"amount":-0,"to":"x"}`, "amount", "more than zero"},
		{`{"amount":-1,"to":"x"}`, "amount", "more than zero"},
		{`{"amount":"-1","to":"x"}`, "amount", "more than zero"},
		{`{"amount":0.000000001,"to":"x"}`, "amount", "8 decimal places"},
		{`{"amount":1.000000000,"to":"x"}`, "amount", "8 decimal places"},
		{`{"amount":1e-9,"to":"x"}`, "amount", "8 decimal places"},
		{`{"amount":92233720368.54775808,"to":"x"}`, "amount", "92233720368.54775807"},
		{`{"amount":1e400,"to":"x"}`, "amount", "92233720368.54775807"},
		{`{"amount":1` + strings.Repeat("0", 1000) + `,"to":"x"}`, "amount", "92233720368.54775807"},
		{`{"amount":"","to":"x"}`, "amount", "12.5"},
		{`{"amount":" 1","to":"x"}`, "amount", "12.5"},
		{`{"amount":"1,5","to":"x"}`, "amount", "12.5"},
		{`{"amount":"+1","to":"x"}`, "amount", "12.5"},
		{`{"amount":"NaN","to":"x"}`, "amount", "12.5"},
		{`{"amount":"0x10","to":"x"}`, "amount", "12.5"},
		{`{"amount":1,"to":"x","most":null}`, "most", "null"},
		// text
		{`{"amount":1,"to":null}`, "to", "null"},
		{`{"amount":1,"to":1}`, "to", "a number"},
		{`{"amount":1,"to":false}`, "to", "a string"},
		{`{"amount":1,"to":["x"]}`, "to", "a string"},
		{`{"amount":1,"to":{}}`, "to", "a string"},
		{`{"amount":1,"to":""}`, "to", "not 0"},
		{`{"amount":1,"to":"123456789"}`, "to", "1 to 8"},
		{`{"amount":1,"to":"x","notes":"123456"}`, "notes", "not 6"},
		{`{"amount":1,"to":"a\nb"}`, "to", "control"},
		{`{"amount":1,"to":"a\u0000b"}`, "to", "control"},
		{`{"amount":1,"to":"a\u007fb"}`, "to", "control"},
		{`{"amount":1,"to":"a\u0085b"}`, "to", "control"},
		{`{"amount":1,"to":"a\u2028b"}`, "to", "control"},
	} {
		var got payment
		p := got.decode(c.body)
		shown := c.body[:min(len(c.body), 80)]
		switch {
		case p == nil:
			t.Errorf("%q: accepted", shown)
		case p.Status != fasthttp.StatusBadRequest || p.Field != c.field || !strings.Contains(p.Detail, c.detail):
			t.Errorf("%q: got %d, field %q, %q; want 400, field %q, %q", shown, p.Status, p.Field, p.Detail, c.field, c.detail)
		case len(p.Detail) > 400:
			t.Errorf("%q: the detail has %d bytes", shown, len(p.Detail))
		}
	}
}

func TestNoBodyIsAnObjectWithoutMembers(t *testing.T) {
	note := "before"
	for _, body := range []string{"", "{}", " {\n} "} {
		if p := decodeObject([]byte(body)); p != nil {
			t.Errorf("%q without fields: %v", body, p)
		}
		if p := decodeObject([]byte(body), text("notes", &note, 0, 5).optional()); p != nil || note != "before" {
			t.Errorf("%q with an optional field: %v, %q", body, p, note)
		}
	}
	if p := decodeObject([]byte(`{"notes":1}`)); p == nil || p.Field != "notes" {
		t.Errorf("a member where none is taken: %v", p)
	}
}

func TestDecodedValuesOutliveTheBody(t *testing.T) {
	body := []byte(`{"amount":1,"to":"wallet"}`)
	var to string
	var amount account.Money
	if p := decodeObject(body, money("amount", &amount), text("to", &to, 1, 10)); p != nil {
		t.Fatal(p)
	}
	clear(body)
	for range 100 { // whatever is reused is used again
		var other string
		if p := decodeObject([]byte(`{"to":"ZZZZZZZZ"}`), text("to", &other, 1, 10)); p != nil {
			t.Fatal(p)
		}
	}
	if to != "wallet" {
		t.Errorf("the text became %q", to)
	}
}

func TestARefusedBodyLeavesNothingForTheNext(t *testing.T) {
	for _, body := range []string{`{"amount":1,"to":[`, `{"amount":`, `{"am`, `{"x":1}`, "\xff"} {
		var p payment
		if p.decode(body) == nil {
			t.Errorf("%q: accepted", body)
		}
		if problem := p.decode(`{"amount":1,"to":"x"}`); problem != nil {
			t.Errorf("after %q: %v", body, problem)
		}
	}
}

func TestABodyMustSayThatItIsJSON(t *testing.T) {
	for contentType, ok := range map[string]bool{
		"application/json":                  true,
		"Application/JSON":                  true,
		"application/json;charset=utf-8":    true,
		"application/json; charset=UTF-8":   true,
		"":                                  false,
		"text/plain":                        false,
		"text/json":                         false,
		"application/jsonp":                 false,
		"application/json-patch+json":       false,
		"application/x-www-form-urlencoded": false,
		"multipart/form-data; boundary=x":   false,
		"application/json; charset=latin1":  false,
		"application/json; charset=utf-16":  false,
		"application/json, text/plain":      false,
	} {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod(fasthttp.MethodPost)
		ctx.Request.Header.SetContentType(contentType)
		p := checkContentType(&ctx, []byte("{}"))
		if (p == nil) != ok || (p != nil && p.Status != fasthttp.StatusUnsupportedMediaType) {
			t.Errorf("%q: got %v, want accepted %t", contentType, p, ok)
		}
		if p := checkContentType(&ctx, nil); p != nil {
			t.Errorf("%q without a body: %v", contentType, p)
		}
	}
}

func TestAQueryIsDecodedStrictly(t *testing.T) {
	type query struct {
		limit, cursor int
		kind, find    string
		from          account.Time
	}
	unset := query{limit: 50}
	with := func(change func(*query)) query {
		q := unset
		change(&q)
		return q
	}
	for _, c := range []struct {
		query string
		field string // at fault, or "-" if none is
		want  query
	}{
		{"", "-", unset},
		{"limit=1", "-", with(func(q *query) { q.limit = 1 })},
		{"limit=500&type=sell", "-", with(func(q *query) { q.limit, q.kind = 500, "sell" })},
		{"cursor=4294967295", "-", with(func(q *query) { q.cursor = math.MaxUint32 })},
		{"find=a%20b%2Bc", "-", with(func(q *query) { q.find = "a b+c" })},
		{"from=1970-01-01T00:00:01Z", "-", with(func(q *query) { q.from = 1_000_000 })},
		{"from=1970-01-01T01:00:01%2B01:00", "-", with(func(q *query) { q.from = 1_000_000 })},
		{"from=1970-01-01T00:00:00.000002Z", "-", with(func(q *query) { q.from = 2 })},
		{"limit=0", "limit", query{}},
		{"limit=501", "limit", query{}},
		{"limit=-1", "limit", query{}},
		{"limit=%2B1", "limit", query{}},
		{"limit=1.0", "limit", query{}},
		{"limit=1e2", "limit", query{}},
		{"limit=0x10", "limit", query{}},
		{"limit=1_0", "limit", query{}},
		{"limit=", "limit", query{}},
		{"limit", "limit", query{}},
		{"limit=%201", "limit", query{}},
		{"limit=99999999999999999999", "limit", query{}},
		{"cursor=4294967296", "cursor", query{}},
		{"limit=1&limit=1", "limit", query{}},
		{"type=buy&type=buy", "type", query{}},
		{"type=Buy", "type", query{}},
		{"type=", "type", query{}},
		{"type=gift", "type", query{}},
		{"Limit=1", "Limit", query{}},
		{"extra=1", "extra", query{}},
		{"limit=1&extra", "extra", query{}},
		{"find=", "find", query{}},
		{"find=123456789", "find", query{}},
		{"find=a%00", "find", query{}},
		{"find=a%0Ab", "find", query{}},
		{"find=%ff", "find", query{}},
		{"from=2026-01-31", "from", query{}},
		{"from=2026-01-31T12:00:00", "from", query{}},
		{"from=2026-02-30T12:00:00Z", "from", query{}},
		{"from=2026-01-31 12:00:00Z", "from", query{}},
		{"from=1769860800", "from", query{}},
		{"from=now", "from", query{}},
	} {
		var args fasthttp.Args
		args.Parse(c.query)
		got := unset
		p := decodeQuery(&args,
			intParam("limit", &got.limit, 1, 500),
			intParam("cursor", &got.cursor, 1, math.MaxUint32),
			enumParam("type", &got.kind, "buy", "sell"),
			textParam("find", &got.find, 1, 8),
			timeParam("from", &got.from),
		)
		switch {
		case c.field == "-" && p != nil:
			t.Errorf("%q: %v", c.query, p)
		case c.field == "-" && got != c.want:
			t.Errorf("%q: got %+v, want %+v", c.query, got, c.want)
		case c.field != "-" && (p == nil || p.Status != fasthttp.StatusBadRequest || p.Field != c.field):
			t.Errorf("%q: got %v, want a 400 for %q", c.query, p, c.field)
		}
	}
}

// FuzzDecodeObject holds the decoder against encoding/json.
func FuzzDecodeObject(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"amount":12.5,"to":"x"}`, `{"amount":"1e2","to":"\ud83d\ude00"}`, `{"amount":1,"amount":1}`,
		`{"am\u006funt":1,"amount":2}`, `{"to":"x","notes":null}`, `{"a":[[[]]]}`, "\xef\xbb\xbf{}", `{"amount":1e-8,"to":"x","most":0.1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got payment
		original := bytes.Clone(body)
		p := got.decode(string(body))
		if !bytes.Equal(body, original) {
			t.Fatal("the body was changed")
		}
		repeated, wellFormed := hasRepeatedName(body)
		if p != nil {
			if p.Status != fasthttp.StatusBadRequest || p.Detail == "" || !json.Valid(p.document("x")) {
				t.Fatalf("%q: a bad refusal: %+v", body, p)
			}
			return
		}
		if repeated || !wellFormed {
			t.Fatalf("%q: accepted; repeated %t, well-formed %t", body, repeated, wellFormed)
		}
		var reference struct {
			Amount, Most any
			To, Notes    string
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&reference); err != nil {
			t.Fatalf("%q: accepted, but encoding/json says %v", body, err)
		}
		if reference.To != got.to || reference.Notes != got.notes {
			t.Fatalf("%q: got %+v, encoding/json %+v", body, got, reference)
		}
		again := appendString(appendMoney([]byte("{"), "amount", got.amount), "to", got.to)
		again = appendString(again, "notes", got.notes)
		if got.most != 0 {
			again = appendMoney(again, "most", got.most)
		}
		var second payment
		if p := second.decode(string(append(again, '}'))); p != nil || second != got {
			t.Fatalf("%q: got %+v, and from its own encoding %q %+v, %v", body, got, again, second, p)
		}
	})
}

// hasRepeatedName says whether the object's own members repeat a name, and whether
// body is one JSON object.
func hasRepeatedName(body []byte) (repeated, wellFormed bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return false, false
	}
	names := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return repeated, false
		}
		s, isString := name.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil || !isString {
			return repeated, false
		}
		repeated = repeated || names[s]
		names[s] = true
	}
	if _, err := d.Token(); err != nil {
		return repeated, false
	}
	_, err := d.Token()
	return repeated, errors.Is(err, io.EOF)
}

func BenchmarkDecodeObject(b *testing.B) {
	body := []byte(`{"amount": 12.5}`)
	b.ReportAllocs()
	for b.Loop() {
		var amount account.Money
		if p := decodeObject(body, money("amount", &amount)); p != nil {
			b.Fatal(p)
		}
	}
}
