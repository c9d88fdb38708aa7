package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/aitbc/exchange/actors/secondfactor/factortest"
)

// openLocal opens the page at localhost, a name that a browser binds passkeys to.
func openLocal(t *testing.T, s *service, v view) *page {
	t.Helper()
	s.url = strings.Replace(s.url, "127.0.0.1", "localhost", 1)
	return openPage(t, s, "/", v)
}

// addAuthenticator gives the tab a device that makes passkeys and verifies its user.
func (p *page) addAuthenticator() webauthn.AuthenticatorID {
	p.t.Helper()
	call(p, webauthn.Enable, webauthn.EnableParams{})
	return call(p, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}}).AuthenticatorID
}

func (p *page) token() string {
	p.t.Helper()
	return eval[string](p, "JSON.parse(sessionStorage.getItem('aitbc.session')).token")
}

// openSecurity opens the account dialog and waits for its list of factors.
func (p *page) openSecurity() {
	p.t.Helper()
	p.click("#account-open")
	p.waitText("#factors", "Authenticator app")
}

func (p *page) closeAccount() {
	p.t.Helper()
	p.press(kb.Escape)
	p.wait(`!document.querySelector("dialog[open]")`)
}

// app is an authenticator app. A code counts once, so it shows that of the moment it was
// set up, and then that of the step after it, which holds until a minute later.
type app struct {
	secret string
	at     time.Time
}

// setUpApp enrols an app by the page's dialog, and returns it and the recovery codes.
func (p *page) setUpApp() (a app, codes []string) {
	p.t.Helper()
	p.click("#factors button")
	p.waitShown("#app-qr")
	a = app{strings.ReplaceAll(eval[string](p, element("#app-secret")+".textContent"), " ", ""), time.Now()}
	p.fill("#app-code", factortest.Code(p.t, a.secret, a.at))
	p.press(kb.Enter)
	p.waitShown("#codes")
	return a, p.keepCodes()
}

// keepCodes says in the open dialog that the codes are kept, and returns them.
func (p *page) keepCodes() []string {
	p.t.Helper()
	codes := eval[[]string](p, `[...document.querySelectorAll("#codes-list li")].map((e) => e.textContent)`)
	if len(codes) != 10 {
		p.t.Errorf("%d recovery codes are shown, want 10", len(codes))
	}
	p.click("#codes-kept")
	p.click("#codes-done")
	p.wait(`!document.querySelector("#codes").open`)
	return codes
}

func (a app) next(t *testing.T) string {
	t.Helper()
	return factortest.Code(t, a.secret, a.at.Add(30*time.Second))
}

// wrong is a code that the app does not show around now.
func (a app) wrong(t *testing.T) string {
	t.Helper()
	for _, code := range []string{"000000", "111111", "222222", "333333", "444444"} {
		shown := false
		for step := -2; step <= 3; step++ {
			shown = shown || factortest.Code(t, a.secret, a.at.Add(time.Duration(step)*30*time.Second)) == code
		}
		if !shown {
			return code
		}
	}
	t.Fatal("the app shows five unlikely codes")
	return ""
}

// typeWithdrawal fills the form in and sends it.
func (p *page) typeWithdrawal(amount string) {
	p.t.Helper()
	p.click("#tab-withdraw")
	p.fill("#withdraw-amount", amount)
	p.fill("#withdraw-address", "aitbc1friend00001")
	p.click("#withdraw [type=submit]")
}

// withdrawals is how many the server has of the tab's user.
func (p *page) withdrawals() string {
	p.t.Helper()
	id := eval[string](p, "JSON.parse(sessionStorage.getItem('aitbc.session')).user_id")
	return p.s.mustCall(200, "GET", "/api/users/"+id+"/transactions?type=withdrawal", "", "X-Session-Token", p.token()).decode(p.t)["total"].(json.Number).String()
}

