package eventloop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Verdict says what a Handler has done with a message.
type Verdict uint8

// The verdicts.
const (
	Answered Verdict = iota // the message was taken, and its response appended
	Pending                 // the message was taken; Start is called, and must have Conn.Answer called once
	Detach                  // nothing was taken: the connection goes to a goroutine of its own
)

// Handler answers the messages of connections. Its methods are called by one goroutine at
// a time for a connection, its owner, and must not block.
type Handler interface {
	// Opened is called with a new connection, and returns what Accept is to return for
	// it, which wraps it.
	Opened(c *Conn) net.Conn
	// Message gets the bytes that came since the last message: one, a part of one, or
	// more. It returns how many it took, and out with the response appended.
	Message(c *Conn, in, out []byte) (taken int, response []byte, v Verdict)
	// Start begins the work on a message that is Pending. It is the last thing done
	// before Answer, which may be called before it returns.
	Start(c *Conn)
	// Response appends the response to a message that was Pending, after Answer.
	Response(c *Conn, out []byte) []byte
	// Sent is called when a response has been written, and the next message may come.
	Sent(c *Conn)
	// AtMessageBoundary reports of a detached connection whether the next byte that it
	// reads begins a message.
	AtMessageBoundary(c *Conn) bool
	// TimedOut is called when the read deadline of a connection is over that was never
	// detached. It reports whether to detach it now, so that its goroutine can answer:
	// its Read will fail. Otherwise the connection is closed.
	TimedOut(c *Conn) (detach bool)
}

// Config is what a Listener needs.
type Config struct {
	Listener       *net.TCPListener // whose connections are served
	Handler        Handler
	MaxConnections int    // open at a time
	Refusal        []byte // sent to a connection over MaxConnections, which is closed
	Logger         *slog.Logger
}

// Listener is a net.Listener. Its methods may be called from any goroutine.
type Listener struct {
	cfg     Config
	handler Handler
	log     *slog.Logger
	loops   []*loop
	sender  sender
	closing atomic.Bool
	open    atomic.Int64
	group   sync.WaitGroup // of open connections, and of whoever adds to them
	running sync.WaitGroup // of the loops

	mu          sync.Mutex
	detached    []*Conn   // guarded by mu: for Accept
	acceptEnded bool      // guarded by mu: Accept has returned net.ErrClosed
	arrived     sync.Cond // on mu: detached or closing has changed
}

// Listen serves connections with as many loops as Go runs goroutines at once, until
// Close or until the inner listener is closed.
func Listen(cfg Config) (*Listener, error) {
	l := &Listener{cfg: cfg, handler: cfg.Handler, log: cfg.Logger}
	l.arrived.L, l.sender.limit = &l.mu, runtime.GOMAXPROCS(0)
	for range runtime.GOMAXPROCS(0) {
		lp, err := newLoop(l)
		if err != nil {
			l.stopLoops()
			return nil, err
		}
		l.loops = append(l.loops, lp)
	}
	for _, lp := range l.loops {
		l.running.Go(lp.run)
	}
	l.group.Go(l.accept)
	return l, nil
}

func (l *Listener) stopLoops() {
	for _, lp := range l.loops {
		_ = lp.epoll.Close()
	}
}

// Accept implements net.Listener: it returns the next connection that is detached, once
// for each. It is called until it fails.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.detached) == 0 {
		if l.closing.Load() {
			l.acceptEnded = true
			return nil, net.ErrClosed
		}
		l.arrived.Wait()
	}
	c := l.detached[0]
	l.detached = l.detached[1:]
	return c.outer, nil
}

// offer gives c to Accept, or reports false if nobody calls that any more.
func (l *Listener) offer(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acceptEnded {
		return false
	}
	l.detached = append(l.detached, c)
	l.arrived.Signal()
	return true
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.cfg.Listener.Addr() }

// Open returns how many connections are open.
func (l *Listener) Open() int { return int(l.open.Load()) }

// Close stops accepting, and closes connections that wait for a message; those that are
// being answered are closed after it. It does not touch what Accept has returned.
func (l *Listener) Close() error {
	if l.closing.Swap(true) {
		return net.ErrClosed
	}
	err := l.cfg.Listener.Close()
	l.mu.Lock()
	l.arrived.Broadcast()
	l.mu.Unlock()
	for _, lp := range l.loops {
		for _, c := range lp.all() {
			c.notify(nil)
		}
	}
	return err
}

// Wait waits after Close until every connection is closed, at most until ctx is done,
// and ends the loops.
func (l *Listener) Wait(ctx context.Context) error {
	finished := make(chan struct{})
	go func() {
		l.group.Wait()
		l.stopLoops()
		l.running.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// accept takes connections until the inner listener is closed.
func (l *Listener) accept() {
	for next := 0; ; next++ {
		conn, err := l.cfg.Listener.Accept()
		switch {
		case err == nil:
			l.adopt(conn.(*net.TCPConn), l.loops[next%len(l.loops)])
		case isTemporary(err):
			l.log.Warn("can't accept a connection; trying again", slog.Any("error", err))
			time.Sleep(retryAccept)
		default:
			_ = l.Close()
			return
		}
	}
}

// retryAccept is the time for other connections to be closed after a temporary error.
const retryAccept = 50 * time.Millisecond

// isTemporary reports whether a later Accept may succeed: too many files are open, memory
// is short, or the client has gone already.
func isTemporary(err error) bool {
	for _, errno := range [...]unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// adopt makes a Conn of conn's socket, which lp watches from then on.
func (l *Listener) adopt(conn *net.TCPConn, lp *loop) {
	c := &Conn{loop: lp, local: conn.LocalAddr(), remote: conn.RemoteAddr(), wake: make(chan struct{}, 1), resume: make(chan struct{}, 1)}
	c.state.Store(busy)
	var err error
	c.fd, err = duplicate(conn)
	_ = conn.Close() // Go's scheduler watches it no more
	if err != nil {
		l.log.Warn("can't take a connection over; it is closed", slog.Any("error", err))
		return
	}
	l.open.Add(1)
	l.group.Add(1)
	if l.Open() > l.cfg.MaxConnections {
		_, _ = c.send(l.cfg.Refusal)
		_ = c.Close()
		return
	}
	c.outer = l.handler.Opened(c)
	c.state.Store(idle) // the loop's from now on: its first event, that the socket can be written to, comes at once
	if err := lp.add(c); err != nil {
		l.log.Warn("can't watch a connection; it is closed", slog.Any("error", err))
		_ = c.outer.Close()
	}
}

// duplicate returns another descriptor of a connection's socket.
func duplicate(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(given uintptr) {
		fd, failed = unix.FcntlInt(given, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(err, os.NewSyscallError("fcntl", failed))
}
