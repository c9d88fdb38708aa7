package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// interrupted is a connection that remembers which side was interrupted.
type interrupted struct {
	net.Conn
	read, write bool
}

func (c *interrupted) SetReadDeadline(time.Time) error  { c.read = true; return nil }
func (c *interrupted) SetWriteDeadline(time.Time) error { c.write = true; return nil }

func TestAConnectionIsInterruptedWhenItsPhaseIsTooLong(t *testing.T) {
	for _, c := range []struct {
		name        string
		phase       phase
		limit       uint64 // in ticks of 250 ms; 0: never
		read, write bool
	}{
		{"before the first byte", phaseNew, 12, true, false},
		{"within a request", phaseReading, 12, true, false},
		{"while a handler works", phaseAnswering, 0, false, false},
		{"while the response leaves", phaseWriting, 20, true, true}, // no other request comes, whose response could not leave
		{"between requests", phaseIdle, 40, true, false},
		{"hijacked", phaseFree, 0, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			timer := newPhaseTimer(3*time.Second, 5*time.Second, 10*time.Second)
			timer.now.Store(1000)
			fake := &interrupted{}
			conn := &timedConn{Conn: fake, timer: timer}
			timer.conns[conn] = struct{}{}
			conn.enter(c.phase)
			timer.sweep(timer.now.Add(c.limit))
			if fake.read || fake.write {
				t.Fatalf("interrupted after %d ticks, which are allowed", c.limit)
			}
			timer.sweep(timer.now.Add(1 + 10_000*b2i(c.limit == 0)))
			if fake.read != c.read || fake.write != c.write {
				t.Errorf("read interrupted: %v, write: %v; want %v, %v", fake.read, fake.write, c.read, c.write)
			}
		})
	}
}

func b2i(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// serveTimed serves body on loopback with the limits until the test ends.
func serveTimed(t *testing.T, body string, read, write, idle time.Duration) (address string, timer *phaseTimer) {
	t.Helper()
	s := &Server{cfg: Config{MaxConnections: 10}, routes: newRouter[route](nil), log: slog.New(slog.DiscardHandler), timer: newPhaseTimer(read, write, idle)}
	s.http = &fasthttp.Server{
		ConnState: connState, Logger: quiet{s.log},
		Handler: func(ctx *fasthttp.RequestCtx) {
			conn := connOf(ctx.Conn())
			conn.enter(phaseAnswering)
			ctx.SetBodyString(body)
			conn.enter(phaseWriting)
		},
		ErrorHandler: func(ctx *fasthttp.RequestCtx, _ error) { ctx.SetStatusCode(fasthttp.StatusRequestTimeout) },
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		listener.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String(), s.timer
}

func dialTimed(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// readToEnd returns what the server sends before it closes the connection.
func readToEnd(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	return string(all)
}

const hour = time.Hour // a limit that is never reached

func TestASilentConnectionIsClosed(t *testing.T) {
	address, _ := serveTimed(t, "hello", 50*time.Millisecond, hour, hour)
	conn := dialTimed(t, address)
	if sent := readToEnd(t, conn); !strings.HasPrefix(sent, "HTTP/1.1 408") {
		t.Errorf("a connection that sent nothing was answered %q, want a 408", sent)
	}
}

func TestARequestThatDripsIsAnsweredWithATimeout(t *testing.T) {
	address, _ := serveTimed(t, "hello", 100*time.Millisecond, hour, hour)
	conn := dialTimed(t, address)
	stop := make(chan struct{})
	go func() { // a byte now and then must not lengthen the time
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = conn.Write([]byte("G"))
			}
		}
	}()
	sent := readToEnd(t, conn)
	close(stop)
	if !strings.HasPrefix(sent, "HTTP/1.1 408") {
		t.Errorf("answered %q, want a 408", sent)
	}
}

func TestAnIdleConnectionIsClosedAndABusyOneIsNot(t *testing.T) {
	address, _ := serveTimed(t, "hello", hour, hour, 200*time.Millisecond)
	conn := dialTimed(t, address)
	reader := bufio.NewReader(conn)
	for range 5 {
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		var response fasthttp.Response
		if err := response.Read(reader); err != nil {
			t.Fatal(err)
		}
		if string(response.Body()) != "hello" {
			t.Fatalf("answered %q", response.Body())
		}
	}
	if sent := readToEnd(t, conn); sent != "" {
		t.Errorf("an idle connection was sent %q", sent)
	}
}

func TestAResponseThatIsNotReadTimesOut(t *testing.T) {
	body := strings.Repeat("x", 64<<20) // more than the sockets' buffers take
	address, timer := serveTimed(t, body, hour, 100*time.Millisecond, hour)
	conn := dialTimed(t, address)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	for closed := false; !closed; { // read nothing until the server has given up
		timer.mu.Lock()
		closed = len(timer.conns) == 0 && timer.now.Load() > 20
		timer.mu.Unlock()
		runtime.Gosched()
	}
	if sent := readToEnd(t, conn); len(sent) >= len(body) {
		t.Error("a response that was not read was sent whole")
	}
}
