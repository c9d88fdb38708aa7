package actors

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/mail"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/actors/webhook"
	"github.com/aitbc/exchange/persistence"
)

// Errors of a command that are not the account's own (*account.Error).
var (
	// ErrOverloaded: the journal's queue is full. Nothing was changed.
	ErrOverloaded = errors.New("too many changes are waiting to be written")
	// ErrOutcomeUnknown: the change may or may not have been made; a retry with
	// the same Idempotency-Key settles it.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
	// ErrPaymentsOff: there is no Bitcoin side.
	ErrPaymentsOff = errors.New("no Bitcoin node is configured")
	// ErrChainDown: the chain is not followed, so that a payment could go unseen.
	ErrChainDown = errors.New("the Bitcoin chain is not followed at the moment")
	// ErrChainBehind: what the chain has is not known to its end, so that a payout of the
	// same sales may be there.
	ErrChainBehind = errors.New("the Bitcoin chain is not followed to its end at the moment, where a payout may be that the log does not know")
	// ErrNodeDown: the Bitcoin node does not answer.
	ErrNodeDown = errors.New("the Bitcoin node cannot be used at the moment")
	// ErrNoRate: there is no rate that is young enough to trade at.
	ErrNoRate = errors.New("there is no rate at the moment")
)

// Config is what an Exchange needs. Every field without a default is required.
type Config struct {
	Journal *persistence.Journal
	Terms   Terms
	Chain   Chain // nil: nobody can buy

	// Policy says what becomes of a payment that is not as it was quoted. Its
	// Confirmations are the Terms'.
	Policy bitcoin.Policy

	// Rate returns the AITBC for one BTC at this moment, or why there is none. nil:
	// always Terms.Rate. It is called from any goroutine.
	Rate func() (account.Money, error)

	Factors FactorConfig

	// Webhook delivers notices to the operator's systems. nil: none are made.
	Webhook *webhook.Sender

	// Mail writes to users whose e-mail address is verified. nil: nobody is written to.
	Mail *mail.Sender

	// RecoveryDelay is how long it takes until who lost their second factor is without
	// one. Default 72 h.
	RecoveryDelay time.Duration

	// Copy is set where the journal's data are a copy: what may have been given out
	// since it was made is skipped. nil: they are not. Once Recover has returned it is
	// in the log, and the mark of the copy may be cleared.
	Copy *Copy

	// FirstIndex is the lowest index of an address that is given out from now on. The
	// addresses between those in the log and it are given to nobody. It only ever raises
	// the index: 0 leaves it as it is.
	FirstIndex uint32

	// Audit is written before what operators do, and before changes of an account's
	// security. nil: nothing is.
	Audit *AuditLog

	// Identity is what the data directory is to be. nil: whatever it is.
	Identity *IdentityConfig

	// Faucet lets users deposit to themselves and confirm their own payments.
	Faucet bool

	// CommandTimeout is how long a request waits for its change to be durable; it may
	// be up to a tenth less. Default 10 s.
	CommandTimeout time.Duration

	// PassivateAfter is how long a user sends no command before its actor is given
	// back. Default 1 min; below zero: never.
	PassivateAfter time.Duration

	// SnapshotBytes is how much the log grows before a snapshot is taken. 0: none is
	// taken unless asked for.
	SnapshotBytes int64

	Logger *slog.Logger     // default: discard
	Now    func() time.Time // default: time.Now; called from any goroutine
	Random io.Reader        // cryptographic; read from any goroutine

	// Fatal ends the process after a broken invariant: an account whose actor
	// failed must not be served again. It does not return. Default: print and exit 2.
	Fatal func(reason any, stack []byte)
}

// Exchange is the service. Its methods may be called from any goroutine once
// Recover has returned.
type Exchange struct {
	cfg    Config
	log    *slog.Logger
	system *actor.ActorSystem
	calls  sync.Pool // of *call

	spawning sync.Mutex // one spawn or passivation at a time, so that a user never has two actors
	active   []*user    // guarded by spawning: who has an actor, less those the passivator looks at
	passive  passivator
	overdue  overdue

	watching sync.Mutex // guards the replacing of every user's watchers
	watchers atomic.Int64

	directory directory
	open      openTransactions
	market    market
	payments  payments
	refunds   refundQueue
	payouts   payouts

	unassigned unassigned
	snapshots  snapshots
	uses       uses
	notices    notices

	recoveries recoveries

	enrolments *secondfactor.Enrolments
	codes      chan struct{} // a place for each code that is under way to the mail server

	created createdUsers
	cursor  *user // the system account, which no directory has

	keys     *bitcoin.Keys // of all addresses, after Recover; nil where Config.Identity has none
	restores uint32        // of the log; fixed before anything is served

	lastRate     atomic.Int64  // that Config.Rate gave; 0 before the first
	transactions atomic.Uint64 // of all accounts, for metrics
	actors       atomic.Int64  // of users who are not passive, for metrics
	commands     atomic.Uint64 // answered, for metrics
	refused      atomic.Uint64 // of these, refused by an account's rules
}

