package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The trade page is tested in Chromium, as a person uses it. One browser process
// serves all tests; each page has a browser context (cookies, storage) of its own.
// What the page writes to the console as an error, throws, or is refused by the
// Content-Security-Policy fails the test.

// patience is how long a page may take to show what is waited for.
const patience = 20 * time.Second

var chrome struct {
	once   sync.Once
	ctx    context.Context // of the browser's first tab
	closed func()
	err    error
}

// startBrowser returns the browser's context, and fails the test where there is no
// browser: a page that nobody has looked at must not count as tested.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{os.Getenv("EXCHANGE_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("there is no Chromium: install Debian's package chromium (apt-get install chromium), or name the program in EXCHANGE_CHROMIUM")
	}
	chrome.once.Do(func() {
		// All that the browser writes goes into one folder, which goes with it.
		scratch, err := os.MkdirTemp("", "exchange-browser-")
		if err != nil {
			chrome.err = err
			return
		}
		allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Env("TMPDIR="+scratch), chromedp.UserDataDir(filepath.Join(scratch, "profile")),
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true))...)
		ctx, _ := chromedp.NewContext(allocator)
		chrome.ctx, chrome.err = ctx, chromedp.Do(ctx)
		chrome.closed = func() {
			_ = chromedp.Cancel(ctx) // waits until the process has ended
			stop()
			_ = os.RemoveAll(scratch)
		}
	})
	if chrome.err != nil {
		t.Fatalf("%s: %v", path, chrome.err)
	}
	return chrome.ctx
}

// closeBrowser ends the browser after the last test; its profile goes with it.
func closeBrowser() {
	if chrome.closed != nil {
		chrome.closed()
	}
}

// page is a tab on the exchange.
type page struct {
	t   *testing.T
	s   *service
	ctx context.Context

	mu     sync.Mutex
	faults []string // guarded by mu
}

// view is how a page is looked at.
type view struct {
	width, height int64
	dark, mobile  bool
}

var desktop = view{width: 1440, height: 900}

// openPage opens path in a browser context of its own.
func openPage(t *testing.T, s *service, path string, v view) *page {
	t.Helper()
	return newPage(t, s, path, v, chromedp.WithNewBrowserContext())
}

// openTab opens path in the context of p, as a second tab.
func (p *page) openTab(path string) *page {
	p.t.Helper()
	return newPage(p.t, p.s, path, desktop, chromedp.WithExistingBrowserContext(chromedp.FromContext(p.ctx).BrowserContextID))
}

func newPage(t *testing.T, s *service, path string, v view, option chromedp.ContextOption) *page {
	t.Helper()
	p := &page{t: t, s: s}
	tab, cancel := chromedp.NewContext(startBrowser(t), option, chromedp.WithListener(p.listen))
	t.Cleanup(cancel)
	t.Cleanup(p.checkFaults)
	if err := chromedp.Do(tab); err != nil { // opens the tab, which lives as long as this context
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(tab, 3*time.Minute)
	t.Cleanup(stop)
	p.ctx = ctx
	scheme := "light"
	if v.dark {
		scheme = "dark"
	}
	call(p, cdplog.Enable, cdp.Empty{})
	call(p, runtime.Enable, cdp.Empty{})
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: v.width, Height: v.height, DeviceScaleFactor: 1, Mobile: v.mobile})
	call(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: v.mobile})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	p.do(chromedp.Navigate(s.url + path))
	p.wait(loaded)
	return p
}

// listen collects what went wrong in the page. A request that was refused or found
// no server is no fault of the page: the browser reports it by itself.
func (p *page) listen(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			fault += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			for _, argument := range e.Args {
				fault += " " + string(argument.Value) + argument.Description
			}
			fault = "console.error:" + fault
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError && e.Entry.Source != cdplog.EntrySourceNetwork {
			fault = string(e.Entry.Source) + ": " + e.Entry.Text
		}
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			fault = "policy: " + e.Entry.Text
		}
	}
	if fault != "" {
		p.mu.Lock()
		p.faults = append(p.faults, fault)
		p.mu.Unlock()
	}
}

// loaded: the page's modules have run.
const loaded = `location.protocol === "http:" && document.readyState === "complete"`

// reload loads the page anew.
func (p *page) reload() {
	p.t.Helper()
	eval[chromedp.Void](p, "(() => { window.old = true; })()")
	p.do(chromedp.Reload())
	p.wait("!window.old && " + loaded)
}

