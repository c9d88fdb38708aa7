package actors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/delivery"
	"github.com/aitbc/exchange/actors/webhook"
)

// MaxOpenNotices is how many notices of all accounts may be open by one channel. Of one more only its
// number is kept: it is lost, logged and counted.
const MaxOpenNotices = 1_000_000

// notices has others told what happened. What is told, and that it was, is in the
// account's record: a notice is in the log with its act, and open until its end is in
// the log. So it is told at least once, whatever stops the process, and with the same
// id and body each time. Of one user the next is told after the one before has ended.
type notices struct {
	exchange *Exchange
	ctx      context.Context // done when the exchange closes
	cancel   context.CancelFunc
	finished sync.WaitGroup
	channels [account.ChannelMail + 1]*channel // by number; nil where nothing is told that way
	orphans  atomic.Int64                      // open notices of a channel that there is not
}

// channel is one way of telling.
type channel struct {
	name    string
	queue   *delivery.Queue
	send    func(ctx context.Context, id account.NoticeID, n *account.Notice) delivery.Result
	failing atomic.Bool // the last attempt failed: the next that does is not logged
	lost    atomic.Uint64
}

func (s *notices) init(x *Exchange) {
	s.exchange = x
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if sender := x.cfg.Webhook; sender != nil {
		s.add(account.ChannelWebhook, delivery.Config{}, func(ctx context.Context, id account.NoticeID, n *account.Notice) delivery.Result {
			err := sender.Send(ctx, webhook.Delivery{ID: id.String(), Event: n.Name, Body: n.Body})
			return delivery.Result{Delivered: err == nil, Problem: problemText(err)}
		})
	}
	if sender := x.cfg.Mail; sender != nil {
		s.add(account.ChannelMail, mailRule, func(ctx context.Context, id account.NoticeID, n *account.Notice) delivery.Result {
			return sendMail(ctx, sender, id, n)
		})
	}
}

func (s *notices) add(number account.Channel, cfg delivery.Config, send func(context.Context, account.NoticeID, *account.Notice) delivery.Result) {
	c := &channel{name: number.String(), send: send}
	cfg.Deliver = func(ctx context.Context, item delivery.Item) delivery.Result { return s.deliver(ctx, c, item) }
	cfg.End = s.end
	cfg.Failed = func(item delivery.Item, attempt uint32, problem string, givenUp bool) {
		s.failed(c, item, attempt, problem, givenUp)
	}
	c.queue = delivery.New(cfg)
	s.channels[number] = c
}

// problemText is an error in as many bytes as an account keeps of it.
func problemText(err error) string {
	const most = 300
	if err == nil {
		return ""
	}
	text := err.Error()
	return strings.ToValidUTF8(text[:min(most, len(text))], "")
}

// queue adds to r, which acc has just made of a command, what others are to be told of
// it. Its actor calls it.
func (s *notices) queue(acc *account.Account, r *account.Record, command account.Command) {
	hook, mailer, to := s.channels[account.ChannelWebhook], s.channels[account.ChannelMail], acc.VerifiedEmail()
	if hook == nil && (mailer == nil || to == "") {
		return
	}
	told := func(e account.Event) bool { return hook != nil && isTold(e) }
	mailed := func(e account.Event) bool { return mailer != nil && to != "" && isMailed(e) }
	if !slices.ContainsFunc(r.Events, func(e account.Event) bool { return told(e) || mailed(e) }) {
		return
	}
	acc.Preview(r, func(e account.Event, after *account.State) {
		if told(e) {
			b := s.exchange.noticeOf(e, after)
			acc.QueueNotice(r, account.ChannelWebhook, b.Event, hook.isFull(), func(n uint32) string { return b.text(acc.ID, n, r.At) })
		}
		if mailed(e) {
			if kind, b, ok := mailOf(e, command, &acc.State, after); ok {
				acc.QueueNotice(r, account.ChannelMail, string(kind), mailer.isFull(), b.text)
			}
		}
	})
}

func (c *channel) isFull() bool { return c.queue.Stats().Open >= MaxOpenNotices }

// index takes up the open notices of users, for several parts of them at once.
func (s *notices) index(users []*user) {
	for _, u := range users {
		state := u.durable.Load()
		if state.Outbox == nil {
			continue
		}
		for _, n := range state.Outbox.Notices {
			if n.State == account.NoticeOpen {
				s.open(u, n.Channel, n.N, n.OpenedAt)
			}
		}
	}
}

