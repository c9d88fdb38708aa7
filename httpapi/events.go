package httpapi

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/httpapi/eventloop"
)

// A stream of server-sent events (WHATWG HTML, section 9.2) tells a session what
// changes in its account. It has no queue: it remembers the state that it told
// last, and when told that there is a new one it sends the difference. A reader
// who falls behind gets the difference of more, and one who does not read within
// the write timeout is dropped.
//
// The id of an event is the number of the account's last record, which is the
// same after a restart. Only the last event of a difference carries it, so that a
// client that lost the connection in the middle does not skip the rest.

// maxDifference is how many transactions are sent one by one; where more have
// changed, the client is told to read them anew.
const maxDifference = 64

// streamBuffer bounds what the kernel holds for a reader who has fallen behind, in
// bytes.
const streamBuffer = 16 << 10

// streams are the open streams.
type streams struct {
	limit int
	ended chan struct{} // closed by stop
	group sync.WaitGroup

	mu      sync.Mutex
	open    int                   // guarded by mu
	conns   map[net.Conn]struct{} // guarded by mu; of those that run
	stopped bool                  // guarded by mu
}

// enter counts a stream in, unless there are too many or the server stops.
func (s *streams) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.open == s.limit {
		return false
	}
	s.open++
	s.group.Add(1)
	return true
}

// began notes the connection of a stream that was let in.
func (s *streams) began(conn net.Conn) {
	s.mu.Lock()
	s.conns[conn] = struct{}{}
	s.mu.Unlock()
}

// leave counts out a stream; conn is nil where it never began.
func (s *streams) leave(conn net.Conn) {
	s.mu.Lock()
	s.open--
	delete(s.conns, conn)
	s.mu.Unlock()
	s.group.Done()
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// stop ends every stream and waits for that, at most until ctx is done.
func (s *streams) stop(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.ended)
		for conn := range s.conns { // one may be waiting for a slow reader
			_ = conn.SetWriteDeadline(time.Unix(1, 0))
		}
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		s.group.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stream is one client's. Its own goroutine owns it.
type stream struct {
	server  *Server
	watcher *actors.Watcher
	conn    net.Conn
	gone    chan struct{}                 // closed when the client has closed its side
	told    *account.State                // what the client knows
	stands  map[uint32]actors.PaymentView // what it knows of payments that the next block may change
}

// eventsHead is the response up to the events. The connection serves this alone
// and ends with it, which costs no framing.
const eventsHead = "HTTP/1.1 200 OK\r\n" +
	"Content-Type: text/event-stream\r\n" +
	"Cache-Control: no-store\r\n" +
	"Connection: close\r\n" +
	"X-Accel-Buffering: no\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"X-Request-Id: "

// events opens a stream. The connection is taken from fasthttp, whose write
// timeout is for a whole response and whose buffers are not to be held for hours.
func (s *Server) events(r *request) error {
	if r.ctx.IsHead() {
		r.ctx.Response.Header.SetContentType("text/event-stream")
		return nil
	}
	if !s.streams.enter() {
		return unavailable(5, "too many streams are open")
	}
	watcher, err := s.exchange.Watch(&r.session)
	if err != nil {
		s.streams.leave(nil)
		if errors.Is(err, actors.ErrTooManyWatchers) {
			return &Problem{Status: fasthttp.StatusTooManyRequests, Code: "too_many_streams", Title: "Too many streams",
				Detail: strconv.Itoa(actors.MaxWatchers) + " streams are open, the maximum of a user; close one", RetryAfter: 5}
		}
		return err
	}
	st := &stream{server: s, watcher: watcher, gone: make(chan struct{})}
	last := string(r.ctx.Request.Header.Peek("Last-Event-ID"))
	head := eventsHead + string(r.id) + "\r\n\r\n"
	r.ctx.HijackSetNoResponse(true)
	r.ctx.Hijack(func(c net.Conn) {
		// With KeepHijackedConns the connection is ours until Close. This returns at
		// once, so that fasthttp takes back the buffers it holds for the request.
		st.conn = c
		if wrapped, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
			st.conn = wrapped.UnsafeConn()
		}
		if c := connOf(st.conn); c != nil {
			if loop, ok := c.Conn.(*eventloop.Conn); ok {
				conn, err := loop.Hijack()
				if err != nil {
					s.streams.leave(nil)
					watcher.Close()
					_ = c.Close()
					return
				}
				c.replace(conn)
			}
			if tcp, ok := c.Conn.(*net.TCPConn); ok {
				_ = tcp.SetWriteBuffer(streamBuffer)
			}
		}
		go st.run(head, last)
	})
	return nil
}

