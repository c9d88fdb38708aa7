package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/mail/mailtest"
)

// mailOptions are those of a service that writes to its users by server.
func mailOptions(server *mailtest.Server) []string {
	return []string{"--smtp", server.Address, "--smtp-security", "none", "--mail-from", "no-reply@exchange.example", "--public-origin", "https://exchange.example"}
}

var mailedCode = regexp.MustCompile(`(?m)^[0-9A-Z]{5}-[0-9A-Z]{5}$`)

// TestAUserIsWrittenToThroughKill9 verifies an address, and then has the mail server
// down while things happen and the service is killed.
func TestAUserIsWrittenToThroughKill9(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	data := filepath.Join(t.TempDir(), "data")
	options := append([]string{"--demo", "--log-level", "warn"}, mailOptions(server)...)
	s := startService(t, data, options...)
	const wallet = "mailwallet_anna"
	id, token := s.login(wallet)
	as := func(want int, method, path, body string) map[string]any {
		t.Helper()
		return s.mustCall(want, method, path, body, "X-Session-Token", token).decode(t)
	}
	as(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1000}`)
	if got := as(409, "POST", "/api/users/me/email/verify", "")["code"]; got != "no_email_address" {
		t.Errorf("without an address: %v", got)
	}
	// What could become a header, or another recipient, is no address and no name.
	for _, body := range []string{
		`{"email":"anna@mail.example\r\nBcc: eve@evil.example"}`, `{"email":"anna@mail.example, eve@evil.example"}`,
		`{"email":"Anna <anna@mail.example>"}`, `{"email":"\"a\\\" b\"@mail.example"}`,
		`{"username":"anna\r\nBcc: eve@evil.example"}`, `{"username":"anna\nx"}`,
	} {
		as(400, "PATCH", "/api/users/me", body)
	}
	as(200, "PATCH", "/api/users/me", `{"email":"anna@mail.example","username":"anna"}`)
	as(202, "POST", "/api/users/me/email/verify", "{}")
	if got := as(429, "POST", "/api/users/me/email/verify", "")["code"]; got != "too_many_email_codes" {
		t.Errorf("a second code at once: %v", got)
	}
	code := mailedCode.FindString(server.Wait(1)[0].Text)
	as(400, "POST", "/api/users/me/email/verify/confirm", `{"code":"00000-00000"}`)
	if got := as(200, "GET", "/api/users/me/email", ""); got["verified"] != false {
		t.Errorf("%v", got)
	}
	if got := as(200, "POST", "/api/users/me/email/verify/confirm", `{"code":"`+code+`"}`); got["verified"] != true || got["email"] != "anna@mail.example" {
		t.Errorf("%v", got)
	}

	server.Down()
	s.login(wallet) // from 127.0.0.1
	as(201, "POST", "/api/users/"+id+"/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`)
	s.until("an attempt has failed", func() bool { return s.gauge(`exchange_notice_attempts_failed_total{channel="mail"}`) != "0" })
	s.kill()
	if strings.Contains(s.log.String(), code) {
		t.Errorf("the code is in the log:\n%s", s.log)
	}
	server.Up()
	s = startService(t, data, options...)
	messages := server.Wait(3)
	for i, want := range []struct{ subject, text string }{
		{"AITBC Exchange: confirm your e-mail address", code},
		{"AITBC Exchange: new login", "from 127.0.0.1"},
		{"AITBC Exchange: withdrawal of 1 AITBC was asked for", "aitbc_elsewhere"},
	} {
		if m := messages[i]; m.To != "anna@mail.example" || m.Subject != want.subject || !strings.Contains(m.Text, want.text) || !strings.Contains(m.Text, "https://exchange.example") {
			t.Errorf("message %d is to %s: %s\n%s", i+1, m.To, m.Subject, m.Text)
		}
	}
	s.until("no mail is open", func() bool { return s.gauge(`exchange_notices_open{channel="mail"}`) == "0" })
	if code, took := s.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("exit %d after %s", code, took)
	}
	if out, code := runVerify(t, data); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
	if n := len(server.Messages()); n != 3 {
		t.Errorf("%d messages", n)
	}
}

