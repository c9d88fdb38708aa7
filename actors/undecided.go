package actors

import (
	"container/heap"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// What of payments is not settled yet, and what may change that: the next block, or the
// time. Both follow from account.Transaction.Undecided alone, live and at the start.

// lookAgainAfter is how long it takes until a payment is looked at again whose quote is
// over, and which still waits: something is on its way to it, or the clock was set back.
const lookAgainAfter = 10 * time.Second

// undecided is account.Transaction.Undecided of a payment that the chain here is followed
// for. Of any other nothing is known but the time, which ends one that is simulated.
func (p *payments) undecided(t *account.Transaction) (byChain, byClock bool) {
	if !p.follows(t.Detail) {
		return false, !t.Detail.Derived && t.Status == account.Pending
	}
	return t.Undecided()
}

// track notes what may change a payment.
func (p *payments) track(id account.TransactionID, t *account.Transaction) {
	byChain, byClock := p.undecided(t)
	at := t.Detail.ExpiresAt
	if now := p.exchange.now(); at <= now {
		at = now.Add(lookAgainAfter)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remember(id, byChain)
	if _, scheduled := p.scheduled[id]; byClock && !scheduled {
		p.schedule(id, at)
	}
}

// trackAtStart is track for what recovery has found: what is over is looked at at once.
func (p *payments) trackAtStart(id account.TransactionID, t *account.Transaction) {
	byChain, byClock := p.undecided(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remember(id, byChain)
	if byClock {
		p.schedule(id, t.Detail.ExpiresAt)
	}
}

// lookNow has a payment settled at once that an operator has ended while it had outputs
// without an owner. It is called in the journal's order; it does not block.
func (p *payments) lookNow(id account.TransactionID) {
	_, t := p.find(id)
	if byChain, _ := p.undecided(&t); !byChain || !t.Ended() {
		return
	}
	p.mu.Lock()
	p.remember(id, true)
	first := p.schedule(id, 0)
	p.mu.Unlock()
	if first {
		p.wakeUp()
	}
}

// schedule has a payment looked at at a time, and reports whether that is the next time
// at which one is. The caller holds mu.
func (p *payments) schedule(id account.TransactionID, at account.Time) (first bool) {
	if before, scheduled := p.scheduled[id]; scheduled && before <= at {
		return false
	}
	p.scheduled[id] = at
	heap.Push(&p.deadlines, deadline{at: at, id: id})
	return p.deadlines[0].id == id
}

// wakeUp has the next deadline looked up anew.
func (p *payments) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
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
		d := heap.Pop(&p.deadlines).(deadline)
		if at, scheduled := p.scheduled[d.id]; !scheduled || at != d.at {
			continue // it was looked at earlier
		}
		delete(p.scheduled, d.id)
		_, t := p.find(d.id)
		if byChain, byClock := p.undecided(&t); byChain || byClock {
			due = append(due, d.id)
		}
	}
	return due, longest
}

// deadlines is a heap of payments by the time at which they are looked at.
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

// remember notes whether the next block may change a payment. The caller holds mu.
func (p *payments) remember(id account.TransactionID, unsettled bool) {
	numbers := p.unsettled[id.User]
	switch {
	case unsettled && numbers == nil:
		p.unsettled[id.User] = map[uint32]struct{}{id.N: {}}
	case unsettled:
		numbers[id.N] = struct{}{}
	case numbers != nil:
		if delete(numbers, id.N); len(numbers) == 0 {
			delete(p.unsettled, id.User)
		}
	}
}

func (p *payments) allUnsettled() []account.TransactionID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []account.TransactionID
	for user, numbers := range p.unsettled {
		for n := range numbers {
			ids = append(ids, account.TransactionID{User: user, N: n})
		}
	}
	return ids
}

// tellUnsettled wakes who watches a user with a payment that has got another
// confirmation: the account has not changed, but what there is to say of it has.
func (p *payments) tellUnsettled() {
	p.mu.Lock()
	users := make([]account.UserID, 0, len(p.unsettled))
	for id := range p.unsettled {
		users = append(users, id)
	}
	p.mu.Unlock()
	for _, id := range users {
		if u, _ := p.exchange.directory.find(id); u != nil {
			u.tellWatchers()
		}
	}
}

// Unsettled returns the payments of the watcher's user that the next block may
// change.
func (w *Watcher) Unsettled() []uint32 {
	p := &w.exchange.payments
	p.mu.Lock()
	defer p.mu.Unlock()
	var numbers []uint32
	for n := range p.unsettled[w.session.user.id] {
		numbers = append(numbers, n)
	}
	return numbers
}

// Payment is Exchange.Payment.
func (w *Watcher) Payment(t *account.Transaction) PaymentView { return w.exchange.Payment(t) }
