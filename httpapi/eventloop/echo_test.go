package eventloop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echo is a Handler of lines "VERDICT ID SIZE". Each is answered by its id and as many
// bytes more, in a line. The verdicts are
//
//	now     answered by the loop
//	last    too, and the connection is closed
//	none    too, by nothing
//	flood   too, when the client has sent more
//	soon    pending, answered before Start returns
//	later   pending, answered by another goroutine
//	held    pending, answered by the test
//	shut    answered by the loop, and the connection is closed by others before
//	shutsoon, shutpass  too, but as for soon and pass
//	pass    detached
//	hijack  detached, and answered on what Hijack returns
type echo struct {
	t      *testing.T
	held   chan *Conn
	opened chan *peer
	buffer int          // of a socket, for what it sends; 0: as it comes
	flood  func(*peer)  // sends another message of its client
	sent   atomic.Int64 // responses that were
	served atomic.Int64 // messages, by the goroutines of connections
	group  sync.WaitGroup
}

// peer is what Accept returns, and a Conn's Data. Its owner is the Conn's.
type peer struct {
	*Conn
	echo       *echo
	known      bool        // a message has come
	atBoundary bool        // the next read begins one
	pending    []byte      // the line that waits for its answer
	within     atomic.Bool // its goroutine has a part of a message
}

func (e *echo) Opened(c *Conn) net.Conn {
	p := &peer{Conn: c, echo: e}
	c.Data = p
	if e.buffer != 0 && c.fd%4 == 0 { // not all: it makes them slow
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, e.buffer); err != nil {
			e.t.Error(err)
		}
	}
	if e.opened != nil {
		e.opened <- p
	}
	return p
}

func (e *echo) Message(c *Conn, in, out []byte) (taken int, response []byte, v Verdict) {
	p := c.Data.(*peer)
	p.known = true
	end := bytes.IndexByte(in, '\n')
	if end < 0 {
		return 0, out, Detach
	}
	line := in[:end]
	verdict, _, _ := bytes.Cut(line, []byte{' '})
	if bytes.HasPrefix(verdict, []byte("shut")) {
		if err := p.Close(); err != nil {
			e.t.Error(err)
		}
	}
	switch string(verdict) {
	case "none":
		return end + 1, out, Answered
	case "flood":
		e.flood(p)
		return end + 1, out, Answered
	case "last":
		c.Last()
	case "soon", "shutsoon", "later", "held":
		p.pending = bytes.Clone(line)
		return end + 1, out, Pending
	case "pass", "shutpass", "hijack":
		return 0, out, Detach
	}
	return end + 1, appendAnswer(out, string(line)), Answered
}

func (e *echo) Start(c *Conn) {
	verdict, _, _ := bytes.Cut(c.Data.(*peer).pending, []byte{' '})
	switch string(verdict) {
	case "soon", "shutsoon":
		c.Answer()
	case "later":
		go c.Answer()
	case "held":
		e.held <- c
	}
}

func (e *echo) Response(c *Conn, out []byte) []byte {
	p := c.Data.(*peer)
	out = appendAnswer(out, string(p.pending))
	p.pending = nil
	return out
}

func (e *echo) Sent(*Conn) { e.sent.Add(1) }

func (e *echo) AtMessageBoundary(c *Conn) bool { return c.Data.(*peer).atBoundary }

func (e *echo) TimedOut(c *Conn) (detach bool) { return !c.Data.(*peer).known }

// serve is the goroutine of a connection. One that is interrupted says so.
func (e *echo) serve(p *peer) {
	defer e.group.Done()
	var conn net.Conn = p
	reader := bufio.NewReader(conn)
	for {
		p.atBoundary = reader.Buffered() == 0
		_, err := reader.Peek(1)
		p.atBoundary = false
		var line string
		if err == nil {
			p.within.Store(true)
			line, err = reader.ReadString('\n')
			p.within.Store(false)
		}
		if err != nil {
			if os.IsTimeout(err) {
				_, _ = io.WriteString(conn, "late\n")
			}
			_ = conn.Close()
			return
		}
		if strings.HasPrefix(line, "hijack ") {
			if conn, err = p.Hijack(); err != nil {
				e.t.Error(err)
				return
			}
			reader.Reset(conn)
		}
		e.served.Add(1)
		if _, err := conn.Write(appendAnswer(nil, line)); err != nil {
			_ = conn.Close()
			return
		}
	}
}