// countKeys has the page keep the Idempotency-Key of every request to withdraw.
func (p *page) countKeys() {
	p.t.Helper()
	eval[chromedp.Void](p, `(() => {
		const real = window.fetch;
		window.keys = [];
		window.fetch = (path, options) => {
			if (String(path).endsWith("/withdrawals")) window.keys.push(options.headers["Idempotency-Key"]);
			return real(path, options);
		};
	})()`)
}

func TestAnAuthenticatorAppIsSetUpAndAskedForInTheBrowser(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openLocal(t, s, desktop)
	p.connect()
	p.deposit("100")
	p.typeWithdrawal("1") // nothing is asked for where there is no factor
	p.waitBalance("100", "99", "1")

	p.openSecurity()
	p.waitText("#security-none", "You have no second factor yet")
	before := p.token()
	p.click("#factors button")
	p.waitShown("#app-qr")
	p.wait(element("#app-qr") + ".naturalWidth > 100")
	if uri := eval[string](p, element("#app-link")+".getAttribute('href')"); !strings.HasPrefix(uri, "otpauth://totp/") {
		t.Errorf("the link to an app is %q", uri)
	}
	a := app{strings.ReplaceAll(eval[string](p, element("#app-secret")+".textContent"), " ", ""), time.Now()}
	p.fill("#app-code", "12345")
	p.press(kb.Enter)
	p.waitText("#app-code-error", "six digits")
	p.fill("#app-code", a.wrong(t))
	p.press(kb.Enter)
	p.waitText("#app-code-error", "Wrong code")
	p.wait(`document.activeElement.id === "app-code"`)
	p.fill("#app-code", factortest.Code(t, a.secret, a.at))
	p.press(kb.Enter)

	// The codes are there until the person says that they are kept.
	p.waitShown("#codes")
	if !eval[bool](p, element("#codes-done")+".disabled") {
		t.Error("the dialog can be ended before the codes are said to be kept")
	}
	p.press(kb.Escape)
	p.waitText("#factors", "You have not said yet that you kept the new ones")
	p.click("#factors li:last-child button")
	eval[chromedp.Void](p, `(() => {
		window.made = [];
		const real = URL.createObjectURL;
		URL.createObjectURL = (blob) => { window.made.push(blob); return real.call(URL, blob); };
		HTMLAnchorElement.prototype.click = () => {};
	})()`)
	p.click("#codes-file")
	file := eval[string](p, "window.made[0].text()")
	codes := p.keepCodes()
	for _, code := range codes {
		if !strings.Contains(file, code) {
			t.Errorf("the file %q lacks the code %s", file, code)
		}
	}
	p.waitText("#factors", "10 left")
	p.waitText("#factors", "On")
	if p.token() == before {
		t.Error("the token is the one that there was before the factor")
	}
	if left := eval[string](p, element("#app-secret")+".textContent+"+element("#codes-list")+".textContent"); left != "" {
		t.Errorf("%q is still in the page", left)
	}
	p.closeAccount()
	p.waitText("#connection-text", "Live")
	p.typeWithdrawal("1") // setting it up has shown it
	p.waitBalance("100", "98", "2")

	// Who logs in afresh is asked, and may say no.
	p.click("#logout")
	p.connect()
	p.countKeys()
	p.typeWithdrawal("5")
	p.waitShown("#stepup-code")
	p.wait(`document.activeElement.id === "stepup-code"`)
	if how := eval[string](p, `(() => { const e = document.activeElement; return [e.autocomplete, e.inputMode].join(); })()`); how != "one-time-code,numeric" {
		t.Errorf("the field of the code is %q", how)
	}
	p.press(kb.Escape)
	p.waitText("#withdraw .form-error", "Nothing was done")
	if n := p.withdrawals(); n != "2" {
		t.Errorf("there are %s withdrawals after one was cancelled, want 2", n)
	}
	p.click("#withdraw [type=submit]")
	p.fill("#stepup-code", a.wrong(t))
	p.press(kb.Enter)
	p.waitText("#stepup-code-error", "Wrong code")
	p.wait(`document.activeElement.id === "stepup-code"`)
	p.fill("#stepup-code", a.next(t))
	p.press(kb.Enter)
	p.waitText("#toast", "Withdrawal placed: 5.00 AITBC")
	p.waitBalance("100", "93", "7")
	if keys := eval[[]string](p, "window.keys"); len(keys) != 3 || keys[1] != keys[2] || keys[0] == keys[1] {
		t.Errorf("the keys are %q, want a new one after the one cancelled, and the same again after the code", keys)
	}
	if n := p.withdrawals(); n != "3" {
		t.Errorf("there are %s withdrawals, want 3", n)
	}
	p.waitText("#connection-text", "Live")
	p.typeWithdrawal("1") // and not asked again for a while
	p.waitBalance("100", "92", "8")

	// A recovery code opens as well, once.
	second := p.openTab("/")
	second.connect()
	second.typeWithdrawal("2")
	second.click(`#stepup [data-way="recovery_code"]`)
	second.fill("#stepup-code", "0000-0000-0000-0000")
	second.press(kb.Enter)
	second.waitText("#stepup-code-error", "Wrong recovery code")
	second.fill("#stepup-code", codes[0])
	second.press(kb.Enter)
	second.waitBalance("100", "90", "10")
	second.openSecurity()
	second.waitText("#factors", "9 left")
	second.click("#factors li:last-child button") // new ones
	second.waitShown("#codes")
	fresh := second.keepCodes()
	if fresh[0] == codes[0] {
		t.Error("the new recovery codes are the old ones")
	}
	second.waitText("#factors", "10 left")
	p.waitText("#connection-text", "Live")
	p.waitBalance("100", "90", "10")

	// Without its last factor the account is as it was.
	second.click("#factors .danger")
	second.waitShown("#security-none")
	p.waitText("#notice-text", "ended elsewhere") // as the section says
}

