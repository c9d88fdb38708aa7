package actors

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/aitbc/exchange/actors/account"
)

// CreatePayment quotes amount AITBC to the session's user: an address, and the
// satoshi to send there before the quote expires. A btc other than 0 must equal
// the quote's total.
func (x *Exchange) CreatePayment(s *Session, amount, btc account.Money, notes string, idem *account.Idempotency) (Receipt, error) {
	if x.cfg.Chain == nil {
		return Receipt{}, ErrPaymentsOff
	}
	terms, err := x.termsNow()
	if err != nil {
		return Receipt{}, err
	}
	total, fee, refused := terms.BuyQuote(amount)
	if refused == nil && btc != 0 && btc != total {
		refused = badAmount("btc_amount", "%s AITBC cost %s BTC, the fee of %s BTC included; send that, or leave btc_amount out", amount, total, fee)
	}
	if refused != nil {
		return x.Make(refusal(s, refused, idem))
	}
	address, err := x.cfg.Chain.NewAddress()
	if err != nil {
		return Receipt{}, err
	}
	receipt, err := x.do(s.user, &account.CreatePayment{
		Amount: amount, BTC: total, BTCFee: fee,
		Address: address.Text, Derived: address.Derived, Index: address.Index,
		Lifetime: x.cfg.Terms.PaymentLifetime, Notes: notes, Terms: x.cfg.Policy,
	}, idem)
	// Whoever is refused again and again must not use up addresses.
	if isRefusal := new(*account.Error); errors.As(err, isRefusal) || errors.Is(err, ErrOverloaded) || receipt.Replayed {
		x.cfg.Chain.GiveBack(address)
	}
	return receipt, err
}

// ConfirmPayment credits a payment: by is the operator's name, or "" for the
// payer, whose session's user must be id.User.
func (x *Exchange) ConfirmPayment(id account.TransactionID, txHash, by string, idem *account.Idempotency) (Receipt, error) {
	if t, _, ok := x.Transaction(id); ok && by == "" && t.Detail != nil && t.Detail.Derived && !x.payments.follows(t.Detail) {
		return Receipt{}, &account.Error{Code: account.CodeNotPending, Message: "this payment takes real Bitcoin: it is confirmed by the chain, or by an operator"}
	}
	return x.settle(id, &account.Complete{
		N: id.N, Of: account.TypeBuy, TxHash: txHash, Confirmations: x.cfg.Terms.Confirmations, By: by,
	}, idem)
}

// payments turns what the chain shows into credits, and ends open payments whose
// time is over. facts.go, assess.go and undecided.go have the rest of it.
type payments struct {
	exchange *Exchange
	ctx      context.Context // done when the exchange closes
	cancel   context.CancelFunc
	wake     chan struct{} // capacity 1: the earliest deadline has changed
	finished sync.WaitGroup
	resume   Resume      // of recovery; empty once the chain has it
	starting sync.Mutex  // the chain is not started while or after it is stopped
	started  atomic.Bool // the chain is

	byAddress *xsync.Map[string, account.TransactionID] // of every payment there ever was
	tip       atomic.Int32                              // height of the best chain
	frozen    atomic.Uint64                             // credits that the chain took back since the start
	refunds   atomic.Uint64                             // queued since the start

	settling sync.Mutex    // one at a time assesses
	blocks   account.Trail // guarded by settling: followed, and not yet in the log

	mu        sync.Mutex
	deadlines deadlines                              // guarded by mu; those of settled payments are dropped when they come up
	scheduled map[account.TransactionID]account.Time // guarded by mu; the earliest deadline of each payment that has one
	watching  bool                                   // guarded by mu; false until recovery is over
	unsettled map[account.UserID]map[uint32]struct{} // guarded by mu; payments that the next block may change
}

func (p *payments) init(x *Exchange) {
	p.exchange = x
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wake = make(chan struct{}, 1)
	p.byAddress = xsync.NewMap[string, account.TransactionID]()
	p.unsettled = make(map[account.UserID]map[uint32]struct{})
	p.scheduled = make(map[account.TransactionID]account.Time)
}

// start begins to expire and to credit, after recovery.
func (p *payments) start() {
	if chain := p.exchange.cfg.Chain; chain != nil {
		p.goOn()
		for _, id := range p.exchange.open.ids(account.TypeBuy) {
			_, state := p.exchange.directory.find(id.User)
			t, _ := state.History.At(id.N)
			if !p.follows(t.Detail) {
				continue
			}
			chain.Watch(WatchedPayment{ID: id, Address: t.Detail.To, BTC: t.Detail.BTC})
		}
		p.exchange.payouts.start()
	}
	p.mu.Lock()
	p.watching = true
	p.mu.Unlock()
	p.finished.Add(1)
	go p.expire()
}

func (p *payments) stop() {
	p.cancel()
	if chain := p.exchange.cfg.Chain; chain != nil {
		p.starting.Lock()
		chain.Stop()
		p.starting.Unlock()
	}
	p.finished.Wait()
}

// opened is called in the journal's order; it does not block.
func (p *payments) opened(id account.TransactionID, t *account.Transaction) {
	p.mu.Lock()
	first, watching := p.schedule(id, t.Detail.ExpiresAt), p.watching
	p.mu.Unlock()
	if first {
		p.wakeUp()
	}
	if chain := p.exchange.cfg.Chain; watching && p.follows(t.Detail) {
		p.byAddress.Store(t.Detail.To, id)
		chain.Watch(WatchedPayment{ID: id, Address: t.Detail.To, BTC: t.Detail.BTC})
	}
}

// closed is called in the journal's order; it does not block.
func (p *payments) closed(id account.TransactionID) {
	if chain := p.exchange.cfg.Chain; chain != nil {
		chain.Unwatch(id)
	}
	p.lookNow(id)
}

// expire looks at payments when their time is over, until the exchange closes.
func (p *payments) expire() {
	defer p.finished.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, wait := p.due()
		if err := p.settle(due); err != nil {
			return // the exchange is closing
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.ctx.Done():
			return
		}
	}
}

// knownUntil is the time up to which everything that was paid is known.
func (p *payments) knownUntil() account.Time {
	now := p.exchange.now()
	if chain := p.exchange.cfg.Chain; chain != nil {
		known := chain.KnownUntil()
		if known.IsZero() {
			return 0
		}
		return min(now, account.TimeOf(known))
	}
	return now
}
