package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/httpapi/walletproof/walletprooftest"
)

const (
	btcAddress   = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
	someHash     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	transaction  = "id type status amount fee description created_at confirmed_at"
	paymentNames = "payment_id status confirmations confirmations_required tx_hash aitbc_amount btc_amount fee " +
		"btc_received btc_missing btc_refund aitbc_credited payment_address created_at expires_at credited_at"
	profileNames = "user_id wallet_address email username status created_at last_login"
	userNames    = profileNames + " address balance available held frozen updated_at transactions"
)

// TestEveryRouteAnswersWhatTheContractSays walks through the contract's table in
// the order of a user's life, and fails for a route it leaves out.
func TestEveryRouteAnswersWhatTheContractSays(t *testing.T) {
	a := startAPI(t)
	left := map[string]bool{}
	for _, e := range a.server.table() {
		left[e.method+" "+e.pattern] = true
	}
	visit := func(pattern string, r reply, status int, names string) reply {
		t.Helper()
		if _, known := left[pattern]; !known {
			t.Fatalf("there is no route %s", pattern)
		}
		delete(left, pattern)
		r.is(status)
		if got := r.names(); got != names {
			t.Errorf("%s answers\n%s, want\n%s", pattern, got, names)
		}
		return r
	}
	equal := func(r reply, name, want string) {
		t.Helper()
		if got := r.text(name); got != want {
			t.Errorf("%s: %s is %s, want %s", r.what, name, got, want)
		}
	}

	login := visit("POST /api/users/login", a.call("POST", "/api/users/login", `{"wallet_address":"aitbc1wallet_contract"}`), 200,
		"user_id email username created_at session_token")
	equal(login, "email", "aitbc1wallet_contract@aitbc.local")
	equal(login, "username", "user_contract")
	u := client{api: a, id: login.text("user_id"), token: login.text("session_token")}
	path := "/api/users/" + u.id

	me := visit("GET /api/users/me", u.as("GET", "/api/users/me", ""), 200, profileNames)
	equal(me, "status", "active")
	equal(me, "created_at", login.text("created_at"))
	changed := visit("PATCH /api/users/me", u.as("PATCH", "/api/users/me", `{"email":"me@example.com","username":"me-1"}`), 200, profileNames)
	equal(changed, "email", "me@example.com")
	equal(visit("GET /api/users/me/email", u.as("GET", "/api/users/me/email", ""), 200, "email verified verified_at"), "verified", "false")

	deposit := visit("POST /api/users/{id}/deposits", u.as("POST", path+"/deposits", `{"amount":10000.12345678}`), 201, transaction)
	equal(deposit, "status", "completed")
	equal(deposit, "amount", "10000.12345678")
	equal(deposit, "type", "deposit")
	withdrawal := visit("POST /api/users/{id}/withdrawals", u.as("POST", path+"/withdrawals", `{"amount":"100","to_address":"aitbc_elsewhere"}`), 201, transaction+" to_address")
	equal(withdrawal, "status", "pending")
	equal(withdrawal, "confirmed_at", "<nil>")
	sale := visit("POST /api/exchange/sell", u.as("POST", "/api/exchange/sell", `{"aitbc_amount":1000,"btc_address":"`+btcAddress+`"}`), 201,
		transaction+" btc_amount btc_fee to_address")
	equal(sale, "status", "pending")
	equal(sale, "btc_amount", "0.00995")
	visit("POST /api/users/{id}/operations", u.as("POST", path+"/operations", `{"type":"withdrawal","amount":20000,"to_address":"aitbc_elsewhere"}`, "Content-Type", linesOfJSON), 200, "status problem")
	balance := visit("GET /api/users/{id}/balance", u.as("GET", path+"/balance", ""), 200, "user_id address balance available held frozen updated_at")
	equal(balance, "address", "aitbc_"+strings.ReplaceAll(u.id, "-", ""))
	equal(balance, "balance", "10000.12345678")
	equal(balance, "available", "8900.12345678")
	equal(balance, "held", "1100")

	payment := visit("POST /api/exchange/create-payment", u.as("POST", "/api/exchange/create-payment",
		`{"aitbc_amount":1000,"btc_amount":"0.01005","user_id":"`+u.id+`","notes":"for the rent"}`), 201,
		"payment_id user_id aitbc_amount btc_amount fee payment_address payment_uri qr_code status created_at expires_at")
	equal(payment, "btc_amount", "0.01005")
	equal(payment, "fee", "0.00005")
	equal(payment, "status", "pending")
	if code := payment.text("qr_code"); !strings.HasPrefix(code, "data:image/png;base64,") {
		t.Errorf("the QR code is %.40s", code)
	}
	id := payment.text("payment_id")
	status := visit("GET /api/exchange/payment-status/{id}", u.as("GET", "/api/exchange/payment-status/"+id, ""), 200, paymentNames)
	equal(status, "status", "pending")
	equal(status, "tx_hash", "<nil>")
	equal(status, "credited_at", "<nil>")
	confirmed := visit("POST /api/exchange/confirm-payment/{id}", u.as("POST", "/api/exchange/confirm-payment/"+id, `{"tx_hash":"`+strings.ToUpper(someHash)+`"}`), 200, paymentNames)
	equal(confirmed, "status", "confirmed")
	equal(confirmed, "confirmations", "1")
	equal(confirmed, "tx_hash", someHash)
	equal(u.as("GET", path+"/balance", "").is(200), "balance", "11000.12345678")

	history := visit("GET /api/users/{id}/transactions", u.as("GET", path+"/transactions?limit=3", ""), 200, "user_id transactions total next_cursor")
	equal(history, "total", "4")
	list := history.members()["transactions"].([]any)
	if len(list) != 3 || list[0].(map[string]any)["id"] != id || list[1].(map[string]any)["type"] != "sell" {
		t.Errorf("the newest three are %v", list)
	}
	rest := u.as("GET", path+"/transactions?limit=3&cursor="+history.text("next_cursor"), "").is(200)
	equal(rest, "next_cursor", "<nil>")
	if list := rest.members()["transactions"].([]any); len(list) != 1 || list[0].(map[string]any)["id"] != deposit.text("id") {
		t.Errorf("the last is %v", list)
	}

	rates := visit("GET /api/exchange/rates", a.call("GET", "/api/exchange/rates", ""), 200, "btc_to_aitbc aitbc_to_btc fee_percent")
	equal(rates, "btc_to_aitbc", "100000")
	equal(rates, "aitbc_to_btc", "0.00001")
	equal(rates, "fee_percent", "0.5")
	terms := visit("GET /api/exchange/terms", a.call("GET", "/api/exchange/terms", ""), 200,
		"btc_to_aitbc fee_percent min_payment max_payment min_payout withdrawal_fee confirmations payment_seconds session_seconds session_idle_seconds "+
			"address_cooling_off_seconds withdrawal_daily_limit demo auth")
	equal(terms, "btc_to_aitbc", "100000")
	equal(terms, "min_payment", "0.0001")
	equal(terms, "max_payment", "10")
	equal(terms, "min_payout", "0.00000546")
	equal(terms, "withdrawal_fee", "0")
	equal(terms, "payment_seconds", "3600")
	equal(terms, "session_seconds", "86400")
	equal(terms, "session_idle_seconds", "28800")
	market := visit("GET /api/exchange/market-stats", a.call("GET", "/api/exchange/market-stats", ""), 200,
		"price price_change_24h daily_volume daily_volume_btc total_payments pending_payments")
	equal(market, "price", "0.00001")
	equal(market, "daily_volume", "1000")
	equal(market, "daily_volume_btc", "0.01")
	equal(market, "total_payments", "1")
	equal(market, "pending_payments", "0")

	candles := visit("GET /api/exchange/candles", a.call("GET", "/api/exchange/candles?interval=1d", ""), 200, "interval candles")
	if list := candles.members()["candles"].([]any); len(list) != 1 {
		t.Errorf("the candles are %v", list)
	}

	a.login("aitbc1wallet_contract")
	sessions := visit("GET /api/users/me/sessions", u.as("GET", "/api/users/me/sessions", ""), 200, "sessions")
	if list := sessions.members()["sessions"].([]any); len(list) != 2 || list[0].(map[string]any)["current"] != true {
		t.Errorf("the sessions are %v", list)
	} else {
		id := list[1].(map[string]any)["id"].(string)
		equal(visit("DELETE /api/users/me/sessions/{id}", u.as("DELETE", "/api/users/me/sessions/"+id, ""), 200, "ended"), "ended", "1")
	}
	equal(visit("DELETE /api/users/me/sessions", u.as("DELETE", "/api/users/me/sessions", ""), 200, "ended"), "ended", "0")

	address := visit("POST /api/users/me/addresses", u.as("POST", "/api/users/me/addresses", `{"label":"my node","address":"`+btcAddress+`"}`), 201,
		"id label address kind created_at usable_at")
	equal(address, "kind", "bitcoin")
	equal(address, "usable_at", address.text("created_at"))
	visit("GET /api/users/me/addresses", u.as("GET", "/api/users/me/addresses", ""), 200, "addresses")
	equal(visit("DELETE /api/users/me/addresses/{id}", u.as("DELETE", "/api/users/me/addresses/"+address.text("id"), ""), 200, "removed"), "removed", "1")

	users := visit("GET /api/operator/users", a.operator("GET", "/api/operator/users", ""), 200, "users total next_cursor")
	equal(users, "total", "1")
	equal(a.operator("GET", "/api/operator/users?find=ME-1", "").is(200), "users", users.text("users"))
	visit("GET /api/operator/health", a.operator("GET", "/api/operator/health", ""), 200, "version operator role started_at uptime_seconds accounts pending_buys pending_sells pending_withdrawals "+
		"open_connections open_streams journal_records journal_frames journal_queued_records journal_queued_bytes journal_sync_microseconds journal_epoch")
	visit("GET /api/operator/audit", a.operator("GET", "/api/operator/audit?limit=2", ""), 200, "entries total head next_cursor")
	visit("GET /api/operator/users/{id}", a.operator("GET", "/api/operator/users/"+u.id, ""), 200, userNames)
	visit("GET /api/operator/users/{id}/transactions", a.operator("GET", "/api/operator/users/"+u.id+"/transactions", ""), 200, "user_id transactions total next_cursor")
	equal(visit("GET /api/operator/transactions", a.operator("GET", "/api/operator/transactions?type=sell", ""), 200, "transactions total next_cursor"), "total", "1")
	equal(visit("POST /api/operator/transactions/{id}/approve", a.operator("POST", "/api/operator/transactions/"+sale.text("id")+"/approve", `{"reason":"called back"}`), 200,
		transaction+" btc_amount btc_fee to_address awaits_approval approved_by approval"), "approved_by", "olga")
	equal(visit("POST /api/operator/transactions/{id}/complete", a.operator("POST", "/api/operator/transactions/"+sale.text("id")+"/complete", `{"tx_hash":"`+someHash+`"}`), 200,
		transaction+" btc_amount btc_fee to_address tx_hash"), "status", "completed")
	equal(visit("POST /api/operator/transactions/{id}/fail", a.operator("POST", "/api/operator/transactions/"+withdrawal.text("id")+"/fail", `{"reason":"no such address"}`), 200,
		transaction+" to_address reason"), "status", "failed")
	equal(visit("POST /api/operator/users/{id}/credit", a.operator("POST", "/api/operator/users/"+u.id+"/credit", `{"amount":5,"reason":"goodwill"}`), 201, transaction+" reason"), "type", "credit")
	equal(visit("POST /api/operator/users/{id}/debit", a.operator("POST", "/api/operator/users/"+u.id+"/debit", `{"amount":2,"reason":"mistake"}`), 201, transaction+" reason"), "type", "debit")
	equal(visit("POST /api/operator/users/{id}/suspend", a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"a check"}`), 200, userNames), "status", "suspended")
	equal(visit("POST /api/operator/users/{id}/close", a.operator("POST", "/api/operator/users/"+u.id+"/close", `{"reason":"asked for"}`), 200, userNames), "status", "inactive")
	equal(visit("POST /api/operator/users/{id}/reactivate", a.operator("POST", "/api/operator/users/"+u.id+"/reactivate", `{"reason":"asked for"}`), 200, userNames), "status", "active")
	equal(u.as("GET", path+"/balance", "").is(200), "balance", "10003.12345678")

	// Of these only that they answer as the document says; what is in the answers is
	// for tests of their own.
	reach := func(pattern string, r reply, status int) {
		t.Helper()
		delete(left, pattern)
		r.is(status)
	}
	visit("GET /api/operator/payouts", a.operator("GET", "/api/operator/payouts", ""), 200, "payouts total next_cursor")
	reach("POST /api/operator/payouts", a.operator("POST", "/api/operator/payouts", `{"fee_rate":5}`), 503)
	reach("GET /api/operator/payouts/{payout}", a.operator("GET", "/api/operator/payouts/1", ""), 404)
	reach("POST /api/operator/payouts/{payout}/import", a.operator("POST", "/api/operator/payouts/1/import", `{"psbt":"x"}`), 503)
	reach("POST /api/operator/payouts/{payout}/cancel", a.operator("POST", "/api/operator/payouts/1/cancel", `{"reason":"x"}`), 503)
	reach("GET /api/operator/reconcile", a.operator("GET", "/api/operator/reconcile?from=1&to=2", ""), 503)
	visit("GET /api/operator/refunds", a.operator("GET", "/api/operator/refunds", ""), 200, "refunds total next_cursor")
	reach("POST /api/operator/refunds/{id}/{outpoint}/settle", a.operator("POST", "/api/operator/refunds/"+id+"/"+someHash+":0/settle", `{"reason":"sent back"}`), 404)
	visit("GET /api/operator/unassigned-outputs", a.operator("GET", "/api/operator/unassigned-outputs", ""), 200, "outputs total next_cursor")
	reach("POST /api/operator/unassigned-outputs/{outpoint}/settle", a.operator("POST", "/api/operator/unassigned-outputs/"+someHash+":0/settle", `{"reason":"sent back"}`), 404)
	reach("POST /api/operator/transactions/{id}/lift-freeze", a.operator("POST", "/api/operator/transactions/"+id+"/lift-freeze", `{"reason":"settled"}`), 409)
	visit("GET /api/users/me/factors/recovery", u.as("GET", "/api/users/me/factors/recovery", ""), 200, "requested_at removed_at")
	reach("POST /api/users/me/factors/recovery", u.as("POST", "/api/users/me/factors/recovery", ""), 404)
	reach("POST /api/users/me/factors/recovery/confirm", u.as("POST", "/api/users/me/factors/recovery/confirm", `{"code":"x"}`), 400)
	reach("POST /api/users/me/factors/recovery/cancel", u.as("POST", "/api/users/me/factors/recovery/cancel", ""), 404)
	reach("POST /api/operator/users/{id}/cancel-recovery", a.operator("POST", "/api/operator/users/"+u.id+"/cancel-recovery", ""), 404)
	reach("POST /api/users/me/email/verify", u.as("POST", "/api/users/me/email/verify", ""), 404)
	reach("POST /api/users/me/email/verify/confirm", u.as("POST", "/api/users/me/email/verify/confirm", `{"code":"x"}`), 400)
	reach("POST /api/operator/notices/{id}/replay", a.operator("POST", "/api/operator/notices/"+id[:32]+"-n1/replay", ""), 404)
	equal(visit("POST /api/operator/notices/replay", a.operator("POST", "/api/operator/notices/replay", `{"from":"2026-01-31T12:00:00Z"}`), 202, "replayed next_cursor"), "replayed", "0")
	visit("GET /api/operator/notices", a.operator("GET", "/api/operator/notices", ""), 200, "notices next_cursor")
	extra := a.login("aitbc1wallet_contract")
	reach("GET /api/users/me/sessions", u.as("GET", "/api/users/me/sessions", ""), 200)
	reach("DELETE /api/users/me/sessions/{id}", u.as("DELETE", "/api/users/me/sessions/nonsense", ""), 404)
	reach("DELETE /api/users/me/sessions", u.as("DELETE", "/api/users/me/sessions", ""), 200)
	extra.as("GET", "/api/users/me", "").refused(401, "unauthenticated", "")
	reach("GET /api/users/{id}/transactions.csv", u.as("GET", path+"/transactions.csv", ""), 200)
	reach("GET /api/exchange/candles", a.call("GET", "/api/exchange/candles?interval=1h", ""), 200)
	reach("GET /api/operator/health", a.operator("GET", "/api/operator/health", ""), 200)

	visit("POST /api/users/logout", u.as("POST", "/api/users/logout", "{}"), 200, "message")
	u.as("GET", "/api/users/me", "").refused(401, "unauthenticated", "")

	equal(visit("POST /api/operator/snapshot", a.operator("POST", "/api/operator/snapshot", ""), 202, "status"), "status", "started")

	equal(visit("GET /healthz", a.call("GET", "/healthz", ""), 200, "status version"), "status", "ok")
	equal(visit("GET /readyz", a.call("GET", "/readyz", ""), 200, "status records records_per_second"), "status", "ready")
	for _, page := range []struct{ path, contentType string }{
		{"/", "text/html; charset=utf-8"}, {"/Exchange", "text/html; charset=utf-8"}, {"/api/openapi.json", "application/json"}, {"/metrics", "text/plain"},
	} {
		delete(left, "GET "+page.path)
		r := a.call("GET", page.path, "").is(200)
		if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, page.contentType) || len(r.body) < 100 {
			t.Errorf("%s: %s, %d bytes", page.path, got, len(r.body))
		}
	}
	signed := startAPI(t, signedLogins(t, nil))
	visit("POST /api/auth/nonce", signed.call("POST", "/api/auth/nonce", `{"wallet_address":"`+walletprooftest.NewWallet(t, "contract").Address+`"}`), 200,
		"wallet_address nonce message expires_at")

	issuing := startAPI(t, accessTokens(t))
	holder := issuing.login("aitbc1wallet_holder")
	visit("POST /api/auth/access-token", holder.as("POST", "/api/auth/access-token", `{"audience":"https://pool.example"}`), 200,
		"access_token token_type audience expires_at")
	visit("GET /.well-known/jwks.json", issuing.call("GET", "/.well-known/jwks.json", ""), 200, "keys")

	visitFactors(t, visit)

	for route := range left {
		if strings.HasPrefix(route, "GET /api/docs") || strings.Contains(route, "/events") || strings.HasSuffix(route, ".csv") || !strings.Contains(route, "/api/") {
			continue // a page, an asset, a file or a stream, with tests of its own
		}
		t.Errorf("%s was not visited", route)
	}
}

func TestAPOSTThatNeedsNoBodyTakesNoneOrAnEmptyObject(t *testing.T) {
	a := startAPI(t)
	a.login("aitbc1wallet_nobody").as("POST", "/api/users/logout", "").is(200)
	a.login("aitbc1wallet_nobody").as("POST", "/api/users/logout", "{}").is(200)
	a.login("aitbc1wallet_nobody").as("POST", "/api/users/logout", `{"all":true}`).refused(400, "invalid_field", "all")
	a.call("POST", "/api/users/login", "").refused(400, "invalid_field", "wallet_address")
}

func TestHEADIsGETWithoutABody(t *testing.T) {
	a := startAPI(t)
	u := a.login("aitbc1wallet_header")
	for _, path := range []string{"/healthz", "/", "/api/users/me", "/api/exchange/rates"} {
		get, head := u.as("GET", path, "").is(200), u.as("HEAD", path, "").is(200)
		if head.body != "" || head.header.Get("Content-Length") == "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %q, %v", path, head.body, head.header)
		}
	}
	if r := a.call("HEAD", "/api/users/me", ""); r.status != 401 || r.body != "" {
		t.Errorf("HEAD without a token: %d %q", r.status, r.body)
	}
}

func TestARequestIDIsTheCallersOrNew(t *testing.T) {
	a := startAPI(t)
	if got := a.call("GET", "/healthz", "", "X-Request-Id", "abc-1.2_Z").header.Get("X-Request-Id"); got != "abc-1.2_Z" {
		t.Errorf("the caller's id came back as %q", got)
	}
	seen := map[string]bool{}
	for _, given := range []string{"", "bad id", `"quoted"`, strings.Repeat("a", 65), "a=b"} {
		got := a.call("GET", "/nothing", "", "X-Request-Id", given).header.Get("X-Request-Id")
		if got == given || seen[got] {
			t.Errorf("for %q the id is %q", given, got)
		}
		seen[got] = true
	}
}

func TestBeforeItIsReadyOnlyItsHealthIsAnswered(t *testing.T) {
	a := startAPI(t, func(c *apiConfig) { c.notReady = true })
	a.server.SetProgress(actors.Progress{Stage: actors.StageLog, Done: 3, Total: 12, Records: 42, Took: 5 * time.Second, InStage: 2 * time.Second})
	a.call("GET", "/healthz", "").is(200)
	r := a.call("GET", "/readyz", "").is(http.StatusServiceUnavailable)
	for name, want := range map[string]string{
		"status": "recovering", "stage": "log", "percent": "25.0", "seconds_remaining": "6", "records": "42", "records_per_second": "21",
	} {
		if got := r.text(name); got != want {
			t.Errorf("%s is %q, want %q: %s", name, got, want, r.body)
		}
	}
	for _, path := range []string{"/api/users/me", "/api/exchange/rates", "/api/operator/users"} {
		r := a.call("GET", path, "")
		r.refused(503, "unavailable", "")
		if r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	a.server.SetReady()
	a.call("GET", "/readyz", "").is(200)
	a.call("GET", "/api/exchange/rates", "").is(200)
}

func TestOutsideDemoModeNobodyMakesMoney(t *testing.T) {
	a := startAPI(t, func(c *apiConfig) { c.demo = false })
	u := a.login("aitbc1wallet_honest")
	u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`).refused(403, "forbidden", "")
	u.as("POST", "/api/exchange/confirm-payment/"+strings.ReplaceAll(u.id, "-", "")+"-1", `{"tx_hash":"`+someHash+`"}`).refused(403, "forbidden", "")
	u.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`).refused(503, "payments_off", "")
	a.operator("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`).is(201)
	if got := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).text("balance"); got != "1" {
		t.Errorf("the balance is %s", got)
	}
}
