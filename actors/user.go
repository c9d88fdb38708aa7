package actors

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// user is one user's place in memory: the account that its actor owns, and the
// state that everybody may read.
type user struct {
	id account.UserID

	// durable is the state after the last record known to be on disk; nil until
	// the account's first. Written in the journal's order: by its committer, and
	// by recovery before that starts.
	durable atomic.Pointer[account.State]

	// account runs ahead of durable. Owned by the actor; by recovery before that.
	account *account.Account

	// pid is the user's actor, nil until the first command.
	pid atomic.Pointer[actor.PID]

	// reserved holds the names of an account that is about to be created; nil after.
	reserved atomic.Pointer[names]

	// watchers are told of every change of durable; nil where nobody watches. The
	// list is replaced, never written, under Exchange.watching.
	watchers atomic.Pointer[[]*Watcher]

	// renaming lets one change of profile at a time claim and release names.
	renaming sync.Mutex
}

// userActor gives a user's commands an order. It never waits: what it decides is
// handed to the journal, which answers.
type userActor struct {
	exchange *Exchange
	user     *user
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
	x, acc := a.exchange, a.user.account
	decision, err := acc.Decide(c.command, c.idempotency(), x.now())
	c.decision, c.err = decision, err
	if err != nil || len(decision.Record.Events) == 0 {
		// The answer rests on changes that may not be durable yet: it waits for them.
		x.cfg.Journal.Barrier(c)
		return
	}
	c.encoded = decision.Record.Append(c.encoded[:0])
	if err := x.cfg.Journal.Reserve(len(c.encoded)); err != nil {
		c.fail(err)
		return
	}
	if err := acc.Apply(&decision.Record); err != nil {
		panic(err)
	}
	state := acc.State
	c.state = &state
	x.cfg.Journal.Append(c.encoded, c)
}

// actorOf returns the user's actor, and starts it if there is none.
func (x *Exchange) actorOf(u *user) *actor.PID {
	if pid := u.pid.Load(); pid != nil {
		return pid
	}
	x.spawning.Lock()
	defer x.spawning.Unlock()
	if pid := u.pid.Load(); pid != nil {
		return pid
	}
	props := actor.PropsFromProducer(func() actor.Actor { return &userActor{exchange: x, user: u} })
	pid := x.system.Root.Spawn(props)
	u.pid.Store(pid)
	return pid
}

// publish lets others see state, which is durable, and everything that follows
// from the record it came from.
func (x *Exchange) publish(u *user, state *account.State, record *account.Record) {
	u.durable.Store(state)
	for _, event := range record.Events {
		x.observe(u, state, event, record.At)
	}
	u.tellWatchers()
}

// observe brings what is known across users up to date. It is called in the
// journal's order, by its committer or by recovery, and does not block.
func (x *Exchange) observe(u *user, state *account.State, event account.Event, at account.Time) {
	switch e := event.(type) {
	case *account.Created:
		u.reserved.Store(nil)
		x.created.add(u)
	case *account.WithdrawalRequested, *account.SaleRequested, *account.PaymentCreated:
		n := state.History.Len()
		if _, ok := event.(*account.PaymentCreated); ok {
			x.market.paymentCreated()
		}
		x.opened(u, n, state)
	case *account.TxCompleted:
		t, _ := state.History.At(e.N)
		if t.Type == account.TypeBuy || t.Type == account.TypeSell {
			x.market.traded(tradeOf(&t), at)
		}
		x.closed(u, e.N, t.Type)
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