// TestALostFactorIsRemovedThroughKill9 kills the service while a recovery is under way.
func TestALostFactorIsRemovedThroughKill9(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	data := filepath.Join(t.TempDir(), "data")
	options := append([]string{"--demo", "--log-level", "warn", "--recovery-delay", "2s"}, mailOptions(server)...)
	s := startService(t, data, options...)
	const wallet = "mailwallet_lost"
	_, token := s.login(wallet)
	as := func(want int, method, path, body string) map[string]any {
		t.Helper()
		return s.mustCall(want, method, path, body, "X-Session-Token", token).decode(t)
	}
	recovery := "/api/users/me/factors/recovery"
	as(409, "POST", recovery, "")
	as(200, "PATCH", "/api/users/me", `{"email":"anna@mail.example"}`)
	as(202, "POST", "/api/users/me/email/verify", "")
	as(200, "POST", "/api/users/me/email/verify/confirm", `{"code":"`+mailedCode.FindString(server.Wait(1)[0].Text)+`"}`)
	s.enrolApp(token)
	_, token = s.login(wallet)
	as(403, "PATCH", "/api/users/me", `{"email":"eve@evil.example"}`)
	as(202, "POST", recovery, "")
	var code string
	s.until("the code has come", func() bool {
		for _, m := range server.Messages() {
			if m.Subject == "AITBC Exchange: have your second factor removed" {
				code = mailedCode.FindString(m.Text)
			}
		}
		return code != ""
	})
	as(400, "POST", recovery+"/confirm", `{"code":"00000-00000"}`)
	if got := as(202, "POST", recovery+"/confirm", `{"code":"`+code+`"}`); got["removed_at"] == nil {
		t.Errorf("%v", got)
	}
	as(403, "POST", recovery+"/cancel", "")
	as(400, "POST", recovery+"/cancel", `{"code":"00000-00000"}`)
	if got := as(200, "GET", recovery, ""); got["removed_at"] == nil {
		t.Errorf("%v", got)
	}
	s.kill()
	s = startService(t, data, options...)
	s.until("all sessions have ended", func() bool {
		a, err := s.call(http.DefaultClient, "GET", "/api/users/me", "", "X-Session-Token", token)
		return err == nil && a.status == http.StatusUnauthorized
	})
	_, token = s.login(wallet)
	if got := as(200, "GET", "/api/users/me/factors", ""); got["totp"] != false {
		t.Errorf("%v", got)
	}
	as(200, "PATCH", "/api/users/me", `{"username":"anna"}`)
	s.until("the user is told", func() bool {
		told := map[string]bool{}
		for _, m := range server.Messages() {
			told[m.Subject] = true
		}
		return told["AITBC Exchange: your second factor will be removed"] && told["AITBC Exchange: all second factors were removed"]
	})
	if code, _ := s.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if out, code := runVerify(t, data); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
}

func TestAMailServerThatIsNotSafeIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret-of-the-mail\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options []string
		want    string
	}{
		{[]string{"--smtp", "mail.example:587"}, "go together"},
		{[]string{"--mail-from", "a@exchange.example"}, "go together"},
		{[]string{"--smtp-user", "exchange", "--smtp-pass-file", file}, "-smtp names"},
		{[]string{"--smtp", "mail.example", "--mail-from", "a@exchange.example"}, "HOST:PORT"},
		{[]string{"--smtp", "mail.example:587", "--mail-from", "The Exchange <a@exchange.example>"}, "not an e-mail address"},
		{[]string{"--smtp", "mail.example:25", "--mail-from", "a@exchange.example", "--smtp-security", "none"}, "must have TLS"},
		{[]string{"--smtp", "mail.example:587", "--mail-from", "a@exchange.example", "--smtp-user", "x"}, "go together"},
		{[]string{"--smtp", "mail.example:587", "--mail-from", "a@exchange.example", "--smtp-user", "x", "--smtp-pass-file", file + "-not"}, "no such file"},
	} {
		s := launch(t, filepath.Join(t.TempDir(), "data"), c.options...)
		select {
		case <-s.exited:
		case <-time.After(patience):
			t.Fatal("the service runs")
		}
		if code := s.command.ProcessState.ExitCode(); code != 2 || !strings.Contains(s.log.String(), c.want) || strings.Contains(s.log.String(), "secret-of-the-mail") {
			t.Errorf("%v: exit %d: %s", c.options, code, s.log)
		}
	}
}
