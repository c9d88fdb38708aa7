package main

import (
	"fmt"
	"strings"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const aBitcoinAddress = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"

func TestAPersonConnectsBuysSellsAndWithdrawsInTheBrowser(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo-confirm-after", "1500ms", "--withdrawal-fee", "0.5")
	p := openPage(t, s, "/Exchange", desktop)
	p.waitText("#price", "1,000.00 sat")
	for _, hidden := range []string{"#wallet-view", "#trade-view", "#history-view", "#logout"} {
		if eval[bool](p, element(hidden)+".checkVisibility()") {
			t.Errorf("%s is shown to nobody in particular", hidden)
		}
	}
	p.shoot("logged-out")
	p.connect()
	if wallet := eval[string](p, "localStorage.getItem('aitbc.wallet')"); !strings.HasPrefix(wallet, "aitbc1wallet_") {
		t.Errorf("the wallet is %q", wallet)
	}
	p.waitBalance("0", "0", "0")
	p.waitText("#history-empty", "Nothing here yet")
	p.shoot("empty")

	// Buying: each amount follows the other, and what is wrong is said at once.
	p.fill("#buy-aitbc", "1234.56789")
	p.wait(element("#buy-btc") + ".value === '0.01240741'")
	p.fill("#buy-btc", "0.5")
	p.wait(element("#buy-aitbc") + ".value === '49751.243'")
	p.fill("#buy-btc", "0.00000001")
	p.waitText("#buy-btc-error", "At least 0.00010000 BTC")
	p.fill("#buy-aitbc", "1,000")
	p.waitText("#buy-aitbc-error", "no commas")
	p.fill("#buy-aitbc", "1000")
	p.wait(element("#buy-btc") + ".value === '0.01005'")
	p.click("#buy [type=submit]")
	p.waitShown("#payment .qr")
	p.waitText("#payment .payment-state", "Waiting for your Bitcoin")
	p.waitText("#payment .pay-amount", "0.01005")
	p.wait(`/^59:\d\d$|^1:00:00$/.test(document.querySelector("#payment .clock b").textContent)`)
	if href := eval[string](p, `document.querySelector("#payment a").getAttribute("href")`); !strings.HasPrefix(href, "bitcoin:bcrt1") || !strings.HasSuffix(href, "?amount=0.01005") {
		t.Errorf("the link is %q, want a BIP-21 URI", href)
	}
	p.waitText(`#history tr[data-type="buy"]`, "Pending")
	p.shoot("payment")
	p.waitText("#payment .payment-state", "1,000.00 AITBC are in your balance")
	p.waitBalance("1000", "1000", "0")
	p.waitText(`#history tr[data-type="buy"]`, "Completed")
	p.shoot("bought")
	p.click("#payment .primary")
	p.waitShown("#buy")

	// Selling: the amount is held until the operator has paid.
	p.click("#tab-sell")
	p.fill("#sell-aitbc", "2000")
	p.waitText("#sell-aitbc-error", "You have 1,000.00 AITBC available")
	p.fill("#sell-aitbc", "100")
	p.fill("#sell-address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5")
	p.waitText("#sell-address-error", "mistyped")
	p.fill("#sell-address", aBitcoinAddress)
	p.waitText("#sell-payout", "0.00099500 BTC")
	p.click("#sell [type=submit]")
	p.waitBalance("1000", "900", "100")

	// A refusal that only the server can know of is shown at its field.
	p.fill("#sell-aitbc", "100")
	p.fill("#sell-address", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3") // its checksum is wrong
	p.click("#sell [type=submit]")
	p.waitText("#sell-address-error", "ust be a valid Bitcoin address")
	if focused := eval[string](p, "document.activeElement.id"); focused != "sell-address" {
		t.Errorf("the focus is on %q, want it at the field at fault", focused)
	}

	// Withdrawing: the fee comes on top.
	p.click("#tab-withdraw")
	p.click("#withdraw-chips button:last-child")
	p.wait(element("#withdraw-amount") + ".value === '899.5'")
	p.fill("#withdraw-amount", "250")
	p.fill("#withdraw-address", "aitbc1friend00001")
	p.waitText("#withdraw-total", "250.50 AITBC")
	p.click("#withdraw [type=submit]")
	p.waitBalance("1000", "649.5", "350.5")
	p.waitText(`#history tr[data-type="withdrawal"]`, "Pending")

	p.click("#logout")
	p.waitShown("#connect")
	if left := eval[int](p, element("#history")+".childElementCount"); left != 0 {
		t.Errorf("%d lines of the history are left after the logout", left)
	}
	// Who returns gets the same account.
	p.connect()
	p.waitBalance("1000", "649.5", "350.5")
}

func TestTheHistoryIsFilteredScrolledAndDownloaded(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/", desktop)
	id := p.connect()
	token := eval[string](p, "JSON.parse(sessionStorage.getItem('aitbc.session')).token")
	for i := range 130 {
		s.mustCall(201, "POST", "/api/users/"+id+"/deposits", fmt.Sprintf(`{"amount":%d}`, i+1), "X-Session-Token", token)
	}
	s.mustCall(201, "POST", "/api/users/"+id+"/withdrawals", `{"amount":5,"to_address":"aitbc1friend00001"}`, "X-Session-Token", token)
	p.wait(`document.querySelector("#history-count").textContent === "131"`)
	p.reload()
	p.waitText("#connection-text", "Live")
	p.wait(`document.querySelector("#history").childElementCount >= 50`)
	if n := eval[int](p, `document.querySelector("#history").childElementCount`); n == 131 {
		t.Errorf("all %d lines were read at once", n)
	}
	p.wait(`(() => { const f = document.querySelector("#history-frame"); f.scrollTop = f.scrollHeight; return document.querySelector("#history").childElementCount === 131; })()`)
	order := eval[[]int](p, `[...document.querySelectorAll("#history tr")].map((row) => Number(row.dataset.n))`)
	for i := range order {
		if order[i] != 131-i {
			t.Fatalf("line %d is transaction %d, want %d", i, order[i], 131-i)
		}
	}

	p.choose("#filter-type", "withdrawal")
	p.wait(`document.querySelector("#history").childElementCount === 1`)
	p.waitText("#history-count", "1 found")
	p.choose("#filter-status", "failed")
	p.waitText("#history-empty", "Nothing matches")
	p.choose("#filter-status", "pending")
	p.wait(`document.querySelector("#history").childElementCount === 1`)

	eval[chromedp.Void](p, `(() => { window.made = []; const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.made.push(blob); return make.call(URL, blob); };})()`)
	p.click("#csv")
	p.waitText("#toast", "downloads")
	csv := eval[string](p, "window.made[0].text()")
	if lines := strings.Split(strings.TrimSpace(csv), "\n"); len(lines) != 2 || !strings.Contains(lines[1], "aitbc1friend00001") {
		t.Errorf("the CSV of the one pending withdrawal is %q", csv)
	}
}

func TestASessionSurvivesAReloadAndTwoTabsShareTheWallet(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo-confirm-after", "1h")
	p := openPage(t, s, "/", desktop)
	id := p.connect()
	p.deposit("5")
	p.waitBalance("5", "5", "0")
	p.click("#tab-buy")
	p.fill("#buy-btc", "0.001")
	p.click("#buy [type=submit]")
	p.waitShown("#payment .qr")
	p.reload()
	p.waitText("#connection-text", "Live")
	p.waitBalance("5", "5", "0")
	p.waitShown("#payment .qr") // the payment is still there to be paid

	second := p.openTab("/")
	second.waitShown("#connect") // a session is a tab's
	if other := second.connect(); other != id {
		t.Errorf("the second tab is user %s, the first %s", other, id)
	}
	second.deposit("7")
	p.waitBalance("12", "12", "0") // heard over the first tab's own stream

	// Another tab's session is ended from here, and it says so.
	p.click("#account-open")
	p.wait(`document.querySelectorAll("#sessions .session").length === 2`)
	p.click("#end-others")
	p.wait(`document.querySelectorAll("#sessions .session").length === 1`)
	second.waitShown("#connect")
	second.waitText("#notice-text", "ended elsewhere")
	p.fill("#profile-username", "ada")
	p.fill("#profile-email", "ada")
	p.waitText("#profile-email-error", "An address such as")
	p.fill("#profile-email", "ada@example.com")
	p.click("#profile [type=submit]")
	p.waitText("#wallet-name", "ada")
	p.press(kb.Escape)
	p.wait(`!document.querySelector("#account").open`)
}

func TestAnExpiredSessionIsSaidPlainly(t *testing.T) {
	s := startService(t, t.TempDir(), "--session-lifetime", "2s")
	p := openPage(t, s, "/", desktop)
	p.connect()
	p.waitShown("#connect")
	p.waitText("#notice-text", "Your session has expired")
	if kept := eval[bool](p, "sessionStorage.getItem('aitbc.session') !== null"); kept {
		t.Error("the dead token is still kept")
	}
}

func TestThePageRecoversWhenTheServerIsKilledAndRestarted(t *testing.T) {
	data := t.TempDir()
	address := freeAddress(t)
	s := launchAt(t, address, data)
	s.waitReady()
	p := openPage(t, s, "/", desktop)
	id := p.connect()
	token := eval[string](p, "JSON.parse(sessionStorage.getItem('aitbc.session')).token")
	p.deposit("100")
	p.waitBalance("100", "100", "0")

	s.kill()
	p.waitText("#connection-text", "Reconnecting")
	p.shoot("reconnecting")
	// A deposit is sent into the void: it is tried again until it is settled.
	p.click("#tab-deposit")
	p.fill("#deposit-amount", "11")
	p.click("#deposit [type=submit]")
	p.waitText("#deposit .form-error", "Trying again")

	s = launchAt(t, address, data)
	s.waitReady()
	// What happened behind the page's back is shown as well.
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1000}`, "X-Session-Token", token)
	p.waitText("#connection-text", "Live")
	p.waitBalance("1111", "1111", "0")
	p.wait(`document.querySelector("#history").childElementCount === 3`)

	// And once more in the middle of a payment.
	p.click("#tab-buy")
	p.fill("#buy-aitbc", "50")
	p.click("#buy [type=submit]")
	p.waitShown("#payment .qr")
	s.kill()
	p.waitText("#connection-text", "Reconnecting")
	s = launchAt(t, address, data, "--demo-confirm-after", "100ms")
	s.waitReady()
	p.waitText("#payment .payment-state", "50.00 AITBC are in your balance")
	p.waitBalance("1161", "1161", "0")
	p.waitText("#connection-text", "Live")
}

func TestThePagePollsWhereNoStreamCanBeHad(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/", desktop)
	id := p.connect()
	token := eval[string](p, "JSON.parse(sessionStorage.getItem('aitbc.session')).token")
	call(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: `
		const real = window.fetch;
		window.fetch = (path, options) => (String(path).endsWith("/events") && !window.healed ? Promise.reject(new TypeError("no stream")) : real(path, options));`})
	p.reload()
	p.waitText("#connection-text", "Polling")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":42}`, "X-Session-Token", token)
	p.waitBalance("42", "42", "0")
	eval[chromedp.Void](p, "(() => { window.healed = true; })()")
	p.waitText("#connection-text", "Live")
}

