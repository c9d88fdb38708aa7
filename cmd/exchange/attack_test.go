package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/httpapi/walletproof/walletprooftest"
)

// The attack suite runs against the binary, as a stranger on the network would. The
// routes are those of the OpenAPI document, which is held to the table of routes, so a
// new route without a row here fails.

// persona is who sends a request.
type persona struct {
	name   string
	header string // name of the header field with the credential
	value  string
}

// row is what each persona is answered. out is for whoever has no live credential: no
// token, garbage, an expired and an ended session, all alike. other is a user of
// another account, gone a user who is suspended, on what is their own.
type row struct {
	route, body                                 string
	out, owner, other, gone, read, operate, all int
}

// attackRows is the expectation. A 400 or 404 of somebody who is allowed in is a
// refusal of what was sent, which came after the check of who sends it, and keeps the
// row from changing what the next one looks at.
var attackRows = []row{
	{"GET /healthz", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /readyz", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /metrics", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /Exchange", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /operator", "", 200, 200, 200, 200, 200, 200, 200}, // the page; what it shows takes a key
	{"GET /assets/{path}", "", 404, 404, 404, 404, 404, 404, 404},
	{"GET /api/docs", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /api/openapi.json", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /.well-known/jwks.json", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /api/exchange/rates", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /api/exchange/terms", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /api/exchange/market-stats", "", 200, 200, 200, 200, 200, 200, 200},
	{"GET /api/exchange/candles", "", 200, 200, 200, 200, 200, 200, 200},

	// A login is the wallet's owner's, whatever else comes with it.
	{"POST /api/auth/nonce", `{"wallet_address":"{wallet}"}`, 200, 200, 200, 200, 200, 200, 200},
	{"POST /api/users/login", `{"wallet_address":"{wallet}"}`, 401, 401, 401, 401, 401, 401, 401},

	{"GET /api/users/me", "", 401, 200, 200, 200, 401, 401, 401},
	{"PATCH /api/users/me", `{"username":"{name}"}`, 401, 200, 409, 403, 401, 401, 401},
	{"GET /api/users/me/email", "", 401, 200, 200, 200, 401, 401, 401},
	{"POST /api/users/me/email/verify", "", 401, 404, 404, 404, 401, 401, 401}, // there is no mail server
	{"POST /api/users/me/email/verify/confirm", `{"code":"00000-00000"}`, 401, 400, 400, 403, 401, 401, 401},
	{"GET /api/users/me/factors/recovery", "", 401, 200, 200, 200, 401, 401, 401},
	{"POST /api/users/me/factors/recovery", "", 401, 404, 404, 404, 401, 401, 401}, // there is no mail server
	{"POST /api/users/me/factors/recovery/confirm", `{"code":"00000-00000"}`, 401, 400, 400, 403, 401, 401, 401},
	{"POST /api/users/me/factors/recovery/cancel", "", 401, 404, 404, 404, 401, 401, 401},
	{"POST /api/operator/users/{id}/cancel-recovery", "", 401, 403, 403, 403, 403, 404, 404},
	{"GET /api/users/me/sessions", "", 401, 200, 200, 200, 401, 401, 401},
	{"DELETE /api/users/me/sessions/{id}", "", 401, 200, 404, 404, 401, 401, 401},
	{"DELETE /api/users/me/sessions", "", 401, 200, 200, 200, 401, 401, 401},
	{"GET /api/users/me/addresses", "", 401, 200, 200, 200, 401, 401, 401},
	{"DELETE /api/users/me/addresses/{id}", "", 401, 200, 404, 403, 401, 401, 401},
	{"POST /api/users/me/addresses", `{"label":"mine","address":"aitbc_elsewhere"}`, 401, 201, 201, 403, 401, 401, 401},
	{"POST /api/users/logout", `{"all":true}`, 401, 400, 400, 400, 401, 401, 401},
	{"POST /api/auth/access-token", `{"audience":"https://pool.example"}`, 401, 200, 200, 403, 401, 401, 401},

	// No factor is enrolled here; what an un-elevated session may with one is in httpapi.
	{"GET /api/users/me/factors", "", 401, 200, 200, 200, 401, 401, 401},
	{"POST /api/users/me/factors/totp", "", 401, 200, 200, 403, 401, 401, 401},
	{"POST /api/users/me/factors/totp/confirm", `{"code":"x"}`, 401, 400, 400, 400, 401, 401, 401},
	{"DELETE /api/users/me/factors/totp", "", 401, 404, 404, 403, 401, 401, 401},
	{"POST /api/users/me/factors/recovery-codes", "", 401, 403, 403, 403, 401, 401, 401},
	{"POST /api/users/me/factors/passkeys/options", "", 401, 200, 200, 403, 401, 401, 401},
	{"POST /api/users/me/factors/passkeys", `{"name":"k","credential":"x"}`, 401, 400, 400, 400, 401, 401, 401},
	{"DELETE /api/users/me/factors/passkeys/{id}", "", 401, 404, 404, 404, 401, 401, 401},
	{"POST /api/auth/step-up", `{"code":"123456"}`, 401, 403, 403, 403, 401, 401, 401},
	{"POST /api/auth/step-up/options", "", 401, 403, 403, 403, 401, 401, 401},

	{"GET /api/users/{id}/balance", "", 401, 200, 403, 200, 401, 401, 401},
	{"GET /api/users/{id}/events", "", 401, 200, 403, 200, 401, 401, 401},
	{"GET /api/users/{id}/transactions", "", 401, 200, 403, 200, 401, 401, 401},
	{"GET /api/users/{id}/transactions.csv", "", 401, 200, 403, 200, 401, 401, 401},
	{"POST /api/users/{id}/deposits", `{"amount":1}`, 401, 201, 403, 403, 403, 201, 201},
	{"POST /api/users/{id}/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, 401, 201, 403, 403, 401, 401, 401},
	{"POST /api/users/{id}/operations", `{"type":"deposit","amount":1}`, 401, 415, 403, 415, 401, 401, 401},
	{"POST /api/exchange/create-payment", `{"aitbc_amount":1000,"user_id":"{user}"}`, 401, 201, 403, 403, 401, 401, 401},
	{"GET /api/exchange/payment-status/{id}", "", 401, 200, 403, 200, 401, 401, 401},
	{"POST /api/exchange/confirm-payment/{id}", `{"tx_hash":"short"}`, 401, 400, 403, 400, 403, 400, 400},
	{"POST /api/exchange/sell", `{"aitbc_amount":100,"btc_address":"` + aBitcoinAddress + `"}`, 401, 201, 201, 403, 401, 401, 401},

	{"GET /api/operator/users", "", 401, 403, 403, 403, 200, 200, 200},
	{"GET /api/operator/users/{id}", "", 401, 403, 403, 403, 200, 200, 200},
	{"GET /api/operator/users/{id}/transactions", "", 401, 403, 403, 403, 200, 200, 200},
	{"GET /api/operator/transactions", "", 401, 403, 403, 403, 200, 200, 200},
	{"GET /api/operator/health", "", 401, 403, 403, 403, 200, 200, 200},
	{"POST /api/operator/users/{id}/suspend", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"POST /api/operator/users/{id}/reactivate", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"POST /api/operator/users/{id}/close", `{}`, 401, 403, 403, 403, 403, 403, 400},
	{"POST /api/operator/users/{id}/credit", `{}`, 401, 403, 403, 403, 403, 403, 400},
	{"POST /api/operator/users/{id}/debit", `{}`, 401, 403, 403, 403, 403, 403, 400},
	{"POST /api/operator/users/{id}/reset-factors", `{}`, 401, 403, 403, 403, 403, 403, 400},
	{"POST /api/operator/transactions/{id}/approve", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"POST /api/operator/transactions/{id}/complete", `{"tx_hash":7}`, 401, 403, 403, 403, 403, 400, 400},
	{"POST /api/operator/transactions/{id}/fail", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"POST /api/operator/transactions/{id}/lift-freeze", `{}`, 401, 403, 403, 403, 403, 403, 400},
	{"GET /api/operator/notices", "", 401, 403, 403, 403, 200, 200, 200},
	{"POST /api/operator/notices/{id}/replay", "", 401, 403, 403, 403, 403, 404, 404},
	{"POST /api/operator/notices/replay", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"GET /api/operator/refunds", "", 401, 403, 403, 403, 200, 200, 200},
	{"POST /api/operator/refunds/{id}/{outpoint}/settle", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"GET /api/operator/unassigned-outputs", "", 401, 403, 403, 403, 200, 200, 200},
	{"POST /api/operator/unassigned-outputs/{outpoint}/settle", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"GET /api/operator/payouts", "", 401, 403, 403, 403, 200, 200, 200},
	{"POST /api/operator/payouts", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"GET /api/operator/payouts/{payout}", "", 401, 403, 403, 403, 404, 404, 404},
	{"POST /api/operator/payouts/{payout}/import", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"POST /api/operator/payouts/{payout}/cancel", `{}`, 401, 403, 403, 403, 403, 400, 400},
	{"GET /api/operator/reconcile", "", 401, 403, 403, 403, 400, 400, 400},
	{"GET /api/operator/audit", "", 401, 403, 403, 403, 200, 200, 200},
	{"POST /api/operator/snapshot", `{"all":true}`, 401, 403, 403, 403, 403, 400, 400},
}

// target is a user whom paths point to.
type target struct {
	id, token, wallet, name, payment, session, address string
}

// path puts what is the target's into a route's path, and into a body.
func (u *target) fill(route, body string) (method, path, filled string) {
	method, path, _ = strings.Cut(route, " ")
	id := u.id
	switch {
	case strings.Contains(path, "payment"), strings.Contains(path, "operator/transactions/"), strings.Contains(path, "refunds/"):
		id = u.payment
	case strings.Contains(path, "sessions/"):
		id = u.session
	case strings.Contains(path, "addresses/"):
		id = u.address
	}
	path = strings.NewReplacer("{id}", id, "{path}", "../../cmd/exchange/main.go", "{outpoint}", strings.Repeat("0", 64)+":0", "{payout}", "1").Replace(path)
	return method, path, strings.NewReplacer("{user}", u.id, "{wallet}", u.wallet, "{name}", u.name).Replace(body)
}

// newTarget makes a user with a balance, a payment and a second session.
func (s *service) newTarget(w walletprooftest.Wallet) target {
	s.t.Helper()
	u := target{wallet: w.Address}
	u.id, u.token = s.loginSigned(w)
	as := func(want int, method, path, body string) map[string]any {
		s.t.Helper()
		return s.mustCall(want, method, path, body, "X-Session-Token", u.token).decode(s.t)
	}
	as(201, "POST", "/api/users/"+u.id+"/deposits", `{"amount":10000}`)
	u.payment = as(201, "POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`)["payment_id"].(string)
	u.name = as(200, "GET", "/api/users/me", "")["username"].(string)
	s.loginSigned(w)
	for _, session := range as(200, "GET", "/api/users/me/sessions", "")["sessions"].([]any) {
		if session := session.(map[string]any); session["current"] == false {
			u.session = session["id"].(string)
		}
	}
	return u
}

func TestEveryRouteAnswersEverybodyAsTheTableSays(t *testing.T) {
	dir := t.TempDir()
	data, keys := filepath.Join(dir, "data"), filepath.Join(dir, "keys")
	const readKey, operateKey, adminKey = "key-that-reads-0123456789", "key-that-operates-0123456789", "key-of-the-admin-0123456789"
	if err := os.WriteFile(keys, []byte("rita:read:"+readKey+"\notto:operate:"+operateKey+"\nanna:admin:"+adminKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	options := []string{"--demo", "--auth", "signed", "--demo-confirm-after", "1h", "--operator-key-file", keys, "--log-level", "warn",
		"--access-token-key-file", filepath.Join(dir, "tokens.json"), "--access-token-audiences", "https://pool.example"}

	// A session that lasts a second has expired when the service comes back.
	ownerWallet := walletprooftest.NewWallet(t, "victim")
	s := startService(t, data, append(options, "--session-lifetime", "1s")...)
	_, expired := s.loginSigned(ownerWallet)
	s.stop()
	s = startService(t, data, options...)

	victim, curious, frozen := s.newTarget(ownerWallet), s.newTarget(walletprooftest.NewWallet(t, "curious")), s.newTarget(walletprooftest.NewWallet(t, "frozen"))
	frozen.session, frozen.address = "0000000000000000", "1"
	victim.address = s.mustCall(201, "POST", "/api/users/me/addresses", `{"label":"mine","address":"aitbc_mine"}`, "X-Session-Token", victim.token).decode(t)["id"].(string)
	_, ended := s.loginSigned(ownerWallet)
	s.mustCall(200, "POST", "/api/users/logout", "", "X-Session-Token", ended)
	s.mustCall(200, "POST", "/api/operator/users/"+frozen.id+"/suspend", `{"reason":"test"}`, "Authorization", "Bearer "+adminKey)
	s.waitExpired(expired)

	rows := map[string]row{}
	for _, r := range attackRows {
		if _, twice := rows[r.route]; twice {
			t.Fatalf("%s has two rows", r.route)
		}
		rows[r.route] = r
	}
	for _, route := range s.routes() {
		if _, known := rows[route]; !known {
			t.Errorf("%s has no row in the table", route)
		}
	}
	if len(rows) != len(s.routes()) {
		t.Errorf("the table has %d rows, there are %d routes", len(rows), len(s.routes()))
	}

	// look is all that an operator sees of the victim.
	look := func() string {
		t.Helper()
		return s.mustCall(200, "GET", "/api/operator/users/"+victim.id, "", "Authorization", "Bearer "+readKey).body +
			s.mustCall(200, "GET", "/api/operator/users/"+victim.id+"/transactions", "", "Authorization", "Bearer "+readKey).body
	}
	before := look()
	send := func(p persona, r row, want int, at *target) {
		t.Helper()
		method, path, body := at.fill(r.route, r.body)
		s.attack(p, method, path, body, want)
	}
	for _, r := range attackRows {
		method, path, _ := victim.fill(r.route, "")
		preflight := persona{name: "another origin's page", header: "Access-Control-Request-Method", value: method}
		s.attack(preflight, "OPTIONS", path, "", 204)
		for _, p := range []persona{
			{name: "nobody"},
			{name: "garbage", header: "X-Session-Token", value: strings.Repeat("A", len(victim.token))},
			{name: "a short token", header: "Authorization", value: "Bearer x"},
			{name: "an expired session", header: "X-Session-Token", value: expired},
			{name: "an ended session", header: "Authorization", value: "Bearer " + ended},
			{name: "a cookie", header: "Cookie", value: "session=" + victim.token + "; X-Session-Token=" + victim.token},
		} {
			send(p, r, r.out, &victim)
		}
		send(persona{name: "another user", header: "X-Session-Token", value: curious.token}, r, r.other, &victim)
		send(persona{name: "a suspended user", header: "X-Session-Token", value: frozen.token}, r, r.gone, &frozen)
		send(persona{name: "a key that reads", header: "Authorization", value: "Bearer " + readKey}, r, r.read, &victim)
	}
	if after := look(); after != before {
		t.Errorf("the victim is now\n%s, was\n%s", after, before)
	}
	for _, r := range attackRows {
		send(persona{name: "a key that operates", header: "Authorization", value: "Bearer " + operateKey}, r, r.operate, &victim)
		send(persona{name: "an admin's key", header: "X-Session-Token", value: adminKey}, r, r.all, &victim)
		send(persona{name: "the owner", header: "X-Session-Token", value: victim.token}, r, r.owner, &victim)
	}
	if code, _ := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, secret := range []string{victim.token, curious.token, frozen.token, expired, ended, readKey, operateKey, adminKey} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("a secret is in the log:\n%s", s.log)
		}
	}
}

// waitExpired waits until a session that lasts a second is over.
func (s *service) waitExpired(token string) {
	s.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		a, err := s.call(http.DefaultClient, "GET", "/api/users/me", "", "X-Session-Token", token)
		if err != nil {
			s.t.Fatal(err)
		}
		if a.status == http.StatusUnauthorized {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatal("a session of a second is live")
		}
	}
}

// routes lists what the OpenAPI document has, as METHOD PATH.
func (s *service) routes() []string {
	s.t.Helper()
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(s.mustCall(200, "GET", "/api/openapi.json", "").body), &document); err != nil {
		s.t.Fatal(err)
	}
	var routes []string
	for path, item := range document.Paths {
		for method := range item {
			if strings.Contains("get post patch put delete", method) {
				routes = append(routes, strings.ToUpper(method)+" "+path)
			}
		}
	}
	return routes
}

// attack sends a request as a page of another origin would, and checks its answer. A
// stream is not read to its end.
func (s *service) attack(p persona, method, path, body string, want int) {
	s.t.Helper()
	request, err := http.NewRequest(method, s.url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.URL.Opaque = path // as it is, dots and all
	request.Header.Set("Origin", "https://evil.example")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if p.header != "" {
		request.Header.Set(p.header, p.value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	content := []byte("a stream")
	if response.Header.Get("Content-Type") != "text/event-stream" {
		if content, err = io.ReadAll(response.Body); err != nil {
			s.t.Fatal(err)
		}
	}
	what := fmt.Sprintf("%s: %s %s", p.name, method, path)
	if response.StatusCode != want {
		s.t.Errorf("%s: status %d, want %d: %.200s", what, response.StatusCode, want, content)
	}
	for name := range response.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
			s.t.Errorf("%s: the header %s", what, name)
		}
	}
	if p.value != "" && strings.Contains(string(content), strings.TrimPrefix(p.value, "Bearer ")) && !strings.Contains(path, "docs") && len(p.value) > 20 {
		s.t.Errorf("%s: the credential comes back: %.200s", what, content)
	}
}