// appendAnswer appends the answer to a line.
func appendAnswer(b []byte, line string) []byte {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return append(b, "bad\n"...)
	}
	size, _ := strconv.Atoi(fields[2])
	b = append(append(b, fields[1]...), ' ')
	for ; size > 0; size -= len(filler) {
		b = append(b, filler[:min(size, len(filler))]...)
	}
	return append(b, '\n')
}

var filler = strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 1001) // of a length that no buffer's is a multiple of

// service is a Listener with an echo, and what is there besides before it starts.
type service struct {
	*Listener
	echo       *echo
	goroutines int
	files      int
	accepted   chan struct{} // closed once Accept has failed
}

// start serves until the test ends, by when everything has to be given back.
func start(t *testing.T, choose ...func(*Config, *echo)) *service {
	t.Helper()
	e := &echo{t: t, held: make(chan *Conn, 100)}
	warm(t)
	s := &service{echo: e, goroutines: runtime.NumGoroutine(), files: openFiles(t), accepted: make(chan struct{})}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Listener: inner.(*net.TCPListener), Handler: e, MaxConnections: 1000, Refusal: []byte("full\n"), Logger: slog.New(slog.DiscardHandler)}
	for _, f := range choose {
		f(&cfg, e)
	}
	if s.Listener, err = Listen(cfg); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.accepted)
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			e.group.Add(1)
			go e.serve(conn.(*peer))
		}
	}()
	t.Cleanup(func() { s.end(t) })
	return s
}

// smallBuffers makes responses wait for their clients early.
func smallBuffers(_ *Config, e *echo) { e.buffer = 16 << 10 }

// warm has Go's poller take what it keeps.
func warm(t *testing.T) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inner.Close()
}

// end closes the service and checks that nothing of it is left.
func (s *service) end(t *testing.T) {
	t.Helper()
	_ = s.Close()
	if err := s.Wait(soon(t)); err != nil {
		t.Fatalf("%d connections are left: %v", s.Open(), err)
	}
	<-s.accepted
	s.echo.group.Wait()
	if n := s.Open(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	for _, lp := range s.loops {
		if n := len(lp.all()); n != 0 {
			t.Errorf("a loop knows %d connections", n)
		}
	}
	until(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= s.goroutines })
	until(t, "the files are closed", func() bool { return openFiles(t) <= s.files })
}

// soon is a context for what must not take long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

const waitLimit = 10 * time.Second

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); runtime.Gosched() {
		if time.Since(begun) > waitLimit {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// client is the other end of a connection.
type client struct {
	t *testing.T
	*net.TCPConn
	reader *bufio.Reader
}

func (s *service) dial(t *testing.T) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(waitLimit))
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn.(*net.TCPConn), bufio.NewReader(conn)}
}

// send writes messages, given as "VERDICT ID SIZE".
func (c *client) send(messages ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(messages, "\n")+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// gets reads the answers to messages.
func (c *client) gets(messages ...string) {
	c.t.Helper()
	for _, m := range messages {
		want := string(appendAnswer(nil, m))
		if got := c.read(len(want)); got != want {
			c.t.Fatalf("%q is answered %.80q, want %.80q", m, got, want)
		}
	}
}

func (c *client) read(n int) string {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c.reader, b); err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// ask is send and gets.
func (c *client) ask(messages ...string) {
	c.t.Helper()
	c.send(messages...)
	c.gets(messages...)
}

// ends checks that the server sends exactly rest, and closes the connection.
func (c *client) ends(rest string) {
	c.t.Helper()
	all, err := io.ReadAll(c.reader)
	if err != nil || string(all) != rest {
		c.t.Fatalf("the connection ends with %.80q, %v; want %.80q", all, err, rest)
	}
}

// reset makes the connection fail at the other end.
func (c *client) reset() {
	c.t.Helper()
	if err := c.SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// message is of an answer's size.
func message(verdict string, id, size int) string { return fmt.Sprintf("%s %d %d", verdict, id, size) }
