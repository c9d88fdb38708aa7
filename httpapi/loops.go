package httpapi

import (
	"bufio"
	"bytes"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/httpapi/eventloop"
)

// onLoops answers on the event loops what never waits, or waits for the journal only,
// and comes in the ordinary form; everything else it passes on to fasthttp's server.
// What it answers is read by fasthttp's parser and answered by the same handlers.
type onLoops struct{ *Server }

// requestReader is what reading a request from bytes takes.
type requestReader struct {
	bytes  bytes.Reader
	reader *bufio.Reader
}

var requestReaders = sync.Pool{New: func() any { return &requestReader{reader: bufio.NewReaderSize(nil, maxHeader)} }}

// Opened implements eventloop.Handler.
func (s onLoops) Opened(c *eventloop.Conn) net.Conn {
	timed := s.timer.watch(c)
	c.Data = timed
	return timed
}

// Sent implements eventloop.Handler.
func (s onLoops) Sent(c *eventloop.Conn) { c.Data.(*timedConn).enter(phaseIdle) }

// tooManyConnections is what one more than MaxConnections is sent.
func (s *Server) tooManyConnections() []byte {
	var ctx fasthttp.RequestCtx
	unavailable(1, "too many connections are open").write(&ctx, s.idPrefix+"0")
	ctx.SetConnectionClose()
	return appendResponse(nil, &ctx.Response)
}

func appendResponse(b []byte, response *fasthttp.Response) []byte {
	body := response.Body()
	response.Header.SetContentLength(len(body))
	b = append(b, response.Header.Header()...)
	return append(b, body...)
}

// Between implements eventloop.Handler.
func (s onLoops) Between(c *eventloop.Conn) bool {
	p := c.Data.(*timedConn).phase()
	return p == phaseNew || p == phaseIdle
}

// Overdue implements eventloop.Handler: a client that never sent anything is told so.
func (s onLoops) Overdue(c *eventloop.Conn) bool { return c.Data.(*timedConn).phase() == phaseNew }

// Message implements eventloop.Handler.
func (s onLoops) Message(c *eventloop.Conn, in, out []byte) (taken int, response []byte, v eventloop.Verdict) {
	if !s.isOrdinary(in) {
		return 0, out, eventloop.Passed
	}
	ctx := s.contexts.Get().(*fasthttp.RequestCtx)
	taken = read(&ctx.Request, in)
	if taken == 0 {
		s.release(ctx)
		return 0, out, eventloop.Passed
	}
	timed := c.Data.(*timedConn)
	ctx.Init2(timed, s.http.Logger, false)
	ctx.Response.Header.SetNoDefaultContentType(true)
	r := s.begin(ctx, time.Now())
	r.conn = c
	if s.handle(r) {
		timed.pending = r
		return taken, out, eventloop.Pending
	}
	return taken, s.respond(r, c, out), eventloop.Answered
}

// isOrdinary reports whether in begins with the request line of a route that the loops
// answer, and with a query only if it asks for a short page.
func (s onLoops) isOrdinary(in []byte) bool {
	method, rest, _ := bytes.Cut(in, []byte{' '})
	target, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || !bytes.HasPrefix(rest, []byte("HTTP/1.1\r\n")) || string(method) == fasthttp.MethodHead {
		return false
	}
	if bytes.IndexByte(target, '#') >= 0 { // the parser cuts it off, and what is left may be another route's
		return false
	}
	path, query, asks := bytes.Cut(target, []byte{'?'})
	if asks && !isShortPage(query) {
		return false
	}
	matched, _, missed := s.routes.lookup(method, path)
	return missed == nil && matched.access&onLoop != 0 && s.ready.Load() && !s.stopping.Load()
}