func TestThePageStandsStillWhileItLoads(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo-confirm-after", "10ms")
	for _, v := range []view{desktop, {width: 360, height: 740, mobile: true}} {
		p := openPage(t, s, "/", v)
		still := func(what string) {
			t.Helper()
			p.waitText("#price", "sat")
			p.waitText("#connect-rate", "1 BTC")
			shift := eval[float64](p, `new Promise((done) => {
				let sum = 0;
				new PerformanceObserver((list) => list.getEntries().forEach((e) => { sum += e.hadRecentInput ? 0 : e.value; })).observe({ type: "layout-shift", buffered: true });
				requestAnimationFrame(() => setTimeout(() => done(sum), 50));
			})`)
			if shift > 0.05 { // 0.1 is called good
				t.Errorf("%s, %d pixels wide: the layout shifted by %.3f", what, v.width, shift)
			}
		}
		still("logged out")
		p.connect()
		p.deposit("5")
		p.reload()
		p.waitText("#connection-text", "Live")
		p.waitBalance("5", "5", "0")
		still("logged in")
	}
}

func TestTheChartShowsTheTradesInBothThemes(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo-confirm-after", "10ms")
	p := openPage(t, s, "/", desktop)
	p.connect()
	p.waitShown("#chart-empty")
	p.fill("#buy-aitbc", "1000")
	p.click("#buy [type=submit]")
	p.waitText("#chart-summary", "Chart of 1 candles of 1m. Last price 1000.00 satoshi")
	p.waitText("#legend", "C 1000.00Vol 1,000")
	p.waitText("#volume", "1,000 AITBC")
	pixel := `(() => { const c = document.querySelector("#chart canvas"); return [...c.getContext("2d").getImageData(3, 3, 1, 1).data].join(); })()`
	p.wait(pixel + ` === "252,251,249,255"`)
	p.click("#theme")
	p.wait(pixel + ` === "16,19,23,255"`)
	for _, interval := range []string{"5m", "15m", "1h", "1d"} {
		p.click(`input[name=interval][value="` + interval + `"]`)
		p.waitText("#chart-summary", "Chart of 1 candles of "+interval)
	}
}

