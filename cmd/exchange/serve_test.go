package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// runExchange runs the binary to its end. environment is NAME=VALUE, and there is
// no other EXCHANGE_ variable.
func runExchange(t *testing.T, environment []string, args ...string) outcome {
	t.Helper()
	command := exec.Command(binary, args...)
	command.Env = append(withoutExchange(os.Environ()), "GORACE=atexit_sleep_ms=0") // its default is a second an exit
	command.Env = append(command.Env, environment...)
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	kill := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
	defer kill.Stop()
	if err := command.Run(); err != nil {
		if _, exited := err.(*exec.ExitError); !exited {
			t.Fatal(err)
		}
	}
	return outcome{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func withoutExchange(environment []string) []string {
	return slices.DeleteFunc(environment, func(s string) bool { return strings.HasPrefix(s, "EXCHANGE_") })
}

// failed fails unless the command ended with code and one line on standard error
// that matches pattern. Log lines do not count; a second line may tell of --help.
func (o outcome) failed(t *testing.T, code int, pattern string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(o.stderr) {
		if !strings.HasPrefix(line, "time=") && !strings.HasPrefix(line, "Run 'exchange ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if o.code != code || len(lines) != 1 || !regexp.MustCompile(pattern).MatchString(lines[0]) {
		t.Errorf("exit %d, want %d and one line like %q; got\n%s%s", o.code, code, pattern, o.stdout, o.stderr)
	}
}

func TestASecondProcessOnADataDirectoryIsRefusedByPID(t *testing.T) {
	data := t.TempDir()
	s := startService(t, data, "--log-level", "warn")
	pid := fmt.Sprintf("in use by process %d", s.command.Process.Pid)
	runExchange(t, nil, "serve", "--data", data, "--listen", freeAddress(t)).failed(t, 1, pid)
	runExchange(t, nil, "verify", "--data", data).failed(t, 1, pid)
	s.login("aitbc1wallet_first") // the first is as well as before
	s.kill()
	if out, code := runVerify(t, data); code != 0 {
		t.Errorf("after a kill the directory is not free: exit %d\n%s", code, out)
	}
}

func TestADataDirectoryThatCannotBeUsedIsOneLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/exchange-test", "/sys/kernel"} {
		runExchange(t, nil, "serve", "--data", dir, "--listen", freeAddress(t)).failed(t, 1, regexp.QuoteMeta(dir))
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "not a directory" {
		t.Errorf("the file is now %q, %v", content, err)
	}
	runExchange(t, nil, "verify", "--data", filepath.Join(t.TempDir(), "nothing")).failed(t, 1, "nothing")
}

func TestAPortInUseIsOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := l.Addr().String()
	data := t.TempDir()
	runExchange(t, nil, "serve", "--data", data, "--listen", address).failed(t, 1, regexp.QuoteMeta(address)+".*address already in use")
	if out, code := runVerify(t, data); code != 0 {
		t.Errorf("the data directory is not free: exit %d\n%s", code, out)
	}
}

func TestAWrongOptionIsNamedWithWhatIsAllowed(t *testing.T) {
	short := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(short, []byte("# keys\nolga:sesame-123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, value, pattern string }{
		{"listen", "8080", `listen.*HOST:PORT`},
		{"listen", "", `listen.*not empty`},
		{"demo", "maybe", `demo.*true, false or auto`},
		{"demo-confirm-after", "-1s", `demo-confirm-after.*from 1ms to 24h`},
		{"fee", "0.00001", `fee.*0 to 100 with at most 4 decimals`},
		{"fee", "101", `fee.*0 to 100`},
		{"rate", "0", `rate.*from 0\.00000001 to`},
		{"rate", "1e400", `rate.*at most 8 decimals`},
		{"min-payment", "1,5", `min-payment.*amount`},
		{"payment-timeout", "never", `payment-timeout.*such as 90s`},
		{"session-lifetime", "0", `session-lifetime.*from 1s`},
		{"confirmations", "0", `confirmations.*from 1 to 1000`},
		{"queue", "many", `queue.*whole number from 1`},
		{"auth", "none", `auth.*auto, signed, open`},
		{"public-origin", "exchange.example", `public-origin.*such as https://exchange.example`},
		{"public-origin", "https://exchange.example/path", `public-origin.*such as https://exchange.example`},
		{"bitcoin-network", "dogecoin", `bitcoin-network.*mainnet`},
		{"ethereum-chain-id", "0", `ethereum-chain-id.*from 1`},
		{"throttle", "maybe", `throttle.*auto, on, off`},
		{"login-rate", "-1", `login-rate.*from 0`},
		{"trusted-proxies", "10.0.0.0/33", `trusted-proxies.*10.0.0.0/8`},
		{"trusted-proxy-header", "X-Real-IP", `trusted-proxy-header.*X-Forwarded-For, Forwarded`},
		{"log-level", "loud", `log-level.*debug, info, warn, error`},
		{"log-format", "xml", `log-format.*text, json`},
		{"operator-key-file", "/nothing/here", `operator-key-file.*no such file`},
		{"operator-key-file", short, `operator-key-file.*line 2.*16 to 256`},
	} {
		o := runExchange(t, nil, "serve", "--"+c.flag+"="+c.value)
		o.failed(t, 2, c.pattern)
		if c.value == "" {
			continue // an empty variable is none
		}
		variable := "EXCHANGE_" + strings.ToUpper(strings.ReplaceAll(c.flag, "-", "_"))
		e := runExchange(t, []string{variable + "=" + c.value}, "serve")
		e.failed(t, 2, `(`+variable+`|-`+c.flag+`)`)
		if strings.Contains(o.stderr+e.stderr, "sesame") {
			t.Errorf("a key is shown:\n%s%s", o.stderr, e.stderr)
		}
	}
	runExchange(t, nil, "serve", "--min-payment=2", "--max-payment=1").failed(t, 2, `min-payment 2 is more than -max-payment 1`)
	runExchange(t, nil, "serve", "--tls-key=key.pem").failed(t, 2, `-tls-cert and -tls-key`)
	runExchange(t, nil, "serve", "--access-token-key-file=keys.json").failed(t, 2, `-access-token-audiences`)
	runExchange(t, nil, "serve", "--listen=0.0.0.0:0").failed(t, 2, `-public-origin`)
	runExchange(t, nil, "serve", "--no-such").failed(t, 2, `no-such`)
	runExchange(t, nil, "serve", "stray").failed(t, 2, `"stray"`)
	runExchange(t, []string{"EXCHANGE_OPERATOR_KEY=sesame"}, "serve").failed(t, 2, `EXCHANGE_OPERATOR_KEY.*16 to 256`)
	if o := runExchange(t, nil, "dance"); o.code != 2 || !strings.Contains(o.stderr, `"dance"`) {
		t.Errorf("exit %d\n%s", o.code, o.stderr)
	}
}

func TestHelpListsEveryFlagWithItsVariable(t *testing.T) {
	var s settings
	var names []string
	o := serveOptions(&s)
	o.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if len(names) < 15 {
		t.Fatalf("only %d flags", len(names))
	}
	help := runExchange(t, nil, "serve", "--help")
	if help.code != 0 || help.stderr != "" {
		t.Errorf("exit %d, %s", help.code, help.stderr)
	}
	for _, name := range names {
		if want := fmt.Sprintf("--%s (%s)", name, envName(name)); !strings.Contains(help.stdout, want) {
			t.Errorf("--help does not have %q", want)
		}
	}
	if !strings.Contains(help.stdout, "EXCHANGE_OPERATOR_KEY") {
		t.Error("--help does not have EXCHANGE_OPERATOR_KEY")
	}
	top := runExchange(t, nil, "--help")
	for _, c := range commands() {
		if top.code != 0 || !strings.Contains(top.stdout, c.name) || !strings.Contains(top.stdout, c.summary) {
			t.Errorf("help does not have %s", c.name)
		}
		if help := runExchange(t, nil, c.name, "--help"); help.code != 0 || !strings.HasPrefix(help.stdout, "Usage: exchange "+c.name) {
			t.Errorf("%s --help: exit %d\n%s", c.name, help.code, help.stdout)
		}
	}
	if o := runExchange(t, nil, "version"); o.code != 0 || !regexp.MustCompile(`^exchange \S+ go1\.\d+\S* \w+/\w+\n$`).MatchString(o.stdout) {
		t.Errorf("version: exit %d, %q", o.code, o.stdout)
	}
}

func TestDemoModeIsOffBeyondLoopbackUnlessAskedForByName(t *testing.T) {
	for _, c := range []struct {
		listen, demo string
		want         bool
	}{
		{"127.0.0.1:0", "auto", true}, {"localhost:0", "auto", true}, {"[::1]:0", "auto", true}, {"127.8.9.1:0", "auto", true},
		{"0.0.0.0:0", "auto", false}, {":0", "auto", false}, {"[::]:0", "auto", false}, {"192.0.2.1:0", "auto", false}, {"exchange.example:0", "auto", false},
		{"0.0.0.0:0", "true", true}, {"127.0.0.1:0", "false", false},
	} {
		var s settings
		serveOptions(&s)
		s.listen, s.demo, s.access.publicOrigin = c.listen, c.demo, "https://exchange.example"
		if got, err := s.check(); err != nil || got != c.want {
			t.Errorf("--listen %s --demo=%s: demo is %v, %v", c.listen, c.demo, got, err)
		}
	}
	s := startService(t, t.TempDir())
	id, token := s.login("aitbc1wallet_demo")
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	if !strings.Contains(s.log.String(), "DEMO MODE") {
		t.Errorf("the log does not say that this is demo mode:\n%s", s.log)
	}
	s = startService(t, t.TempDir(), "--demo=false", "--auth", "open")
	id, token = s.login("aitbc1wallet_real")
	s.mustCall(403, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	if strings.Contains(s.log.String(), "DEMO MODE") {
		t.Error("the log says that this is demo mode")
	}
}

func TestSIGTERMFinishesWhatIsUnderWay(t *testing.T) {
	data := t.TempDir()
	s := startService(t, data, "--demo", "--log-level", "warn")
	id, token := s.login("aitbc1wallet_busy")
	idle, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")) // a client that says nothing must not delay it
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	moving := make(chan struct{})
	var once sync.Once
	for range 8 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
			defer client.CloseIdleConnections()
			for {
				a, err := s.call(client, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
				switch {
				case err != nil: // not accepted any more
					return
				case a.status == 201:
					if acknowledged.Add(1) > 100 {
						once.Do(func() { close(moving) })
					}
				case a.status != 503:
					t.Errorf("%d %s", a.status, a.body)
					return
				}
			}
		})
	}
	<-moving
	code, took := s.stop()
	wg.Wait()
	if code != 0 || took > 5*time.Second {
		t.Errorf("exit %d after %s\n%s", code, took, s.log)
	}
	s = startService(t, data, "--demo", "--log-level", "warn")
	total := s.mustCall(200, "GET", "/api/users/"+id+"/transactions?limit=1", "", "X-Session-Token", token).decode(t)["total"]
	stored, err := total.(json.Number).Int64()
	if err != nil || stored < acknowledged.Load() || stored > acknowledged.Load()+8 {
		t.Errorf("%d deposits were acknowledged, %v are there", acknowledged.Load(), total)
	}
}

func TestVerifyNamesThePlaceOfTheDamage(t *testing.T) {
	data := t.TempDir()
	s := startService(t, data, "--demo", "--log-level", "warn")
	id, token := s.login("aitbc1wallet_damaged")
	for range 50 {
		s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	}
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d\n%s", code, s.log)
	}
	whole := runExchange(t, nil, "verify", "--data", data)
	for _, want := range []string{"records", "accounts       1 with 50 transactions", "credits        50 AITBC", "debits         0 AITBC", "balances       50 AITBC", "state hash", "conserved"} {
		if whole.code != 0 || !strings.Contains(whole.stdout, want) {
			t.Fatalf("verify: exit %d, no %q in\n%s%s", whole.code, want, whole.stdout, whole.stderr)
		}
	}
	segment := newestSegment(t, data)
	content, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(segment, content, 0o600); err != nil {
		t.Fatal(err)
	}
	place := regexp.QuoteMeta(segment) + `, offset \d+, entry \d+`
	runExchange(t, nil, "verify", "--data", data).failed(t, 1, place)
	runExchange(t, nil, "serve", "--data", data, "--listen", freeAddress(t)).failed(t, 1, place)
	if after, err := os.ReadFile(segment); err != nil || string(after) != string(content) {
		t.Errorf("the damaged segment was changed: %v", err)
	}
}

