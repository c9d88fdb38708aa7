package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

func TestWhatWasPaidTooMuchIsSentBackByTheOperatorOnce(t *testing.T) {
	t.Parallel()
	n := bitcointest.Start(t)
	n.Generate(105)
	b := newBuyer(t, n)
	first, second := b.buy(), b.buy()
	n.Wallet.Pay(pay(first, buyPrice+7000))
	n.Wallet.Pay(pay(second, buyPrice+9000))
	n.Generate(1)
	b.stands(first, "btc_refund", "0.00007")
	b.stands(second, "btc_refund", "0.00009")
	b.kill()
	b.restart() // the queue follows from the log

	key := []string{"Authorization", "Bearer " + operatorKey}
	list := func(query string) map[string]any {
		t.Helper()
		return b.mustCall(200, "GET", "/api/operator/refunds"+query, "", key...).decode(t)
	}
	page := list("?limit=1")
	entry := page["refunds"].([]any)[0].(map[string]any)
	if fmt.Sprint(page["total"]) != "2" || page["next_cursor"] == nil || entry["output"] != "confirmed" || entry["status"] != "open" || entry["user_id"] != b.id {
		t.Fatalf("the queue is %v", page)
	}
	rest := list("?limit=1&cursor=" + page["next_cursor"].(string))
	if rest["next_cursor"] != nil || rest["refunds"].([]any)[0].(map[string]any)["payment_id"] == entry["payment_id"] {
		t.Errorf("the second page is %v", rest)
	}
	path := fmt.Sprintf("/api/operator/refunds/%s/%s/settle", entry["payment_id"], entry["outpoint"])
	hash := strings.Repeat("ab", 32)
	b.mustCall(400, "POST", path, `{"tx_hash":"`+hash+`"}`, key...)
	settled := b.mustCall(200, "POST", path, `{"tx_hash":"`+hash+`","reason":"paid by hand"}`, append(key, "Idempotency-Key", "one")...)
	again := b.mustCall(200, "POST", path, `{"tx_hash":"`+hash+`","reason":"paid by hand"}`, append(key, "Idempotency-Key", "one")...)
	if m := settled.decode(t); again.body != settled.body || m["status"] != "settled" || m["by"] != "operator" || m["tx_hash"] != hash {
		t.Errorf("settled as %s, and again as %s", settled.body, again.body)
	}
	b.mustCall(409, "POST", path, `{"tx_hash":"`+hash+`","reason":"paid by hand"}`, key...)

	// The other one on the page.
	o := openPage(t, b.service, "/operator", desktop)
	o.fill("#key-value", operatorKey)
	o.press(kb.Enter)
	o.waitText("#count-refund", "1")
	o.click(`#kinds label:has([value="refund"])`)
	o.wait(`document.querySelectorAll("#pending tr").length === 1`)
	o.checkAccess("the refund queue")
	o.click(`#pending [data-action="settle"]`)
	o.fill("#settle-reason", "sent back")
	o.click("#settle-form [type=submit]")
	o.waitText("#toast", "Settled")
	o.waitShown("#pending-empty")
	if open, done := list(""), list("?status=settled"); fmt.Sprint(open["total"], "/", done["total"]) != "0/2" {
		t.Errorf("open are %v, settled %v", open, done)
	}
	b.verify()
}