func TestAPasskeyIsAddedShownAndRemovedInTheBrowser(t *testing.T) {
	s := startService(t, t.TempDir())
	at := s.url
	elsewhere := openPage(t, s, "/", desktop)
	elsewhere.connect()
	elsewhere.openSecurity()
	p := openLocal(t, s, desktop)
	elsewhere.waitText("#passkey-elsewhere", "open "+s.url)
	if s.url == at {
		t.Fatal("the page is not at a name")
	}
	device := p.addAuthenticator()
	p.connect()
	p.deposit("1000")
	p.openSecurity()
	p.click("#factors li:nth-child(2) button")
	p.press(kb.Enter)
	p.waitText("#passkey-name-error", "Fill this in")
	p.fill("#passkey-name", "my <b>laptop</b>")
	p.press(kb.Enter)
	p.waitShown("#codes")
	p.keepCodes()
	p.waitText("#factors .passkey", "my <b>laptop</b>")
	p.waitText("#factors .passkey", "not used yet")
	p.click("#factors li:nth-child(2) button")
	p.fill("#passkey-name", "the same device")
	p.press(kb.Enter)
	p.waitText("#passkey-form .form-error", "has a passkey for this account already")
	p.closeAccount()

	p.click("#logout")
	p.connect()
	p.click("#tab-sell")
	p.fill("#sell-aitbc", "500")
	p.fill("#sell-address", aBitcoinAddress)
	p.click("#sell [type=submit]")
	p.waitShown("#stepup-passkey")
	p.wait(`document.activeElement.id === "stepup-passkey"`)
	// Nobody's finger is on the device.
	call(p, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: false})
	p.press(kb.Enter)
	p.waitText("#stepup-error", "No passkey was used")
	call(p, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: true})
	p.press(kb.Enter)
	p.waitText("#toast", "Sale placed")
	p.waitBalance("1000", "500", "500")

	p.openSecurity()
	p.waitText("#factors .passkey", "last used")
	p.click("#factors .passkey button")
	p.waitShown("#security-none")
	if n := eval[int](p, `document.querySelectorAll("#factors .passkey").length`); n != 0 {
		t.Errorf("%d passkeys are left", n)
	}
}