// isShortPage accepts the query of a page of at most 99, without a filter, for which
// much may have to be looked at.
func isShortPage(query []byte) bool {
	limit, ok := bytes.CutPrefix(query, []byte("limit="))
	if !ok || len(limit) == 0 || len(limit) > 2 {
		return false
	}
	for _, c := range limit {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// read reads an ordinary request from the beginning of in, and returns how much that
// was: 0 if it is not all there, or has anything that fasthttp's server should see to.
func read(request *fasthttp.Request, in []byte) (taken int) {
	p := requestReaders.Get().(*requestReader)
	defer requestReaders.Put(p)
	p.bytes.Reset(in)
	p.reader.Reset(&p.bytes)
	err := request.ReadLimitBody(p.reader, maxBody)
	h := &request.Header
	if err != nil || h.ConnectionClose() || request.MayContinue() || h.ContentLength() == -1 || ambiguous(h) || !isPlainHost(h.Host()) {
		return 0
	}
	return len(in) - p.bytes.Len() - p.reader.Buffered()
}

// isPlainHost accepts what a Host is in the ordinary case: a name or an IPv4 address,
// with a port or without.
func isPlainHost(host []byte) bool {
	name, port, _ := bytes.Cut(host, []byte{':'})
	for _, b := range name {
		if (b|0x20 < 'a' || b|0x20 > 'z') && (b < '0' || b > '9') && b != '-' && b != '.' {
			return false
		}
	}
	for _, b := range port {
		if b < '0' || b > '9' {
			return false
		}
	}
	return len(name) > 0
}

// Start implements eventloop.Handler.
func (s onLoops) Start(c *eventloop.Conn) {
	r := c.Data.(*timedConn).pending
	r.begins(r)
}

// Response implements eventloop.Handler.
func (s onLoops) Response(c *eventloop.Conn, out []byte) []byte {
	timed := c.Data.(*timedConn)
	r := timed.pending
	timed.pending = nil
	s.conclude(r)
	return s.respond(r, c, out)
}

// respond ends r and appends its response.
func (s onLoops) respond(r *request, c *eventloop.Conn, out []byte) []byte {
	ctx := r.ctx
	s.finish(r, time.Since(r.start))
	if s.stopping.Load() {
		ctx.SetConnectionClose()
	}
	if ctx.Response.ConnectionClose() {
		c.Last()
	}
	out = appendResponse(out, &ctx.Response)
	s.release(ctx)
	c.Data.(*timedConn).enter(phaseWriting)
	return out
}

func (s onLoops) release(ctx *fasthttp.RequestCtx) {
	ctx.Request.Reset()
	ctx.Response.Reset()
	s.contexts.Put(ctx)
}

// errPending is what a handler returns of a request that begin has to be called for.
var errPending error = pending{}

type pending struct{}

func (pending) Error() string { return "the answer comes later" }

// await has begin called, which must begin a command with r as its Requester, and then
// with the receipt of that. On a goroutine of the request's own it waits.
func (r *request) await(begin func(*request), then func(*request, actors.Receipt) error) error {
	r.begins, r.then = begin, then
	if r.conn != nil {
		return errPending
	}
	begin(r)
	<-r.done
	return r.outcome()
}

// Outcome implements actors.Requester.
func (r *request) Outcome(receipt actors.Receipt, err error) {
	r.got, r.gotErr = receipt, err
	if r.conn != nil {
		r.conn.Answer()
		return
	}
	r.done <- struct{}{}
}

// outcome answers with what Outcome was told.
func (r *request) outcome() error {
	if r.gotErr != nil {
		return r.gotErr
	}
	return r.then(r, r.got)
}

// conclude answers r with its outcome.
func (s *Server) conclude(r *request) {
	defer s.recovered(r)
	if err := r.outcome(); err != nil {
		r.refuse(s.problemOf(r, err))
	}
}

// recovered answers 500 after a panic.
func (s *Server) recovered(r *request) {
	if reason := recover(); reason != nil {
		s.log.Error("panic in a request handler", slog.String("request_id", string(r.id)),
			slog.Any("reason", reason), slog.String("stack", string(debug.Stack())))
		r.refuse(&Problem{Status: 500, Code: "internal", Title: "Internal error", Detail: "this request failed; the operator's log says why"})
	}
}
