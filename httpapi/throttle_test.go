package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/httpapi/throttle"
	"github.com/aitbc/exchange/httpapi/walletproof/walletprooftest"
)

// slow lets n requests through, and no more while a test runs.
func slow(name string, n int) throttle.Policy {
	return throttle.Policy{Name: name, Count: n, Per: 24 * time.Hour}
}

func limited(change func(*Limits)) func(*Config, *actors.Config) {
	return func(c *Config, _ *actors.Config) { change(&c.Limits) }
}

// from sends a request whose X-Forwarded-For is given, and returns its status and header.
func (l *liveServer) from(forwarded, method, path, token, body string) (int, http.Header) {
	l.t.Helper()
	request, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("X-Session-Token", token)
	}
	if forwarded != "" {
		request.Header.Set("X-Forwarded-For", forwarded)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	validateResponse(l.t, method, path, response.StatusCode, response.Header, content)
	if limited := response.StatusCode == 429; limited != strings.Contains(string(content), "rate_limited") {
		l.t.Errorf("%s %s: %d %s", method, path, response.StatusCode, content)
	}
	return response.StatusCode, response.Header
}

const ratesPath = "/api/exchange/rates"

func TestAnAddressThatAsksTooOftenIsToldWhenToComeBack(t *testing.T) {
	l := startLive(t, t.TempDir(), limited(func(c *Limits) { c.Address = slow("address", 3) }))
	for i := range 3 {
		// A forged header changes nothing where no proxy is trusted.
		status, h := l.from("192.0.2."+strconv.Itoa(i), "GET", ratesPath, "", "")
		if status != 200 || !strings.HasPrefix(h.Get("RateLimit"), `"address";r=`+strconv.Itoa(2-i)+";t=") || h.Get("RateLimit-Policy") != `"address";q=3;w=86400` {
			t.Errorf("request %d: %d, %q, %q", i+1, status, h.Get("RateLimit"), h.Get("RateLimit-Policy"))
		}
	}
	for range 3 {
		status, h := l.from("192.0.2.9", "GET", ratesPath, "", "")
		if after, err := strconv.Atoi(h.Get("Retry-After")); status != 429 || err != nil || after < 1 || after > 86400/3 {
			t.Errorf("%d, Retry-After %q", status, h.Get("Retry-After"))
		}
		if !strings.HasPrefix(h.Get("RateLimit"), `"address";r=0;t=`) {
			t.Errorf("RateLimit is %q", h.Get("RateLimit"))
		}
	}
	for range 5 { // what watches the service is not counted
		if status, h := l.from("", "GET", "/healthz", "", ""); status != 200 || h.Get("RateLimit") != "" {
			t.Errorf("/healthz: %d, %q", status, h.Get("RateLimit"))
		}
	}
}

func TestOnlyATrustedProxysWordIsTakenForAnAddress(t *testing.T) {
	proxies, err := throttle.ParseProxies(throttle.XForwardedFor, "127.0.0.0/8, 10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	l := startLive(t, t.TempDir(), limited(func(c *Limits) { c.Address, c.Proxies = slow("address", 1), proxies }))
	for _, c := range []struct {
		forwarded string
		want      int
	}{
		{"192.0.2.1", 200}, {"192.0.2.1", 429},
		{"192.0.2.2", 200}, {"198.51.100.7, 192.0.2.2", 429}, // what stands before the client is the client's invention
		{"198.51.100.7, 10.1.2.3", 200}, {"198.51.100.7", 429}, // and two proxies are one way
		{"2001:db8::1", 200}, {"2001:db8::ffff:2", 429}, // a network of IPv6 is one customer
		{"", 200}, {"nonsense", 429}, // the proxy itself
	} {
		if status, _ := l.from(c.forwarded, "GET", ratesPath, "", ""); status != c.want {
			t.Errorf("from %q: %d, want %d", c.forwarded, status, c.want)
		}
	}
}

func TestAClientDoesNotSpeakAfterTheProxy(t *testing.T) {
	proxies, err := throttle.ParseProxies(throttle.XForwardedFor, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l := startLive(t, t.TempDir(), limited(func(c *Limits) { c.Address, c.Proxies = slow("address", 1), proxies }))
	if status, _ := l.from("192.0.2.1", "GET", ratesPath, "", ""); status != 200 {
		t.Fatalf("status %d", status)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /api/users/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 192.0.2.77\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != 400 {
		t.Errorf("an address in a trailer is answered %v, %v", response, err)
	}
}

func TestAnAccountIsLimitedFromWhereverItAsks(t *testing.T) {
	proxies, err := throttle.ParseProxies(throttle.XForwardedFor, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l := startLive(t, t.TempDir(), limited(func(c *Limits) { c.Account, c.Proxies = slow("account", 2), proxies }))
	_, token := l.login("aitbc1wallet_eager")
	_, second := l.login("aitbc1wallet_eager")
	_, other := l.login("aitbc1wallet_other")
	for i, c := range []struct {
		token string
		want  int
	}{{token, 200}, {second, 200}, {token, 429}, {second, 429}, {other, 200}} {
		if status, _ := l.from("192.0.2."+strconv.Itoa(i), "GET", "/api/users/me", c.token, ""); status != c.want {
			t.Errorf("request %d: %d, want %d", i+1, status, c.want)
		}
	}
	l.do("GET", "/api/operator/health", liveKey, "", 200) // no account's
}

func TestGuessesAreLimitedAndLockNobodyOut(t *testing.T) {
	proxies, err := throttle.ParseProxies(throttle.XForwardedFor, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	signed := apiConfig{}
	signedLogins(t, nil)(&signed)
	l := startLive(t, t.TempDir(), func(c *Config, _ *actors.Config) {
		c.Logins, c.Limits = signed.http.Logins, Limits{Login: slow("login", 4), Proxies: proxies}
	})
	owner := walletprooftest.NewWallet(t, "owner")
	guess := loginBody("wallet_address", owner.Address, "nonce", strings.Repeat("0", 48), "signature", "0x00")
	for i, want := range []int{401, 401, 401, 401, 429, 429} {
		if status, _ := l.from("192.0.2.1", "POST", "/api/users/login", "", guess); status != want {
			t.Errorf("guess %d: %d, want %d", i+1, status, want)
		}
	}
	if status, _ := l.from("192.0.2.1", "POST", "/api/auth/nonce", "", `{"wallet_address":"`+owner.Address+`"}`); status != 429 {
		t.Errorf("a nonce for who guesses: %d", status)
	}
	// The owner logs in from elsewhere all the same. Of an account's logins there may be so many.
	for i, want := range []int{200, 200, 200, 200, 429} {
		challenge, err := signed.http.Logins.Verifier.Challenge(owner.Address, signed.http.Logins.Origins[0])
		if err != nil {
			t.Fatal(err)
		}
		body := loginBody("wallet_address", owner.Address, "nonce", challenge.Nonce, "signature", owner.Sign(challenge.Message))
		if status, _ := l.from("198.51.100."+strconv.Itoa(i), "POST", "/api/users/login", "", body); status != want {
			t.Errorf("login %d: %d, want %d", i+1, status, want)
		}
	}
}
