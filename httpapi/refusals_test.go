package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// stranger is the id of a user who does not exist.
const stranger = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

func TestAnAmountIsAnExactNumberAboveZero(t *testing.T) {
	a := startAPI(t)
	u := a.funded("aitbc1wallet_amounts")
	before := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body
	for _, c := range []struct{ call, path, field, rest string }{
		{"session", "/api/users/" + u.id + "/deposits", "amount", ""},
		{"session", "/api/users/" + u.id + "/withdrawals", "amount", `,"to_address":"aitbc_elsewhere"`},
		{"session", "/api/exchange/sell", "aitbc_amount", `,"btc_address":"` + btcAddress + `"`},
		{"session", "/api/exchange/create-payment", "aitbc_amount", ""},
		{"session", "/api/exchange/create-payment", "btc_amount", `,"aitbc_amount":1000`},
		{"operator", "/api/users/" + u.id + "/deposits", "amount", ""},
		{"operator", "/api/operator/users/" + u.id + "/credit", "amount", `,"reason":"x"`},
		{"operator", "/api/operator/users/" + u.id + "/debit", "amount", `,"reason":"x"`},
	} {
		call := u.as
		if c.call == "operator" {
			call = a.operator
		}
		for _, amount := range []string{
			"0", `"0"`, "0.00000000", "-0", "-1", `"-1"`, "0.000000001", `"1.123456789"`, "1e-9", "1e400", `"1e400"`, "1e30",
			"92233720368.54775808", "99999999999999999999999999", `"1,5"`, `"1.5 "`, `" 1"`, `"+1"`, `"01"`, `"1."`, `".5"`, `"0x10"`, `""`,
			`"NaN"`, `"Infinity"`, "true", "false", "null", "[1]", `{"a":1}`, `"` + strings.Repeat("1", 100) + `"`,
		} {
			call("POST", c.path, `{"`+c.field+`":`+amount+c.rest+`}`).refused(400, "invalid_field", c.field)
		}
		if c.field != "btc_amount" {
			call("POST", c.path, "{"+strings.TrimPrefix(c.rest, ",")+"}").refused(400, "invalid_field", c.field)
		}
	}
	if after := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body; after != before {
		t.Errorf("the balance is %s, was %s", after, before)
	}
	for _, amount := range []string{"1", `"1"`, "1.0", "1e0", "10e-1", `"1.00000000"`, "0.1e1"} {
		r := u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":`+amount+`}`).is(201)
		if r.text("amount") != "1" {
			t.Errorf("%s became %s", amount, r.text("amount"))
		}
	}
}

