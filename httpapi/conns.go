package httpapi

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// phase is what a connection is doing, and so what bounds how long it may.
type phase uint64

const (
	phaseNew       phase = iota // no byte of the first request has come
	phaseIdle                   // between requests
	phaseReading                // a request is arriving
	phaseAnswering              // a handler has it; what bounds that is the command's timeout
	phaseWriting                // the response is leaving
	phaseFree                   // hijacked: its new owner sets deadlines

	numPhases
	phaseBits = 3
)

// phaseTimer ends connections that stay too long in a phase, so that a slow
// client holds nothing. fasthttp's own timeouts set three deadlines a request,
// each a timer and a look at the clock; here a phase costs one store, and one
// goroutine looks at all connections a few times a second. A limit is therefore
// exact to a tick.
type phaseTimer struct {
	tick   time.Duration
	limits [numPhases]uint64 // in ticks; 0: none
	now    atomic.Uint64     // ticks since the start
	done   chan struct{}
	stop   sync.Once

	mu    sync.Mutex
	conns map[*timedConn]struct{} // guarded by mu
}

// newPhaseTimer has a tick of a tenth of the shortest limit, at most 250 ms.
func newPhaseTimer(read, write, idle time.Duration) *phaseTimer {
	t := &phaseTimer{done: make(chan struct{}), conns: make(map[*timedConn]struct{})}
	t.tick = max(time.Millisecond, min(250*time.Millisecond, read/10, write/10, idle/10))
	for p, limit := range map[phase]time.Duration{phaseNew: read, phaseReading: read, phaseWriting: write, phaseIdle: idle} {
		t.limits[p] = uint64((limit + t.tick - 1) / t.tick)
	}
	return t
}

// run looks at the connections until close.
func (t *phaseTimer) run() {
	ticker := time.NewTicker(t.tick)
	defer ticker.Stop()
	for {
		select {
		case <-t.done:
			return
		case <-ticker.C:
			t.sweep(t.now.Add(1))
		}
	}
}

func (t *phaseTimer) close() { t.stop.Do(func() { close(t.done) }) }

// sweep interrupts the connections whose phase began too long before now.
func (t *phaseTimer) sweep(now uint64) {
	type expired struct {
		conn  *timedConn
		phase phase
	}
	var late []expired
	t.mu.Lock()
	for c := range t.conns {
		state := c.state.Load()
		p, since := phase(state&(1<<phaseBits-1)), state>>phaseBits
		if limit := t.limits[p]; limit != 0 && now-since > limit {
			late = append(late, expired{c, p})
		}
	}
	t.mu.Unlock()
	for _, l := range late { // which may close it
		l.conn.interrupt(l.phase)
	}
}

// timedListener hands out connections that t watches.
type timedListener struct {
	net.Listener
	timer *phaseTimer
}

func (l timedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.timer.watch(conn), nil
}

// watch returns conn as a new one that t watches.
func (t *phaseTimer) watch(conn net.Conn) *timedConn {
	c := &timedConn{Conn: conn, timer: t}
	c.enter(phaseNew)
	t.mu.Lock()
	t.conns[c] = struct{}{}
	t.mu.Unlock()
	return c
}

// timedConn is a connection in a phase.
type timedConn struct {
	net.Conn // replaced under timer.mu, by who owns it
	timer    *phaseTimer
	state    atomic.Uint64 // the phase in the low bits, above them the tick when it began

	pending *request // what waits for its outcome on an event loop; of who owns the connection there
}

func (c *timedConn) phase() phase { return phase(c.state.Load() & (1<<phaseBits - 1)) }

// enter begins a phase. A nil connection, as a test's request has, is in none.
func (c *timedConn) enter(p phase) {
	if c != nil {
		c.state.Store(c.timer.now.Load()<<phaseBits | uint64(p))
	}
}

// interrupt makes the read or write under way fail with a timeout, to which
// fasthttp answers and closes, as it does to a deadline of its own. The response may
// have left just now: then no other request is read, whose response could not.
func (c *timedConn) interrupt(p phase) {
	c.timer.mu.Lock()
	conn := c.Conn
	c.timer.mu.Unlock()
	past := time.Unix(1, 0)
	if p == phaseWriting {
		_ = conn.SetWriteDeadline(past)
	}
	_ = conn.SetReadDeadline(past)
}

// replace puts conn in the place of the connection that c was.
func (c *timedConn) replace(conn net.Conn) {
	c.timer.mu.Lock()
	c.Conn = conn
	c.timer.mu.Unlock()
}

func (c *timedConn) Close() error {
	c.timer.mu.Lock()
	delete(c.timer.conns, c)
	c.timer.mu.Unlock()
	return c.Conn.Close()
}

// connOf returns the connection of a request, nil if it is not a watched one.
func connOf(conn net.Conn) *timedConn {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = secure.NetConn()
	}
	c, _ := conn.(*timedConn)
	return c
}

// connState is fasthttp's report of what it does with a connection.
func connState(conn net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateActive:
		connOf(conn).enter(phaseReading)
	case fasthttp.StateIdle:
		connOf(conn).enter(phaseIdle)
	case fasthttp.StateHijacked:
		connOf(conn).enter(phaseFree)
	}
}