func (p *page) checkFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		p.t.Errorf("the page: %s", fault)
	}
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// call sends a command of the browser's protocol.
func call[P, R any](p *page, command cdp.Command[P, R], parameters P) R {
	p.t.Helper()
	result, err := chromedp.Call(p.ctx, command, parameters)
	if err != nil {
		p.t.Fatal(err)
	}
	return result
}

// eval returns the value of a JavaScript expression, which may be a promise.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait waits until a JavaScript expression is true. It asks from outside, because
// the page's policy forbids what chromedp.Poll does inside.
func (p *page) wait(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		// An error is a page that is being loaded.
		held, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && held {
			return
		}
		if time.Now().After(deadline) {
			p.shoot("failed-" + strings.ReplaceAll(p.t.Name(), "/", "-"))
			p.t.Fatalf("not after %s: %s (%v)\n%s", patience, expression, err, eval[string](p, "document.body.innerText.slice(0, 1500)"))
		}
		<-tick.C
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func element(selector string) string { return "document.querySelector(" + quote(selector) + ")" }

// waitText waits until an element's text contains wanted.
func (p *page) waitText(selector, wanted string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("%s?.textContent.includes(%s)", element(selector), quote(wanted)))
}

// waitShown waits until an element is there and can be seen.
func (p *page) waitShown(selector string) {
	p.t.Helper()
	p.wait(element(selector) + "?.checkVisibility({ visibilityProperty: true })")
}

// click presses the mouse on an element, which must be what is seen there.
func (p *page) click(selector string) {
	p.t.Helper()
	p.waitShown(selector)
	at := eval[struct {
		X, Y float64
		Hit  bool
	}](p, fmt.Sprintf(`(() => {
		const e = %s;
		e.scrollIntoView({ block: 'center', behavior: 'instant' });
		const r = e.getBoundingClientRect();
		const [X, Y] = [r.x + r.width / 2, r.y + r.height / 2];
		const hit = document.elementFromPoint(X, Y);
		return { X, Y, Hit: e === hit || e.contains(hit) || Boolean(hit?.contains(e) && hit.closest('label')) };
	})()`, element(selector)))
	if !at.Hit {
		p.t.Fatalf("%s is covered by something else", selector)
	}
	p.do(chromedp.MouseClickXY(at.X, at.Y))
}

// fill types text into an input in place of what is there.
func (p *page) fill(selector, text string) {
	p.t.Helper()
	p.waitShown(selector)
	eval[chromedp.Void](p, fmt.Sprintf("(() => { const e = %s; e.focus(); e.select(); })()", element(selector)))
	if text == "" {
		p.press("\b")
		return
	}
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

// choose selects an option as the browser's list would.
func (p *page) choose(selector, value string) {
	p.t.Helper()
	eval[chromedp.Void](p, fmt.Sprintf("(() => { const e = %s; e.value = %s; e.dispatchEvent(new Event('change', { bubbles: true })); })()", element(selector), quote(value)))
}

// press sends keys: text, or constants of chromedp/kb.
func (p *page) press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// connect opens the demo wallet's account, and returns the user's id.
func (p *page) connect() string {
	p.t.Helper()
	p.click("#connect")
	p.waitShown("#wallet-view")
	p.waitText("#connection-text", "Live")
	return eval[string](p, "JSON.parse(sessionStorage.getItem('aitbc.session')).user_id")
}

// deposit takes from the demo's faucet by the form.
func (p *page) deposit(amount string) {
	p.t.Helper()
	p.click("#tab-deposit")
	p.fill("#deposit-amount", amount)
	p.click("#deposit [type=submit]")
	p.waitText("#toast", "deposited")
}

// waitBalance waits until the page says so and no form waits for an answer.
func (p *page) waitBalance(balance, available, held string) {
	p.t.Helper()
	// The stream may tell of a change before the request that made it is answered.
	p.wait(fmt.Sprintf(`%s.textContent === %s && !document.querySelector('form [aria-disabled="true"]')`, element("#balance-spoken"),
		quote("Balance "+balance+" AITBC, "+available+" available, "+held+" held")))
}

// shoot writes a picture of the page to the folder that EXCHANGE_SCREENSHOTS names,
// if it does.
func (p *page) shoot(name string) {
	p.t.Helper()
	folder := os.Getenv("EXCHANGE_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