// New prepares an Exchange on a journal that has not been started. Recover makes
// it ready.
func New(cfg Config) *Exchange {
	if cfg.RecoveryDelay == 0 {
		cfg.RecoveryDelay = 72 * time.Hour
	}
	if cfg.CommandTimeout == 0 {
		cfg.CommandTimeout = 10 * time.Second
	}
	if cfg.PassivateAfter == 0 {
		cfg.PassivateAfter = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Fatal == nil {
		cfg.Fatal = exit
	}
	if cfg.Factors.Lifetime == 0 {
		cfg.Factors.Lifetime = 5 * time.Minute
	}
	cfg.Policy.Confirmations = int32(cfg.Terms.Confirmations)
	x := &Exchange{cfg: cfg, log: cfg.Logger, cursor: &user{id: account.SystemID}}
	x.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(atLeast{slog.LevelWarn, cfg.Logger.Handler()})
	}))
	x.directory.init()
	x.open.init()
	x.market.init()
	x.payments.init(x)
	x.refunds.init()
	x.payouts.init(x)
	x.unassigned.init(x)
	x.snapshots.init(x)
	x.uses.init(cfg.Terms.SessionIdle)
	x.enrolments = secondfactor.NewEnrolments(cfg.Random, cfg.Now)
	x.notices.init(x)
	x.recoveries.init(x)
	x.codes = make(chan struct{}, maxCodesAtOnce)
	x.calls.New = func() any { return newCall(x) }
	return x
}

// Close stops what runs by itself (payments expiring, the chain's reports). The
// journal stays the caller's to close, after the last request has been answered.
func (x *Exchange) Close() {
	x.uses.group.Wait()
	x.recoveries.stop()
	x.notices.stop()
	x.payments.stop()
	x.passive.close()
	x.overdue.close()
	x.snapshots.close()
	x.system.Shutdown()
}

// now is the time of a command.
func (x *Exchange) now() account.Time { return account.TimeOf(x.cfg.Now()) }

// Chain returns where the Bitcoin side is; false if there is none.
func (x *Exchange) Chain() (ChainStatus, bool) {
	if x.cfg.Chain == nil {
		return ChainStatus{}, false
	}
	return x.cfg.Chain.Status(), true
}

// Terms returns what the exchange charges and limits, at the rate that held last.
func (x *Exchange) Terms() Terms {
	terms, _ := x.termsNow()
	return terms
}

// termsNow returns the terms to trade at, or ErrNoRate with those that held last.
func (x *Exchange) termsNow() (Terms, error) {
	terms := x.cfg.Terms
	if x.cfg.Rate == nil {
		return terms, nil
	}
	rate, err := x.cfg.Rate()
	if err != nil {
		if last := x.lastRate.Load(); last != 0 {
			terms.Rate = account.Money(last)
		}
		return terms, fmt.Errorf("%w: %w", ErrNoRate, err)
	}
	x.lastRate.Store(int64(rate))
	terms.Rate = rate
	return terms, nil
}

// Faucet reports whether users may deposit to themselves.
func (x *Exchange) Faucet() bool { return x.cfg.Faucet }

// Stats are counters and gauges for metrics.
type Stats struct {
	Accounts     int
	Transactions uint64 // of all accounts
	Actors       int    // of users who sent a command lately
	Commands     uint64 // answered since the start
	Refused      uint64 // of these, refused by an account's rules
	Buys         int    // pending
	Sells        int    // pending
	Withdrawals  int    // pending
	Watchers     int    // of any user
	Reversed     uint64 // credits that the chain took back since the start
	Refunds      uint64 // queued since the start
	RefundsDue   int    // waiting to be sent back
	Unassigned   int    // outputs without an owner that wait for an operator
}

// Stats returns the counters and gauges of this moment.
func (x *Exchange) Stats() Stats {
	return Stats{
		Accounts:     x.created.len(),
		Transactions: x.transactions.Load(),
		Actors:       int(x.actors.Load()),
		Commands:     x.commands.Load(),
		Refused:      x.refused.Load(),
		Buys:         x.open.count(account.TypeBuy),
		Sells:        x.open.count(account.TypeSell),
		Withdrawals:  x.open.count(account.TypeWithdrawal),
		Watchers:     int(x.watchers.Load()),
		Reversed:     x.payments.frozen.Load(),
		Refunds:      x.payments.refunds.Load(),
		RefundsDue:   x.refunds.due(),
		Unassigned:   x.unassigned.due(),
	}
}

// exit is the default for Config.Fatal.
func exit(reason any, stack []byte) {
	fmt.Fprintf(os.Stderr, "exchange: broken invariant, stopping: %v\n%s", reason, stack)
	os.Exit(2)
}

// guard makes a panic fatal. It is deferred where something else would recover
// the panic and go on without the state that was lost.
func (x *Exchange) guard() {
	if reason := recover(); reason != nil {
		x.cfg.Fatal(reason, debug.Stack())
	}
}
