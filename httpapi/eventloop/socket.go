package eventloop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

var (
	errAgain      = errors.New("not now")
	errNoDeadline = errors.New("a deadline in the future is not supported; set one that is over, or none")
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
		if c.loop.listener.handler.AtMessageBoundary(c) {
			c.advance(nil)
			<-c.resume
			continue
		}
		if c.readExpired.Load() {
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
		if c.writeExpired.Load() {
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

// block waits until the socket may be ready, or something else has changed.
func (c *Conn) block() {
	c.blocked = true
	if c.release() {
		<-c.wake
	}
	c.blocked = false
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn: see SetReadDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. A t that is over makes the read under way and later
// ones fail with os.ErrDeadlineExceeded; a zero t ends that. A t in the future is refused.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readExpired, t) }

// SetWriteDeadline implements net.Conn: see SetReadDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeExpired, t) }

func (c *Conn) setDeadline(end *atomic.Bool, t time.Time) error {
	if !t.IsZero() && time.Until(t) > 0 {
		return errNoDeadline
	}
	end.Store(!t.IsZero())
	if !t.IsZero() {
		c.notify(nil)
	}
	return nil
}
