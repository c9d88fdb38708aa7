package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/httpapi/eventloop"
	"github.com/aitbc/exchange/httpapi/throttle"
)

// Limits of a request.
const (
	maxBody   = 64 << 10 // bytes
	maxHeader = 8 << 10  // bytes, request line included
)

// Config is what a Server needs. Fields without a default are required.
type Config struct {
	Exchange *actors.Exchange
	Demo     bool
	Keys     []OperatorKey // none: operators are refused
	Logins   Logins
	Limits   Limits
	TLS      *tls.Config // nil: none

	AccessTokens AccessTokens
	Version      string
	Logger       *slog.Logger

	MaxConnections int           // default 16,384; more are answered 503
	ReadTimeout    time.Duration // for a whole request, so that a slow client holds nothing; default 10 s
	WriteTimeout   time.Duration // for a whole response; default 10 s
	IdleTimeout    time.Duration // between requests; default 2 min
	MaxStreams     int           // streams of events, which do not count as connections; default 16,384; more are answered 503
	Heartbeat      time.Duration // of a stream, so that a client notices a dead connection; default 15 s
}

// Server answers requests. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	exchange *actors.Exchange
	log      *slog.Logger
	http     *fasthttp.Server
	routes   *router[route]
	limits   *limiters
	metrics  *metricSet
	timer    *phaseTimer
	requests sync.Pool                          // of *request
	contexts sync.Pool                          // of *fasthttp.RequestCtx, for the fast path
	loops    atomic.Pointer[eventloop.Listener] // nil where there are none
	stopping atomic.Bool
	streams  streams
	buffers  sync.Pool // of *[]byte, for streams
	started  time.Time

	idPrefix string // of the ids of this process's requests
	idNext   atomic.Uint64

	ready    atomic.Bool
	progress atomic.Pointer[actors.Progress]
}

// New returns a Server that answers 503 to everything but /healthz, /readyz and
// /metrics until SetReady.
func New(cfg Config) (*Server, error) {
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 16_384
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 10 * time.Second
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 10 * time.Second
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 2 * time.Minute
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = 16_384
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	var prefix [6]byte
	if _, err := rand.Read(prefix[:]); err != nil {
		return nil, fmt.Errorf("random number for request ids: %w", err)
	}
	s := &Server{cfg: cfg, exchange: cfg.Exchange, log: cfg.Logger, idPrefix: hex.EncodeToString(prefix[:]) + "-"}
	var err error
	if s.limits, err = newLimiters(&cfg.Limits); err != nil {
		return nil, err
	}
	s.requests.New = func() any { return &request{server: s, done: make(chan struct{}, 1)} }
	s.contexts.New = func() any { return new(fasthttp.RequestCtx) }
	s.streams.limit, s.streams.ended, s.streams.conns = cfg.MaxStreams, make(chan struct{}), make(map[net.Conn]struct{})
	s.buffers.New = func() any { return new([]byte) }
	s.started = time.Now()
	s.routes = newRouter(s.table())
	s.metrics = newMetricSet(s)
	s.progress.Store(&actors.Progress{})
	s.timer = newPhaseTimer(cfg.ReadTimeout, cfg.WriteTimeout, cfg.IdleTimeout)
	s.http = &fasthttp.Server{
		Handler:               s.serve,
		ErrorHandler:          s.malformed,
		Concurrency:           cfg.MaxConnections,
		ConnState:             connState, // timeouts are the phaseTimer's
		LazyRequestTime:       true,
		ReadBufferSize:        maxHeader,
		MaxRequestBodySize:    maxBody,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		CloseOnShutdown:       true,
		KeepHijackedConns:     true, // a stream closes its own
		Logger:                quiet{s.log},
		SecureErrorLogMessage: true, // no error holds a request's header, with the token in it
	}
	return s, nil
}

// Serve accepts connections until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	go s.timer.run()
	defer s.timer.close()
	if tcp, ok := l.(*net.TCPListener); ok && s.cfg.TLS == nil {
		loops, err := eventloop.Listen(eventloop.Config{Listener: tcp, Handler: fastHandler{s},
			MaxConnections: s.cfg.MaxConnections, Refusal: s.tooManyConnections(), Logger: s.log})
		if err != nil {
			return err
		}
		s.loops.Store(loops)
		return s.http.Serve(loops)
	}
	l = timedListener{l, s.timer} // below TLS, so that a handshake has its time too
	if s.cfg.TLS != nil {
		l = tls.NewListener(l, s.cfg.TLS)
	}
	return s.http.Serve(l)
}

// Shutdown stops accepting, ends the streams, whose clients come back to the next
// process, and waits for the requests under way, at most until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	err := errors.Join(s.streams.stop(ctx), s.http.ShutdownWithContext(ctx))
	if loops := s.loops.Load(); loops != nil {
		err = errors.Join(err, loops.Wait(ctx))
	}
	return err
}

// SetReady begins to answer, once recovery is over.
func (s *Server) SetReady() { s.ready.Store(true) }

// SetProgress is what /readyz tells until then.
func (s *Server) SetProgress(p actors.Progress) { s.progress.Store(&p) }

// serve answers one request of fasthttp's server.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	r := s.begin(ctx, time.Now())
	s.handle(r)
	connOf(ctx.Conn()).enter(phaseWriting)
	s.finish(r, time.Since(r.start))
}

func (s *Server) begin(ctx *fasthttp.RequestCtx, start time.Time) *request {
	connOf(ctx.Conn()).enter(phaseAnswering)
	r := s.requests.Get().(*request)
	r.begin(ctx)
	r.start = start
	return r
}