// open queues a notice that is durable. It does not block.
func (s *notices) open(u *user, number account.Channel, n uint32, at account.Time) {
	c := s.channels[number]
	if c == nil {
		s.orphans.Add(1)
		return
	}
	c.queue.Add(delivery.Item{Line: u.id, N: n, OpenedAt: at.Std()})
}

// observe is called in the journal's order; it does not block.
func (s *notices) observe(u *user, state *account.State, event account.Event, at account.Time) {
	switch e := event.(type) {
	case *account.NoticeQueued:
		s.open(u, e.Channel, e.N, at)
	case *account.NoticeReplayed:
		if n := state.Outbox.Notice(e.N); n != nil {
			s.open(u, n.Channel, e.N, at)
		}
	case *account.NoticeLost:
		if c := s.channels[e.Channel]; c != nil {
			c.lost.Add(1)
		}
		s.exchange.log.Error("ALERT: a notice is lost: too many are open", slog.String("channel", e.Channel.String()),
			slog.String("notice", account.NoticeID{User: u.id, N: e.N}.String()), slog.String("event", e.Name))
	}
}

// start begins to deliver, after recovery.
func (s *notices) start() {
	if n := s.orphans.Load(); n > 0 {
		s.exchange.log.Warn("notices are open and there is nothing to deliver them with; they are kept", slog.Int64("notices", n))
	}
	for _, c := range s.channels {
		if c == nil {
			continue
		}
		if n := c.queue.Stats().Open; n > 0 {
			s.exchange.log.Info("delivering the open notices", slog.String("channel", c.name), slog.Int("notices", n))
		}
		s.finished.Go(func() {
			if err := c.queue.Run(s.ctx); err != nil {
				s.exchange.log.Error("notices are not delivered any more", slog.String("channel", c.name), slog.Any("error", err))
			}
		})
	}
}

func (s *notices) stop() {
	s.cancel()
	s.finished.Wait()
}

// deliver tries a notice once.
func (s *notices) deliver(ctx context.Context, c *channel, item delivery.Item) delivery.Result {
	id := account.NoticeID{User: item.Line, N: item.N}
	_, state := s.exchange.directory.find(id.User)
	n := state.Outbox.Notice(item.N)
	if n == nil || n.State != account.NoticeOpen {
		return delivery.Result{Delivered: true} // it has ended already
	}
	result := c.send(ctx, id, n)
	if result.Delivered && c.failing.Swap(false) {
		s.exchange.log.Info("notices are delivered again", slog.String("channel", c.name))
	}
	return result
}

// failed logs what failed: the first of a row, and what is given up.
func (s *notices) failed(c *channel, item delivery.Item, attempt uint32, problem string, givenUp bool) {
	first := !c.failing.Swap(true)
	about := []any{slog.String("channel", c.name), slog.String("notice", account.NoticeID{User: item.Line, N: item.N}.String()),
		slog.Uint64("attempt", uint64(attempt)), slog.String("error", problem)}
	switch {
	case givenUp:
		s.exchange.log.Error("a notice is given up; an operator may replay it", about...)
	case first:
		s.exchange.log.Warn("a notice is not delivered, and will be tried again", about...)
	}
}

// end makes the end of a notice durable. It fails only where the journal is gone or
// the exchange closes.
func (s *notices) end(ctx context.Context, e delivery.Ended) error {
	state := account.NoticeDelivered
	if !e.Delivered {
		state = account.NoticeFailed
	}
	u, _ := s.exchange.directory.find(e.Line)
	for {
		_, err := s.exchange.do(u, &account.SettleNotice{N: e.N, State: state, Attempts: e.Attempts, Problem: e.Problem}, nil)
		var refused *account.Error
		if err == nil || errors.As(err, &refused) {
			return nil
		}
		if failed := s.exchange.cfg.Journal.Err(); failed != nil {
			return failed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryAfter):
		}
	}
}

// NoticeStats are gauges and counters of one channel.
type NoticeStats struct {
	delivery.Stats
	Lost   uint64        // since the start
	Oldest time.Duration // age of the oldest open one, since it was queued or replayed
}

// NoticeStats returns those of a channel, zero where nothing is told that way.
func (x *Exchange) NoticeStats(number account.Channel) (st NoticeStats) {
	c := x.notices.channels[number]
	if c == nil {
		return st
	}
	st.Stats, st.Lost = c.queue.Stats(), c.lost.Load()
	if oldest := c.queue.Oldest(); !oldest.IsZero() {
		st.Oldest = max(0, x.cfg.Now().Sub(oldest))
	}
	return st
}
