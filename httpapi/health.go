package httpapi

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
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
	b = appendUint(b, "records_per_second", perSecond(p.Records, p))
	if word == "recovering" {
		b = appendString(b, "stage", string(p.Stage))
		b = strconv.AppendFloat(appendKey(b, "percent"), p.Percent(), 'f', 1, 64)
		b = appendUint(b, "seconds_remaining", uint64(p.Remaining().Seconds()+0.5))
	}
	r.body = append(b, '}')
	return r.json(status)
}

// perSecond is the rate of the stage that reads the log, and 0 in any other.
func perSecond(n uint64, p *actors.Progress) uint64 {
	if p.Stage != actors.StageLog || p.InStage <= 0 {
		return 0
	}
	return uint64(float64(n) / p.InStage.Seconds())
}

func itoa(n int) string { return strconv.Itoa(n) }

// operatorHealth answers with the figures that an operator looks at first, and what
// the key is good for; /metrics has all of the figures.
func (s *Server) operatorHealth(r *request) error {
	x, j := s.exchange.Stats(), s.exchange.JournalStats()
	var sync time.Duration
	if j.Frames > 0 {
		sync = j.SyncTime / time.Duration(j.Frames)
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "version", s.cfg.Version)
	b = appendString(b, "operator", r.operator)
	b = appendString(b, "role", r.role.String())
	b = appendTime(b, "started_at", account.TimeOf(s.started))
	for _, figure := range [...]struct {
		name  string
		value uint64
	}{
		{"uptime_seconds", uint64(time.Since(s.started).Seconds())},
		{"accounts", uint64(x.Accounts)},
		{"pending_buys", uint64(x.Buys)},
		{"pending_sells", uint64(x.Sells)},
		{"pending_withdrawals", uint64(x.Withdrawals)},
		{"open_connections", uint64(max(0, s.http.GetOpenConnectionsCount()))},
		{"open_streams", uint64(s.streams.count())},
		{"journal_records", j.Records},
		{"journal_frames", j.Frames},
		{"journal_queued_records", uint64(j.QueuedRecords)},
		{"journal_queued_bytes", uint64(j.QueuedBytes)},
		{"journal_sync_microseconds", uint64(sync.Microseconds())},
		{"journal_epoch", j.Epoch},
	} {
		b = appendUint(b, figure.name, figure.value)
	}
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}
