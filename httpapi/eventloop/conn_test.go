package eventloop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// past interrupts what it is a deadline of.
var past = time.Unix(1, 0)

// one serves a single connection, and returns both ends of it.
func one(t *testing.T, choose ...func(*Config, *echo)) (*service, *client, *peer) {
	t.Helper()
	opened := make(chan *peer, 1)
	s := start(t, append(choose, func(_ *Config, e *echo) { e.opened = opened })...)
	c := s.dial(t)
	return s, c, <-opened
}

// isWaiting reports whether nobody owns c.
func (c *Conn) isWaiting() bool { return c.state.Load() == idle }

// waitsWithin reports whether the goroutine of p waits for the rest of a message.
func (p *peer) waitsWithin() bool { return p.within.Load() && p.isWaiting() }

// owes reports whether c waits for its client to read a response.
func (c *Conn) owes() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answering && c.isWaiting()
}

// huge is more than the sockets' buffers take.
const huge = 8 << 20

func TestEachVerdictIsAnswered(t *testing.T) {
	s, c, _ := one(t)
	c.ask("now a 5")
	c.ask("soon b 5")
	c.ask("later c 5")
	if n := s.echo.served.Load(); n != 0 {
		t.Fatalf("%d messages came to a goroutine, and none was detached", n)
	}
	c.ask("pass d 5")
	c.ask("now e 5") // which the loops answer again, though there is a goroutine
	c.ask("later f 5")
	if n := s.echo.served.Load(); n != 1 {
		t.Errorf("%d messages came to the goroutine, and one was detached", n)
	}
	c.ask("now g 5", "pass h 5", "soon i 20000", "pass j 5", "later k 5", "now l 0")
}