// newestSegment is the last file of the log.
func newestSegment(t *testing.T, data string) string {
	t.Helper()
	var newest string
	err := filepath.WalkDir(data, func(path string, entry os.DirEntry, err error) error {
		if err == nil && regexp.MustCompile(`^\d{20}$`).MatchString(entry.Name()) {
			newest = path
		}
		return err
	})
	if err != nil || newest == "" {
		t.Fatalf("no segment: %v", err)
	}
	return newest
}

func TestLogLinesAreJSONAndHoldNoSecret(t *testing.T) {
	const key = "key-of-olga-0123456789abcdef"
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("# operators\nolga:"+key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startService(t, t.TempDir(), "--demo", "--log-format", "json", "--log-level", "debug", "--operator-key-file", keys)
	id, token := s.login("aitbc1wallet_logged")
	const idempotency = "secret-idempotency-key"
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token, "Idempotency-Key", idempotency)
	s.mustCall(200, "GET", "/api/users/me", "", "Authorization", "Bearer "+token)
	s.mustCall(401, "GET", "/api/users/me?token="+token, "")
	s.mustCall(400, "POST", "/api/users/"+id+"/deposits", `{"amount":"`+key+`"}`, "X-Session-Token", token)
	s.mustCall(200, "POST", "/api/operator/users/"+id+"/suspend", `{"reason":"a check"}`, "Authorization", "Bearer "+key, "X-Request-Id", "find-me")
	s.mustCall(401, "GET", "/api/operator/users", "", "Authorization", "Bearer x"+key)
	s.mustCall(403, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	raw, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := fmt.Fprintf(raw, "GET / HTTP/1.1\r\nX-Session-Token: %s\r\nbroken %s\r\n\r\n", token, key); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		t.Fatal(err)
	}
	if code, _ := s.stop(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	log := s.log.String()
	for _, secret := range []string{token, token[22:], key, idempotency} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("a secret is in the log: %s", log[max(0, i-300):min(len(log), i+100)])
		}
	}
	found := false
	lines := bufio.NewScanner(strings.NewReader(log))
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("not JSON: %s", lines.Text())
			continue
		}
		if line["msg"] == nil || line["level"] == nil || line["time"] == nil {
			t.Errorf("a line without time, level or msg: %s", lines.Text())
		}
		if line["request_id"] == "find-me" {
			found = line["operator"] == "olga" && line["status"] == 200.0 && line["path"] != nil
		}
	}
	if !found {
		t.Errorf("there is no line of what the operator did:\n%s", log)
	}
}
