package main

import (
	"bufio"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// openStream opens a user's stream of events.
func (s *service) openStream(id, token, last string) *bufio.Scanner {
	s.t.Helper()
	request, err := http.NewRequest("GET", s.url+"/api/users/"+id+"/events", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("X-Session-Token", token)
	request.Header.Set("Last-Event-ID", last)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("the stream is answered %d", response.StatusCode)
	}
	return bufio.NewScanner(response.Body)
}

// events returns the names of the next events, up to and with the wanted one.
func events(t *testing.T, in *bufio.Scanner, wanted string) (names []string) {
	t.Helper()
	for in.Scan() {
		if name, is := strings.CutPrefix(in.Text(), "event: "); is {
			if names = append(names, name); name == wanted {
				return names
			}
		}
	}
	t.Fatalf("the stream ended after %q, want %s: %v", names, wanted, in.Err())
	return nil
}

func TestAStreamEndsWithSIGTERMAndGoesOnAfterTheRestart(t *testing.T) {
	data := t.TempDir()
	s := startService(t, data, "--demo")
	id, token := s.login("aitbc1wallet_stream")
	var open []*bufio.Scanner
	for range 8 {
		in := s.openStream(id, token, "")
		events(t, in, "position")
		open = append(open, in)
	}
	if code, took := s.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("with streams open the service ended with %d after %v", code, took)
	}
	for _, in := range open {
		for in.Scan() { // to its end
			if strings.HasPrefix(in.Text(), "event: session") {
				t.Error("the stop is told as the end of the session")
			}
		}
	}

	s = startService(t, data, "--demo")
	in := s.openStream(id, token, "1")
	if names := events(t, in, "position"); len(names) != 1 {
		t.Errorf("nothing has changed, and the events are %q", names)
	}
	s.mustCall(201, "POST", "/api/users/"+id+"/deposits", `{"amount":1}`, "X-Session-Token", token)
	events(t, in, "balance")
	if err := s.command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.exited

	s = startService(t, data, "--demo")
	if names := events(t, s.openStream(id, token, "1"), "position"); len(names) != 2 || names[0] != "reset" {
		t.Errorf("the client has missed something, and the events are %q", names)
	}
}
