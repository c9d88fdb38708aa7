package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/webhook"
)

// hooked serves with notices to a receiver that answers with status.
func hooked(t *testing.T, status *atomic.Int64) func(*apiConfig) {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(receiver.Close)
	sender, err := webhook.NewSender(webhook.Config{URL: receiver.URL, Secrets: [][]byte{[]byte("0123456789abcdef")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	return func(c *apiConfig) { c.actors = func(a *actors.Config) { a.Webhook = sender } }
}

// listedNotices are the notices in a state, page by page.
func (a *api) listedNotices(state string) (all []map[string]any) {
	a.t.Helper()
	for cursor := ""; ; {
		path := "/api/operator/notices?limit=2&state=" + state
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		r := a.operator("GET", path, "").is(200)
		var page struct {
			Notices []map[string]any
			Next    *string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			a.t.Fatal(err)
		}
		all = append(all, page.Notices...)
		if page.Next == nil {
			return all
		}
		cursor = *page.Next
	}
}

// waitFor waits until something is true.
func (a *api) waitFor(what string, is func() bool) {
	a.t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			a.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func (a *api) waitForNotices(state string, n int) (list []map[string]any) {
	a.t.Helper()
	a.waitFor(fmt.Sprintf("%d notices are %s", n, state), func() bool {
		list = a.listedNotices(state)
		return len(list) == n
	})
	return list
}

func TestAnOperatorSeesNoticesAndReplaysThem(t *testing.T) {
	var status atomic.Int64
	status.Store(200)
	a := startAPI(t, hooked(t, &status))
	for i := range 2 {
		u := a.funded(fmt.Sprint("aitbc1wallet_hook", i))
		for range 2 {
			u.as("POST", "/api/users/"+u.id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`).is(201)
		}
		a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"a \"check\""}`).is(200)
	}
	settled := a.waitForNotices("settled", 6)
	if open := a.listedNotices("open"); len(open) != 0 {
		t.Errorf("open are %v", open)
	}
	first := settled[0]
	body := first["body"].(map[string]any)
	if first["event"] != "withdrawal.requested" || first["state"] != "delivered" || first["channel"] != "webhook" || first["attempts"] != 1.0 || first["problem"] != nil ||
		body["id"] != first["id"] || body["user_id"] != first["user_id"] {
		t.Errorf("the first notice is %v", first)
	}
	id := first["id"].(string)

	status.Store(503)
	r := a.operator("POST", "/api/operator/notices/"+id+"/replay", "").is(202)
	if r.text("state") != "open" || r.text("id") != id || r.text("settled_at") != "<nil>" {
		t.Errorf("replayed is %s", r.body)
	}
	a.operator("POST", "/api/operator/notices/"+id+"/replay", "").refused(409, "no_change", "")
	a.waitFor("the replay has failed", func() bool { return a.listedNotices("open")[0]["problem"] != nil })
	if open := a.listedNotices("open"); len(open) != 1 || open[0]["problem"] != "503 Service Unavailable" || open[0]["attempts"] == 0.0 || open[0]["next_attempt_at"] == nil {
		t.Errorf("open are %v", open)
	}
	metrics := a.call("GET", "/metrics", "").body
	for _, line := range []string{
		`exchange_notices_open{channel="webhook"} 1`, `exchange_notices_delivered_total{channel="webhook"} 6`,
		`exchange_notices_lost_total{channel="webhook"} 0`, `exchange_notice_oldest_age_seconds{channel="webhook"} 0`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics have no %s", line)
		}
	}
	status.Store(200)
	a.waitForNotices("settled", 6)

	for _, c := range []struct{ body, field string }{
		{`{}`, "from"}, {`{"from":"yesterday"}`, "from"}, {`{"from":"2026-01-31T12:00:00Z","state":"open"}`, "state"},
		{`{"from":"2026-01-31T12:00:00Z","cursor":"x"}`, "cursor"}, {`{"from":"2026-01-31T12:00:00Z","cursor":"-1-1"}`, "cursor"},
	} {
		a.operator("POST", "/api/operator/notices/replay", c.body).refused(400, "invalid_field", c.field)
	}
	for _, unknown := range []string{"nonsense", id + "0", strings.Replace(id, "-n", "-", 1)} {
		a.operator("POST", "/api/operator/notices/"+unknown+"/replay", "").refused(404, "not_found", "")
	}
	a.operator("GET", "/api/operator/notices?cursor=1", "").refused(400, "invalid_field", "cursor")
	if got := a.operator("POST", "/api/operator/notices/replay", `{"from":"2020-01-31T12:00:00Z","state":"failed"}`).is(202).text("replayed"); got != "0" {
		t.Errorf("%s are replayed of none that failed", got)
	}
	if got := a.operator("POST", "/api/operator/notices/replay", `{"from":"2020-01-31T12:00:00Z"}`).is(202).text("replayed"); got != "6" {
		t.Errorf("%s are replayed, want 6", got)
	}
	a.waitForNotices("settled", 6)
}
