package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// loop is one thread of a load: it drives many non-blocking connections with epoll.
// A request costs it one write, one read and a share of an epoll_wait, and no
// goroutine switch. One goroutine owns it.
type loop struct {
	load     load
	epoll    int
	conns    []connection
	idle     []int32       // connections that wait for a request, last in first out
	sent     *atomic.Int64 // requests of all threads
	schedule *schedule     // nil in a closed loop
	random   *rand.Rand
	out      []byte // the request that is being sent

	start     time.Time
	now       int64 // nanoseconds since start, at the last look
	pending   int   // requests under way
	responses [operations]int64
	latency   *hdrhistogram.Histogram
}

// connection is one of a loop's.
type connection struct {
	fd    int
	in    []byte
	have  int   // bytes of in that were read
	since int64 // when the request under way was sent or due
	call  call
}

func newLoop(l load, connections int, sent *atomic.Int64) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	lp := &loop{load: l, epoll: epoll, sent: sent, latency: newHistogram(), random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	for range connections {
		if err := lp.connect(); err != nil {
			lp.close()
			return nil, err
		}
	}
	return lp, nil
}

func (lp *loop) connect() error {
	tcp, err := net.ResolveTCPAddr("tcp4", lp.load.address)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	i := int32(len(lp.conns))
	lp.conns = append(lp.conns, connection{fd: fd, in: make([]byte, 8<<10)})
	lp.idle = append(lp.idle, i)
	address := &unix.SockaddrInet4{Port: tcp.Port}
	copy(address.Addr[:], tcp.IP.To4())
	if err := unix.Connect(fd, address); err != nil {
		return fmt.Errorf("connect to %s: %w", lp.load.address, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	return unix.EpollCtl(lp.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: i})
}

func (lp *loop) close() {
	for i := range lp.conns {
		_ = unix.Close(lp.conns[i].fd)
	}
	_ = unix.Close(lp.epoll)
}

// run drives the connections until all that is due has been answered.
func (lp *loop) run(ctx context.Context, start time.Time) error {
	// Its own thread, because the clock of its waits is a thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // ns: waits end when they should
	lp.start = start
	events := make([]unix.EpollEvent, 256)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		lp.now = int64(time.Since(lp.start))
		next, err := lp.sendDue()
		if err != nil {
			return err
		}
		if lp.pending == 0 && next < 0 {
			return nil
		}
		if limit := lp.load.duration; limit > 0 && lp.now > int64(limit+maxOverrun) {
			return fmt.Errorf("%d requests without a response %s after the end", lp.pending, maxOverrun)
		}
		n, err := epollWait(lp.epoll, events, next)
		if err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:n] {
			lp.now = int64(time.Since(lp.start))
			if err := lp.receive(e.Fd); err != nil {
				return err
			}
		}
	}
}

// sendDue sends what is due and has a free connection. It returns how long until
// the next request is due, in nanoseconds, or -1 if none is, or none can be sent
// before a response comes.
func (lp *loop) sendDue() (next int64, err error) {
	for len(lp.idle) > 0 {
		due := lp.now
		if lp.schedule != nil {
			due = lp.schedule.due()
		}
		if lp.load.duration > 0 && due >= int64(lp.load.duration) {
			return -1, nil
		}
		if due > lp.now {
			return due - lp.now, nil
		}
		n := lp.sent.Add(1) - 1
		if lp.load.requests > 0 && n >= lp.load.requests {
			return -1, nil
		}
		if lp.schedule != nil {
			lp.schedule.take()
		}
		i := lp.idle[len(lp.idle)-1]
		lp.idle = lp.idle[:len(lp.idle)-1]
		if err := lp.send(&lp.conns[i], n, due); err != nil {
			return 0, err
		}
	}
	return -1, nil
}

func (lp *loop) send(c *connection, n, due int64) error {
	lp.out, c.call = lp.load.source(lp.out[:0], n, lp.random)
	c.since = due
	lp.pending++
	// One request under way a connection: the socket's buffer has room for all of it.
	written, err := write(c.fd, lp.out)
	if err != nil || written < len(lp.out) {
		return fmt.Errorf("write of %d bytes: %d written: %w", len(lp.out), written, err)
	}
	return nil
}

// receive reads from a connection that epoll calls readable.
func (lp *loop) receive(i int32) error {
	c := &lp.conns[i]
	if c.have == len(c.in) {
		var err error
		if c.in, err = grown(c.in); err != nil {
			return err
		}
	}
	n, err := read(c.fd, c.in[c.have:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return errors.New("the server closed a connection")
	}
	c.have += n
	r, taken, err := parseResponse(c.in[:c.have])
	if err != nil || taken == 0 {
		return err
	}
	if taken < c.have {
		return fmt.Errorf("%d bytes after a response", c.have-taken)
	}
	c.have = 0
	op := c.call.operation
	if r.status != op.status() {
		return fmt.Errorf("%s: status %d, want %d: %s", op, r.status, op.status(), r.body)
	}
	lp.pending--
	lp.responses[op]++
	_ = lp.latency.RecordValue(max(1, (lp.now-c.since)/int64(time.Microsecond)))
	lp.idle = append(lp.idle, i)
	if lp.load.sink != nil {
		if err := lp.load.sink(c.call, r); err != nil {
			return err
		}
	}
	if lp.schedule == nil {
		// At once, while the other events wait: as late as it would be in any loop,
		// but with the server at work meanwhile.
		_, err = lp.sendDue()
	}
	return err
}

// maxWait makes a loop look at its context.
const maxWait = int64(100 * time.Millisecond)

// epollWait waits for nanoseconds, or for maxWait if negative. It is
// epoll_pwait2(2), since Linux 5.11: the milliseconds of epoll_wait are too coarse
// to send in time.
func epollWait(epoll int, events []unix.EpollEvent, nanoseconds int64) (int, error) {
	if nanoseconds < 0 || nanoseconds > maxWait {
		nanoseconds = maxWait
	}
	timeout := unix.NsecToTimespec(nanoseconds)
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// write and read are system calls that never block, so they need not tell the
// scheduler that they might.
func write(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func read(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
