package httpapi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/exchangetest"
	"github.com/aitbc/exchange/actors/secondfactor/factortest"
)

// person is a user with what they hold.
type person struct {
	client
	clock  *testClock
	secret string // of the authenticator app
	key    *factortest.Authenticator
	codes  []string // recovery codes
}

func newClock() *testClock { return &testClock{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)} }

func withClock(clock *testClock) func(*apiConfig) {
	return func(c *apiConfig) { c.now = clock.Now }
}

// newPerson is a user with 10000, and a second session of the same user, as a thief has.
func newPerson(a *api, clock *testClock, wallet string) (p *person, thief client) {
	a.t.Helper()
	p = &person{client: a.funded(wallet), clock: clock, key: factortest.New(a.t, testOrigin, "exchange.example")}
	return p, a.login(wallet)
}

// code is what the app shows, which is another one each time.
func (p *person) code() string {
	p.t.Helper()
	p.clock.add(30 * time.Second)
	return factortest.Code(p.t, p.secret, p.clock.Now())
}

// rotated takes the session's new token, and shows that the old one is dead.
func (p *person) rotated(r reply) reply {
	p.t.Helper()
	old := p.client
	p.token = r.text("session_token")
	old.as("GET", "/api/users/me", "").refused(401, "unauthenticated", "")
	p.as("GET", "/api/users/me", "").is(200)
	return r
}

func (p *person) begin(method, path string) []byte {
	p.t.Helper()
	return []byte(p.as(method, path, "").is(200).body)
}

// enrolApp enrols an authenticator app.
func (p *person) enrolApp() reply {
	p.t.Helper()
	p.secret = p.as("POST", "/api/users/me/factors/totp", "").is(200).text("secret")
	r := p.rotated(p.as("POST", "/api/users/me/factors/totp/confirm", fmt.Sprintf(`{"code":%q}`, p.code())).is(201))
	p.keep(r)
	return r
}

// enrolKey enrols a passkey.
func (p *person) enrolKey() reply {
	p.t.Helper()
	answer := p.key.Create(p.t, p.begin("POST", "/api/users/me/factors/passkeys/options"))
	r := p.rotated(p.as("POST", "/api/users/me/factors/passkeys", fmt.Sprintf(`{"name":"my phone","credential":%s}`, answer)).is(201))
	p.keep(r)
	return r
}

// keep writes down the recovery codes that are shown.
func (p *person) keep(r reply) {
	if codes, shown := r.members()["recovery_codes"].([]any); shown {
		p.codes = nil
		for _, code := range codes {
			p.codes = append(p.codes, code.(string))
		}
	}
}

func (p *person) stepUp(body string) reply {
	p.t.Helper()
	return p.as("POST", "/api/auth/step-up", body)
}

func (p *person) passkey() string {
	p.t.Helper()
	return fmt.Sprintf(`{"passkey":%s}`, p.key.Get(p.t, p.begin("POST", "/api/auth/step-up/options")))
}

func visitFactors(t *testing.T, visit func(string, reply, int, string) reply) {
	t.Helper()
	clock := newClock()
	a := startAPI(t, withClock(clock))
	p, _ := newPerson(a, clock, "aitbc1wallet_factors")
	const names = "totp passkeys recovery_codes_left elevated_until required passkey_origins"
	const rotatedNames = "session_token expires_at elevated_until"
	visit("GET /api/users/me/factors", p.as("GET", "/api/users/me/factors", ""), 200, names)
	begun := visit("POST /api/users/me/factors/totp", p.as("POST", "/api/users/me/factors/totp", "{}"), 200, "secret uri qr_code")
	p.secret = begun.text("secret")
	p.rotated(visit("POST /api/users/me/factors/totp/confirm", p.as("POST", "/api/users/me/factors/totp/confirm", fmt.Sprintf(`{"code":%q}`, p.code())), 201,
		"recovery_codes "+rotatedNames))
	answer := p.key.Create(t, []byte(visit("POST /api/users/me/factors/passkeys/options", p.as("POST", "/api/users/me/factors/passkeys/options", ""), 200, "publicKey").body))
	p.rotated(visit("POST /api/users/me/factors/passkeys", p.as("POST", "/api/users/me/factors/passkeys", fmt.Sprintf(`{"name":"k","credential":%s}`, answer)), 201, rotatedNames))
	answer = p.key.Get(t, []byte(visit("POST /api/auth/step-up/options", p.as("POST", "/api/auth/step-up/options", ""), 200, "publicKey").body))
	p.rotated(visit("POST /api/auth/step-up", p.stepUp(fmt.Sprintf(`{"passkey":%s}`, answer)), 200, rotatedNames))
	visit("POST /api/users/me/factors/recovery-codes", p.as("POST", "/api/users/me/factors/recovery-codes", ""), 200, "recovery_codes")
	key := p.as("GET", "/api/users/me/factors", "").is(200).members()["passkeys"].([]any)[0].(map[string]any)
	p.rotated(visit("DELETE /api/users/me/factors/passkeys/{id}", p.as("DELETE", "/api/users/me/factors/passkeys/"+key["id"].(string), ""), 200, rotatedNames))
	p.rotated(visit("DELETE /api/users/me/factors/totp", p.as("DELETE", "/api/users/me/factors/totp", ""), 200, rotatedNames))
	p.enrolApp()
	visit("POST /api/operator/users/{id}/reset-factors", a.operator("POST", "/api/operator/users/"+p.id+"/reset-factors", `{"reason":"lost the phone"}`), 200, userNames)
	p.as("GET", "/api/users/me", "").refused(401, "unauthenticated", "")
}

