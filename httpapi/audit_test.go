package httpapi

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aitbc/exchange/persistence"
)

// fullLog fails once full is set.
type fullLog struct {
	persistence.Log
	full *atomic.Bool
}

func (l fullLog) Append(seq uint64, frame []byte) error {
	if l.full.Load() {
		return errors.New("no space left on device")
	}
	return l.Log.Append(seq, frame)
}

func TestAnOperatorSeesWhoDidWhatNewestFirst(t *testing.T) {
	a := startAPI(t)
	u := a.funded("aitbc1wallet_seen")
	a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"asked by the \"bank\""}`).is(200)
	a.operator("POST", "/api/operator/users/"+u.id+"/reactivate", `{"reason":"cleared"}`).is(200)
	u.as("POST", "/api/users/me/addresses", `{"label":"a friend","address":"aitbc_friend"}`).is(201)
	first := a.operator("GET", "/api/operator/audit?limit=2", "").is(200)
	rest := a.operator("GET", "/api/operator/audit?limit=2&cursor="+first.text("next_cursor"), "").is(200)
	got := ""
	for _, page := range []reply{first, rest} {
		for _, e := range page.members()["entries"].([]any) {
			e := e.(map[string]any)
			got += strings.ReplaceAll(e["actor"].(string)+" "+e["action"].(string)+" "+e["target"].(string)+" "+e["note"].(string)+"\n", u.id, "ID")
		}
	}
	want := "user:ID address.add user:ID aitbc_friend: a friend\n" +
		"operator:olga user.reactivate user:ID cleared\n" +
		"operator:olga user.suspend user:ID asked by the \"bank\"\n"
	if got != want || rest.members()["next_cursor"] != nil {
		t.Errorf("the audit log is\n%s, want\n%s, and then %v", got, want, rest.members()["next_cursor"])
	}
	newest := first.members()["entries"].([]any)[0].(map[string]any)
	if head := first.text("head"); head != "3:"+newest["hash"].(string) || first.text("total") != "3" {
		t.Errorf("the head is %s of %s, the newest entry %v", head, first.text("total"), newest)
	}
	a.operator("GET", "/api/operator/audit?cursor=0", "").refused(400, "invalid_field", "cursor")
	if metrics := a.call("GET", "/metrics", "").is(200).body; !strings.Contains(metrics, "exchange_audit_entries 3\n") {
		t.Error("/metrics does not have the number of entries")
	}
}

func TestAnActionThatCannotBeAuditedIsA503AndNotDone(t *testing.T) {
	full := &atomic.Bool{}
	a := startAPI(t, func(c *apiConfig) {
		c.auditLog = func(l persistence.Log) persistence.Log { return fullLog{l, full} }
	})
	u := a.funded("aitbc1wallet_full")
	profile := u.as("GET", "/api/users/me", "").is(200).body
	full.Store(true)
	for range 2 {
		a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"r"}`).refused(503, "audit_failed", "")
	}
	a.operator("POST", "/api/operator/users/"+u.id+"/credit", `{"amount":1,"reason":"r"}`).refused(503, "audit_failed", "")
	a.operator("POST", "/api/operator/snapshot", "").refused(503, "audit_failed", "")
	u.as("POST", "/api/users/me/addresses", `{"label":"a friend","address":"aitbc_friend"}`).refused(503, "audit_failed", "")
	u.as("PATCH", "/api/users/me", `{"email":"me@example.com"}`).refused(503, "audit_failed", "")
	if now := u.as("GET", "/api/users/me", "").is(200).body; now != profile {
		t.Errorf("the user is\n%s, was\n%s", now, profile)
	}
	u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`).is(201)
}

func TestNoOperatorMayBeNamedChainOrClock(t *testing.T) {
	for _, name := range []string{"chain", "clock"} {
		if _, err := ReadOperatorKeys(strings.NewReader(name + ":admin:" + operatorKey)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a key for %q: %v", name, err)
		}
	}
}