// duplicate opens a tab with the same session, as a browser's "Duplicate tab" does.
func (p *page) duplicate() *page {
	p.t.Helper()
	kept := eval[string](p, "sessionStorage.getItem('aitbc.session')")
	tab := p.openTab("/")
	eval[chromedp.Void](tab, "(() => { sessionStorage.setItem('aitbc.session', "+quote(kept)+"); })()")
	tab.reload()
	return tab
}

func TestATabGoesOnWhenAnotherShowsTheFactorOfItsSession(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openLocal(t, s, desktop)
	id := p.connect()
	p.deposit("100")
	p.openSecurity()
	a, codes := p.setUpApp()
	p.closeAccount()
	p.click("#logout")
	p.connect()
	old := eval[string](p, "sessionStorage.getItem('aitbc.session')")
	second := p.duplicate()
	second.waitText("#connection-text", "Live")
	asleep := p.openTab("/") // has the old token, and wakes up later
	eval[chromedp.Void](asleep, "(() => { sessionStorage.setItem('aitbc.session', "+quote(old)+"); })()")

	for _, tab := range []*page{p, second} {
		eval[chromedp.Void](tab, `(() => {
			window.states = new Set();
			const state = document.querySelector("#connection-text");
			new MutationObserver(() => window.states.add(state.textContent)).observe(state, { childList: true, characterData: true, subtree: true });
		})()`)
	}
	p.typeWithdrawal("5")
	p.fill("#stepup-code", a.next(t))
	p.press(kb.Enter)
	p.waitBalance("100", "95", "5")
	second.waitBalance("100", "95", "5")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":10}`, "X-Session-Token", p.token())
	for _, tab := range []*page{p, second} { // the streams go on under the new token
		tab.waitBalance("110", "105", "5")
		if states := eval[[]string](tab, "[...window.states]"); len(states) != 0 {
			t.Errorf("a tab said %q of its connection while the token was replaced", states)
		}
	}
	second.typeWithdrawal("6") // the elevation is the session's
	second.waitBalance("110", "99", "11")
	asleep.reload()
	asleep.waitText("#connection-text", "Live")
	asleep.waitBalance("110", "99", "11")
	for name, tab := range map[string]*page{"second": second, "third": asleep} {
		if tab.token() != p.token() {
			t.Errorf("the %s tab has another token than the first", name)
		}
	}

	// Two tabs that are asked at once: each gets its own way.
	third := p.openTab("/")
	third.connect()
	fourth := third.duplicate()
	fourth.waitText("#connection-text", "Live")
	third.typeWithdrawal("1")
	fourth.typeWithdrawal("2")
	for i, tab := range []*page{third, fourth} {
		tab.click(`#stepup [data-way="recovery_code"]`)
		tab.fill("#stepup-code", codes[i])
	}
	third.press(kb.Enter)
	third.waitBalance("110", "98", "12")
	fourth.press(kb.Enter)
	fourth.waitBalance("110", "96", "14")
	third.waitBalance("110", "96", "14")
	for name, tab := range map[string]*page{"first": p, "third": third, "fourth": fourth} {
		tab.waitText("#connection-text", "Live")
		if n := tab.withdrawals(); n != "4" {
			t.Errorf("the %s tab counts %s withdrawals, want 4", name, n)
		}
	}
}

