package actors_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// FuzzAuthenticate looks for a token that is not the one that was given out and
// still lets somebody in.
func FuzzAuthenticate(f *testing.F) {
	log := &memoryLog{}
	w := start(f, log)
	s, token := w.login("aitbc1wallet_fuzzed")
	id := s.UserID()
	forged := base64.RawURLEncoding.EncodeToString(append(id[:], make([]byte, 32)...))
	for _, seed := range []string{token, forged, "", strings.Repeat("A", actors.TokenLength), strings.Repeat("!", actors.TokenLength), token + "A", token[1:], token[:60] + "\r\n" + token[62:]} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		session, ok := w.Authenticate(given)
		if ok != bytes.Equal(given, []byte(token)) {
			t.Fatalf("%q: accepted is %v", given, ok)
		}
		if ok && session.UserID() != id {
			t.Fatalf("%q lets in %s", given, session.UserID())
		}
	})
}

// FuzzCanonicalWallet looks for a wallet whose canonical form is not one.
func FuzzCanonicalWallet(f *testing.F) {
	for _, seed := range []string{
		"aitbc1wallet_abc", "0xAbCdEf0123456789aBcDeF0123456789abcdef01", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
		"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "short", "with-minus-in-it", "ünicode_wallet", "bc1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		wallet, err := actors.CanonicalWallet(given)
		if err != nil {
			return
		}
		if again, err := actors.CanonicalWallet(wallet); err != nil || again != wallet {
			t.Fatalf("%q becomes %q, and that %q, %v", given, wallet, again, err)
		}
		if !strings.EqualFold(given, wallet) || len(wallet) < actors.MinWallet || len(wallet) > actors.MaxWallet {
			t.Fatalf("%q becomes %q", given, wallet)
		}
	})
}

// FuzzParseTransactionID holds the parser to one spelling of an id.
func FuzzParseTransactionID(f *testing.F) {
	for _, seed := range []string{
		"6ba7b8109dad41d180b400c04fd430c8-1", "6BA7B8109DAD41D180B400C04FD430C8-1", "6ba7b8109dad41d180b400c04fd430c8-0",
		"6ba7b8109dad41d180b400c04fd430c8-01", "6ba7b8109dad41d180b400c04fd430c8-4294967295", "6ba7b8109dad41d180b400c04fd430c8-4294967296", "-1", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		id, err := account.ParseTransactionID(given)
		if err == nil && (id.String() != given || id.N == 0) {
			t.Fatalf("%q is read as %s", given, id)
		}
		if err != nil && id != (account.TransactionID{}) {
			t.Fatalf("%q is refused, and read as %s", given, id)
		}
	})
}
