package httpapi

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// FuzzDecodeQuery holds what is accepted to the limits that the parameters state.
func FuzzDecodeQuery(f *testing.F) {
	for _, seed := range []string{
		"", "limit=50&cursor=7", "limit=0", "limit=1&limit=2", "type=buy&from=2026-01-31T12:00:00Z", "to=1969-12-31T23:59:59Z",
		"find=%C3%A4", "find=%00", "lim%69t=5", "unknown=1", "=", "&&", "limit", "cursor=4294967295", "from=2026-01-31T12:00:00.123456789%2B01:00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		var args fasthttp.Args
		args.Parse(query)
		limit, cursor := 50, 0
		var kind, find string
		var from account.Time
		p := decodeQuery(&args,
			intParam("limit", &limit, 1, 500), intParam("cursor", &cursor, 1, math.MaxUint32),
			enumParam("type", &kind, "buy", "sell"), textParam("find", &find, 1, 20), timeParam("from", &from),
		)
		if p != nil {
			if p.Status != fasthttp.StatusBadRequest || !json.Valid(p.document("x")) {
				t.Fatalf("%q: a bad refusal: %+v", query, p)
			}
			return
		}
		if limit < 1 || limit > 500 || cursor < 0 || cursor > math.MaxUint32 || (kind != "" && kind != "buy" && kind != "sell") || len(find) > 20 || from < 0 {
			t.Fatalf("%q: accepted as limit %d, cursor %d, type %q, find %q, from %d", query, limit, cursor, kind, find, from)
		}
		if args.Len() > 5 {
			t.Fatalf("%q: accepted with %d parameters", query, args.Len())
		}
	})
}

// FuzzReadOperatorKeys looks for a file whose refusal shows a key, and for a key
// that was accepted and does not let its holder in.
func FuzzReadOperatorKeys(f *testing.F) {
	for _, seed := range []string{
		"", "# none\n", "olga:0123456789abcdef", "0123456789abcdef0123", "olga:short", "olga:read:0123456789abcdef", "olga:raed:0123456789abcdef", "olga:operate:short", "olga:0123:456789abcdefgh", "a:0123456789abcdef\nb:fedcba9876543210\r\n",
		"a:0123456789abcdef\na:fedcba9876543210", "bad name:0123456789abcdef", "olga:with spaces in the key", ":0123456789abcdef", strings.Repeat("k", 70_000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		keys, err := ReadOperatorKeys(bytes.NewReader(file))
		if err != nil {
			for line := range strings.Lines(string(file)) {
				_, key, _ := strings.Cut(strings.TrimSpace(line), ":")
				if len(key) >= minOperatorKey && strings.Contains(err.Error(), key) {
					t.Fatalf("%q: the refusal shows a key: %v", file, err)
				}
			}
			return
		}
		if len(keys) == 0 || len(keys) > maxOperatorKeys {
			t.Fatalf("%q: %d keys", file, len(keys))
		}
		for line := range strings.Lines(string(file)) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			name, key, named := strings.Cut(line, ":")
			if !named {
				name, key = "operator", line
			}
			wanted := admin
			for r := reads; r < numRoles; r++ {
				if rest, ok := strings.CutPrefix(key, r.String()+":"); ok {
					key, wanted = rest, r
					break
				}
			}
			if found := findOperator(keys, []byte(key)); found == nil || (found.role != wanted && found.Name == name) {
				t.Fatalf("%q: the key of %q lets nobody in", file, name)
			}
		}
	})
}