func TestABodyIsOneKnownObjectAndNothingElse(t *testing.T) {
	a := startAPI(t)
	u := a.funded("aitbc1wallet_bodies")
	withdrawals, login := "/api/users/"+u.id+"/withdrawals", "/api/users/login"
	for _, c := range []struct{ path, body, code, field string }{
		{withdrawals, `{"amount":1,"to_address":"aitbc_elsewhere","fee":0}`, "invalid_field", "fee"},
		{withdrawals, `{"Amount":1,"to_address":"aitbc_elsewhere"}`, "invalid_field", "Amount"},
		{withdrawals, `{"amount":1,"amount":2,"to_address":"aitbc_elsewhere"}`, "invalid_field", "amount"},
		{withdrawals, `{"amount":1,"\u0061mount":2,"to_address":"aitbc_elsewhere"}`, "invalid_field", "amount"},
		{withdrawals, `{"amount":1,"to_address":"aitbc_elsewhere"}{}`, "bad_request", ""},
		{withdrawals, `{"amount":1,"to_address":"aitbc_elsewhere"} x`, "bad_request", ""},
		{withdrawals, `{"amount":1,"to_address":"aitbc_elsewhere"`, "bad_request", ""},
		{withdrawals, `{"amount":1,}`, "bad_request", ""},
		{withdrawals, `[{"amount":1}]`, "bad_request", ""},
		{withdrawals, `null`, "bad_request", ""},
		{withdrawals, `"amount"`, "bad_request", ""},
		{withdrawals, `   `, "bad_request", ""},
		{withdrawals, `{"amount":1,"to_address":7}`, "invalid_field", "to_address"},
		{withdrawals, `{"amount":1,"to_address":null}`, "invalid_field", "to_address"},
		{withdrawals, `{"amount":1,"to_address":""}`, "invalid_field", "to_address"},
		{withdrawals, `{"amount":1,"to_address":"short"}`, "invalid_field", "to_address"},
		{withdrawals, `{"amount":1,"to_address":"with space"}`, "invalid_field", "to_address"},
		{withdrawals, `{"amount":1}`, "invalid_field", "to_address"},
		{login, `{}`, "invalid_field", "wallet_address"},
		{login, `{"wallet_address":"1234567"}`, "invalid_field", "wallet_address"},
		{login, `{"wallet_address":"` + strings.Repeat("a", 129) + `"}`, "invalid_field", "wallet_address"},
		{login, `{"wallet_address":"wallet-with-minus"}`, "invalid_field", "wallet_address"},
		{login, `{"wallet_address":"wället_address"}`, "invalid_field", "wallet_address"},
		{login, `{"wallet_address":["aitbc1wallet"]}`, "invalid_field", "wallet_address"},
		{login, "{\"wallet_address\":\"wallet_\xff_address\"}", "bad_request", ""},
		{"/api/exchange/sell", `{"aitbc_amount":1000,"btc_address":"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081"}`, "bad_address", "btc_address"},
		{"/api/exchange/sell", `{"aitbc_amount":0.1,"btc_address":"` + btcAddress + `"}`, "bad_amount", "aitbc_amount"},
		{"/api/exchange/create-payment", `{"aitbc_amount":1}`, "bad_amount", "aitbc_amount"},
		{"/api/exchange/create-payment", `{"aitbc_amount":100000000}`, "bad_amount", "aitbc_amount"},
		{"/api/exchange/create-payment", `{"aitbc_amount":1000,"btc_amount":0.01005001}`, "bad_amount", "btc_amount"},
		{"/api/exchange/create-payment", `{"aitbc_amount":1000,"notes":7}`, "invalid_field", "notes"},
		{"/api/exchange/create-payment", `{"aitbc_amount":1000,"notes":"` + strings.Repeat("n", 501) + `"}`, "invalid_field", "notes"},
		{"/api/exchange/create-payment", `{"aitbc_amount":1000,"user_id":"me"}`, "invalid_field", "user_id"},
	} {
		u.as("POST", c.path, c.body).refused(400, c.code, c.field)
	}
	for _, c := range []struct{ body, field string }{
		{`{}`, "email"}, {`{"email":"no at sign"}`, "email"}, {`{"email":"a@b"}`, "email"}, {`{"username":"ab"}`, "username"},
		{`{"username":"with space"}`, "username"}, {`{"status":"active"}`, "status"}, {`{"username":"` + strings.Repeat("u", 65) + `"}`, "username"},
	} {
		u.as("PATCH", "/api/users/me", c.body).refused(400, "invalid_field", c.field)
	}
	if r := u.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000,"btc_amount":1}`); !strings.Contains(r.body, "0.01005 BTC") {
		t.Errorf("the refusal does not say the right amount: %s", r.body)
	}
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonp"} {
		u.as("POST", withdrawals, `{"amount":1,"to_address":"aitbc_elsewhere"}`, "Content-Type", contentType).refused(415, "unsupported_media_type", "")
	}
	u.as("POST", withdrawals, `{"amount":1,"to_address":"aitbc_elsewhere"}`, "Content-Type", "Application/JSON; charset=UTF-8").is(201)
	if r := u.as("GET", "/api/users/"+u.id+"/transactions", "").is(200); r.text("total") != "2" {
		t.Errorf("what was refused left a transaction behind: %s", r.body)
	}
}

func TestAQueryIsKnownParametersOnce(t *testing.T) {
	a := startAPI(t)
	u := a.funded("aitbc1wallet_query")
	path := "/api/users/" + u.id + "/transactions"
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=501": "limit", "limit=-1": "limit", "limit=1.5": "limit", "limit=": "limit", "limit=1&limit=1": "limit",
		"cursor=0": "cursor", "cursor=x": "cursor", "cursor=4294967296": "cursor", "type=gift": "type", "status=done": "status",
		"from=yesterday": "from", "to=2026-01-01": "to", "offset=1": "offset", "limit=1&x=2": "x",
	} {
		u.as("GET", path+"?"+query, "").refused(400, "invalid_field", field)
	}
	for query, total := range map[string]string{
		"": "1", "type=deposit": "1", "type=buy": "0", "status=completed&type=deposit": "1", "status=pending": "0",
		"from=2020-01-01T00:00:00Z": "1", "to=2020-01-01T00:00:00Z": "0", "from=2020-01-01T00:00:00Z&type=sell": "0", "limit=500": "1",
	} {
		if got := u.as("GET", path+"?"+query, "").is(200).text("total"); got != total {
			t.Errorf("?%s: total %s, want %s", query, got, total)
		}
	}
}

func TestATokenThatIsNotLiveIsRefusedAlikeWhoeverItsUser(t *testing.T) {
	a := startAPI(t)
	u, other := a.login("aitbc1wallet_tokens"), a.login("aitbc1wallet_others")
	gone := a.login("aitbc1wallet_tokens")
	gone.as("POST", "/api/users/logout", "").is(200)
	// A token of u's with another secret, and one of a user who does not exist.
	wrong := u.token[:len(u.token)-8] + "AAAAAAAA"
	unknown := "AAAA" + u.token[4:]
	bodies := map[string]bool{}
	for _, token := range []string{"", "x", gone.token, wrong, unknown, other.token[:22] + u.token[22:], u.token + "AAAA", strings.Repeat("!", actors.TokenLength), strings.Repeat("A", 3000), operatorKey} {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/api/users/me", ""}, {"PATCH", "/api/users/me", `{"username":"thief"}`}, {"POST", "/api/users/logout", ""},
			{"GET", "/api/users/" + u.id + "/balance", ""}, {"GET", "/api/users/" + stranger + "/balance", ""},
			{"GET", "/api/users/" + u.id + "/transactions", ""}, {"POST", "/api/users/" + u.id + "/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`},
			{"POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`}, {"POST", "/api/exchange/sell", `{}`},
			{"GET", "/api/exchange/payment-status/1", ""},
		} {
			r := a.call(c.method, c.path, c.body, "X-Session-Token", token, "X-Request-Id", "same")
			r.refused(401, "unauthenticated", "")
			if r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", r.what)
			}
			bodies[r.body] = true
		}
	}
	if len(bodies) != 1 {
		t.Errorf("there are %d different bodies: %v", len(bodies), bodies)
	}
	// The token is taken as a bearer's too, but never from the query.
	a.call("GET", "/api/users/me", "", "Authorization", "bearer "+u.token).is(200)
	a.call("GET", "/api/users/me", "", "Authorization", "Basic "+u.token).is(401)
	a.call("GET", "/api/users/me?session_token="+u.token+"&token="+u.token, "").is(401)
}

