package actors

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// user is one user's place in memory: the state that everybody may read, and the
// way to the actor that owns the account, while there is one.
type user struct {
	id account.UserID

	// durable is the state after the last record known to be on disk; nil until
	// the account's first. Written in the journal's order: by its committer, and
	// by recovery before that starts.
	durable atomic.Pointer[account.State]

	// mailbox is that of the user's actor, nil while the user is passive: before the
	// first command, and after a while without one. Written under Exchange.spawning.
	mailbox atomic.Pointer[mailbox]

	// reserved holds the names of an account that is about to be created; nil after.
	reserved atomic.Pointer[names]

	// watchers are told of every change of durable; nil where nobody watches. The
	// list is replaced, never written, under Exchange.watching.
	watchers atomic.Pointer[[]*Watcher]

	// underWay is how many commands were sent and have no outcome yet, or sealed.
	underWay atomic.Int32

	// used says that a command was sent since the passivator last looked.
	used atomic.Bool

	// renaming lets one change of profile at a time claim and release names.
	renaming sync.Mutex
}

// userActor gives a user's commands an order. It never waits: what it decides is
// handed to the journal, which answers.
type userActor struct {
	mailbox  mailbox
	exchange *Exchange
	user     *user
	account  *account.Account // runs ahead of user.durable
}

// Receive handles one message. A panic in it ends the process: a restarted actor
// would have lost changes that were acknowledged.
func (a *userActor) Receive(ctx actor.Context) {
	defer a.exchange.guard()
	if c, ok := ctx.Message().(*call); ok {
		a.handle(c)
	}
}

func (a *userActor) handle(c *call) {
	if a.account.Restores != a.exchange.restores && !a.takeOver(c) {
		return
	}
	_ = a.execute(c) // c is told
}

// execute has c's command decided, applied and made durable. An error is one of the
// journal, that has no room for it: then nothing was changed, and c is answered.
func (a *userActor) execute(c *call) error {
	x, acc := a.exchange, a.account
	c.decision, c.err = acc.Decide(c.command, c.idempotency(), x.now())
	record := &c.decision.Record
	if c.err == nil {
		x.notices.queue(acc, record, c.command)
	}
	if c.err != nil || len(record.Events) == 0 {
		// The answer rests on changes that may not be durable yet: it waits for them.
		x.cfg.Journal.Barrier(c)
		return nil
	}
	c.encoded = record.Append(c.encoded[:0])
	if err := x.cfg.Journal.Reserve(len(c.encoded)); err != nil {
		c.fail(err)
		return err
	}
	if err := acc.Apply(record); err != nil {
		panic(err)
	}
	state := acc.State
	c.state = &state
	x.cfg.Journal.Append(c.encoded, c) // which may be the account's last: see passivate
	return nil
}

// mailboxOf returns the mailbox of the user's actor, and starts that if there is
// none. The caller has counted a command as under way.
func (x *Exchange) mailboxOf(u *user) *mailbox {
	if m := u.mailbox.Load(); m != nil {
		return m
	}
	x.spawning.Lock()
	defer x.spawning.Unlock()
	if m := u.mailbox.Load(); m != nil {
		return m
	}
	acc := account.New(u.id)
	if state := u.durable.Load(); state != nil {
		acc = account.Resume(state)
	}
	a := &userActor{exchange: x, user: u, account: acc}
	m := &a.mailbox
	m.pid = x.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return a },
		actor.WithMailbox(func() actor.Mailbox { return m })))
	u.mailbox.Store(m)
	x.active = append(x.active, u)
	x.actors.Add(1)
	return m
}

// publish lets others see state, which is durable, and everything that follows
// from the record it came from.
func (x *Exchange) publish(u *user, state *account.State, record *account.Record) {
	added := state.History.Size()
	if before := u.durable.Load(); before != nil {
		added -= before.History.Size()
	}
	if e, ok := record.Events[len(record.Events)-1].(*account.SessionRotated); ok {
		u.rotated(e.From)
	}
	u.durable.Store(state)
	if added > 0 {
		x.transactions.Add(uint64(added))
	}
	for _, event := range record.Events {
		x.observe(u, state, event, record.At)
	}
	u.tellWatchers()
}

// observe brings what is known across users up to date. It is called in the
// journal's order by its committer, and does not block.
func (x *Exchange) observe(u *user, state *account.State, event account.Event, at account.Time) {
	switch e := event.(type) {
	case *account.Created:
		u.reserved.Store(nil)
		if u.id != account.SystemID {
			x.created.add(u)
		}
	case *account.WithdrawalRequested, *account.SaleRequested, *account.PaymentCreated, *account.PaymentAddressed:
		n := state.History.Last()
		if t, _ := state.History.At(n); t.Type == account.TypeBuy {
			x.market.paymentCreated()
		}
		x.opened(u, n, state)
	case *account.TxCompleted:
		t, _ := state.History.At(e.N)
		if t.Type == account.TypeBuy || t.Type == account.TypeSell {
			x.market.traded(quoteOf(&t), tradeOf(&t), at)
		}
		x.closed(u, e.N, t.Type)
	case *account.PaymentCredited:
		x.credited(u, state, e)
	case *account.OutputSeen: // the time at which the money came may be another now
		x.refunds.noteOut(state, e.N, e.Out)
	case *account.OutputConfirmed: // the same, by another block's time
		x.refunds.noteOut(state, e.N, e.Out)
	case *account.RefundQueued:
		x.refunds.noteOut(state, e.N, e.Out)
		x.payments.alert(account.TransactionID{User: u.id}, event)
	case *account.RefundSettled:
		x.refunds.noteOut(state, e.N, e.Out)
	case *account.PayoutExported, *account.PayoutSigned, *account.PayoutMined, *account.PayoutUnmined, *account.PayoutConfirmed,
		*account.PayoutReplaced, *account.PayoutTxMined, *account.PayoutTxUnmined:
		x.payouts.observe(event)
	case *account.OutputsAnswered:
		x.payments.lookNow(account.TransactionID{User: u.id, N: e.N})
	case *account.CreditReversed, *account.FreezeLifted:
		x.payments.alert(account.TransactionID{User: u.id}, event)
	case *account.UnassignedOutputMoved, *account.UnassignedOutputSettled:
		x.unassigned.observe(state, event)
	case *account.RecoveryRequested:
		x.recoveries.add(u)
	case *account.NoticeQueued, *account.NoticeReplayed, *account.NoticeLost:
		x.notices.observe(u, state, event, at)
	case *account.TxFailed:
		t, _ := state.History.At(e.N)
		x.closed(u, e.N, t.Type)
	}
}

// asUnavailable turns the journal's errors into this package's.
func asUnavailable(err error) error {
	if errors.Is(err, persistence.ErrQueueFull) {
		return ErrOverloaded
	}
	return errors.Join(ErrOutcomeUnknown, err)
}
