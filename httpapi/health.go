package httpapi

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// health says that the process is alive, recovered or not.
func (s *Server) health(r *request) error {
	b := append(r.body[:0], '{')
	b = appendString(b, "status", "ok")
	b = appendString(b, "version", s.cfg.Version)
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// readiness says whether requests are answered, and until then how far recovery
// has come.
func (s *Server) readiness(r *request) error {
	p := s.progress.Load()
	status, word := fasthttp.StatusOK, "ready"
	if !s.ready.Load() {
		status, word = fasthttp.StatusServiceUnavailable, "recovering"
		r.ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "status", word)
	b = appendUint(b, "records", p.Records)
	b = appendUint(b, "records_per_second", uint64(p.Rate))
	r.body = append(b, '}')
	return r.json(status)
}

func itoa(n int) string { return strconv.Itoa(n) }