func TestTheDocumentationIsShownOffline(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/api/docs", desktop)
	p.waitText("body", "/api/users/login")
	p.waitText("body", "/api/exchange/terms")
	if outside := eval[[]string](p, `performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.startsWith(location.origin) && !name.startsWith("data:"))`); len(outside) > 0 {
		t.Errorf("the documentation asked for %q", outside)
	}
}

func TestALostAnswerIsAskedForAgainAndNothingIsDoneTwice(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/", desktop)
	p.connect()
	// The first two deposits reach the server; their answers reach nobody.
	eval[chromedp.Void](p, `(() => {
		const real = window.fetch;
		window.sent = [];
		window.fetch = async (path, options) => {
			const answer = await real(path, options);
			if (!String(path).endsWith("/deposits")) return answer;
			window.sent.push(options.headers["Idempotency-Key"]);
			if (window.sent.length > 2) return answer;
			throw new TypeError("the connection was lost");
		};
	})()`)
	p.deposit("25")
	p.waitBalance("25", "25", "0")
	p.wait("window.sent.length === 3") // the stream tells of the balance before the answers come
	if keys := eval[[]string](p, "window.sent"); len(keys) != 3 || keys[0] == "" || keys[1] != keys[0] || keys[2] != keys[0] {
		t.Errorf("the keys of the three attempts are %q, want one key", keys)
	}
	p.deposit("25") // on purpose, and so with another key
	p.waitBalance("50", "50", "0")
	// No key of a settled request stays.
	p.wait(`!Object.keys(sessionStorage).some((name) => name.startsWith("aitbc.attempt"))`)
}

