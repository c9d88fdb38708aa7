package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// operatorKey is long enough to be one, and of no use anywhere else.
const operatorKey = "browser-test-operator-key"

// checkAccess runs axe-core on what the page shows and fails for everything it
// calls serious or critical. The script comes over the browser's protocol, which
// the page's policy does not bind.
func (p *page) checkAccess(what string) {
	p.t.Helper()
	if !eval[bool](p, "Boolean(window.axe)") {
		script, err := os.ReadFile("testdata/axe/axe.min.js")
		if err != nil {
			p.t.Fatal(err)
		}
		eval[chromedp.Void](p, string(script))
	}
	type violation struct{ ID, Impact, Help, Nodes string }
	for _, v := range eval[[]violation](p, `axe.run(document, { resultTypes: ["violations"], preload: false }).then((r) => r.violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => ({ ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map((n) => n.html + " " + n.failureSummary).slice(0, 4).join("\n    ") })))`) {
		p.t.Errorf("%s: %s (%s): %s\n    %s", what, v.ID, v.Impact, v.Help, v.Nodes)
	}
}

func TestNothingSeriousIsWrongForAssistiveTechnology(t *testing.T) {
	t.Setenv(operatorKeyVariable, operatorKey)
	s := startService(t, t.TempDir(), "--demo-confirm-after", "100ms")
	for _, v := range []view{{width: 1440, height: 900}, {width: 1440, height: 900, dark: true}, {width: 360, height: 740, mobile: true, dark: true}} {
		name := map[bool]string{false: "light", true: "dark"}[v.dark] + fmt.Sprintf("-%d", v.width)
		t.Run(name, func(t *testing.T) {
			p := openPage(t, s, "/Exchange", v)
			p.waitText("#price", "sat")
			p.checkAccess("logged out")
			p.shoot("logged-out-" + name)
			p.connect()
			p.checkAccess("an empty account")
			p.deposit("5000")
			p.checkAccess("deposit")
			p.click("#tab-sell")
			p.fill("#sell-aitbc", "90000")
			p.fill("#sell-address", "bc1nothing")
			p.checkAccess("sell, with errors")
			p.shoot("sell-errors-" + name)
			p.fill("#sell-aitbc", "120")
			p.click("#sell-demo-address")
			p.click("#sell [type=submit]")
			p.waitText("#toast", "Sale placed")
			p.click("#tab-withdraw")
			p.fill("#withdraw-amount", "75.5")
			p.fill("#withdraw-address", "aitbc1friend00001")
			p.checkAccess("withdraw")
			p.click("#withdraw [type=submit]")
			p.waitText("#toast", "Withdrawal placed")
			p.click("#tab-buy")
			p.fill("#buy-aitbc", "1000")
			p.click("#buy [type=submit]")
			p.waitShown("#payment")
			p.checkAccess("payment")
			p.waitText("#payment .payment-state", "are in your balance")
			p.checkAccess("a payment that arrived")
			p.shoot("trade-" + name)
			p.click("#account-open")
			p.waitText("#sessions", "This session")
			p.checkAccess("account")
			p.shoot("account-" + name)
			p.press(kb.Escape)

			o := openPage(t, s, "/operator", v)
			o.checkAccess("operator, locked")
			o.fill("#key-value", "not a key, but long")
			o.press(kb.Enter)
			o.waitText("#key-error", "not known")
			o.fill("#key-value", operatorKey)
			o.press(kb.Enter)
			o.waitShown("#pending .actions")
			o.waitShown("#users .actions")
			o.checkAccess("operator")
			if right := eval[float64](o, `document.querySelector("#pending .actions").getBoundingClientRect().right`); right > float64(v.width) {
				t.Errorf("the operator's buttons end at %.0f of %d pixels", right, v.width)
			}
			o.shoot("operator-" + name)
			o.click("#pending .actions .danger")
			o.checkAccess("operator, asked for a reason")
			o.shoot("operator-dialog-" + name)
		})
	}
}

func TestTheOperatorPageSaysHowToBecomeOneWhereThereIsNoKey(t *testing.T) {
	t.Setenv(operatorKeyVariable, "")
	s := startService(t, t.TempDir())
	for _, v := range []view{desktop, {width: 360, height: 740, mobile: true, dark: true}} {
		p := openPage(t, s, "/operator", v)
		p.waitText("main", "EXCHANGE_OPERATOR_KEY=")
		if eval[bool](p, `document.querySelector("input") !== null`) {
			t.Error("a key is asked for that nobody can have")
		}
		if width := eval[float64](p, `document.documentElement.scrollWidth`); width > float64(v.width) {
			t.Errorf("the page is %.0f of %d pixels wide", width, v.width)
		}
		p.checkAccess("operator, without keys")
		p.shoot(fmt.Sprintf("operator-none-%d", v.width))
	}
}

