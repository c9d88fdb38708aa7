package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"

	"github.com/aitbc/exchange/actors/secondfactor/factortest"
	"github.com/aitbc/exchange/httpapi/walletproof/walletprooftest"
)

// enrolApp enrols an authenticator app by the code of the step before this one, so that
// this one's and the next one's are left, and returns its secret and the new token.
func (s *service) enrolApp(token string) (secret, rotated string, codes []any) {
	s.t.Helper()
	as := []string{"X-Session-Token", token}
	secret = s.mustCall(200, "POST", "/api/users/me/factors/totp", "", as...).decode(s.t)["secret"].(string)
	code := factortest.Code(s.t, secret, time.Now().Add(-30*time.Second))
	r := s.mustCall(201, "POST", "/api/users/me/factors/totp/confirm", fmt.Sprintf(`{"code":%q}`, code), as...).decode(s.t)
	return secret, r["session_token"].(string), r["recovery_codes"].([]any)
}

// withdrawing is what a second factor is asked for.
func withdrawing(id string) (method, path, body string) {
	return "POST", "/api/users/" + id + "/withdrawals", `{"amount":1,"to_address":"aitbc_elsewhere"}`
}

func (s *service) withdraw(want int, id, token string) answer {
	s.t.Helper()
	method, path, body := withdrawing(id)
	return s.mustCall(want, method, path, body, "X-Session-Token", token)
}

// TestASecondFactorFromEnrolmentToWithdrawal is a user's way through the binary, across
// a kill and a snapshot.
func TestASecondFactorFromEnrolmentToWithdrawal(t *testing.T) {
	data := t.TempDir()
	options := []string{"--demo", "--auth", "signed", "--second-factor", "required", "--log-level", "debug"}
	t.Setenv("EXCHANGE_OPERATOR_KEY", "anna:admin:key-of-anna-0123456789")
	s := startService(t, data, options...)
	w := walletprooftest.NewWallet(t, "with a second factor")
	id, token := s.loginSigned(w)
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":100}`, "X-Session-Token", token)
	if body := s.withdraw(403, id, token).body; !strings.Contains(body, "urn:aitbc:problem:second_factor_enrolment_required") {
		t.Errorf("%s", body)
	}
	secret, rotated, codes := s.enrolApp(token)
	s.withdraw(401, id, token)
	s.withdraw(201, id, rotated)

	// The elevation is the session's, and on the disk.
	_, thief := s.loginSigned(w)
	now := time.Now()
	code := fmt.Sprintf(`{"code":%q}`, factortest.Code(t, secret, now))
	s.kill()
	s = startService(t, data, options...)
	s.withdraw(201, id, rotated)
	if body := s.withdraw(403, id, thief).body; !strings.Contains(body, "urn:aitbc:problem:second_factor_required") || !strings.Contains(body, `"factors":["totp","recovery_code"]`) {
		t.Errorf("%s", body)
	}
	second := s.mustCall(200, "POST", "/api/auth/step-up", code, "X-Session-Token", rotated).decode(t)["session_token"].(string)

	// A snapshot has it too, and what was shown once is not shown again.
	s.mustCall(202, "POST", "/api/operator/snapshot", "", "Authorization", "Bearer key-of-anna-0123456789")
	s.stop()
	s = startService(t, data, options...)
	s.mustCall(403, "POST", "/api/auth/step-up", code, "X-Session-Token", second)
	s.withdraw(201, id, second)
	third := s.mustCall(200, "POST", "/api/auth/step-up", fmt.Sprintf(`{"recovery_code":%q}`, codes[0]), "X-Session-Token", second).decode(t)["session_token"].(string)
	s.mustCall(403, "POST", "/api/auth/step-up", fmt.Sprintf(`{"recovery_code":%q}`, codes[0]), "X-Session-Token", third)

	s.mustCall(200, "POST", "/api/operator/users/"+id+"/reset-factors", `{"reason":"lost the phone"}`, "Authorization", "Bearer key-of-anna-0123456789")
	s.mustCall(401, "GET", "/api/users/me", "", "X-Session-Token", third)
	_, fresh := s.loginSigned(w)
	s.withdraw(403, id, fresh)
	s.stop()

	// Neither the log, nor a snapshot, nor what the service wrote holds what opens a door.
	for _, clear := range append(codes, secret, rotated, second, third, decodeSecret(t, secret)) {
		for name, content := range files(t, data) {
			if bytes.Contains(content, []byte(clear.(string))) {
				t.Errorf("%s holds a secret", name)
			}
		}
		if strings.Contains(s.log.String(), clear.(string)) {
			t.Errorf("the service's log holds a secret")
		}
	}
	if out, code := runVerify(t, data); code != 0 {
		t.Errorf("verify exits %d: %s", code, out)
	}
}

