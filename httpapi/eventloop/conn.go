package eventloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is one connection. At any time one goroutine owns it, or nobody does while it
// waits: whoever changes state from idle to busy becomes the owner, and gives it away
// by release, by handing it on, or by Start. Only the owner touches what is not
// atomic or guarded.
type Conn struct {
	loop   *loop
	fd     int
	local  net.Addr
	remote net.Addr
	outer  net.Conn // what Accept returns

	// Data is the Handler's.
	Data any

	state    atomic.Uint32
	ending   atomic.Bool // the client has closed its side, or the connection failed
	readEnd  atomic.Bool // reads are interrupted
	writeEnd atomic.Bool // writes are

	in       []byte // what was read and nobody has taken, from taken on
	taken    int
	drained  bool  // nothing was left to read, unless there was an edge since
	attached bool  // Accept has returned the connection, or will
	blocked  bool  // a goroutine waits for wake
	failed   error // what Read returns from then on
	next     *Conn // of the sender's list

	wake   chan struct{} // the socket may be ready: for who is blocked
	resume chan struct{} // in or failed has something for the connection's own goroutine

	mu        sync.Mutex // held while the socket is used
	closed    bool       // guarded by mu
	answering bool       // guarded by mu: a message is being taken, or its response is due or leaving
	last      bool       // guarded by mu: there is no other after it
}

const (
	idle  = iota // nobody owns it
	busy         // somebody does
	again        // and there was an edge meanwhile
)

// poke looks at a connection of which something has changed. Any goroutine may call it,
// and a loop in its turn; the others have none.
func (c *Conn) poke(t *turn) {
	for {
		switch c.state.Load() {
		case idle:
			if c.state.CompareAndSwap(idle, busy) {
				c.drained = false
				if c.blocked {
					c.wake <- struct{}{}
				} else {
					c.advance(t)
				}
				return
			}
		case busy:
			if c.state.CompareAndSwap(busy, again) {
				return
			}
		default:
			return
		}
	}
}

// release gives the connection away until the next poke. It reports false, and the
// caller still owns it, if there was one meanwhile.
func (c *Conn) release() bool {
	if c.state.CompareAndSwap(busy, idle) {
		return true
	}
	c.state.Store(busy)
	c.drained = false
	return false
}

// workspace is what serving a message takes. It is pooled.
type workspace struct {
	in  [16 << 10]byte
	out []byte
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// advance serves what comes until the connection waits, is handed on, or has ended, or
// its response leaves at the end of the turn. The caller owns it, and no more afterwards.
func (c *Conn) advance(t *turn) {
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	l := c.loop.listener
	for reads := 0; ; {
		in := c.in[c.taken:]
		if len(in) == 0 {
			switch {
			case c.readEnd.Load():
				c.failed = os.ErrDeadlineExceeded
			case !c.attached && l.closing.Load():
				c.failed = net.ErrClosed
			case c.drained:
				if c.release() {
					return
				}
				continue
			}
			if reads++; reads > readsAtOnce { // the others of this loop come first
				go c.advance(nil)
				return
			}
			if c.failed == nil {
				n, err := c.recv(w.in[:])
				if err == errAgain {
					continue
				}
				c.failed, in = err, w.in[:n]
			}
			if c.failed != nil {
				c.fail()
				return
			}
		}
		out := w.out[:0]
		if t != nil {
			out = t.out
		}
		c.answers(true) // before it is taken: whoever closes c from now on waits for the response
		taken, response, verdict := l.handler.Message(c, in, out)
		c.keep(in[taken:])
		if t == nil {
			w.out = response
		} else if verdict == Answered {
			t.add(c, response)
			return
		}
		switch verdict {
		case Passed:
			if c.answers(false) {
				c.failed = net.ErrClosed
				c.fail()
				return
			}
			c.handOn()
			return
		case Pending:
			l.handler.Start(c)
			return
		}
		if !c.sendOrWait(response) {
			return
		}
	}
}

// readsAtOnce bounds how long a client that never stops sending can hold a loop.
const readsAtOnce = 8

// keep holds on to what was read and is left, which may be a part of what is kept.
func (c *Conn) keep(rest []byte) {
	if len(rest) > 0 {
		c.in, c.taken = append(c.in[:0], rest...), 0
		return
	}
	c.taken = 0
	if c.attached && cap(c.in) <= keepAtMost {
		c.in = c.in[:0]
	} else {
		c.in = nil // most connections wait, and hold no buffer
	}
}

// keepAtMost is the size of the buffer that a connection with a goroutine keeps.
const keepAtMost = 4 << 10

// respond sends the response of a message that was pending.
func (c *Conn) respond() {
	w := workspaces.Get().(*workspace)
	w.out = c.loop.listener.handler.Response(c, w.out[:0])
	sent := c.sendOrWait(w.out)
	workspaces.Put(w)
	if sent {
		c.advance(nil)
	}
}

// Answer has Response called and what it appends sent. Any goroutine may call it, once
// for each Start; it does not block.
func (c *Conn) Answer() { c.loop.listener.sender.add(c) }

// sendOrWait sends b. It returns false where it gave the connection away: to a
// goroutine that waits for the client to read, or because it has ended.
func (c *Conn) sendOrWait(b []byte) bool {
	n, err := c.send(b)
	if err == nil && n == len(b) {
		return c.sent()
	}
	if err != nil && err != errAgain {
		c.unsent(err)
		return false
	}
	rest := bytes.Clone(b[n:])
	c.answers(true)
	go func() {
		if _, err := c.Write(rest); err != nil {
			c.unsent(err)
		} else if c.sent() {
			c.advance(nil)
		}
	}()
	return false
}

// Last makes the response to the message that is being answered the last one: the
// connection is closed after it. The Handler's Message and Response may call it.
func (c *Conn) Last() {
	c.mu.Lock()
	c.last = true
	c.mu.Unlock()
}

// answers notes whether a response is due or leaving, and returns whether it is the last.
func (c *Conn) answers(yes bool) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answering = yes
	return c.last
}

