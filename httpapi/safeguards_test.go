package httpapi

import (
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
)

const secondKey = "key-of-otto-0123456789abcdef"

// safeguarded serves with safeguards and a clock that the test moves.
func safeguarded(clock *testClock, terms func(*actors.Terms)) func(*apiConfig) {
	return func(c *apiConfig) {
		c.terms, c.now = terms, clock.Now
		keys, err := ReadOperatorKeys(strings.NewReader("olga:operate:" + operatorKey + "\notto:operate:" + secondKey))
		if err != nil {
			panic(err)
		}
		c.http.Keys = keys
	}
}

func TestAnAddressIsUsedOnceItHasCooledOffAlsoAfterARestart(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	serve := func(coolingOff time.Duration) *api {
		t.Helper()
		return startAPI(t, safeguarded(clock, func(terms *actors.Terms) { terms.AddressCoolingOff = coolingOff }), func(c *apiConfig) { c.dir = dir })
	}
	a := serve(time.Hour)
	u := a.funded("aitbc1wallet_booked")
	withdraw := func() reply {
		return u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_friend"}`)
	}
	sell := func() reply {
		return u.as("POST", "/api/exchange/sell", `{"aitbc_amount":100,"btc_address":"`+strings.ToUpper(btcAddress)+`"}`)
	}
	for _, r := range []reply{withdraw(), sell()} {
		if r.refused(403, "address_not_usable", ""); r.members()["retry_at"] != nil || !strings.Contains(r.text("detail"), "not in your address book") {
			t.Errorf("an unknown address: %s", r.body)
		}
	}
	first := u.as("POST", "/api/users/me/addresses", `{"label":"a friend","address":"aitbc_friend"}`).is(201)
	second := u.as("POST", "/api/users/me/addresses", `{"label":"my node","address":"`+btcAddress+`"}`).is(201)
	if again := u.as("POST", "/api/users/me/addresses", `{"label":"a friend","address":"aitbc_friend"}`).is(201); again.body != first.body {
		t.Errorf("the same again is %s, was %s", again.body, first.body)
	}
	u.as("POST", "/api/users/me/addresses", `{"label":"other words","address":"aitbc_friend"}`).refused(409, "no_change", "")
	for _, r := range []reply{withdraw(), sell()} {
		r.refused(403, "address_not_usable", "")
	}
	if got := withdraw().text("retry_at"); got != first.text("usable_at") {
		t.Errorf("it may be used from %s on, the book says %s", got, first.text("usable_at"))
	}

	// Neither a restart nor a shorter time changes what was said.
	a.stop()
	a = serve(time.Nanosecond)
	u.api = a
	withdraw().refused(403, "address_not_usable", "")
	clock.add(time.Hour)
	withdraw().is(201)
	sell().is(201)
	u.as("DELETE", "/api/users/me/addresses/"+second.text("id"), "").is(200)
	u.as("DELETE", "/api/users/me/addresses/"+second.text("id"), "").refused(404, "not_found", "")
	u.as("DELETE", "/api/users/me/addresses/first", "").refused(404, "not_found", "")
	sell().refused(403, "address_not_usable", "")
	if list := u.as("GET", "/api/users/me/addresses", "").is(200).members()["addresses"].([]any); len(list) != 1 {
		t.Errorf("the book has %v", list)
	}
}

func TestAMistypedBitcoinAddressIsNotAddedToTheAddressBook(t *testing.T) {
	u := startAPI(t).login("aitbc1wallet_mistyped")
	mistyped := btcAddress[:len(btcAddress)-1] + "1"
	for _, address := range []string{mistyped, strings.ToUpper(mistyped), "short", "with space here"} {
		r := u.as("POST", "/api/users/me/addresses", `{"label":"x","address":"`+address+`"}`)
		if r.status != 400 {
			t.Errorf("%s is answered %d: %s", address, r.status, r.body)
		}
	}
	u.as("POST", "/api/users/me/addresses", `{"label":"","address":"aitbc_friend"}`).refused(400, "invalid_field", "label")
	u.as("POST", "/api/users/me/addresses", `{"label":"x\u0000","address":"aitbc_friend"}`).refused(400, "invalid_field", "label")
}

func TestADailyLimitSaysWhatIsLeftAndWhenMoreIsFree(t *testing.T) {
	clock := newClock()
	a := startAPI(t, safeguarded(clock, func(terms *actors.Terms) { terms.DailyLimit = 100e8 }))
	u := a.funded("aitbc1wallet_limited")
	withdraw := func(amount string) reply {
		return u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":`+amount+`,"to_address":"aitbc_friend"}`, "Idempotency-Key", "w"+amount+clock.Now().Format(time.RFC3339Nano))
	}
	withdraw("70").is(201)
	r := withdraw("30.5")
	r.refused(409, "daily_limit", "")
	if !strings.HasPrefix(r.text("detail"), "30 of the 100 AITBC") || r.text("retry_at") != "2026-11-26T12:00:00.000000Z" {
		t.Errorf("the refusal is %s", r.body)
	}
	withdraw("30").is(201)
	if again := withdraw("30").is(201); again.header.Get("Idempotent-Replayed") != "true" {
		t.Error("a retry is not answered as one")
	}
	clock.add(24*time.Hour - time.Microsecond)
	u = a.login("aitbc1wallet_limited")
	withdraw("1").refused(409, "daily_limit", "")
	clock.add(time.Microsecond)
	withdraw("100").is(201)
}

func TestALargeWithdrawalTakesTwoOperators(t *testing.T) {
	clock := newClock()
	a := startAPI(t, safeguarded(clock, func(terms *actors.Terms) { terms.FourEyesAbove = 50e8 }))
	u := a.funded("aitbc1wallet_large")
	id := u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":50.00000001,"to_address":"aitbc_friend"}`).is(201).text("id")
	otto := func(path, body string) reply {
		return a.call("POST", "/api/operator/transactions/"+id+path, body, "Authorization", "Bearer "+secondKey)
	}
	olga := func(path, body string) reply { return a.operator("POST", "/api/operator/transactions/"+id+path, body) }
	listed := func() map[string]any {
		return a.operator("GET", "/api/operator/transactions?type=withdrawal", "").is(200).members()["transactions"].([]any)[0].(map[string]any)
	}
	if got := listed(); got["awaits_approval"] != true || got["approved_by"] != nil {
		t.Errorf("before it is approved: %v", got)
	}
	olga("/complete", "").refused(409, "approval_required", "")
	olga("/approve", "").refused(400, "invalid_field", "reason")
	u.as("POST", "/api/operator/transactions/"+id+"/approve", `{"reason":"it is mine"}`).refused(403, "forbidden", "")
	olga("/approve", `{"reason":"called back"}`).is(200)
	if got := listed(); got["awaits_approval"] != false || got["approved_by"] != "olga" || got["approval"] != "called back" {
		t.Errorf("after it is approved: %v", got)
	}
	olga("/complete", "").refused(409, "same_operator", "")
	otto("/approve", `{"reason":"me too"}`).refused(409, "no_change", "")
	otto("/complete", "").is(200)
	if own := u.as("GET", "/api/users/"+u.id+"/transactions", "").is(200); strings.Contains(own.body, "olga") {
		t.Errorf("the user sees who approved: %s", own.body)
	}
}
