package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/exchangetest"
)

// binary is the program under test, built once with the race detector.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "exchange-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "exchange")
		if out, err := exec.Command("go", "build", "-race", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		defer closeBrowser()
		return m.Run()
	}())
}

// service is a running exchange.
type service struct {
	t       *testing.T
	url     string
	command *exec.Cmd
	log     *exchangetest.Buffer
	exited  chan struct{} // closed when the process has ended
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startService runs the binary on data and waits until it is ready. It is killed
// when the test ends, if it has not ended before.
func startService(t *testing.T, data string, options ...string) *service {
	t.Helper()
	s := launch(t, data, options...)
	s.waitReady()
	return s
}

// launch runs the binary and does not wait for it.
func launch(t *testing.T, data string, options ...string) *service {
	t.Helper()
	return launchAt(t, freeAddress(t), data, options...)
}

// launchAt is launch on an address that is known beforehand.
func launchAt(t *testing.T, address, data string, options ...string) *service {
	t.Helper()
	s := &service{t: t, url: "http://" + address, log: &exchangetest.Buffer{}, exited: make(chan struct{})}
	s.command = exec.Command(binary, append([]string{"serve", "--listen", address, "--data", data}, options...)...)
	s.command.Stdout, s.command.Stderr = s.log, s.log
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.command.Wait()
		close(s.exited)
	}()
	t.Cleanup(s.kill)
	return s
}

func (s *service) waitReady() {
	s.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case <-s.exited:
			s.t.Fatalf("the service ended: %v\n%s", s.command.ProcessState, s.log)
		case <-deadline:
			s.t.Fatalf("the service is not ready after a minute\n%s", s.log)
		case <-time.After(10 * time.Millisecond):
		}
		response, err := http.Get(s.url + "/readyz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
	}
}

// kill ends the process with SIGKILL, and waits until it is gone.
func (s *service) kill() {
	_ = s.command.Process.Kill()
	<-s.exited
}

// stop ends the process with SIGTERM, and returns its exit code and how long that took.
func (s *service) stop() (code int, took time.Duration) {
	s.t.Helper()
	start := time.Now()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
	return s.command.ProcessState.ExitCode(), time.Since(start)
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// decode reads the body into a map, so that a missing member is seen.
func (a answer) decode(t *testing.T) map[string]any {
	t.Helper()
	members := map[string]any{}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	return members
}

// call sends a request. headers are name, value, name, value.
func (s *service) call(client *http.Client, method, path, body string, headers ...string) (answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequest(method, s.url+path, reader)
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(content)}, err
}

// mustCall is call for a service that is up; any other status than want is fatal.
func (s *service) mustCall(want int, method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.call(http.DefaultClient, method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, s.log)
	}
	if a.status != want {
		s.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, a.status, want, a.body)
	}
	return a
}

// login returns the user's id and a new token.
func (s *service) login(wallet string) (id, token string) {
	s.t.Helper()
	members := s.mustCall(200, "POST", "/api/users/login", fmt.Sprintf(`{"wallet_address":%q}`, wallet)).decode(s.t)
	return members["user_id"].(string), members["session_token"].(string)
}

// runVerify runs exchange verify on data and returns its output.
func runVerify(t *testing.T, data string) (output string, code int) {
	t.Helper()
	command := exec.Command(binary, "verify", "--data", data)
	out, err := command.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}