func TestAMessageThatArrivesInPiecesIsServed(t *testing.T) {
	_, c, _ := one(t)
	for range 3 {
		for _, b := range []byte("now a 5\n") {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
		c.gets("now a 5")
		c.ask("later b 5")
	}
}

func TestTheResponseComesThoughTheClientHasClosedItsSide(t *testing.T) {
	for _, m := range []string{"now a 5", "soon a 5", "later a 5", "pass a 5", "later a 3000000", "now a 3000000"} {
		_, c, _ := one(t)
		c.send(m)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.gets(m)
		c.ends("")
	}
	s, c, _ := one(t)
	c.send("held a 5", "now b 5")
	held := <-s.echo.held
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	until(t, "the end has come", held.ending.Load)
	held.Answer()
	c.gets("held a 5", "now b 5")
	c.ends("")
}

func TestAConnectionIsClosedWhenItsClientClosesIt(t *testing.T) {
	for _, first := range []string{"", "now a 5", "pass a 5", "later a 5"} {
		s, c, _ := one(t)
		if first != "" {
			c.ask(first)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.ends("")
		until(t, "it is closed", func() bool { return s.Open() == 0 })
	}
}

func TestAResetWhileAMessageIsPendingEndsTheConnection(t *testing.T) {
	for _, first := range []string{"now a 5", "pass a 5"} {
		s, c, _ := one(t)
		c.ask(first)
		c.send("held b 5", "now c 5")
		held := <-s.echo.held
		c.reset()
		until(t, "the end has come", held.ending.Load)
		if s.Open() != 1 {
			t.Error("the connection was closed while its answer was pending")
		}
		held.Answer()
		until(t, "it is closed", func() bool { return s.Open() == 0 })
	}
}

func TestAClientThatReadsLateGetsTheWholeResponse(t *testing.T) {
	for _, verdict := range []string{"now", "later", "pass"} {
		_, c, server := one(t)
		m := message(verdict, 1, huge)
		c.send(m, "now 2 5")
		if verdict != "pass" {
			until(t, "the response waits", server.owes)
		}
		c.gets(m, "now 2 5")
		c.ask("now 3 5")
	}
}

func TestAWriteDeadlineEndsAConnectionWhoseClientDoesNotRead(t *testing.T) {
	for _, first := range []string{"now 1 5", "pass 1 5"} {
		for _, verdict := range []string{"now", "later"} {
			s, c, server := one(t)
			c.ask(first)
			c.send(message(verdict, 2, huge), "now 3 5")
			until(t, "the response waits", server.owes)
			if err := server.SetWriteDeadline(past); err != nil {
				t.Fatal(err)
			}
			until(t, "it is closed", func() bool { return s.Open() == 0 })
			if n := s.echo.sent.Load(); n != int64(1-s.echo.served.Load()) {
				t.Errorf("after %q %d responses were sent by the loops", first, n)
			}
		}
	}
}

func TestAReadDeadlineOfASilentConnectionIsAnswered(t *testing.T) {
	s, c, server := one(t)
	if err := server.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	c.ends("late\n")
	until(t, "it is closed", func() bool { return s.Open() == 0 })
}

func TestAReadDeadlineClosesAnIdleConnection(t *testing.T) {
	for first, rest := range map[string]string{"now a 5": "", "later a 5": "", "pass a 5": "late\n"} {
		s, c, server := one(t)
		c.ask(first)
		until(t, "it waits", server.isWaiting)
		if err := server.SetReadDeadline(past); err != nil {
			t.Fatal(err)
		}
		c.ends(rest)
		until(t, "it is closed", func() bool { return s.Open() == 0 })
	}
}

func TestAReadDeadlineWithinAMessageFailsTheRead(t *testing.T) {
	_, c, server := one(t)
	if _, err := c.Write([]byte("now a")); err != nil {
		t.Fatal(err)
	}
	until(t, "its goroutine waits for the rest", server.waitsWithin)
	if err := server.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	c.ends("late\n")
}

func TestAPendingMessageIsAnsweredAfterAReadDeadline(t *testing.T) {
	s, c, server := one(t)
	c.send("held a 5")
	held := <-s.echo.held
	if err := server.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	held.Answer()
	c.gets("held a 5")
	c.ends("")
}

func TestADeadlineInTheFutureIsRefused(t *testing.T) {
	_, c, server := one(t)
	if err := server.SetDeadline(time.Now().Add(time.Hour)); err == nil {
		t.Error("a deadline to come was set")
	}
	if err := server.SetDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	c.ask("now a 5", "pass b 5")
}

// It is closed while its goroutine waits in Read, at a message boundary and within a
// message, and while nobody owns it.
func TestACloseByAnotherGoroutineEndsTheConnection(t *testing.T) {
	for _, begun := range []struct{ message, part string }{{}, {"now a 5", ""}, {"pass a 5", ""}, {"", "now b"}, {"now a 5", "now b"}, {"pass a 5", "now b"}} {
		s, c, server := one(t)
		if begun.message != "" {
			c.ask(begun.message)
		}
		if _, err := c.Write([]byte(begun.part)); err != nil {
			t.Fatal(err)
		}
		if begun.part != "" {
			until(t, "its goroutine waits for the rest", server.waitsWithin)
		} else {
			until(t, "it waits", server.isWaiting)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		c.ends("")
		until(t, "it is gone", func() bool { return s.Open() == 0 })
		if err := server.Conn.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("it was closed again: %v", err)
		}
	}
}

// fasthttp's Shutdown does this to a connection whose goroutine waits while the loops answer.
func TestACloseByAnotherGoroutineWaitsForThePendingResponse(t *testing.T) {
	for _, first := range []string{"now a 5", "pass a 5"} {
		s, c, server := one(t)
		c.ask(first)
		c.send("held b 5", "now c 5")
		held := <-s.echo.held
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		held.Answer()
		c.gets("held b 5")
		c.ends("") // c came too late

		s, c, server = one(t)
		c.ask(first)
		big := message("later", 1, huge)
		c.send(big)
		until(t, "the response waits", server.owes)
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		c.gets(big)
		c.ends("")
		until(t, "it is gone", func() bool { return s.Open() == 0 })
	}
}

// A connection may be closed at the moment at which it was idle, and a message has come:
// what was taken is answered, and what was not is the client's to send again.
func TestACloseDuringHandlerMessageWaitsForTheResponse(t *testing.T) {
	for _, first := range []string{"now a 5", "pass a 5"} {
		for _, second := range []string{"shut b 5", "shutsoon b 5", "shutpass b 5"} {
			s, c, _ := one(t)
			c.ask(first)
			c.send(second, "now c 5")
			if second != "shutpass b 5" {
				c.gets(second)
			}
			c.ends("") // c came too late
			until(t, "it is gone", func() bool { return s.Open() == 0 })
		}
	}
}

func TestNoMessageIsServedAfterTheLastResponse(t *testing.T) {
	for _, first := range []string{"now a 5", "pass a 5"} {
		s, c, _ := one(t)
		c.ask(first)
		big := message("last", 1, huge)
		c.send(big, "now 2 5")
		c.gets(big)
		c.ends("")
		until(t, "it is closed", func() bool { return s.Open() == 0 })
	}
}

func TestAHijackedConnectionIsNoLongerTheListeners(t *testing.T) {
	s, c, server := one(t)
	c.ask("now a 5", "hijack b 5")
	until(t, "it is not counted", func() bool { return s.Open() == 0 })
	for _, lp := range s.loops {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", lp.fd))
		if err != nil || strings.Contains(string(info), "tfd:") {
			t.Errorf("a loop watches it: %s, %v", info, err)
		}
	}
	c.ask("now c 5", "pass d 5")
	if n := s.echo.served.Load(); n != 3 {
		t.Errorf("%d messages came to the goroutine that hijacked the connection, want 3", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(soon(t)); err != nil {
		t.Fatalf("it was waited for: %v", err)
	}
	c.ask("now e 5")
	if _, err := server.Hijack(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it was hijacked twice: %v", err)
	}
	c.Close()
}

// A client on each loop sends a full buffer whenever one is read.
func TestAClientThatNeverStopsSendingDoesNotStarveOthers(t *testing.T) {
	const line = 16 // bytes, so that a read ends with one
	batch := []byte("flood again. 10\n" + strings.Repeat("none whatever 1\n", len(workspace{}.in)/line-1))
	var flooding sync.Map // by the address of a client
	s := start(t, func(_ *Config, e *echo) {
		e.flood = func(p *peer) {
			if c, ok := flooding.Load(p.RemoteAddr().String()); ok {
				_, _ = c.(*client).Write(batch)
			}
		}
	})
	for range s.loops {
		c := s.dial(t)
		_ = c.SetDeadline(time.Time{}) // the other client gives up first
		flooding.Store(c.LocalAddr().String(), c)
		if _, err := c.Write(append(batch, batch...)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(flooding.Clear)
	s.dial(t).ask("now a 5")
}

func TestAClosedConnectionReturnsErrClosed(t *testing.T) {
	s, c, server := one(t)
	c.ask("now a 5")
	if server.LocalAddr().String() != s.Addr().String() || server.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("it is between %v and %v", server.LocalAddr(), server.RemoteAddr())
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.recv(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := server.send([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