func TestAnotherUsersResourceIsRefusedLikeOneThatDoesNotExist(t *testing.T) {
	a := startAPI(t)
	u, other := a.funded("aitbc1wallet_curious"), a.funded("aitbc1wallet_target")
	payment := other.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`).is(201).text("payment_id")
	nobodys := strings.ReplaceAll(stranger, "-", "") + "-1"
	before := a.operator("GET", "/api/operator/users/"+other.id, "").is(200).body
	for _, c := range []struct{ method, theirs, nobodys, body string }{
		{"GET", "/api/users/" + other.id + "/balance", "/api/users/" + stranger + "/balance", ""},
		{"GET", "/api/users/" + other.id + "/transactions", "/api/users/" + stranger + "/transactions", ""},
		{"POST", "/api/users/" + other.id + "/deposits", "/api/users/" + stranger + "/deposits", `{"amount":1}`},
		{"POST", "/api/users/" + other.id + "/withdrawals", "/api/users/" + stranger + "/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`},
		{"GET", "/api/exchange/payment-status/" + payment, "/api/exchange/payment-status/" + nobodys, ""},
		{"POST", "/api/exchange/confirm-payment/" + payment, "/api/exchange/confirm-payment/" + nobodys, `{"tx_hash":"` + someHash + `"}`},
		{"POST", "/api/exchange/create-payment", "/api/exchange/create-payment", `{"aitbc_amount":1000,"user_id":"` + other.id + `"}`},
	} {
		theirs := u.as(c.method, c.theirs, c.body, "X-Request-Id", "same")
		theirs.refused(403, "forbidden", "")
		nobodys := u.as(c.method, c.nobodys, strings.ReplaceAll(c.body, other.id, stranger), "X-Request-Id", "same")
		if nobodys.status != theirs.status || nobodys.body != theirs.body {
			t.Errorf("%s is told from %s: %s", theirs.what, nobodys.what, nobodys.body)
		}
	}
	for _, path := range []string{"users", "users/" + other.id, "users/" + other.id + "/transactions", "transactions"} {
		u.as("GET", "/api/operator/"+path, "").refused(403, "forbidden", "")
	}
	if after := a.operator("GET", "/api/operator/users/"+other.id, "").is(200).body; after != before {
		t.Errorf("the other user is now\n%s, was\n%s", after, before)
	}
	own := strings.ReplaceAll(u.id, "-", "")
	u.as("GET", "/api/exchange/payment-status/"+own+"-99", "").refused(404, "not_found", "")
	u.as("GET", "/api/exchange/payment-status/"+own+"-1", "").refused(404, "not_found", "") // a deposit
	u.as("GET", "/api/exchange/payment-status/nonsense", "").refused(404, "not_found", "")
	u.as("GET", "/api/users/nonsense/balance", "").refused(404, "not_found", "")
}