// decodeSecret is the secret as an app and the server have it.
func decodeSecret(t *testing.T, secret string) string {
	t.Helper()
	b, err := factortest.Secret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// files are the contents of all files below a folder.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = content
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAWrongOrMissingKeyOfSecretsRefusesTheStart(t *testing.T) {
	data := t.TempDir()
	key := filepath.Join(data, "secrets.key")
	s := startService(t, data, "--demo")
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key file: %v, %v", info, err)
	}
	_, token := s.login("aitbc1wallet_sealed")
	s.enrolApp(token)
	s.stop()
	right, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, want string, options ...string) {
		t.Helper()
		s := launch(t, data, append([]string{"--demo"}, options...)...)
		<-s.exited
		lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
		if last := lines[len(lines)-1]; s.command.ProcessState.ExitCode() == 0 || !strings.Contains(last, want) || !strings.Contains(last, "key") {
			t.Errorf("%s: exit %d and %q, want %q", what, s.command.ProcessState.ExitCode(), last, want)
		}
	}
	write := func(path, content string, mode fs.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(key, strings.Repeat("5a", 32)+"\n", 0o600)
	refused("another key", "it is another one")
	write(key, "5a\n", 0o600)
	refused("half a key", "does not hold 32 bytes")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	refused("no key", "is missing")
	if _, err := os.Stat(key); err == nil {
		t.Error("a start without its key made another one")
	}
	elsewhere := filepath.Join(t.TempDir(), "key")
	write(elsewhere, string(right), 0o644)
	refused("a key that others may read", "mode 0644", "--secrets-key-file", elsewhere)
	if err := os.Chmod(elsewhere, 0o600); err != nil {
		t.Fatal(err)
	}
	s = startService(t, data, "--demo", "--secrets-key-file", elsewhere)
	if _, err := os.Stat(key); err == nil {
		t.Error("a key was made beside the one that was named")
	}
	_, token = s.login("aitbc1wallet_sealed")
	s.mustCall(403, "POST", "/api/users/me/factors/totp", "", "X-Session-Token", token)
}

// TestAPasskeyOfTheBrowserStepsUp has Chromium's own authenticator make a passkey and
// sign with it, at localhost as in demo mode: an address is no name that a browser binds
// a passkey to.
func TestAPasskeyOfTheBrowserStepsUp(t *testing.T) {
	s := startService(t, t.TempDir(), "--demo")
	s.url = strings.Replace(s.url, "127.0.0.1", "localhost", 1)
	p := openPage(t, s, "/", desktop)
	device := p.addAuthenticator()
	id, token := s.login("aitbc1wallet_passkey")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":100}`, "X-Session-Token", token)
	const browser = `(async () => {
		let token = %q;
		const send = async (path, members = {}) => {
			const response = await fetch(path, { method: 'POST', body: JSON.stringify(members),
				headers: { 'Content-Type': 'application/json', 'X-Session-Token': token } });
			const answer = await response.json();
			if (!response.ok) throw new Error(path + ': ' + JSON.stringify(answer));
			token = answer.session_token ?? token;
			return answer;
		};
		const creation = PublicKeyCredential.parseCreationOptionsFromJSON((await send('/api/users/me/factors/passkeys/options')).publicKey);
		const made = await navigator.credentials.create({ publicKey: creation });
		await send('/api/users/me/factors/passkeys', { name: 'this browser', credential: made.toJSON() });
		const request = PublicKeyCredential.parseRequestOptionsFromJSON((await send('/api/auth/step-up/options')).publicKey);
		const signed = await navigator.credentials.get({ publicKey: request });
		await send('/api/auth/step-up', { passkey: signed.toJSON() });
		return token;
	})()`
	token = eval[string](p, fmt.Sprintf(browser, token))
	s.withdraw(201, id, token)
	view := s.mustCall(200, "GET", "/api/users/me/factors", "", "X-Session-Token", token)
	var factors struct {
		Passkeys []struct {
			Name string
			Used *string `json:"last_used_at"`
		}
		Origins []string `json:"passkey_origins"`
	}
	if err := json.Unmarshal([]byte(view.body), &factors); err != nil || len(factors.Passkeys) != 1 || factors.Passkeys[0].Used == nil ||
		factors.Passkeys[0].Name != "this browser" || len(factors.Origins) != 1 || factors.Origins[0] != s.url {
		t.Errorf("the factors are %s, %v", view.body, err)
	}
	kept := call(p, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: device})
	if len(kept.Credentials) != 1 || kept.Credentials[0].SignCount < 2 {
		t.Errorf("the browser has %+v", kept.Credentials)
	}
	// A device whose user is not verified signs nothing that counts.
	call(p, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: false})
	if refused := eval[string](p, fmt.Sprintf(`(async () => {
		const response = await fetch('/api/auth/step-up/options', { method: 'POST', headers: { 'X-Session-Token': %q } });
		const request = PublicKeyCredential.parseRequestOptionsFromJSON((await response.json()).publicKey);
		return navigator.credentials.get({ publicKey: { ...request, timeout: 1000 } }).then(() => 'signed', (error) => error.name);
	})()`, token)); refused != "NotAllowedError" {
		t.Errorf("an unverified user's device answers %q", refused)
	}
}