// handle answers r, or reports that its answer is pending. The fast path has found the
// route of what it handles. A panic in a handler is answered 500 and logged: no state is
// touched on this goroutine, so nothing is half done.
func (s *Server) handle(r *request) (pending bool) {
	defer s.recovered(r)
	if r.route == nil && !s.findRoute(r) {
		return false
	}
	err := s.answer(r)
	if err == errPending {
		return true
	}
	if err != nil {
		r.refuse(s.problemOf(r, err))
	}
	return false
}

// findRoute sets r's route and captures, or answers that there is none.
func (s *Server) findRoute(r *request) bool {
	ctx := r.ctx
	if ambiguous(&ctx.Request.Header) {
		ctx.SetConnectionClose()
		r.refuse(malformedRequest())
		return false
	}
	matched, captures, missed := s.routes.lookup(ctx.Method(), ctx.URI().PathOriginal())
	switch {
	case missed == nil:
		r.route, r.captures = matched, captures
		return true
	case string(ctx.Method()) == fasthttp.MethodOptions && missed.Status == fasthttp.StatusMethodNotAllowed:
		ctx.Response.Header.Set(fasthttp.HeaderAllow, missed.Allow)
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	default:
		r.refuse(missed)
	}
	return false
}

// answer checks who asks, and that it is not too often, and calls the route's handler.
func (s *Server) answer(r *request) error {
	if !r.route.always && !s.ready.Load() {
		return unavailable(1, "the service is starting; /readyz says how far it is")
	}
	if r.route.access.who() != probe {
		if p := r.takeAddress(s.limits.address); p != nil {
			return p
		}
	}
	if err := r.authorize(); err != nil {
		return err
	}
	if r.session.State != nil {
		if p := r.take(s.limits.account, throttle.Key(r.session.UserID())); p != nil {
			return p
		}
	}
	return r.route.handle(r)
}

// Headers of every response, in the form that fasthttp need not make canonical.
var (
	headerRequestID          = []byte("X-Request-Id")
	headerContentTypeOptions = []byte("X-Content-Type-Options")
	headerCacheControl       = []byte("Cache-Control")

	noSniff = []byte("nosniff")
	noStore = []byte("no-store")
)

// finish sets what every response has, counts it and logs it.
func (s *Server) finish(r *request, took time.Duration) {
	h := &r.ctx.Response.Header
	h.SetCanonical(headerRequestID, r.id)
	h.SetCanonical(headerContentTypeOptions, noSniff)
	if len(h.Peek(fasthttp.HeaderCacheControl)) == 0 {
		h.SetCanonical(headerCacheControl, noStore)
	}
	r.writeLimits(h)
	status := r.ctx.Response.StatusCode()
	s.metrics.observe(r, status, took)
	s.logRequest(r, status, took)
	r.end()
	s.requests.Put(r)
}

// logRequest writes a line for what an operator wants to know of: what failed on
// our side, what an operator's key did, and at debug level everything.
func (s *Server) logRequest(r *request, status int, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case status >= 500 && status != fasthttp.StatusServiceUnavailable:
		level = slog.LevelError
	case status >= 500:
		level = slog.LevelWarn
	case r.operator != "" && !r.ctx.IsGet():
		level = slog.LevelInfo
	}
	if !s.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", string(r.id)),
		slog.String("method", string(r.ctx.Method())),
		slog.String("path", string(r.ctx.URI().PathOriginal())),
		slog.Int("status", status),
		slog.Duration("took", took),
		slog.String("remote", r.ctx.RemoteAddr().String()),
	}
	if s.cfg.Limits.Proxies.Field != "" {
		attrs = append(attrs, slog.String("client", r.client().String()))
	}
	if r.session.State != nil {
		attrs = append(attrs, slog.String("user_id", r.session.UserID().String()))
	}
	if r.operator != "" {
		attrs = append(attrs, slog.String("operator", r.operator))
	}
	if r.failure != nil {
		attrs = append(attrs, slog.Any("error", r.failure))
	}
	s.log.LogAttrs(context.Background(), level, "request", attrs...)
}

// malformed answers what could not be read as a request.
func (s *Server) malformed(ctx *fasthttp.RequestCtx, err error) {
	r := s.requests.Get().(*request)
	r.begin(ctx)
	var small *fasthttp.ErrSmallBuffer
	var late interface{ Timeout() bool }
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r.refuse(tooLarge(maxBody))
	case errors.As(err, &small):
		r.refuse(&Problem{Status: fasthttp.StatusRequestHeaderFieldsTooLarge, Code: "header_too_large", Title: "Header too large",
			Detail: "the request line and header are more than " + strconv.Itoa(maxHeader) + " bytes"})
	case errors.As(err, &late) && late.Timeout():
		r.refuse(&Problem{Status: fasthttp.StatusRequestTimeout, Code: "timeout", Title: "Request timeout",
			Detail: "the request did not arrive within " + s.cfg.ReadTimeout.String()})
	default:
		r.refuse(malformedRequest())
	}
	ctx.SetConnectionClose()
	s.finish(r, 0)
}

// quiet logs fasthttp's own messages, which are about connections, at
// debug level. Those about a malformed request quote it, with whatever secret
// is in it, so they are left out: the request's own line says what was wrong.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	if !q.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	args = slices.Clone(args)
	for i, arg := range args {
		var network *net.OpError
		if err, ok := arg.(error); ok && !errors.As(err, &network) {
			args[i] = "it is not a valid request"
		}
	}
	q.log.Debug("connection", slog.String("event", fmt.Sprintf(format, args...)))
}
