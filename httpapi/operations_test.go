package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/httpapi/throttle"
)

// operate sends operations and returns the lines of the answer.
func (u client) operate(lines ...string) []operationAnswer {
	u.t.Helper()
	r := u.as("POST", "/api/users/"+u.id+"/operations", strings.Join(lines, "\n"), "Content-Type", linesOfJSON).is(200)
	if got := r.header.Get("Content-Type"); got != linesOfJSON {
		u.t.Errorf("the answer is %s", got)
	}
	var answers []operationAnswer
	for line := range strings.Lines(r.body) {
		var a operationAnswer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			u.t.Fatalf("%s: %v", line, err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(lines) {
		u.t.Fatalf("%d answers to %d operations:\n%s", len(answers), len(lines), r.body)
	}
	return answers
}

type operationAnswer struct {
	Status      int
	Replayed    bool
	Transaction struct {
		ID, Type, Status string
		Amount           json.Number
	}
	Problem struct{ Code, Field string }
}

// Each line is what the request for it alone would be, and none hinders another.
func TestEachOperationIsAcceptedOrRefusedByItself(t *testing.T) {
	u := startAPI(t).login("aitbc1wallet_maker")
	elsewhere := `,"to_address":"aitbc_elsewhere"}`
	lines := []struct {
		line        string
		status      int
		code, field string // of a problem
	}{
		{`{"type":"deposit","amount":300}`, 201, "", ""},
		{`{"type":"withdrawal","amount":"100"` + elsewhere, 201, "", ""},
		{`{"type":"withdrawal","amount":250` + elsewhere, 409, "insufficient_funds", ""},
		{`{"type":"withdrawal","amount":150` + elsewhere + "\r", 201, "", ""},
		{`{"type":"sell","amount":40,"to_address":"` + btcAddress + `"}`, 201, "", ""},
		{`{"type":"sell","amount":40,"to_address":"aitbc_elsewhere"}`, 400, "bad_address", "to_address"},
		{`{"type":"sell","amount":0.00000001,"to_address":"` + btcAddress + `"}`, 400, "bad_amount", "amount"},
		{`{"type":"sell","amount":4}`, 400, "invalid_field", "to_address"},
		{`{"type":"withdrawal","amount":1}`, 400, "invalid_field", "to_address"},
		{`{"type":"deposit","amount":1` + elsewhere, 400, "invalid_field", "to_address"},
		{`{"type":"buy","amount":1}`, 400, "invalid_field", "type"},
		{`{"amount":1}`, 400, "invalid_field", "type"},
		{`{"type":"deposit","amount":-1}`, 400, "invalid_field", "amount"},
		{`{"type":"deposit","amount":1,"user_id":"x"}`, 400, "invalid_field", "user_id"},
		{`{"type":"deposit","amount":1,"idempotency_key":"a b"}`, 400, "invalid_field", "idempotency_key"},
		{`{"type":"deposit","amount":1`, 400, "bad_request", ""},
		{`[]`, 400, "bad_request", ""},
		{``, 400, "invalid_field", "type"},
		{`{"type":"deposit","amount":5}`, 201, "", ""},
	}
	sent := make([]string, len(lines))
	for i, l := range lines {
		sent[i] = l.line
	}
	for i, got := range u.operate(sent...) {
		want := lines[i]
		if got.Status != want.status || got.Problem.Code != want.code || got.Problem.Field != want.field || (got.Transaction.ID != "") != (want.status == 201) {
			t.Errorf("%s is answered with %+v, want %d %s %s", want.line, got, want.status, want.code, want.field)
		}
	}
	if balance := u.as("GET", "/api/users/"+u.id+"/balance", "").is(200); balance.text("balance") != "305" || balance.text("available") != "15" {
		t.Errorf("the balance is %s", balance.body)
	}
}

func TestAnOperationThatIsSentAgainIsMadeOnce(t *testing.T) {
	a := startAPI(t)
	u := a.funded("aitbc1wallet_again")
	before := u.as("GET", "/api/users/"+u.id+"/balance", "").text("balance")
	line := `{"type":"deposit","amount":1,"idempotency_key":"d-1"}`
	first := u.operate(line, line)
	again := u.operate(`{"type":"deposit","amount":2,"idempotency_key":"d-2"}`, line, `{"type":"deposit","amount":3,"idempotency_key":"d-1"}`)
	if first[0].Replayed || !first[1].Replayed || !again[1].Replayed || again[1].Transaction != first[0].Transaction {
		t.Errorf("first %+v, again %+v", first, again)
	}
	if again[2].Status != 422 || again[2].Problem.Code != "idempotency_key_reused" {
		t.Errorf("another operation with the key: %+v", again[2])
	}
	if after := u.as("GET", "/api/users/"+u.id+"/balance", "").text("balance"); before != "10000" || after != "10003" {
		t.Errorf("the balance was %s and is %s", before, after)
	}
}

// What is wrong with the request as a whole changes nothing.
func TestOperationsAreRefusedAsAWhole(t *testing.T) {
	a := startAPI(t)
	u := a.funded("aitbc1wallet_whole")
	path, line := "/api/users/"+u.id+"/operations", `{"type":"deposit","amount":1}`
	u.as("POST", path, line).refused(415, "unsupported_media_type", "")
	u.as("POST", path, line, "Content-Type", linesOfJSON, "Idempotency-Key", "k").refused(400, "invalid_field", "Idempotency-Key")
	u.as("POST", path, strings.Repeat(line+"\n", maxOperations+1), "Content-Type", linesOfJSON).refused(400, "bad_request", "")
	if got := u.as("GET", "/api/users/"+u.id+"/balance", "").text("balance"); got != "10000" {
		t.Errorf("the balance is %s", got)
	}
	u.operate(strings.Split(strings.TrimSpace(strings.Repeat(line+"\n", maxOperations)), "\n")...)
	a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"test"}`).is(200)
	for _, got := range u.operate(line, `{"type":"withdrawal","amount":1,"to_address":"aitbc_elsewhere"}`) {
		if got.Status != 403 || got.Problem.Code != "account_suspended" {
			t.Errorf("a suspended user's operation: %+v", got)
		}
	}
}

func TestEachOperationCountsAsARequest(t *testing.T) {
	a := startAPI(t, func(c *apiConfig) {
		c.http.Limits.Account = throttle.Policy{Name: "account", Count: 10, Per: time.Hour, Burst: 10}
	})
	u := a.login("aitbc1wallet_counted")
	path, lines := "/api/users/"+u.id+"/operations", func(n int) string {
		return strings.Repeat(`{"type":"deposit","amount":1}`+"\n", n)
	}
	u.as("POST", path, lines(11), "Content-Type", linesOfJSON).refused(400, "bad_request", "")
	r := u.as("POST", path, lines(6), "Content-Type", linesOfJSON).is(200)
	if got := r.header.Get("RateLimit"); !strings.Contains(got, `"account";r=3`) || strings.Count(got, "account") != 1 {
		t.Errorf("RateLimit: %s", got)
	}
	u.as("POST", path, lines(6), "Content-Type", linesOfJSON).refused(429, "rate_limited", "")
	if state, _ := a.exchange.FindUser("aitbc1wallet_counted"); state.History.Last() != 6 {
		t.Errorf("%s were made", fmt.Sprint(state.History.Last()))
	}
}

func TestAnOperationTakesASecondFactorToo(t *testing.T) {
	clock := newClock()
	a := startAPI(t, withClock(clock))
	p, _ := newPerson(a, clock, "aitbc1wallet_factor")
	p.enrolApp()
	thief := a.login("aitbc1wallet_factor")
	lines := []string{
		`{"type":"withdrawal","amount":1,"to_address":"aitbc_elsewhere"}`,
		`{"type":"sell","amount":100,"to_address":"` + btcAddress + `"}`,
	}
	for _, got := range thief.operate(lines...) {
		if got.Status != 403 || got.Problem.Code != "second_factor_required" {
			t.Errorf("without the factor: %+v", got)
		}
	}
	for _, got := range p.operate(lines...) {
		if got.Status != 201 {
			t.Errorf("with the factor: %+v", got)
		}
	}
}
