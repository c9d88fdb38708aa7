package httpapi

import (
	"bufio"
	"bytes"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/httpapi/eventloop"
)

// fastHandler answers on the event loops the messages of the fast path: a complete request
// in its simplest form, for a route whose handler never waits, or waits by await only. With
// any other message it has the connection detached, so that fasthttp's server reads it.
// The fast path uses fasthttp's parser and the same handlers, so both answer alike.
//
// The simplest form, each a line of fastRoute or readFast:
//
//	request line   one that fastRoute finds in the table of routes as it came, HTTP/1.1, not HEAD
//	query          none, or limit of at most two digits: a filter may look at much
//	fragment       none: the parser cuts it off, and what is left may be another route's
//	Host           a name or an IPv4 address, with or without a port
//	header         within maxHeader; nothing ambiguous; no Connection: close, no Expect
//	body           all there, within maxBody, with a Content-Length; not chunked
//	service        recovery is over and no shutdown has begun
type fastHandler struct{ *Server }

// requestReader is what reading a request from bytes takes.
type requestReader struct {
	bytes  bytes.Reader
	reader *bufio.Reader
}

var requestReaders = sync.Pool{New: func() any { return &requestReader{reader: bufio.NewReaderSize(nil, maxHeader)} }}

// Opened implements eventloop.Handler.
func (s fastHandler) Opened(c *eventloop.Conn) net.Conn {
	timed := s.timer.watch(c)
	c.Data = timed
	return timed
}

// Sent implements eventloop.Handler.
func (s fastHandler) Sent(c *eventloop.Conn) { c.Data.(*timedConn).enter(phaseIdle) }

// tooManyConnections returns the response to a connection over MaxConnections.
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

// AtMessageBoundary implements eventloop.Handler.
func (s fastHandler) AtMessageBoundary(c *eventloop.Conn) bool {
	p := c.Data.(*timedConn).phase()
	return p == phaseNew || p == phaseIdle
}

// TimedOut implements eventloop.Handler: fasthttp's server answers 408 to a client that
// never sent anything; an idle connection is closed.
func (s fastHandler) TimedOut(c *eventloop.Conn) (detach bool) {
	return c.Data.(*timedConn).phase() == phaseNew
}

// Message implements eventloop.Handler.
func (s fastHandler) Message(c *eventloop.Conn, in, out []byte) (taken int, response []byte, v eventloop.Verdict) {
	matched, captures := s.fastRoute(in)
	if matched == nil {
		return 0, out, eventloop.Detach
	}
	ctx := s.contexts.Get().(*fasthttp.RequestCtx)
	taken = readFast(&ctx.Request, in)
	if taken == 0 || !captures.moveTo(ctx.URI().PathOriginal()) {
		s.release(ctx)
		return 0, out, eventloop.Detach
	}
	timed := c.Data.(*timedConn)
	ctx.Init2(timed, s.http.Logger, false)
	ctx.Response.Header.SetNoDefaultContentType(true)
	r := s.begin(ctx, time.Now())
	r.conn, r.route, r.captures = c, matched, captures
	if s.handle(r) {
		timed.pending = r
		return taken, out, eventloop.Pending
	}
	return taken, s.respond(r, c, out), eventloop.Answered
}

// fastRoute returns the route that the request line at the beginning of in asks for, with
// captures that are parts of in, or nil if it is none of the fast path.
func (s fastHandler) fastRoute(in []byte) (*route, captures) {
	method, rest, _ := bytes.Cut(in, []byte{' '})
	target, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || !bytes.HasPrefix(rest, []byte("HTTP/1.1\r\n")) || string(method) == fasthttp.MethodHead {
		return nil, captures{}
	}
	if bytes.IndexByte(target, '#') >= 0 {
		return nil, captures{}
	}
	path, query, asks := bytes.Cut(target, []byte{'?'})
	if asks && !isShortPage(query) {
		return nil, captures{}
	}
	matched, captured, missed := s.routes.lookup(method, path)
	if missed != nil || matched.access&fastPath == 0 || !s.ready.Load() || s.stopping.Load() {
		return nil, captures{}
	}
	return matched, captured
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

// readFast reads a request from the beginning of in, and returns its length in bytes: 0 if
// it is incomplete, or not of the fast path.
func readFast(request *fasthttp.Request, in []byte) (taken int) {
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

// isPlainHost accepts a name or an IPv4 address, with a port or without.
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
func (s fastHandler) Start(c *eventloop.Conn) {
	r := c.Data.(*timedConn).pending
	r.begins(r)
}

// Response implements eventloop.Handler.
func (s fastHandler) Response(c *eventloop.Conn, out []byte) []byte {
	timed := c.Data.(*timedConn)
	r := timed.pending
	timed.pending = nil
	s.conclude(r)
	return s.respond(r, c, out)
}

// respond ends r and appends its response.
func (s fastHandler) respond(r *request, c *eventloop.Conn, out []byte) []byte {
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

func (s fastHandler) release(ctx *fasthttp.RequestCtx) {
	ctx.Request.Reset()
	ctx.Response.Reset()
	s.contexts.Put(ctx)
}