func TestAnOlderAnswerDoesNotReplaceNewerNews(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo-confirm-after", "1s")
	p := openPage(t, s, "/", desktop)
	p.connect()
	// Answers that were asked for while the payment is pending are held back until the
	// stream has told that it is confirmed.
	eval[chromedp.Void](p, `(() => {
		const real = window.fetch;
		window.held = 0;
		const gate = new Promise((open) => { window.release = open; });
		window.fetch = async (path, options) => {
			const answer = await real(path, options);
			if (/payment-status|transactions\?|balance/.test(path)) {
				window.held++;
				await gate;
				window.held--;
			}
			return answer;
		};
	})()`)
	p.fill("#buy-aitbc", "10")
	p.click("#buy [type=submit]")
	p.waitText("#payment .payment-state", "Waiting")
	p.wait("window.held >= 3")
	p.waitText("#payment .payment-state", "are in your balance")
	p.waitText("#history", "Completed")
	p.waitBalance("10", "10", "0")
	eval[chromedp.Void](p, "(() => { window.release(); })()")
	p.wait("window.held === 0")
	// Two frames later every answer has been taken.
	eval[chromedp.Void](p, "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))")
	p.waitBalance("10", "10", "0")
	for selector, wanted := range map[string]string{"#payment .payment-state": "are in your balance", "#history .status": "Completed", "#history-count": "1"} {
		if got := eval[string](p, element(selector)+".textContent"); !strings.Contains(got, wanted) {
			t.Errorf("after the older answers %s says %q, want %q", selector, got, wanted)
		}
	}
}

