package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/aitbc/exchange/httpapi/walletproof/walletprooftest"
)

// loginSigned returns the user's id and a new token, by the wallet's signature.
func (s *service) loginSigned(w walletprooftest.Wallet) (id, token string) {
	s.t.Helper()
	challenge := s.mustCall(200, "POST", "/api/auth/nonce", fmt.Sprintf(`{"wallet_address":%q}`, w.Address)).decode(s.t)
	body := fmt.Sprintf(`{"wallet_address":%q,"nonce":%q,"signature":%q}`, w.Address, challenge["nonce"], w.Sign(challenge["message"].(string)))
	members := s.mustCall(200, "POST", "/api/users/login", body).decode(s.t)
	return members["user_id"].(string), members["session_token"].(string)
}

func TestALoginIsSignedWhereverThisIsNoDemo(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo=false")
	w := walletprooftest.NewWallet(t, "of a real exchange")
	s.mustCall(401, "POST", "/api/users/login", fmt.Sprintf(`{"wallet_address":%q}`, w.Address))
	id, token := s.loginSigned(w)
	s.mustCall(200, "GET", "/api/users/"+id+"/balance", "", "X-Session-Token", token)
	if strings.Contains(s.log.String(), "OPEN LOGIN") {
		t.Errorf("the log says that logins are open:\n%s", s.log)
	}
}

func TestTheKeysOfAccessTokensSurviveARestart(t *testing.T) {
	data := t.TempDir()
	options := []string{"--demo", "--access-token-key-file", filepath.Join(t.TempDir(), "keys.json"), "--access-token-audiences", "https://pool.example, https://miner.example"}
	s := startService(t, data, options...)
	_, token := s.login("aitbc1wallet_holder")
	s.mustCall(200, "POST", "/api/auth/access-token", `{"audience":"https://miner.example"}`, "X-Session-Token", token)
	before := s.mustCall(200, "GET", "/.well-known/jwks.json", "").body
	s.stop()
	s = startService(t, data, options...)
	if after := s.mustCall(200, "GET", "/.well-known/jwks.json", "").body; after != before {
		t.Errorf("the keys are %s, were %s", after, before)
	}
}

// injectWallet gives the page an EIP-1193 provider, as a wallet's extension would.
// What it is asked to sign waits in window.asked for the test, which has the key.
func (p *page) injectWallet(w walletprooftest.Wallet) {
	p.t.Helper()
	eval[chromedp.Void](p, fmt.Sprintf(`(() => {
		window.ethereum = { isMetaMask: true, request: async ({ method, params }) => {
			if (method === 'eth_requestAccounts') return [%[1]s];
			if (method !== 'personal_sign' || params[1] !== %[1]s) throw new Error('unknown request ' + method);
			return new Promise((resolve, reject) => { window.asked = { text: params[0], resolve, reject }; });
		} };
	})()`, quote(w.Address)))
}

// asked waits until the page's wallet is asked, and returns for which text.
func (p *page) asked() string {
	p.t.Helper()
	p.wait("window.asked")
	text, err := hex.DecodeString(strings.TrimPrefix(eval[string](p, "window.asked.text"), "0x"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// answer ends what the wallet was asked for.
func (p *page) answer(script string) {
	p.t.Helper()
	eval[chromedp.Void](p, "(() => { const { resolve, reject } = window.asked; window.asked = null; "+script+" })()")
}

func TestAWalletSignsInTheBrowser(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo", "--auth", "signed")
	p := openPage(t, s, "/", desktop)
	p.waitText("#price", "sat")
	p.click("#connect")
	p.waitText("#connect-error", "no wallet in this browser") // a demo wallet could not sign

	w := walletprooftest.NewWallet(t, "in the browser")
	p.injectWallet(w)
	connect := func() {
		p.click("#connect")
		p.waitText("#wallet-choices", "MetaMask")
		if names := eval[string](p, element("#wallet-choices")+".textContent"); names != "MetaMask" {
			t.Errorf("the choices are %q", names)
		}
		p.click("#wallet-choices button")
	}
	connect()
	text := p.asked()
	for _, wanted := range []string{strings.TrimPrefix(s.url, "http://") + " wants you to sign in", w.Address, "URI: " + s.url} {
		if !strings.Contains(text, wanted) {
			t.Errorf("the wallet is shown %q, want %q in it", text, wanted)
		}
	}
	p.answer("reject({ code: 4001, message: 'User rejected the request.' });")
	p.waitText("#connect-error", "said no")

	connect()
	p.answer("resolve(" + quote(walletprooftest.NewWallet(t, "another").Sign(p.asked())) + ");")
	p.waitText("#connect-error", "does not prove")

	connect()
	p.answer("resolve(" + quote(w.Sign(p.asked())) + ");")
	p.waitShown("#wallet-view")
	p.waitText("#connection-text", "Live")
	var session struct{ Wallet, Token string }
	if err := json.Unmarshal([]byte(eval[string](p, "sessionStorage.getItem('aitbc.session')")), &session); err != nil || session.Wallet != w.Address {
		t.Errorf("the session is %+v, %v", session, err)
	}
	p.deposit("12.5")
	p.waitBalance("12.5", "12.5", "0")
}
