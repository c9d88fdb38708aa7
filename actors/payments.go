package actors

import (
	"container/heap"
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
		Lifetime: x.cfg.Terms.PaymentLifetime, Notes: notes,
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
	return x.settle(id, &account.Complete{
		N: id.N, Of: account.TypeBuy, TxHash: txHash, Confirmations: x.cfg.Terms.Confirmations, By: by,
	}, idem)
}

// payments turns what the chain shows into credits, and ends open payments whose
// time is over. facts.go and assess.go have the rest of it.
type payments struct {
	exchange *Exchange
	ctx      context.Context // done when the exchange closes
	cancel   context.CancelFunc
	wake     chan struct{} // capacity 1: the earliest deadline has changed
	finished sync.WaitGroup
	resume   Resume     // of recovery; empty once the chain has it
	starting sync.Mutex // the chain is not started while or after it is stopped

	byAddress *xsync.Map[string, account.TransactionID] // of every payment there ever was
	tip       atomic.Int32                              // height of the best chain
	frozen    atomic.Uint64                             // credits that the chain took back since the start
	refunds   atomic.Uint64                             // queued since the start

	settling sync.Mutex    // one at a time assesses
	blocks   account.Trail // guarded by settling: followed, and not yet in the log

	mu        sync.Mutex
	deadlines deadlines                              // guarded by mu; those of ended payments are dropped when they come up
	watching  bool                                   // guarded by mu; false until recovery is over
	unsettled map[account.UserID]map[uint32]struct{} // guarded by mu; payments with outputs that the next block may change
}

func (p *payments) init(x *Exchange) {
	p.exchange = x
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wake = make(chan struct{}, 1)
	p.byAddress = xsync.NewMap[string, account.TransactionID]()
	p.unsettled = make(map[account.UserID]map[uint32]struct{})
}

// start begins to expire and to credit, after recovery.
func (p *payments) start() {
	if chain := p.exchange.cfg.Chain; chain != nil {
		p.goOn()
		for _, id := range p.exchange.open.ids(account.TypeBuy) {
			_, state := p.exchange.directory.find(id.User)
			t, _ := state.History.At(id.N)
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
	heap.Push(&p.deadlines, deadline{at: t.Detail.ExpiresAt, id: id})
	first, watching := p.deadlines[0].id == id, p.watching
	p.mu.Unlock()
	if first {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	if chain := p.exchange.cfg.Chain; watching && chain != nil {
		p.byAddress.Store(t.Detail.To, id)
		chain.Watch(WatchedPayment{ID: id, Address: t.Detail.To, BTC: t.Detail.BTC})
	}
}

// closed is called in the journal's order; it does not block.
func (p *payments) closed(id account.TransactionID) {
	if chain := p.exchange.cfg.Chain; chain != nil {
		chain.Unwatch(id)
	}
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
		p.lookAgain(due)
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.ctx.Done():
			return
		}
	}
}

// lookAgain puts those that are still open back among the deadlines: something is
// on its way to them, or the clock was set back.
func (p *payments) lookAgain(ids []account.TransactionID) {
	const after = 10 * time.Second
	at := p.exchange.now().Add(after)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if p.exchange.open.has(account.TypeBuy, id) {
			heap.Push(&p.deadlines, deadline{at: at, id: id})
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

// due takes out the payments whose time is over as far as is known, and says how
// long to wait for the next. The wait is bounded, because the wall clock may be
// set, and short while the chain is behind the clock.
func (p *payments) due() (due []account.TransactionID, wait time.Duration) {
	const longest, behind = time.Minute, time.Second
	now, known := p.exchange.now(), p.knownUntil()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.deadlines) > 0 {
		switch next := p.deadlines[0].at; {
		case next > now:
			return due, min(longest, time.Duration(next-now)*time.Microsecond)
		case next > known:
			return due, behind
		}
		if id := heap.Pop(&p.deadlines).(deadline).id; p.exchange.open.has(account.TypeBuy, id) {
			due = append(due, id)
		}
	}
	return due, longest
}

// deadlines is a heap of payments by the time they expire.
type deadlines []deadline

type deadline struct {
	at account.Time
	id account.TransactionID
}

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at < d[j].at }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadline)) }
func (d *deadlines) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