func TestABrowserWalletIsFoundAndAsked(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/", desktop)
	call(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.answers = [];
		const provider = { request: async ({ method }) => {
			const answer = window.answers.shift();
			if (method !== "eth_requestAccounts" || !answer) throw Object.assign(new Error("no"), { code: 4001 });
			return answer;
		} };
		const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info: { uuid: "1", name: "Test Wallet" }, provider }) }));
		window.addEventListener("eip6963:requestProvider", announce);`})
	p.reload()
	p.click("#connect")
	p.waitText("#wallet-choices", "Test Wallet")
	p.waitText("#wallet-choices", "Demo wallet")
	p.checkAccess("the choice of wallets")
	p.click("#wallet-choices button")
	p.waitText("#connect-error", "said no")
	eval[chromedp.Void](p, `(() => { window.answers.push(["0x52908400098527886E0F7030069857D2E4169EE7"]); })()`)
	p.click("#connect")
	p.click("#wallet-choices button")
	p.waitText("#wallet-address", "0x52908400")
	p.waitText("#wallet-name", "user_e4169ee7")
}

// checkWidth fails for what is beyond the page's right edge.
func (p *page) checkWidth(what string, width int64) {
	p.t.Helper()
	if wide := eval[int64](p, "document.scrollingElement.scrollWidth"); wide > width {
		p.t.Errorf("%s: the page is %d pixels wide, want %d", what, wide, width)
	}
	if out := eval[[]string](p, fmt.Sprintf(`[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(".sr-only, .skip, .ticker, .toast, .table-frame, .chart") && e.getBoundingClientRect().right > %d).map((e) => e.tagName + "#" + e.id + "." + e.className)`, width+1)); len(out) > 0 {
		p.t.Errorf("%s: beyond the edge: %v", what, out)
	}
}

func TestAPhoneShowsEverythingWithoutScrollingSideways(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo-confirm-after", "1h")
	p := openPage(t, s, "/", view{width: 360, height: 740, mobile: true})
	narrow := func(what string) {
		t.Helper()
		p.checkWidth(what, 360)
	}
	p.waitShown("#connect")
	narrow("logged out")
	p.shoot("phone-logged-out")
	p.connect()
	p.click("#tab-buy")
	p.click("#buy-chips button")
	p.click("#buy [type=submit]")
	p.waitShown("#payment .qr")
	narrow("a payment")
	p.shoot("phone-payment")
	p.deposit("92233720368.54775807")
	p.waitBalance("92233720368.54775807", "92233720368.54775807", "0")
	narrow("the largest balance there can be")
	for _, tab := range []string{"sell", "deposit", "withdraw"} {
		p.click("#tab-" + tab)
		narrow(tab)
	}
	p.fill("#withdraw-amount", "5")
	p.fill("#withdraw-address", strings.Repeat("w", 128))
	p.click("#withdraw [type=submit]")
	p.waitText("#history", "Withdrawal")
	narrow("a long address in the history")
	p.click("#account-open")
	p.waitText("#sessions", "This session")
	narrow("the account")
	p.shoot("phone-account")
}

func TestEverythingCanBeDoneWithTheKeyboard(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo-confirm-after", "200ms")
	p := openPage(t, s, "/", desktop)
	p.waitText("#price", "sat")
	// tabTo presses Tab until the element has the focus, and checks that it shows.
	tabTo := func(selector string) {
		t.Helper()
		for range 60 {
			if eval[bool](p, element(selector)+" === document.activeElement") {
				if !eval[bool](p, `(() => { const e = document.activeElement; const shows = (x) => getComputedStyle(x).outlineStyle !== "none" || getComputedStyle(x).boxShadow !== "none"; return shows(e) || shows(e.parentElement) || Boolean(e.nextElementSibling && shows(e.nextElementSibling)); })()`) {
					t.Errorf("the focus on %s cannot be seen", selector)
				}
				return
			}
			p.press(kb.Tab)
		}
		t.Fatalf("Tab never reaches %s", selector)
	}
	tabTo(".skip")
	tabTo("#connect")
	p.press(kb.Enter)
	p.waitText("#connection-text", "Live")
	p.wait(`document.activeElement.id === "tab-buy"`)
	p.press(kb.ArrowRight + kb.ArrowRight)
	p.wait(`document.activeElement.id === "tab-deposit"`)
	tabTo("#deposit-amount")
	p.press("300" + kb.Enter)
	p.waitBalance("300", "300", "0")
	for range 20 { // back to the tabs
		p.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift)))
		if eval[bool](p, `document.activeElement.id === "tab-deposit"`) {
			break
		}
	}
	p.press(kb.Home)
	p.wait(`document.activeElement.id === "tab-buy"`)
	tabTo("#buy-btc")
	p.press("0.001" + kb.Enter)
	p.waitShown("#payment")
	p.waitText("#payment .payment-state", "are in your balance")
	tabTo("#payment .primary")
	p.press(kb.Enter)
	p.wait(`document.activeElement.id === "buy-aitbc"`)
	tabTo("#filter-type")
	tabTo("#history-frame")

	p.reload()
	p.waitText("#connection-text", "Live")
	eval[chromedp.Void](p, `(() => { document.activeElement.blur();})()`)
	tabTo("#account-open")
	p.press(kb.Enter)
	p.waitText("#sessions", "This session")
	inside := true
	for range 12 {
		p.press(kb.Tab)
		inside = inside && eval[bool](p, `document.activeElement === document.body || Boolean(document.activeElement.closest("#account"))`)
	}
	if !inside {
		t.Error("the focus left the open dialog")
	}
	p.press(kb.Escape)
	p.wait(`!document.querySelector("#account").open`)
	if focused := eval[string](p, "document.activeElement.id"); focused != "account-open" {
		t.Errorf("the focus went to %q when the dialog closed, want it back at its button", focused)
	}
	tabTo("input[name=interval]:checked")
	p.press(kb.ArrowRight)
	p.wait(`document.querySelector("input[name=interval]:checked").value === "5m"`)
	tabTo("#theme")
	p.press(" ")
	p.wait(`document.documentElement.dataset.theme === "dark"`)
}
