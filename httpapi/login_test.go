package httpapi

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/aitbc/exchange/actors/exchangetest"
	"github.com/aitbc/exchange/httpapi/walletproof"
	"github.com/aitbc/exchange/httpapi/walletproof/walletprooftest"
)

// signedLogins asks for signatures. now may be nil for the clock.
func signedLogins(t testing.TB, now func() time.Time) func(*apiConfig) {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	origins := []string{"http://exchange", "https://exchange.example"}
	verifier, err := walletproof.New(walletproof.Config{
		Origins: origins, Statement: "Log in.", Bitcoin: &chaincfg.MainNetParams, Random: rand.Reader, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *apiConfig) { c.http.Logins = Logins{Verifier: verifier, Origins: origins} }
}

// challenge asks for what w has to sign.
func (a *api) challenge(w walletprooftest.Wallet, headers ...string) (nonce, message string) {
	a.t.Helper()
	r := a.call("POST", "/api/auth/nonce", `{"wallet_address":"`+w.Address+`"}`, headers...).is(200)
	return r.text("nonce"), r.text("message")
}

func loginBody(members ...string) string {
	object := map[string]string{}
	for i := 0; i < len(members); i += 2 {
		object[members[i]] = members[i+1]
	}
	b, _ := json.Marshal(object)
	return string(b)
}

// loginSigned is login with a signature.
func (a *api) loginSigned(w walletprooftest.Wallet) client {
	a.t.Helper()
	nonce, message := a.challenge(w)
	r := a.call("POST", "/api/users/login", loginBody("wallet_address", w.Address, "nonce", nonce, "signature", w.Sign(message))).is(200)
	return client{api: a, id: r.text("user_id"), token: r.text("session_token")}
}

func TestASignedLoginIsTheWalletsOwnersAlone(t *testing.T) {
	clock := &testClock{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	log := &exchangetest.Buffer{}
	a := startAPI(t, signedLogins(t, clock.Now), func(c *apiConfig) { c.http.Logger = slog.New(slog.NewJSONHandler(log, nil)) })
	owner, thief := walletprooftest.NewWallet(t, "owner"), walletprooftest.NewWallet(t, "thief")
	u := a.loginSigned(owner)
	u.as("GET", "/api/users/me", "").is(200)
	if again := a.loginSigned(owner); again.id != u.id {
		t.Errorf("the wallet's user is %s, was %s", again.id, u.id)
	}
	if got := a.call("GET", "/api/exchange/terms", "").text("auth"); got != "signed" {
		t.Errorf("the terms say that logins are %s", got)
	}
	// Sent in capital letters, or with a text of the wallet's own, it is the same wallet.
	nonce, message := a.challenge(owner)
	own := strings.Replace(message, "Log in.", "Let me in.", 1)
	r := a.call("POST", "/api/users/login", loginBody("wallet_address", "0x"+strings.ToUpper(owner.Address[2:]), "nonce", nonce, "signature", owner.Sign(own), "message", own)).is(200)
	if r.text("user_id") != u.id {
		t.Errorf("another user: %s", r.body)
	}

	used, usedText := a.challenge(owner)
	a.call("POST", "/api/users/login", loginBody("wallet_address", owner.Address, "nonce", used, "signature", owner.Sign(usedText))).is(200)
	other, otherText := a.challenge(owner, "Host", "exchange.example")
	old, oldText := a.challenge(owner)
	clock.add(5 * time.Minute)
	nonce, message = a.challenge(owner)
	thiefs, thiefsText := a.challenge(thief)
	good := owner.Sign(message)
	flipped := good[:10] + string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", good[10])+1)%16]) + good[11:]
	elsewhere := strings.ReplaceAll(message, "http://exchange", "http://phisher")
	bodies := map[string]bool{}
	for name, body := range map[string]string{
		"another's signature":    loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", thief.Sign(message)),
		"of another text":        loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", owner.Sign(message+" ")),
		"flipped":                loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", flipped),
		"truncated":              loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", good[:len(good)-2]),
		"malleable":              loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", highS(t, good)),
		"not hexadecimal":        loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", "0x"+strings.Repeat("zz", 65)),
		"used":                   loginBody("wallet_address", owner.Address, "nonce", used, "signature", owner.Sign(usedText)),
		"expired":                loginBody("wallet_address", owner.Address, "nonce", old, "signature", owner.Sign(oldText)),
		"another origin's":       loginBody("wallet_address", owner.Address, "nonce", other, "signature", owner.Sign(otherText)),
		"another wallet's nonce": loginBody("wallet_address", owner.Address, "nonce", thiefs, "signature", owner.Sign(thiefsText)),
		"another's wallet":       loginBody("wallet_address", owner.Address, "nonce", thiefs, "signature", thief.Sign(thiefsText)),
		"a nonce of nobody's":    loginBody("wallet_address", owner.Address, "nonce", strings.Repeat("0", 48), "signature", good),
		"another domain":         loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", owner.Sign(elsewhere), "message", elsewhere),
		"a text that is not one": loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", owner.Sign("Hello"), "message", "Hello"),
		"no wallet that signs":   loginBody("wallet_address", "aitbc1wallet_demo", "nonce", nonce, "signature", good),
		"injection into the log": loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", good, "message", "x\ntime=now level=ERROR msg=forged"),
	} {
		r := a.call("POST", "/api/users/login", body, "X-Request-Id", "same")
		if r.status != 401 {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
		}
		r.refused(401, "login_refused", "")
		bodies[r.body] = true
	}
	if len(bodies) != 1 {
		t.Errorf("who fails can tell why: %v", bodies)
	}
	refused := 0
	for _, line := range logLines(t, log) {
		if line["msg"] == "login refused" && line["reason"] != "" && line["level"] == "INFO" {
			refused++
		}
		if text := fmt.Sprint(line); strings.Contains(text, good[2:]) || strings.Contains(text, u.token) {
			t.Errorf("a secret is in the log: %s", text)
		}
	}
	if refused != 16 {
		t.Errorf("%d refusals are in the log, want 16", refused)
	}
	// None of that has used up the owner's nonce.
	a.call("POST", "/api/users/login", loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", good)).is(200)
}

func TestALoginWithoutASignatureSaysHowToGetOne(t *testing.T) {
	a := startAPI(t, signedLogins(t, nil))
	owner := walletprooftest.NewWallet(t, "owner")
	r := a.call("POST", "/api/users/login", loginBody("wallet_address", owner.Address))
	r.refused(401, "signature_required", "")
	if !strings.Contains(r.body, "/api/auth/nonce") {
		t.Errorf("it does not say where to begin: %s", r.body)
	}
	nonce, message := a.challenge(owner)
	for _, c := range []struct{ body, field string }{
		{loginBody("wallet_address", owner.Address, "nonce", nonce), "signature"},
		{loginBody("wallet_address", owner.Address, "signature", owner.Sign(message)), "nonce"},
		{loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", "x", "password", "x"), "password"},
		{loginBody("nonce", nonce, "signature", owner.Sign(message)), "wallet_address"},
		{loginBody("wallet_address", owner.Address, "nonce", nonce, "signature", strings.Repeat("a", 513)), "signature"},
		{loginBody("wallet_address", owner.Address, "nonce", "a\nb", "signature", "x"), "nonce"},
	} {
		a.call("POST", "/api/users/login", c.body).refused(400, "invalid_field", c.field)
	}
	for _, address := range []string{"aitbc1wallet_demo", "0x52908400098527886E0F7030069857D2E4169Ee7", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"} {
		a.call("POST", "/api/auth/nonce", `{"wallet_address":"`+address+`"}`).refused(400, "invalid_field", "wallet_address")
	}
	open := startAPI(t)
	open.call("POST", "/api/auth/nonce", `{"wallet_address":"`+owner.Address+`"}`).refused(404, "not_found", "")
	open.call("POST", "/api/users/login", loginBody("wallet_address", owner.Address, "nonce", nonce)).refused(400, "invalid_field", "nonce")
}

// highS is the other form of an Ethereum signature, by which it would be two things.
func highS(t *testing.T, signature string) string {
	t.Helper()
	raw, err := hex.DecodeString(signature[2:])
	if err != nil {
		t.Fatal(err)
	}
	var s secp256k1.ModNScalar
	s.SetByteSlice(raw[32:64])
	high := s.Negate().Bytes()
	copy(raw[32:64], high[:])
	raw[64] = 27 + 28 - raw[64]
	return "0x" + hex.EncodeToString(raw)
}

// testClock is a clock that a test moves.
type testClock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// logLines returns a log's lines, which are JSON.
func logLines(t *testing.T, log *exchangetest.Buffer) (lines []map[string]any) {
	t.Helper()
	for text := range strings.Lines(log.String()) {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("not a line of the log: %q", text)
		}
		lines = append(lines, line)
	}
	return lines
}