func TestTheOperatorSettlesAndSuspendsInTheBrowser(t *testing.T) {
	t.Setenv(operatorKeyVariable, operatorKey)
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/", desktop)
	id := p.connect()
	p.deposit("100")
	p.click("#tab-withdraw")
	for _, amount := range []string{"30", "20"} {
		p.fill("#withdraw-amount", amount)
		p.fill("#withdraw-address", "aitbc1friend00001")
		p.click("#withdraw [type=submit]")
		p.waitText("#toast", amount+".00 AITBC are held")
	}
	p.waitBalance("100", "50", "50")

	o := openPage(t, s, "/operator", desktop)
	o.fill("#key-value", operatorKey)
	o.press(kb.Enter)
	o.waitText("#count-withdrawal", "2")
	o.wait(`document.querySelectorAll("#pending tr").length === 2`)
	o.click(`#pending tr:first-child [data-action="complete"]`)
	o.click("#settle-form [type=submit]")
	o.waitText("#toast", "Completed")
	p.waitBalance("70", "50", "20")
	o.wait(`document.querySelectorAll("#pending tr").length === 1`)
	o.click(`#pending tr:first-child [data-action="fail"]`)
	o.click("#settle-form [type=submit]")
	o.waitText("#settle-reason-error", "Fill this in")
	o.fill("#settle-reason", "the address is not in use")
	o.click("#settle-form [type=submit]")
	o.waitText("#toast", "Failed")
	p.waitBalance("70", "70", "0")
	p.waitText("#history", "the address is not in use")
	o.waitShown("#pending-empty")

	o.fill("#find-text", id)
	o.press(kb.Enter)
	o.waitText("#users-count", "1 found")
	o.click("#users .actions button")
	o.fill("#settle-reason", "asked for papers")
	o.press(kb.Enter)
	o.waitText("#users .status", "suspended")
	p.waitText("#notice-text", "This account is suspended")
	p.click("#tab-deposit")
	p.fill("#deposit-amount", "1")
	p.click("#deposit [type=submit]")
	p.waitText("#deposit .form-error", "suspended")
	o.click("#users .actions button")
	o.fill("#settle-reason", "papers came")
	o.press(kb.Enter)
	o.waitText("#users .status", "active")
	o.click("#lock")
	o.waitShown("#key-value")
	if left := eval[string](o, `document.querySelector("#users").textContent + sessionStorage.length + localStorage.length`); left != "00" {
		t.Errorf("after the lock there is still %q", left)
	}
}

func TestAKeyThatMayReadOnlyIsOfferedNothingElse(t *testing.T) {
	const readKey = "key-of-rita-who-reads-only"
	t.Setenv(operatorKeyVariable, "olga:"+operatorKey+"\nrita:read:"+readKey)
	s := startService(t, t.TempDir())
	id, token := s.login("aitbc1wallet_looked_at")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":5}`, "X-Session-Token", token)
	s.mustCall(201, "POST", "/api/users/"+id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`, "X-Session-Token", token)
	o := openPage(t, s, "/operator", desktop)
	o.fill("#key-value", readKey)
	o.press(kb.Enter)
	o.waitText("#health-version", "rita, who may read only")
	o.waitText("#count-withdrawal", "1")
	o.wait(`document.querySelectorAll("#pending tr").length === 1 && document.querySelectorAll("#users tr").length === 1`)
	if n := eval[int](o, `document.querySelectorAll("#desk .actions").length`); n != 0 {
		t.Errorf("there are %d rows of buttons", n)
	}
	o.checkAccess("operator, who reads only")
	refused := s.mustCall(403, "POST", "/api/operator/users/"+id+"/suspend", `{"reason":"x"}`, "Authorization", "Bearer "+readKey)
	if !strings.Contains(refused.body, "role operate") {
		t.Errorf("the refusal does not name the role: %s", refused.body)
	}
	o.click("#lock")
	o.fill("#key-value", operatorKey)
	o.press(kb.Enter)
	o.waitText("#health-version", "olga, an admin")
	o.waitShown("#users .actions button")
}

func TestALargeWithdrawalTakesTwoOperatorsInTheBrowser(t *testing.T) {
	const secondKey = "key-of-otto-who-operates"
	t.Setenv(operatorKeyVariable, "olga:"+operatorKey+"\notto:operate:"+secondKey)
	s := startService(t, t.TempDir(), "--four-eyes-above", "2")
	id, token := s.login("aitbc1wallet_large")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":5}`, "X-Session-Token", token)
	s.mustCall(201, "POST", "/api/users/"+id+"/withdrawals", `{"amount":3,"to_address":"aitbc_elsewhere"}`, "X-Session-Token", token)
	o := openPage(t, s, "/operator", desktop)
	settle := func(key, action, reason, done string) {
		t.Helper()
		o.fill("#key-value", key)
		o.press(kb.Enter)
		o.click(`#pending [data-action="` + action + `"]`)
		o.fill("#settle-reason", reason)
		o.click("#settle-form [type=submit]")
		o.waitText("#toast", done)
	}
	settle(operatorKey, "approve", "called back", "Approved")
	o.waitText("#pending", "approved by olga")
	o.checkAccess("operator, approved")
	o.click(`#pending [data-action="complete"]`)
	o.click("#settle-form [type=submit]")
	o.waitText("#settle-form .form-error", "another one has to complete it")
	o.click("[data-close]")
	o.click("#lock")
	settle(secondKey, "complete", "paid out", "Completed")
	o.waitShown("#pending-empty")
}
