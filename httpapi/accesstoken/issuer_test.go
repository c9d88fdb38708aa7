package accesstoken

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const (
	issuer   = "https://exchange.example"
	audience = "https://reports.example"
	day      = 24 * time.Hour
)

type clock struct{ now time.Time }

func open(t testing.TB, c *clock, file string) *Issuer {
	t.Helper()
	i, err := Open(Config{File: file, Issuer: issuer, Random: rand.Reader, Now: func() time.Time { return c.now }})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newIssuer(t testing.TB) (*Issuer, *clock, string) {
	t.Helper()
	c, file := &clock{noon}, filepath.Join(t.TempDir(), "keys.json")
	return open(t, c, file), c, file
}

func issue(t testing.TB, i *Issuer) string {
	t.Helper()
	token, _, err := i.Issue("user", audience)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenIsValidForItsAudienceAndTime(t *testing.T) {
	i, c, file := newIssuer(t)
	token, made, err := i.Issue("user", audience)
	if err != nil {
		t.Fatal(err)
	}
	got, err := i.Verify(token, audience)
	if err != nil || !got.ExpiresAt.Equal(made.ExpiresAt) || got.Subject != "user" || got.ID != made.ID || len(got.ID) != 32 {
		t.Errorf("%+v, %v, want %+v", got, err, made)
	}
	if _, err := open(t, c, file).Verify(token, audience); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := i.Verify(token, "https://other.example"); !errors.Is(err, ErrInvalid) {
		t.Errorf("for another audience: %v", err)
	}
	for at, valid := range map[time.Duration]bool{-time.Second: false, 0: true, 5*time.Minute - 1: true, 5 * time.Minute: false} {
		c.now = noon.Add(at)
		if _, err := i.Verify(token, audience); valid != (err == nil) {
			t.Errorf("after %s: %v", at, err)
		}
	}
}

// The key set alone, read as any service would, is enough to check a token.
func TestTheKeySetVerifiesATokenElsewhere(t *testing.T) {
	i, _, _ := newIssuer(t)
	var set struct {
		Keys []struct{ Kty, Crv, X, Kid, Use, Alg string }
	}
	if err := json.Unmarshal(i.KeySet(), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", i.KeySet(), err)
	}
	k := set.Keys[0]
	public, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil || k.Kty != "OKP" || k.Crv != "Ed25519" || k.Use != "sig" || k.Alg != "EdDSA" {
		t.Fatalf("%+v: %v", k, err)
	}
	token := issue(t, i)
	cut := strings.LastIndex(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil || !ed25519.Verify(public, []byte(token[:cut]), signature) {
		t.Errorf("the signature does not hold: %v", err)
	}
	header, err := base64.RawURLEncoding.DecodeString(token[:strings.Index(token, ".")])
	if err != nil || !strings.Contains(string(header), `"kid":"`+k.Kid+`"`) {
		t.Errorf("header %s, %v", header, err)
	}
}

// The key of RFC 8037, appendix A.
func TestAThumbprintIsThatOfRFC8037(t *testing.T) {
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	k := key{Seed: seed, private: ed25519.NewKeyFromSeed(seed)}
	if got := k.thumbprint(); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("%s", got)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	i, _, _ := newIssuer(t)
	signer := i.signer(noon)
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"iss": issuer, "sub": "user", "aud": audience, "jti": "1", "iat": noon.Unix(), "nbf": noon.Unix(), "exp": noon.Add(time.Minute).Unix()}
		if change != nil {
			change(c)
		}
		return c
	}
	sign := func(method jwt.SigningMethod, header map[string]any, c jwt.MapClaims, key any) string {
		t.Helper()
		token := jwt.NewWithClaims(method, c)
		token.Header["kid"], token.Header["typ"] = signer.ID, tokenType
		for name, value := range header {
			if value == nil {
				delete(token.Header, name)
			} else {
				token.Header[name] = value
			}
		}
		s, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	eddsa := func(header map[string]any, change func(jwt.MapClaims)) string {
		t.Helper()
		return sign(jwt.SigningMethodEdDSA, header, claims(change), signer.private)
	}
	if _, err := i.Verify(eddsa(nil, nil), audience); err != nil {
		t.Fatalf("what the forgeries are made from is refused itself: %v", err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := []byte(signer.private.Public().(ed25519.PublicKey))
	good := issue(t, i)
	for name, token := range map[string]string{
		"empty":                  "",
		"garbage":                "a.b.c",
		"no signature":           good[:strings.LastIndex(good, ".")+1],
		"truncated":              good[:len(good)-1],
		"alg none":               sign(jwt.SigningMethodNone, nil, claims(nil), jwt.UnsafeAllowNoneSignatureType),
		"HMAC by the public key": sign(jwt.SigningMethodHS256, nil, claims(nil), public),
		"another key":            sign(jwt.SigningMethodEdDSA, nil, claims(nil), other),
		"a key brought along":    sign(jwt.SigningMethodEdDSA, map[string]any{"kid": "x", "jwk": map[string]any{"kty": "OKP"}}, claims(nil), other),
		"unknown kid":            eddsa(map[string]any{"kid": "x"}, nil),
		"no kid":                 eddsa(map[string]any{"kid": nil}, nil),
		"kid that is a number":   eddsa(map[string]any{"kid": 1}, nil),
		"another type":           eddsa(map[string]any{"typ": "JWT"}, nil),
		"another issuer":         eddsa(nil, func(c jwt.MapClaims) { c["iss"] = "https://evil.example" }),
		"no issuer":              eddsa(nil, func(c jwt.MapClaims) { delete(c, "iss") }),
		"another audience":       eddsa(nil, func(c jwt.MapClaims) { c["aud"] = "https://evil.example" }),
		"two audiences":          eddsa(nil, func(c jwt.MapClaims) { c["aud"] = []string{audience, "https://evil.example"} }),
		"no audience":            eddsa(nil, func(c jwt.MapClaims) { delete(c, "aud") }),
		"no subject":             eddsa(nil, func(c jwt.MapClaims) { delete(c, "sub") }),
		"no expiry":              eddsa(nil, func(c jwt.MapClaims) { delete(c, "exp") }),
		"expired":                eddsa(nil, func(c jwt.MapClaims) { c["exp"] = noon.Unix() }),
		"no start":               eddsa(nil, func(c jwt.MapClaims) { delete(c, "nbf") }),
		"not valid yet":          eddsa(nil, func(c jwt.MapClaims) { c["nbf"] = noon.Unix() + 1 }),
		"issued in the future":   eddsa(nil, func(c jwt.MapClaims) { c["iat"] = noon.Unix() + 1 }),
		"times that are words":   eddsa(nil, func(c jwt.MapClaims) { c["exp"] = "tomorrow" }),
		"much too long":          good + strings.Repeat("A", maxToken),
	} {
		if got, err := i.Verify(token, audience); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A year of hourly rotations: every token is valid while it lives, its key was
// published a day before it signed, and no more than three keys are kept.
func TestRotationNeverBreaksATokenNorSurprisesAService(t *testing.T) {
	i, c, file := newIssuer(t)
	published := map[string]time.Time{} // first seen in the key set
	var signers []string
	for hour := range 365 * 24 {
		c.now = noon.Add(time.Duration(hour) * time.Hour)
		if err := i.Rotate(); err != nil {
			t.Fatal(err)
		}
		if len(i.keys) > 3 {
			t.Fatalf("%d keys after %d hours", len(i.keys), hour)
		}
		for n := range i.keys {
			if _, seen := published[i.keys[n].ID]; !seen {
				published[i.keys[n].ID] = c.now
			}
		}
		id := i.signer(c.now).ID
		if len(signers) == 0 || signers[len(signers)-1] != id {
			if len(signers) > 0 && c.now.Sub(published[id]) < 23*time.Hour {
				t.Errorf("a key signs %s after it was published", c.now.Sub(published[id]))
			}
			signers = append(signers, id)
		}
		if hour%17 != 0 {
			continue
		}
		token := issue(t, i)
		c.now = c.now.Add(5*time.Minute - time.Second)
		if err := i.Rotate(); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Verify(token, audience); err != nil {
			t.Fatalf("hour %d: %v", hour, err)
		}
	}
	if len(signers) < 12 || len(signers) > 13 {
		t.Errorf("%d keys signed in a year, want 12 or 13", len(signers))
	}
	// After a long stop the old key signs until the new one has been published a day.
	old := i.signer(c.now).ID
	c.now = c.now.Add(90 * day)
	j := open(t, c, file)
	if j.signer(c.now).ID != i.keys[len(i.keys)-1].ID && j.signer(c.now).ID != old {
		t.Error("a key that nobody knows signs at once")
	}
	next := j.keys[len(j.keys)-1]
	if next.SignsFrom.Sub(c.now) < day-time.Second {
		t.Errorf("the next key signs in %s", next.SignsFrom.Sub(c.now))
	}
}

func TestTheKeyFileIsItsOwnersAlone(t *testing.T) {
	_, c, file := newIssuer(t)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{File: file, Issuer: issuer, Random: rand.Reader, Now: func() time.Time { return c.now }}); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("a file that others may read: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}

func TestADamagedKeyFileIsRefusedAndLeft(t *testing.T) {
	i, c, file := newIssuer(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seed := base64.StdEncoding.EncodeToString(i.keys[0].Seed)
	for name, damaged := range map[string]string{
		"empty":        "",
		"cut off":      string(whole[:len(whole)/2]),
		"no keys":      `{"version":1,"keys":[]}`,
		"version 2":    strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1),
		"another seed": strings.Replace(string(whole), seed[:4], "AAAA", 1),
	} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{File: file, Issuer: issuer, Random: rand.Reader, Now: func() time.Time { return c.now }})
		if err == nil || strings.Contains(err.Error(), seed[:8]) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(file); string(after) != damaged {
			t.Errorf("%s: the file was written to", name)
		}
	}
}

func TestAFailedRotationKeepsTheKeys(t *testing.T) {
	i, c, file := newIssuer(t)
	if err := os.Rename(filepath.Dir(file), filepath.Dir(file)+".gone"); err != nil {
		t.Fatal(err)
	}
	c.now = noon.Add(29 * day)
	if err := i.Rotate(); err == nil {
		t.Fatal("the directory is gone, and the rotation succeeded")
	}
	if _, err := i.Verify(issue(t, i), audience); err != nil {
		t.Error(err)
	}
	if len(i.keys) != 1 {
		t.Errorf("%d keys, of which one is in no file", len(i.keys))
	}
}

func FuzzVerify(f *testing.F) {
	c := &clock{noon}
	i := open(f, c, filepath.Join(f.TempDir(), "keys.json"))
	f.Add("a.b.c")
	f.Add(issue(f, i))
	own := issue(f, i)
	f.Fuzz(func(t *testing.T, token string) {
		if got, err := i.Verify(token, "https://nobody.example"); err == nil {
			t.Errorf("%q is %+v", token, got)
		}
		i.Verify(own+token, audience)
	})
}

func FuzzDecodeKeys(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"kid":"x","seed":"","signs_from":"2026-11-25T12:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if keys, err := decodeKeys(b); err == nil && (len(keys) == 0 || keys[0].private == nil) {
			t.Errorf("%q is read as no key", b)
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	i, _, _ := newIssuer(b)
	b.ReportAllocs()
	for b.Loop() {
		issue(b, i)
	}
}

func BenchmarkVerify(b *testing.B) {
	i, _, _ := newIssuer(b)
	token := issue(b, i)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Verify(token, audience); err != nil {
			b.Fatal(err)
		}
	}
}