func TestASuspendedUserReadsAndChangesNothing(t *testing.T) {
	a := startAPI(t)
	u := a.funded("aitbc1wallet_frozen")
	payment := u.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`).is(201).text("payment_id")
	a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"fraud"}`).is(200)
	before := u.as("GET", "/api/users/me", "").is(200).body + u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/users/login", `{"wallet_address":"aitbc1wallet_frozen"}`},
		{"PATCH", "/api/users/me", `{"username":"thawed"}`},
		{"POST", "/api/users/" + u.id + "/deposits", `{"amount":1}`},
		{"POST", "/api/users/" + u.id + "/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`},
		{"POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`},
		{"POST", "/api/exchange/confirm-payment/" + payment, `{"tx_hash":"` + someHash + `"}`},
		{"POST", "/api/exchange/sell", `{"aitbc_amount":1000,"btc_address":"` + btcAddress + `"}`},
	} {
		u.as(c.method, c.path, c.body).refused(403, "account_suspended", "")
	}
	if after := u.as("GET", "/api/users/me", "").is(200).body + u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body; after != before {
		t.Errorf("it is now %s, was %s", after, before)
	}
	u.as("GET", "/api/users/"+u.id+"/transactions", "").is(200)
	u.as("GET", "/api/exchange/payment-status/"+payment, "").is(200)
	a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"again"}`).refused(409, "no_change", "")
	a.operator("POST", "/api/operator/users/"+u.id+"/reactivate", `{"reason":"cleared"}`).is(200)
	u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`).is(201)
}

func TestAnOperatorNeedsAKeyOfTheFile(t *testing.T) {
	off := startAPI(t, func(c *apiConfig) { c.http.Keys = nil })
	a := startAPI(t)
	for name, service := range map[string]*api{"no key set": off, "key set": a} {
		u := service.login("aitbc1wallet_someone")
		for _, e := range service.server.table() {
			if e.value.access.who() != operatorOnly {
				continue
			}
			path := strings.Replace(e.pattern, "{id}", u.id, 1)
			service.call(e.method, path, "").refused(401, "unauthenticated", "")
			for _, key := range []string{"wrong-key-0123456789abcdef", operatorKey + "x", operatorKey[1:], "olga", "olga:" + operatorKey, ""} {
				service.call(e.method, path, "", "Authorization", "Bearer "+key).refused(401, "unauthenticated", "")
			}
			if r := service.operator(e.method, path, ""); name == "no key set" {
				r.refused(401, "unauthenticated", "")
			} else if r.status == 401 || r.status == 403 {
				t.Errorf("%s: the right key is refused", r.what)
			}
		}
	}
	u := a.login("aitbc1wallet_someone")
	// What an operator does has a reason, and a user.
	for _, action := range []string{"suspend", "reactivate", "close"} {
		a.operator("POST", "/api/operator/users/"+u.id+"/"+action, `{}`).refused(400, "invalid_field", "reason")
		a.operator("POST", "/api/operator/users/"+stranger+"/"+action, `{"reason":"x"}`).refused(404, "not_found", "")
		a.operator("POST", "/api/operator/users/nonsense/"+action, `{"reason":"x"}`).refused(404, "not_found", "")
	}
	for _, action := range []string{"credit", "debit"} {
		a.operator("POST", "/api/operator/users/"+u.id+"/"+action, `{"amount":1}`).refused(400, "invalid_field", "reason")
		a.operator("POST", "/api/operator/users/"+stranger+"/"+action, `{"amount":1,"reason":"x"}`).refused(404, "not_found", "")
	}
	a.operator("POST", "/api/operator/users/"+u.id+"/debit", `{"amount":1,"reason":"x"}`).refused(409, "insufficient_funds", "")
	a.operator("POST", "/api/operator/transactions/"+strings.ReplaceAll(u.id, "-", "")+"-9/complete", `{}`).refused(404, "not_found", "")
	a.operator("POST", "/api/operator/transactions/nonsense/fail", `{"reason":"x"}`).refused(404, "not_found", "")
	a.operator("POST", "/api/exchange/confirm-payment/"+strings.ReplaceAll(stranger, "-", "")+"-1", `{"tx_hash":"`+someHash+`"}`).refused(404, "not_found", "")
	a.operator("GET", "/api/operator/users?status=asleep", "").refused(400, "invalid_field", "status")
	a.operator("GET", "/api/operator/transactions?type=deposit", "").refused(400, "invalid_field", "type")
}

