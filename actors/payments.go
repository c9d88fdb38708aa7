package actors

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// CreatePayment quotes amount AITBC to the session's user: an address, and the
// satoshi to send there before the quote expires. A btc other than 0 must equal
// the quote's total.
func (x *Exchange) CreatePayment(s *Session, amount, btc account.Money, notes string, idem *account.Idempotency) (Receipt, error) {
	if x.cfg.Chain == nil {
		return Receipt{}, ErrPaymentsOff
	}
	total, fee, refused := x.cfg.Terms.BuyQuote(amount)
	if refused == nil && btc != 0 && btc != total {
		refused = badAmount("btc_amount", "%s AITBC cost %s BTC, the fee of %s BTC included; send that, or leave btc_amount out", amount, total, fee)
	}
	if refused != nil {
		return x.refuse(s, refused, idem)
	}
	address, err := x.cfg.Chain.NewAddress()
	if err != nil {
		return Receipt{}, err
	}
	return x.do(s.user, &account.CreatePayment{
		Amount: amount, BTC: total, BTCFee: fee,
		Address: address, Lifetime: x.cfg.Terms.PaymentLifetime, Notes: notes,
	}, idem)
}

// ConfirmPayment credits a payment: by is the operator's name, or "" for the
// payer, whose session's user must be id.User.
func (x *Exchange) ConfirmPayment(id account.TransactionID, txHash, by string, idem *account.Idempotency) (Receipt, error) {
	return x.settle(id, &account.Complete{
		N: id.N, Of: account.TypeBuy, TxHash: txHash, Confirmations: x.cfg.Terms.Confirmations, By: by,
	}, idem)
}

// payments ends open payments: those whose time is over, and those that the chain
// has seen paid.
type payments struct {
	exchange *Exchange
	ctx      context.Context // done when the exchange closes
	cancel   context.CancelFunc
	wake     chan struct{} // capacity 1: the earliest deadline has changed
	finished sync.WaitGroup

	mu        sync.Mutex
	deadlines deadlines // guarded by mu; those of ended payments are dropped when they come up
	watching  bool      // guarded by mu; false until recovery is over
}

func (p *payments) init(x *Exchange) {
	p.exchange = x
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wake = make(chan struct{}, 1)
}

// start begins to expire and to credit, after recovery.
func (p *payments) start() {
	if chain := p.exchange.cfg.Chain; chain != nil {
		chain.Start(p.sighted)
		for _, id := range p.exchange.open.ids(account.TypeBuy) {
			_, state := p.exchange.directory.find(id.User)
			t, _ := state.History.At(id.N)
			chain.Watch(WatchedPayment{ID: id, Address: t.Detail.To, BTC: t.Detail.BTC})
		}
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
		chain.Stop()
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
		chain.Watch(WatchedPayment{ID: id, Address: t.Detail.To, BTC: t.Detail.BTC})
	}
}

// closed is called in the journal's order; it does not block.
func (p *payments) closed(id account.TransactionID) {
	if chain := p.exchange.cfg.Chain; chain != nil {
		chain.Unwatch(id)
	}
}

// retryAfter is how long a payment waits when the journal had no room for its end.
const retryAfter = time.Second

// sighted credits a payment the chain has confirmed. It tries until it is done:
// nobody else will.
func (p *payments) sighted(s Sighting) {
	for {
		_, err := p.exchange.settle(s.ID, &account.Complete{
			N: s.ID.N, Of: account.TypeBuy, TxHash: s.TxHash, Confirmations: s.Confirmations, By: "chain",
		}, nil)
		if !p.again(err, s.ID, "credit") {
			return
		}
	}
}

// expire fails payments when their time is over, until the exchange closes.
func (p *payments) expire() {
	defer p.finished.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, wait := p.due()
		for _, id := range due {
			for {
				_, err := p.exchange.settle(id, &account.ExpirePayment{N: id.N}, nil)
				if !p.again(err, id, "expire") {
					break
				}
			}
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

// due takes out the payments whose time is over, and says how long to wait for
// the next. The wait is bounded, because the wall clock may be set.
func (p *payments) due() (due []account.TransactionID, wait time.Duration) {
	const longest = time.Minute
	now := p.exchange.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.deadlines) > 0 {
		if next := p.deadlines[0].at; next > now {
			return due, min(longest, time.Duration(next-now)*time.Microsecond)
		}
		if id := heap.Pop(&p.deadlines).(deadline).id; p.exchange.open.has(account.TypeBuy, id) {
			due = append(due, id)
		}
	}
	return due, longest
}

// again reports whether an attempt to end a payment is to be made once more, and
// waits before it. An answer of the account is final (somebody else was first),
// except that it is not time yet, when the clock was set back in between.
func (p *payments) again(err error, id account.TransactionID, what string) bool {
	if err == nil {
		return false
	}
	var refused *account.Error
	if errors.As(err, &refused) && refused.Code != account.CodeNoChange {
		if refused.Code != account.CodeNotPending {
			p.exchange.log.Error("payment could not be settled", slog.String("action", what),
				slog.String("payment_id", id.String()), slog.Any("error", err))
		}
		return false
	}
	select {
	case <-p.ctx.Done():
		return false
	case <-time.After(retryAfter):
		return true
	}
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