func TestWhoHasNoFactorIsLedToSettingOneUp(t *testing.T) {
	t.Setenv(operatorKeyVariable, operatorKey)
	s := startService(t, t.TempDir(), "--second-factor", "required")
	p := openLocal(t, s, view{width: 360, height: 740, mobile: true})
	id := p.connect()
	p.deposit("100")
	p.typeWithdrawal("5")
	p.waitShown("#security-none")
	p.waitText("#security-none", "This exchange wants one")
	p.wait(`document.activeElement.id === "security-title"`)
	p.setUpApp()
	p.closeAccount()
	p.waitText("#withdraw .form-error", "Nothing was done: this takes a second factor")
	p.click("#withdraw [type=submit]")
	p.waitBalance("100", "95", "5")

	// The operator helps who has lost it.
	o := openPage(t, s, "/operator", desktop)
	o.fill("#key-value", operatorKey)
	o.press(kb.Enter)
	o.click(`#users tr[data-id="` + id + `"] .actions button:last-child`)
	o.waitText("#settle-title", "Reset the second factors of")
	o.click("#settle-form [type=submit]")
	o.waitText("#settle-reason-error", "Fill this in")
	o.fill("#settle-reason", "lost the phone, known in person")
	o.press(kb.Enter)
	o.waitText("#toast", "The second factors are removed")
	p.waitText("#notice-text", "ended elsewhere")
	p.connect()
	p.typeWithdrawal("5")
	p.waitShown("#security-none")
}

func TestSecondFactorsByKeyboardOnAPhoneAndForAssistiveTechnology(t *testing.T) {
	s := startService(t, t.TempDir())
	for _, v := range []view{{width: 1440, height: 900}, {width: 360, height: 740, mobile: true, dark: true}} {
		name := map[bool]string{false: "light", true: "dark"}[v.dark] + fmt.Sprintf("-%d", v.width)
		t.Run(name, func(t *testing.T) {
			p := openLocal(t, s, v)
			p.addAuthenticator()
			look := func(what string) {
				t.Helper()
				p.checkAccess(what)
				p.checkWidth(what, v.width)
				p.shoot(what + "-" + name)
			}
			// go to an element by Tab alone, as the dialog has it
			tabTo := func(selector string) {
				t.Helper()
				p.waitShown(selector)
				for range 40 {
					if eval[bool](p, element(selector)+" === document.activeElement") {
						return
					}
					p.press(kb.Tab)
				}
				t.Fatalf("Tab never reaches %s", selector)
			}
			p.connect()
			p.deposit("100")
			tabTo("#account-open")
			p.press(kb.Enter)
			p.waitText("#factors", "Passkeys")
			look("security")
			tabTo("#factors button")
			p.press(kb.Enter)
			p.waitShown("#app-qr")
			p.wait(`document.activeElement.id === "app-code"`)
			a := app{strings.ReplaceAll(eval[string](p, element("#app-secret")+".textContent"), " ", ""), time.Now()}
			p.press("123" + kb.Enter)
			p.waitText("#app-code-error", "six digits")
			look("app")
			p.press("\b\b\b" + factortest.Code(t, a.secret, a.at) + kb.Enter)
			p.waitShown("#codes")
			look("codes")
			code := eval[string](p, element("#codes-list li")+".textContent")
			tabTo("#codes-kept")
			p.press(" ")
			tabTo("#codes-done")
			p.press(kb.Enter)
			p.waitText("#factors", "10 left")
			tabTo("#factors li:nth-child(2) button")
			p.press(kb.Enter)
			p.wait(`document.activeElement.id === "passkey-name"`)
			look("passkey-name")
			p.press("My phone" + kb.Enter)
			p.waitText("#factors .passkey", "My phone")
			p.checkWidth("enrolled", v.width)
			p.shoot("enrolled-" + name)
			p.closeAccount()
			p.wait(`document.activeElement.id === "account-open"`)

			p.click("#logout")
			p.connect()
			p.typeWithdrawal("5")
			p.wait(`document.activeElement.id === "stepup-passkey"`)
			look("asked-passkey")
			tabTo(`#stepup [data-way="totp"]`)
			p.press(kb.Enter)
			p.wait(`document.activeElement.id === "stepup-code"`)
			p.press(a.wrong(t) + kb.Enter)
			p.waitText("#stepup-code-error", "Wrong code")
			look("asked-code")
			tabTo(`#stepup [data-way="recovery_code"]`)
			p.press(kb.Enter)
			p.wait(`document.activeElement.id === "stepup-code"`)
			p.press(code + kb.Enter)
			p.waitText("#toast", "Withdrawal placed")
		})
	}
}