func TestInsufficientFundsAndTakenNamesAreAConflict(t *testing.T) {
	a := startAPI(t)
	u, other := a.funded("aitbc1wallet_conflict"), a.login("aitbc1wallet_second")
	u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":10000.00000001,"to_address":"aitbc_elsewhere"}`).refused(409, "insufficient_funds", "")
	u.as("POST", "/api/exchange/sell", `{"aitbc_amount":10001,"btc_address":"`+btcAddress+`"}`).refused(409, "insufficient_funds", "")
	u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":"92233720368.54775807"}`).refused(409, "balance_limit", "amount")
	other.as("PATCH", "/api/users/me", `{"username":"USER_conflict"}`).refused(409, "taken", "username")
	other.as("PATCH", "/api/users/me", `{"email":"aitbc1wallet_CONFLICT@aitbc.local"}`).refused(409, "taken", "email")
	payment := u.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`).is(201).text("payment_id")
	u.as("POST", "/api/exchange/confirm-payment/"+payment, `{"tx_hash":"`+someHash[1:]+`z"}`).refused(400, "invalid_field", "tx_hash")
	u.as("POST", "/api/exchange/confirm-payment/"+payment, `{}`).refused(400, "invalid_field", "tx_hash")
	u.as("POST", "/api/exchange/confirm-payment/"+payment, `{"tx_hash":"`+someHash+`"}`).is(200)
	u.as("POST", "/api/exchange/confirm-payment/"+payment, `{"tx_hash":"`+someHash+`"}`).refused(409, "not_pending", "")
	for range account.MaxOpenPayments {
		u.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`).is(201)
	}
	u.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`).refused(409, "too_many_open_payments", "")
}

func TestTheThirtyThirdLoginEndsTheFirst(t *testing.T) {
	a := startAPI(t)
	var sessions []client
	for range account.MaxSessions + 1 {
		sessions = append(sessions, a.login("0xAbCdEf0123456789aBcDeF0123456789abcdef01"))
	}
	for i, s := range sessions {
		want := 200
		if i == 0 {
			want = 401
		}
		s.as("GET", "/api/users/me", "").is(want)
		if s.id != sessions[0].id {
			t.Errorf("login %d is of another user", i)
		}
	}
	if again := a.login("0XABCDEF0123456789ABCDEF0123456789ABCDEF01"); again.id != sessions[0].id {
		t.Error("an Ethereum address in another case is another user")
	}
	if other := a.login("ABCDEFGHIJ"); other.id == a.login("abcdefghij").id {
		t.Error("wallets that differ in case are one user")
	}
}

// retried are the requests that move value; each takes an Idempotency-Key.
func retried(u client, payment, open [3]string) []struct {
	operator              bool
	path, body, otherBody string
} {
	type entry = struct {
		operator              bool
		path, body, otherBody string
	}
	return []entry{
		{false, "/api/users/" + u.id + "/deposits", `{"amount":1}`, `{"amount":2}`},
		{false, "/api/users/" + u.id + "/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, `{"amount":1,"to_address":"aitbc_somewhere"}`},
		{false, "/api/exchange/create-payment", `{"aitbc_amount":1000}`, `{"aitbc_amount":1001}`},
		{false, "/api/exchange/sell", `{"aitbc_amount":100,"btc_address":"` + btcAddress + `"}`, `{"aitbc_amount":101,"btc_address":"` + btcAddress + `"}`},
		{false, "/api/exchange/confirm-payment/" + payment[0], `{"tx_hash":"` + someHash + `"}`, `{"tx_hash":"` + someHash[1:] + `0"}`},
		{true, "/api/exchange/confirm-payment/" + payment[1], `{"tx_hash":"` + someHash + `"}`, `{"tx_hash":"` + someHash[1:] + `0"}`},
		{true, "/api/users/" + u.id + "/deposits", `{"amount":1}`, `{"amount":2}`},
		{true, "/api/operator/users/" + u.id + "/credit", `{"amount":1,"reason":"x"}`, `{"amount":1,"reason":"y"}`},
		{true, "/api/operator/users/" + u.id + "/debit", `{"amount":1,"reason":"x"}`, `{"amount":1,"reason":"y"}`},
		{true, "/api/operator/transactions/" + open[0] + "/complete", `{"reason":"x"}`, `{"reason":"y"}`},
		{true, "/api/operator/transactions/" + open[1] + "/fail", `{"reason":"x"}`, `{"reason":"y"}`},
	}
}

func TestARetryWithTheSameKeyGetsTheFirstResponseAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	in := func(c *apiConfig) { c.dir = dir }
	a := startAPI(t, in)
	u := a.funded("aitbc1wallet_idempotent")
	var payment, open [3]string
	for i := range 2 {
		payment[i] = u.as("POST", "/api/exchange/create-payment", `{"aitbc_amount":1000}`).is(201).text("payment_id")
		open[i] = u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`).is(201).text("id")
	}
	requests := retried(u, payment, open)
	first := make([]reply, len(requests))
	send := func(i int, body string) reply {
		t.Helper()
		call := u.as
		if requests[i].operator {
			call = u.operator
		}
		return call("POST", requests[i].path, body, "Idempotency-Key", fmt.Sprintf("key-%d", i))
	}
	for i, request := range requests {
		if first[i] = send(i, request.body); first[i].status/100 != 2 || first[i].header.Get("Idempotent-Replayed") != "" {
			t.Fatalf("%s: %d %s", first[i].what, first[i].status, first[i].body)
		}
	}
	total := u.as("GET", "/api/users/"+u.id+"/transactions", "").is(200).text("total")
	balance := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body
	for round := range 2 {
		for i, request := range requests {
			again := send(i, request.body)
			if again.status != first[i].status || again.body != first[i].body || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("round %d: %s: the retry got %d %s\nthe first got %d %s", round, again.what, again.status, again.body, first[i].status, first[i].body)
			}
			send(i, request.otherBody).refused(422, "idempotency_key_reused", "")
		}
		if got := u.as("GET", "/api/users/"+u.id+"/transactions", "").is(200).text("total"); got != total {
			t.Errorf("round %d: %s transactions, were %s", round, got, total)
		}
		if got := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200).body; got != balance {
			t.Errorf("round %d: the balance is %s, was %s", round, got, balance)
		}
		a.stop()
		a = startAPI(t, in)
		u.api = a
	}
	// A key counts for its user and its path.
	u.as("POST", "/api/exchange/sell", requests[0].body, "Idempotency-Key", "key-0").is(400)
	u.as("POST", "/api/users/"+u.id+"/withdrawals", requests[1].body, "Idempotency-Key", "key-0").refused(422, "idempotency_key_reused", "")
	other := a.login("aitbc1wallet_another")
	if r := other.as("POST", "/api/users/"+other.id+"/deposits", `{"amount":1}`, "Idempotency-Key", "key-0").is(201); r.header.Get("Idempotent-Replayed") != "" {
		t.Error("another user's key was replayed")
	}
	// A refused request leaves its key unused.
	u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1000000,"to_address":"aitbc_elsewhere"}`, "Idempotency-Key", "k").refused(409, "insufficient_funds", "")
	u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, "Idempotency-Key", "k").is(201)
	for _, key := range []string{"with space", "ümlaut", strings.Repeat("k", 256)} {
		u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`, "Idempotency-Key", key).refused(400, "invalid_field", "Idempotency-Key")
	}
}
