package eventloop

import (
	"bytes"
	"net"
	"os"
	"sync"
)

// workspace is what serving a message takes. It is pooled.
type workspace struct {
	in  [16 << 10]byte
	out []byte
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// advance serves messages until the connection waits for more, is detached, or has ended,
// or its response leaves at the end of the turn. The caller owns the connection, and no
// longer does afterwards.
func (c *Conn) advance(t *turn) {
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	l := c.loop.listener
	for reads := 0; ; {
		in := c.in[c.taken:]
		if len(in) == 0 {
			switch {
			case c.readExpired.Load():
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
		c.setAnswering(true) // before Message: a Close from now on waits for the response
		taken, response, verdict := l.handler.Message(c, in, out)
		c.keep(in[taken:])
		if t == nil {
			w.out = response
		} else if verdict == Answered {
			t.add(c, response)
			return
		}
		switch verdict {
		case Detach:
			if c.setAnswering(false) {
				c.failed = net.ErrClosed
				c.fail()
				return
			}
			c.detach()
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

// keep stores the bytes that were read and not taken. rest may be a part of c.in.
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

// sendOrWait sends b. It returns false if the caller no longer owns the connection: a
// goroutine does that waits for the client to read, or the connection has ended.
func (c *Conn) sendOrWait(b []byte) bool {
	n, err := c.send(b)
	if err == nil && n == len(b) {
		return c.sent()
	}
	if err != nil && err != errAgain {
		c.sendFailed(err)
		return false
	}
	rest := bytes.Clone(b[n:])
	c.setAnswering(true)
	go func() {
		if _, err := c.Write(rest); err != nil {
			c.sendFailed(err)
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

// setAnswering notes whether a response is due or leaving, and returns whether the
// connection is to be closed after it.
func (c *Conn) setAnswering(yes bool) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answering = yes
	return c.last
}

// sent ends a message whose response has been written to the socket. It returns false if
// the caller no longer owns the connection, because that was its last response.
func (c *Conn) sent() bool {
	if c.setAnswering(false) {
		c.failed = net.ErrClosed
		c.fail()
		return false
	}
	c.loop.listener.handler.Sent(c)
	return true
}

// sendFailed ends a connection whose response could not be sent.
func (c *Conn) sendFailed(err error) {
	c.setAnswering(false)
	c.failed = err
	c.fail()
}

// fail closes the connection, or has its own goroutine read the error and do that.
func (c *Conn) fail() {
	if c.attached || c.failed == os.ErrDeadlineExceeded && c.loop.listener.handler.TimedOut(c) {
		c.detach()
		return
	}
	_ = c.outer.Close()
}

// detach gives the connection to its own goroutine: the first time by Accept, later by
// having its Read go on.
func (c *Conn) detach() {
	if c.attached {
		c.resume <- struct{}{}
		return
	}
	c.attached = true
	if !c.loop.listener.offer(c) {
		_ = c.outer.Close()
	}
}