// run sends what changes until the client goes, the session ends or the server
// stops.
func (st *stream) run(head, last string) {
	s := st.server
	s.streams.began(st.conn)
	defer s.streams.leave(st.conn)
	defer st.watcher.Close()
	defer st.conn.Close()
	go st.read()

	st.told = st.watcher.State()
	st.unsettled(nil) // what a client finds out by itself is where it begins
	b := s.buffer()
	*b = append(append(*b, head...), "retry: 1000\n\n"...)
	if last != "" && last != strconv.FormatUint(st.told.Seq, 10) {
		// What happened since is not kept anywhere: the history is, and is read anew.
		*b = appendEvent(*b, "reset", func(b []byte) []byte { return append(b, '{', '}') })
	}
	*b = st.position(*b)
	timer := time.NewTimer(s.cfg.Heartbeat)
	defer timer.Stop()
	for {
		end, live := st.watcher.SessionEnd(st.told)
		if !live {
			*b = appendEvent(*b, "session", func(b []byte) []byte {
				reason := "logged_out"
				switch {
				case end != 0:
					reason = "expired"
				case st.watcher.Rotated():
					reason = "rotated"
				}
				return append(appendString(append(b, '{'), "reason", reason), '}')
			})
		}
		if !st.send(b) || !live {
			return
		}
		wait := min(s.cfg.Heartbeat, time.Duration(end-st.watcher.Now())*time.Microsecond+time.Millisecond)
		timer.Reset(wait)
		select {
		case <-st.gone:
			return
		case <-s.streams.ended:
			return
		case <-st.watcher.Changed():
			b = s.buffer()
			*b = st.difference(*b)
		case <-timer.C:
			b = s.buffer()
			if _, live := st.watcher.SessionEnd(st.told); live {
				*b = append(*b, ":\n\n"...)
			}
		}
	}
}

// read waits for the client to go: nothing more is to come from it.
func (st *stream) read() {
	var b [1]byte
	_, _ = st.conn.Read(b[:])
	close(st.gone)
}

// send writes b, and gives it back. A client that does not take it in time is
// given up.
func (st *stream) send(b *[]byte) bool {
	_ = st.conn.SetWriteDeadline(time.Now().Add(st.server.cfg.WriteTimeout))
	defer st.server.buffers.Put(b)
	select {
	case <-st.server.streams.ended: // and the deadline that stop set is overwritten
		return false
	default:
	}
	_, err := st.conn.Write(*b)
	return err == nil
}

// buffer returns an empty one; an idle stream holds none.
func (s *Server) buffer() *[]byte {
	b := s.buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// position tells which record the client now knows the account up to.
func (st *stream) position(b []byte) []byte {
	b = append(b, "id: "...)
	b = append(strconv.AppendUint(b, st.told.Seq, 10), '\n')
	return appendEvent(b, "position", func(b []byte) []byte {
		return append(appendUint(append(b, '{'), "position", st.told.Seq), '}')
	})
}

// difference tells what has changed since the state that was told last.
func (st *stream) difference(b []byte) []byte {
	before, now := st.told, st.watcher.State()
	if before == now {
		return st.unsettled(b)
	}
	st.told = now
	start, n := len(b), 0
	now.History.Changed(&before.History, func(number uint32, t *account.Transaction) bool {
		if n++; n > maxDifference {
			return false
		}
		id := account.TransactionID{User: now.ID, N: number}
		b = appendEvent(b, "transaction", func(b []byte) []byte { return appendTransaction(b, id, t) })
		if t.Type == account.TypeBuy {
			view := st.watcher.Payment(t)
			st.stands[number] = view
			b = appendEvent(b, "payment", func(b []byte) []byte { return appendPayment(b, id, t, view) })
		}
		return true
	})
	if n > maxDifference {
		b = appendEvent(b[:start], "reset", func(b []byte) []byte { return append(b, '{', '}') })
		return st.position(b)
	}
	if now.Balance != before.Balance || now.Held != before.Held || now.Frozen != before.Frozen {
		b = appendEvent(b, "balance", func(b []byte) []byte { return appendWholeBalance(b, now) })
	}
	if now.Status != before.Status || now.Email != before.Email || now.Username != before.Username {
		b = appendEvent(b, "profile", func(b []byte) []byte { return append(appendProfile(append(b, '{'), now), '}') })
	}
	b = st.unsettled(b)
	return st.position(b)
}

// unsettled tells of payments that a block has changed, though not the account: they
// have got another confirmation.
func (st *stream) unsettled(b []byte) []byte {
	numbers := st.watcher.Unsettled()
	stands := make(map[uint32]actors.PaymentView, len(numbers))
	for _, n := range numbers {
		t, ok := st.told.History.At(n)
		if !ok || t.Type != account.TypeBuy {
			continue
		}
		view := st.watcher.Payment(&t)
		stands[n] = view
		if before, known := st.stands[n]; known && before != view {
			id := account.TransactionID{User: st.told.ID, N: n}
			b = appendEvent(b, "payment", func(b []byte) []byte { return appendPayment(b, id, &t, view) })
		}
	}
	st.stands = stands
	return b
}

// appendEvent writes one event, whose data is JSON and so has no line break.
func appendEvent(b []byte, name string, data func([]byte) []byte) []byte {
	b = append(b, "event: "...)
	b = append(b, name...)
	b = append(b, "\ndata: "...)
	return append(data(b), '\n', '\n')
}