// guardedRequests are those that take a second factor where there is one.
func guardedRequests(u client) [][3]string {
	return [][3]string{
		{"POST", "/api/users/" + u.id + "/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`},
		{"POST", "/api/exchange/sell", `{"aitbc_amount":100,"btc_address":"` + btcAddress + `"}`},
		{"PATCH", "/api/users/me", `{"email":"thief@example.org"}`},
		{"POST", "/api/users/me/addresses", `{"label":"the thief's","address":"aitbc_elsewhere"}`},
		{"DELETE", "/api/users/me/addresses/1", ""},
		{"DELETE", "/api/users/me/factors/totp", ""},
		{"POST", "/api/users/me/factors/recovery-codes", ""},
		{"POST", "/api/users/me/factors/totp", ""},
		{"POST", "/api/users/me/factors/passkeys/options", ""},
	}
}

func TestAStolenSessionNeitherTakesNorChangesAnything(t *testing.T) {
	clock := newClock()
	a := startAPI(t, withClock(clock))
	p, before := newPerson(a, clock, "aitbc1wallet_stolen")
	p.enrolApp()
	before.as("GET", "/api/users/me", "").refused(401, "unauthenticated", "") // who was there before is out
	p.enrolKey()
	thief := a.login("aitbc1wallet_stolen")
	view := p.as("GET", "/api/users/me/factors", "").is(200)
	key := view.members()["passkeys"].([]any)[0].(map[string]any)
	look := func() string {
		return thief.as("GET", "/api/users/me", "").is(200).body + thief.as("GET", "/api/users/"+p.id+"/balance", "").is(200).body +
			thief.as("GET", "/api/users/"+p.id+"/transactions", "").is(200).body
	}
	state := look()
	requests := append(guardedRequests(thief), [3]string{"DELETE", "/api/users/me/factors/passkeys/" + key["id"].(string), ""})
	for _, c := range requests {
		r := thief.as(c[0], c[1], c[2])
		r.refused(403, "second_factor_required", "")
		if got := r.text("factors"); got != "[totp passkey recovery_code]" {
			t.Errorf("%s: the factors are %s", r.what, got)
		}
	}
	// What the owner began, or is shown, is nothing to the thief.
	options := p.begin("POST", "/api/auth/step-up/options")
	answer := p.key.Get(t, options)
	thief.as("POST", "/api/auth/step-up/options", "").is(200)
	thief.as("POST", "/api/auth/step-up", fmt.Sprintf(`{"passkey":%s}`, answer)).refused(403, "second_factor_refused", "")
	p.rotated(p.stepUp(fmt.Sprintf(`{"passkey":%s}`, answer)).is(200))
	if look() != state {
		t.Errorf("it is now %s, was %s", look(), state)
	}
	if got := thief.as("GET", "/api/users/me/factors", "").is(200).text("elevated_until"); got != "<nil>" {
		t.Errorf("the thief is elevated until %s", got)
	}
	// A username is no security matter. The owner does it all.
	thief.as("PATCH", "/api/users/me", `{"username":"renamed"}`).is(200)
	for _, c := range guardedRequests(p.client)[:3] {
		if r := p.as(c[0], c[1], c[2]); r.status >= 400 {
			t.Errorf("%s: %d %s", r.what, r.status, r.body)
		}
	}
	// And no longer than for five minutes.
	clock.add(5 * time.Minute)
	for _, c := range guardedRequests(p.client) {
		p.as(c[0], c[1], strings.Replace(c[2], "thief", "later", 1)).refused(403, "second_factor_required", "")
	}
}

func TestEveryGuardedRouteIsTried(t *testing.T) {
	tried := map[string]bool{
		"DELETE /api/users/me/factors/passkeys/{id}": true,
		"POST /api/users/{id}/operations":            true, // see TestAnOperationTakesASecondFactorToo
	}
	u := client{id: "ID"}
	for _, c := range guardedRequests(u) {
		tried[c[0]+" "+strings.NewReplacer("ID", "{id}", "/1", "/{id}").Replace(c[1])] = true
	}
	for _, e := range new(Server).table() {
		if e.value.access&guarded != 0 && !tried[e.method+" "+e.pattern] {
			t.Errorf("%s %s is guarded, and no test tries it without a factor", e.method, e.pattern)
		}
	}
}

func TestAUserWithoutAFactorEnrolsFirstWhereOneIsRequired(t *testing.T) {
	clock := newClock()
	a := startAPI(t, withClock(clock), func(c *apiConfig) { c.required = true })
	p, _ := newPerson(a, clock, "aitbc1wallet_required")
	if got := p.as("GET", "/api/users/me/factors", "").is(200).text("required"); got != "true" {
		t.Errorf("required is %s", got)
	}
	for _, c := range guardedRequests(p.client)[:3] {
		r := p.as(c[0], c[1], c[2])
		r.refused(403, "second_factor_enrolment_required", "")
		if strings.Contains(r.body, `"factors"`) {
			t.Errorf("%s", r.body)
		}
	}
	p.stepUp(`{"code":"123456"}`).refused(403, "second_factor_enrolment_required", "")
	p.enrolKey()
	for _, c := range guardedRequests(p.client)[:3] {
		if r := p.as(c[0], c[1], c[2]); r.status >= 400 {
			t.Errorf("%s: %d %s", r.what, r.status, r.body)
		}
	}
}

func TestEachKindOfFactorStepsUpOnce(t *testing.T) {
	clock := newClock()
	log := &exchangetest.Buffer{}
	dir := t.TempDir()
	in := func(c *apiConfig) { c.dir, c.http.Logger = dir, slog.New(slog.NewJSONHandler(log, nil)) }
	a := startAPI(t, withClock(clock), in)
	p, _ := newPerson(a, clock, "aitbc1wallet_kinds")
	if len(p.codes) != 0 {
		t.Fatal("codes before a factor")
	}
	first := p.enrolApp()
	if len(p.codes) != 10 || first.text("elevated_until") != clock.Now().Add(5*time.Minute).Format("2006-01-02T15:04:05.000000Z") {
		t.Errorf("%s", first.body)
	}
	if second := p.enrolKey(); strings.Contains(second.body, "recovery_codes") {
		t.Errorf("codes with the second factor: %s", second.body)
	}
	var secrets []string
	shown := func(body string) {
		t.Helper()
		expires := p.rotated(p.stepUp(body).is(200)).text("expires_at")
		if expires == "<nil>" {
			t.Errorf("the session has no end")
		}
		secrets = append(secrets, p.token)
		// After a restart too: that it was shown is in the log.
		for range 2 {
			p.stepUp(body).refused(403, "second_factor_refused", "")
			a.stop()
			a = startAPI(t, withClock(clock), in)
			p.api = a
		}
	}
	code := p.code()
	shown(fmt.Sprintf(`{"code":"%s %s"}`, code[:3], code[3:]))
	shown(fmt.Sprintf(`{"recovery_code":%q}`, strings.ToUpper(p.codes[3])))
	shown(p.passkey())
	if got := p.as("GET", "/api/users/me/factors", "").is(200).text("recovery_codes_left"); got != "9" {
		t.Errorf("%s recovery codes are left", got)
	}
	old := p.codes
	p.keep(p.as("POST", "/api/users/me/factors/recovery-codes", "").is(200))
	p.stepUp(fmt.Sprintf(`{"recovery_code":%q}`, old[0])).refused(403, "second_factor_refused", "")
	p.rotated(p.stepUp(fmt.Sprintf(`{"recovery_code":%q}`, p.codes[0])).is(200))
	// A clone of the passkey gives itself away by its count.
	p.key.Count -= 2
	p.stepUp(p.passkey()).refused(403, "second_factor_refused", "")
	// Codes of a clock that is a step off are good, of two are not.
	clock.add(time.Hour)
	p.stepUp(fmt.Sprintf(`{"code":%q}`, factortest.Code(t, p.secret, clock.Now().Add(-60*time.Second)))).refused(403, "second_factor_refused", "")
	p.stepUp(fmt.Sprintf(`{"code":%q}`, factortest.Code(t, p.secret, clock.Now().Add(60*time.Second)))).refused(403, "second_factor_refused", "")
	p.rotated(p.stepUp(fmt.Sprintf(`{"code":%q}`, factortest.Code(t, p.secret, clock.Now().Add(-30*time.Second)))).is(200))
	p.rotated(p.stepUp(fmt.Sprintf(`{"code":%q}`, factortest.Code(t, p.secret, clock.Now().Add(30*time.Second)))).is(200))

	refusals := 0
	for _, line := range logLines(t, log) {
		if line["msg"] == "second factor refused" && line["reason"] != "" && line["user_id"] == p.id {
			refusals++
		}
		for _, secret := range append(secrets, p.secret, code, p.codes[0], old[0]) {
			if strings.Contains(fmt.Sprint(line), secret) {
				t.Errorf("a secret is in the log: %v", line)
			}
		}
	}
	if refusals != 10 {
		t.Errorf("%d refusals are in the log, want 10", refusals)
	}
	if metrics := a.call("GET", "/metrics", "").is(200).body; !strings.Contains(metrics, `exchange_second_factors_total{factor="totp",result="refused"} 2`) ||
		!strings.Contains(metrics, `exchange_second_factors_total{factor="totp",result="held"} 2`) {
		t.Errorf("the attempts are not counted: %s", metrics)
	}
}

func TestOneCodeSentManyTimesAtOnceElevatesOneSession(t *testing.T) {
	clock := newClock()
	a := startAPI(t, withClock(clock))
	p, _ := newPerson(a, clock, "aitbc1wallet_at_once")
	p.enrolApp()
	var sessions []client
	for range 8 {
		sessions = append(sessions, a.login("aitbc1wallet_at_once"))
	}
	for name, body := range map[string]string{
		"code": fmt.Sprintf(`{"code":%q}`, p.code()), "recovery code": fmt.Sprintf(`{"recovery_code":%q}`, p.codes[0]),
	} {
		replies := make([]reply, len(sessions))
		var group sync.WaitGroup
		for i := range sessions {
			group.Go(func() { replies[i] = sessions[i].as("POST", "/api/auth/step-up", body) })
		}
		group.Wait()
		held := 0
		for i, r := range replies {
			if r.status == 200 {
				held++
				sessions[i].token = r.text("session_token")
				sessions[i].as(guardedRequests(p.client)[0][0], guardedRequests(p.client)[0][1], guardedRequests(p.client)[0][2]).is(201)
				continue
			}
			r.refused(403, "second_factor_refused", "")
		}
		if held != 1 {
			t.Errorf("one %s elevated %d sessions", name, held)
		}
	}
}

func TestARefusedStepUpNamesWhatIsWrong(t *testing.T) {
	clock := newClock()
	a := startAPI(t, withClock(clock))
	p, _ := newPerson(a, clock, "aitbc1wallet_wants")
	p.as("POST", "/api/users/me/factors/totp/confirm", `{"code":"123456"}`).refused(404, "not_found", "")
	p.as("DELETE", "/api/users/me/factors/totp", "").refused(404, "not_found", "")
	p.as("DELETE", "/api/users/me/factors/passkeys/0000000000000000", "").refused(404, "not_found", "")
	p.as("DELETE", "/api/users/me/factors/passkeys/nonsense", "").refused(404, "not_found", "")
	p.as("POST", "/api/users/me/factors/recovery-codes", "").refused(403, "second_factor_enrolment_required", "")
	p.as("POST", "/api/auth/step-up/options", "").refused(403, "second_factor_enrolment_required", "")
	p.enrolApp()
	for _, c := range []struct{ body, code, field string }{
		{"", "bad_request", ""},
		{`{"code":"123456","recovery_code":"x"}`, "bad_request", ""},
		{`{"code":"12345"}`, "invalid_field", "code"},
		{`{"code":"12345x"}`, "invalid_field", "code"},
		{`{"code":123456}`, "invalid_field", "code"},
		{`{"passkey":"x"}`, "invalid_field", "passkey"},
		{`{"passkey":[]}`, "invalid_field", "passkey"},
		{`{"passkey":{"a":1,"a":2}}`, "invalid_field", "a"},
		{`{"passkey":{"a":`, "bad_request", ""},
		{`{"password":"x"}`, "invalid_field", "password"},
	} {
		p.stepUp(c.body).refused(400, c.code, c.field)
	}
	p.stepUp(`{"passkey":{}}`).refused(403, "second_factor_refused", "")
	p.as("POST", "/api/auth/step-up/options", "").refused(403, "second_factor_refused", "") // there is none
	p.as("POST", "/api/users/me/factors/passkeys", `{"name":"","credential":{}}`).refused(400, "invalid_field", "name")
	p.as("POST", "/api/users/me/factors/passkeys", `{"name":"k","credential":{}}`).refused(403, "second_factor_refused", "")
	a.operator("POST", "/api/operator/users/"+p.id+"/reset-factors", `{}`).refused(400, "invalid_field", "reason")
	a.operator("POST", "/api/operator/users/"+p.id+"/reset-factors", `{"reason":"x"}`).is(200)
	a.operator("POST", "/api/operator/users/"+p.id+"/reset-factors", `{"reason":"x"}`).refused(409, "no_change", "")
}

func TestTheQRCodeIsOfTheAppsAddress(t *testing.T) {
	a := startAPI(t)
	u := a.login("aitbc1wallet_of_qr")
	r := u.as("POST", "/api/users/me/factors/totp", "").is(200)
	want := "otpauth://totp/AITBC%20Exchange:user_et_of_qr?"
	if uri := r.text("uri"); !strings.HasPrefix(uri, want) || !strings.Contains(uri, "secret="+r.text("secret")) || !strings.HasPrefix(r.text("qr_code"), "data:image/png;base64,") {
		t.Errorf("%s, want it to begin with %s", uri, want)
	}
	var options struct {
		PublicKey struct{ RP struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(u.as("POST", "/api/users/me/factors/passkeys/options", "").is(200).body), &options); err != nil || options.PublicKey.RP.ID != "exchange.example" {
		t.Errorf("the relying party is %q, %v", options.PublicKey.RP.ID, err)
	}
}

func TestWrongFactorsAreFewAndLockNobodyOut(t *testing.T) {
	clock := newClock()
	a := startAPI(t, withClock(clock), func(c *apiConfig) { c.http.Limits = Limits{Factor: FactorsPerHour("factor", 10)} })
	const wallet = "aitbc1wallet_guessed"
	p, _ := newPerson(a, clock, wallet)
	p.enrolApp()
	p.enrolKey()
	guess := func(thief client, body string) (refused, limited int) {
		replies := make([]reply, 20)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() { replies[i] = thief.as("POST", "/api/auth/step-up", body) })
		}
		group.Wait()
		for _, r := range replies {
			switch r.status {
			case 403:
				refused++
			case 429:
				limited++
				if r.header.Get("Retry-After") == "" {
					t.Errorf("no Retry-After: %v", r.header)
				}
			}
		}
		return refused, limited
	}
	wrong := fmt.Sprintf(`{"code":%q}`, factortest.Code(t, p.secret, clock.Now().Add(time.Hour)))
	thief := a.login(wallet)
	if refused, limited := guess(thief, wrong); refused != 5 || limited != 15 {
		t.Errorf("of 20 guesses at once %d were looked at and %d were not, want 5 and 15", refused, limited)
	}
	thief.as("POST", "/api/auth/step-up", fmt.Sprintf(`{"recovery_code":%q}`, p.codes[0])).refused(429, "rate_limited", "")
	// The owner does not notice, as often as they step up.
	for range 12 {
		p.rotated(p.stepUp(fmt.Sprintf(`{"code":%q}`, p.code())).is(200))
	}
	// Thieves of more sessions use up the account's codes, and nothing else of it.
	for range 2 {
		if refused, _ := guess(a.login(wallet), wrong); refused != 5 {
			t.Errorf("%d guesses were looked at", refused)
		}
	}
	if refused, limited := guess(a.login(wallet), wrong); refused != 0 || limited != 20 {
		t.Errorf("%d guesses more were looked at", refused)
	}
	p.stepUp(fmt.Sprintf(`{"code":%q}`, p.code())).refused(429, "rate_limited", "")
	p.rotated(p.stepUp(p.passkey()).is(200))
	p.rotated(p.stepUp(fmt.Sprintf(`{"recovery_code":%q}`, p.codes[0])).is(200))
}
