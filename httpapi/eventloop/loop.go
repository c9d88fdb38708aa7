package eventloop

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// loop reads from a part of a listener's connections. Its epoll is itself watched by
// the one of Go's scheduler, so that a loop with nothing to do keeps no thread.
type loop struct {
	listener *Listener
	epoll    *os.File
	fd       int

	mu    sync.Mutex
	conns map[int32]*Conn // guarded by mu: by file descriptor
}

// eventsAtOnce bounds how many connections a loop serves before other goroutines run.
const eventsAtOnce = 64

func newLoop(l *Listener) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{listener: l, epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, conns: make(map[int32]*Conn)}, nil
}

// run notifies the connections that have events, until the epoll is closed.
func (lp *loop) run() {
	raw, err := lp.epoll.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, eventsAtOnce)
	conns := make([]*Conn, eventsAtOnce)
	var t turn
	n := 0
	wait := func(fd uintptr) bool {
		n = epollWait(fd, events)
		return n != 0
	}
	for {
		if err := raw.Read(wait); err != nil {
			return
		}
		lp.mu.Lock()
		for i, e := range events[:n] {
			conns[i] = lp.conns[e.Fd]
		}
		lp.mu.Unlock()
		for i, c := range conns[:n] {
			if c == nil { // closed meanwhile
				continue
			}
			if events[i].Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
				c.ending.Store(true)
			}
			c.notify(&t)
			conns[i] = nil
		}
		t.end()
		runtime.Gosched()
	}
}

// turn holds the responses of one round of a loop over its connections. They are sent at
// its end, one right after the other: a client that has several connections is woken once,
// and finds them all.
type turn struct {
	out   []byte
	conns []*Conn
	ends  []int // in out
}

// add takes over the ownership of c, whose response is what is new in out.
func (t *turn) add(c *Conn, out []byte) {
	t.out = out
	t.conns, t.ends = append(t.conns, c), append(t.ends, len(out))
	if len(out) > turnBytes {
		t.end()
	}
}

// turnBytes of responses are sent without waiting for the end of the turn.
const turnBytes = 64 << 10

// end sends the responses, and goes on with each connection.
func (t *turn) end() {
	begin := 0
	for i, c := range t.conns {
		if c.sendOrWait(t.out[begin:t.ends[i]]) {
			c.advance(nil)
		}
		begin, t.conns[i] = t.ends[i], nil
	}
	t.out, t.conns, t.ends = t.out[:0], t.conns[:0], t.ends[:0]
}

func (lp *loop) add(c *Conn) error {
	lp.mu.Lock()
	lp.conns[int32(c.fd)] = c
	lp.mu.Unlock()
	return unix.EpollCtl(lp.fd, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&(1<<32-1), Fd: int32(c.fd)})
}

// remove forgets c, whose file descriptor is about to be closed.
func (lp *loop) remove(c *Conn) {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	if lp.conns[int32(c.fd)] == c {
		delete(lp.conns, int32(c.fd))
	}
}

func (lp *loop) all() []*Conn {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	conns := make([]*Conn, 0, len(lp.conns))
	for _, c := range lp.conns {
		conns = append(conns, c)
	}
	return conns
}
