package eventloop

import (
	"net"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Conn is one connection. At any time one goroutine owns it, or nobody does while it
// waits: whoever changes state from idle to busy becomes the owner, and gives it away
// by release, by detach, or by Handler.Start. Only the owner touches the fields that are
// neither atomic nor guarded. The package's doc says who owns a connection when.
type Conn struct {
	loop   *loop
	fd     int
	local  net.Addr
	remote net.Addr
	outer  net.Conn // what Accept returns

	// Data is the Handler's.
	Data any

	state        atomic.Uint32
	ending       atomic.Bool // the client has closed its side, or the connection failed
	readExpired  atomic.Bool // the deadline of reads is over
	writeExpired atomic.Bool // of writes

	in       []byte // bytes read and not yet taken, from taken on
	taken    int
	drained  bool  // nothing was left to read, unless there was an edge since
	attached bool  // Accept has returned the connection, or will
	blocked  bool  // a goroutine waits for wake
	failed   error // what Read returns from then on
	next     *Conn // of the sender's list

	wake   chan struct{} // the socket may be ready: for the owner that is blocked
	resume chan struct{} // in or failed has something for the connection's own goroutine

	mu        sync.Mutex // held while the socket is used
	closed    bool       // guarded by mu
	answering bool       // guarded by mu: a message is being taken, or its response is due or leaving
	last      bool       // guarded by mu: the connection is closed after that response
}

const (
	idle  = iota // nobody owns it
	busy         // somebody does
	again        // somebody does, and has been notified meanwhile
)

// notify tells a connection that its socket or its state has changed: the owner looks
// again, and if there is none, the caller becomes it. Any goroutine may call it, a loop
// with its turn and the others with nil.
func (c *Conn) notify(t *turn) {
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

// release gives up the ownership. It reports false, and the caller keeps it, if the
// connection has been notified meanwhile.
func (c *Conn) release() bool {
	if c.state.CompareAndSwap(busy, idle) {
		return true
	}
	c.state.Store(busy)
	c.drained = false
	return false
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
	c.notify(nil) // the owner, which may be waiting
	return err
}

// Hijack returns a connection of package net in place of c, which it closes. The
// connection's own goroutine may call it.
func (c *Conn) Hijack() (net.Conn, error) {
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
