package httpapi

import (
	"fmt"
	"math"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// metricSet is what /metrics shows, in the Prometheus text format.
type metricSet struct {
	set    *metrics.Set
	routes map[string]*routeMetrics // fixed after construction
	other  *routeMetrics            // requests that match no route
}

type routeMetrics struct {
	took     *metrics.Histogram
	statuses [6]*metrics.Counter // by the first digit of the status
}

func newMetricSet(s *Server) *metricSet {
	m := &metricSet{set: metrics.NewSet(), routes: map[string]*routeMetrics{}}
	for _, e := range s.table() {
		if m.routes[e.value.name] == nil {
			m.routes[e.value.name] = m.newRoute(e.value.name)
		}
	}
	m.other = m.newRoute("none")

	for _, kind := range account.AllFactors.Names() {
		for _, result := range [...]string{"held", "refused", "limited"} {
			m.factor(kind, result) // there from the start, at 0
		}
	}

	m.ofServer(s)
	m.ofExchange(s)
	m.ofChain(s)
	m.ofStorage(s)
	return m
}

func (m *metricSet) gauge(name string, value func() float64) { m.set.NewGauge(name, value) }

func (m *metricSet) ofServer(s *Server) {
	gauge := m.gauge
	gauge("exchange_ready", func() float64 { return oneIf(s.ready.Load()) })
	gauge("exchange_recovered_records", func() float64 { return float64(s.progress.Load().Records) })
	gauge("exchange_recovered_events", func() float64 { return float64(s.progress.Load().Events) })
	gauge("exchange_recovery_seconds", func() float64 { return s.progress.Load().Took.Seconds() })
	gauge("exchange_open_connections", func() float64 {
		if loops := s.loops.Load(); loops != nil {
			return float64(loops.Open())
		}
		return float64(s.http.GetOpenConnectionsCount())
	})

	gauge("exchange_open_streams", func() float64 { return float64(s.streams.count()) })
}

// ofExchange adds the figures of accounts, transactions, notices and the audit log.
func (m *metricSet) ofExchange(s *Server) {
	gauge := m.gauge
	of := func(f func(actors.Stats) float64) func() float64 {
		return func() float64 { return f(s.exchange.Stats()) }
	}
	gauge("exchange_accounts", of(func(st actors.Stats) float64 { return float64(st.Accounts) }))
	gauge("exchange_commands_total", of(func(st actors.Stats) float64 { return float64(st.Commands) }))
	gauge("exchange_commands_refused_total", of(func(st actors.Stats) float64 { return float64(st.Refused) }))
	gauge(`exchange_pending_transactions{type="buy"}`, of(func(st actors.Stats) float64 { return float64(st.Buys) }))
	gauge(`exchange_pending_transactions{type="sell"}`, of(func(st actors.Stats) float64 { return float64(st.Sells) }))
	gauge(`exchange_pending_transactions{type="withdrawal"}`, of(func(st actors.Stats) float64 { return float64(st.Withdrawals) }))

	gauge("exchange_transactions", of(func(st actors.Stats) float64 { return float64(st.Transactions) }))
	gauge("exchange_actors", of(func(st actors.Stats) float64 { return float64(st.Actors) }))

	gauge("exchange_credits_reversed_total", of(func(st actors.Stats) float64 { return float64(st.Reversed) }))
	gauge("exchange_refunds_queued_total", of(func(st actors.Stats) float64 { return float64(st.Refunds) }))

	gauge("exchange_unassigned_outputs", of(func(st actors.Stats) float64 { return float64(st.Unassigned) }))

	for _, channel := range []account.Channel{account.ChannelWebhook, account.ChannelMail} {
		notices := func(name string, f func(actors.NoticeStats) float64) {
			gauge(fmt.Sprintf("exchange_notice%s{channel=%q}", name, channel), func() float64 { return f(s.exchange.NoticeStats(channel)) })
		}
		notices("s_open", func(st actors.NoticeStats) float64 { return float64(st.Open) })
		notices("s_delivered_total", func(st actors.NoticeStats) float64 { return float64(st.Delivered) })
		notices("s_failed_total", func(st actors.NoticeStats) float64 { return float64(st.GivenUp) })
		notices("s_lost_total", func(st actors.NoticeStats) float64 { return float64(st.Lost) })
		notices("_attempts_total", func(st actors.NoticeStats) float64 { return float64(st.Attempts) })
		notices("_attempts_failed_total", func(st actors.NoticeStats) float64 { return float64(st.Failed) })
		notices("_oldest_age_seconds", func(st actors.NoticeStats) float64 { return st.Oldest.Seconds() })
	}
	gauge("exchange_audit_entries", func() float64 {
		head, kept := s.exchange.AuditHead()
		if !kept {
			return math.NaN()
		}
		return float64(head.N)
	})
}

// ofChain adds the figures of the Bitcoin chain; they are NaN while it is not followed.
func (m *metricSet) ofChain(s *Server) {
	gauge := m.gauge
	chain := func(f func(actors.ChainStatus) float64) func() float64 {
		return func() float64 {
			status, ok := s.exchange.Chain()
			if !ok || !s.ready.Load() {
				return math.NaN()
			}
			return f(status)
		}
	}
	gauge("exchange_chain_following", chain(func(st actors.ChainStatus) float64 { return oneIf(st.Failed == nil && st.State == bitcoin.Following) }))
	gauge("exchange_chain_failed", chain(func(st actors.ChainStatus) float64 { return oneIf(st.Failed != nil) }))
	gauge("exchange_chain_height", chain(func(st actors.ChainStatus) float64 { return float64(st.Height) }))
	gauge("exchange_chain_node_height", chain(func(st actors.ChainStatus) float64 { return float64(st.NodeHeight) }))
	gauge("exchange_next_address_index", chain(func(st actors.ChainStatus) float64 { return float64(st.NextIndex) }))
	gauge("exchange_chain_synced_age_seconds", chain(func(st actors.ChainStatus) float64 {
		if st.Synced.IsZero() {
			return math.NaN()
		}
		return time.Since(st.Synced).Seconds()
	}))
}

// ofStorage adds the figures of the snapshots and of the journal.
func (m *metricSet) ofStorage(s *Server) {
	gauge := m.gauge
	snapshot := func(f func(actors.SnapshotStats) float64) func() float64 {
		return func() float64 { return f(s.exchange.SnapshotStats()) }
	}
	gauge("exchange_snapshots_total", snapshot(func(st actors.SnapshotStats) float64 { return float64(st.Taken) }))
	gauge("exchange_snapshot_failures_total", snapshot(func(st actors.SnapshotStats) float64 { return float64(st.Failures) }))
	gauge("exchange_snapshot_running", snapshot(func(st actors.SnapshotStats) float64 { return oneIf(st.Running) }))
	gauge("exchange_snapshot_age_seconds", snapshot(func(st actors.SnapshotStats) float64 {
		if st.At.IsZero() {
			return math.NaN()
		}
		return time.Since(st.At).Seconds()
	}))
	gauge("exchange_snapshot_seconds", snapshot(func(st actors.SnapshotStats) float64 { return st.Took.Seconds() }))
	gauge("exchange_snapshot_bytes", snapshot(func(st actors.SnapshotStats) float64 { return float64(st.Bytes) }))
	gauge("exchange_snapshot_entries", snapshot(func(st actors.SnapshotStats) float64 { return float64(st.Entries) }))

	journal := func(f func(actors.JournalStats) float64) func() float64 {
		return func() float64 { return f(s.exchange.JournalStats()) }
	}
	gauge("exchange_journal_records_total", journal(func(st actors.JournalStats) float64 { return float64(st.Records) }))
	gauge("exchange_journal_frames_total", journal(func(st actors.JournalStats) float64 { return float64(st.Frames) }))
	gauge("exchange_journal_bytes_total", journal(func(st actors.JournalStats) float64 { return float64(st.Bytes) }))
	gauge("exchange_journal_sync_seconds_total", journal(func(st actors.JournalStats) float64 { return st.SyncTime.Seconds() }))
	gauge("exchange_journal_queued_records", journal(func(st actors.JournalStats) float64 { return float64(st.QueuedRecords) }))
	gauge("exchange_journal_queued_bytes", journal(func(st actors.JournalStats) float64 { return float64(st.QueuedBytes) }))
	gauge("exchange_journal_epoch", journal(func(st actors.JournalStats) float64 { return float64(st.Epoch) }))
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *metricSet) newRoute(name string) *routeMetrics {
	r := &routeMetrics{took: m.set.NewHistogram(fmt.Sprintf("exchange_request_seconds{route=%q}", name))}
	for class := 1; class < len(r.statuses); class++ {
		r.statuses[class] = m.set.NewCounter(fmt.Sprintf(`exchange_requests_total{route=%q,status="%dxx"}`, name, class))
	}
	return r
}

// observe counts one request.
func (m *metricSet) observe(r *request, status int, took time.Duration) {
	route := m.other
	if r.route != nil {
		route = m.routes[r.route.name]
	}
	if class := status / 100; class > 0 && class < len(route.statuses) {
		route.statuses[class].Inc()
	}
	route.took.Update(took.Seconds())
}

func (s *Server) writeMetrics(r *request) error {
	r.ctx.Response.Header.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	s.metrics.set.WritePrometheus(r.ctx.Response.BodyWriter())
	metrics.WriteProcessMetrics(r.ctx.Response.BodyWriter())
	return nil
}