// sent ends a message whose response is on its way. It returns false where it gave the
// connection away, because that was the last.
func (c *Conn) sent() bool {
	if c.answers(false) {
		c.failed = net.ErrClosed
		c.fail()
		return false
	}
	c.loop.listener.handler.Sent(c)
	return true
}

// unsent ends a connection whose response could not be sent.
func (c *Conn) unsent(err error) {
	c.answers(false)
	c.failed = err
	c.fail()
}

// fail ends the connection, or tells its goroutine.
func (c *Conn) fail() {
	if c.attached || c.failed == os.ErrDeadlineExceeded && c.loop.listener.handler.Overdue(c) {
		c.handOn()
		return
	}
	_ = c.outer.Close()
}

// handOn gives the connection to its own goroutine.
func (c *Conn) handOn() {
	if c.attached {
		c.resume <- struct{}{}
		return
	}
	c.attached = true
	if !c.loop.listener.pass(c) {
		_ = c.outer.Close()
	}
}

// block waits until the socket may be ready, or something else has changed.
func (c *Conn) block() {
	c.blocked = true
	if c.release() {
		<-c.wake
	}
	c.blocked = false
}

var (
	errAgain      = errors.New("not now")
	errNoDeadline = errors.New("only a deadline that is over can be set")
)

// Read implements net.Conn, for the connection's own goroutine.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		if c.failed != nil { // and what is left of in comes after a response that was the last
			return 0, c.failed
		}
		if rest := c.in[c.taken:]; len(rest) > 0 {
			n := copy(b, rest)
			if c.taken += n; c.taken == len(c.in) {
				c.keep(nil)
			}
			return n, nil
		}
		if c.loop.listener.handler.Between(c) {
			c.advance(nil)
			<-c.resume
			continue
		}
		if c.readEnd.Load() {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := c.recv(b)
		if err == errAgain {
			c.block()
			continue
		}
		return n, err
	}
}

// Write implements net.Conn, for whoever owns the connection.
func (c *Conn) Write(b []byte) (written int, err error) {
	for written < len(b) {
		if c.writeEnd.Load() {
			return written, os.ErrDeadlineExceeded
		}
		n, err := c.send(b[written:])
		written += n
		if err == errAgain {
			c.block()
		} else if err != nil {
			return written, err
		}
	}
	return written, nil
}

// recv reads what there is.
func (c *Conn) recv(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed {
			return 0, net.ErrClosed
		}
		n, errno := recv(c.fd, b)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			c.drained = true
			return 0, errAgain
		case errno != nil:
			return 0, c.operation("read", errno)
		case n == 0:
			return 0, io.EOF
		}
		// epoll(7): of a stream, a read of less than was asked for has left nothing.
		// Only the end, which is no edge of its own, may follow.
		c.drained = n < len(b) && !c.ending.Load()
		return n, nil
	}
}

// send writes what the socket takes.
func (c *Conn) send(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed {
			return 0, net.ErrClosed
		}
		n, errno := send(c.fd, b)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return 0, errAgain
		case errno != nil:
			return 0, c.operation("write", errno)
		}
		return n, nil
	}
}

func (c *Conn) operation(name string, errno error) error {
	return &net.OpError{Op: name, Net: "tcp", Source: c.local, Addr: c.remote, Err: os.NewSyscallError(name, errno)}
}

// Close implements net.Conn. Any goroutine may call it. A connection that owes a
// response is closed after that.
func (c *Conn) Close() error {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return net.ErrClosed
	case c.answering:
		c.last = true
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.loop.remove(c)
	err := unix.Close(c.fd)
	c.mu.Unlock()
	l := c.loop.listener
	l.open.Add(-1)
	l.group.Done()
	c.poke(nil) // who waits is told
	return err
}

// Detach returns a connection of package net in place of c, which it closes. The
// connection's own goroutine may call it.
func (c *Conn) Detach() (net.Conn, error) {
	file, err := c.file()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	if err := c.Close(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// file returns another descriptor of the socket, which the loop watches no more.
func (c *Conn) file() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	_ = unix.EpollCtl(c.loop.fd, unix.EPOLL_CTL_DEL, c.fd, nil) // closing one of two would not do it
	return os.NewFile(uintptr(fd), "connection"), nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn: see SetReadDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. It interrupts the read under way and those to
// come if t is over, and ends that if t is zero. There are no others.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readEnd, t) }

// SetWriteDeadline implements net.Conn: see SetReadDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeEnd, t) }

func (c *Conn) setDeadline(end *atomic.Bool, t time.Time) error {
	if !t.IsZero() && time.Until(t) > 0 {
		return errNoDeadline
	}
	end.Store(!t.IsZero())
	if !t.IsZero() {
		c.poke(nil)
	}
	return nil
}
