package actors

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/aitbc/exchange/actors/account"
)

// index makes what is known across users from their states: who exists in which
// order, whose a name is, what is pending, and the market. It depends on the states
// alone. Two accounts with one name are a broken invariant.
func (r *recovery) index() error {
	x := r.x
	if cursor, ok := x.directory.users.LoadAndDelete(account.SystemID); ok {
		x.cursor = cursor
	}
	r.enter(StageIndex, uint64(x.directory.users.Size()))
	users := make([]*user, 0, x.directory.users.Size())
	x.directory.users.Range(func(_ account.UserID, u *user) bool {
		users = append(users, u)
		return true
	})
	slices.SortFunc(users, func(a, b *user) int {
		if c := cmp.Compare(a.durable.Load().CreatedAt, b.durable.Load().CreatedAt); c != 0 {
			return c
		}
		return slices.Compare(a.id[:], b.id[:])
	})
	x.created.list = users
	x.directory.initNames(len(users)) // tables that need not grow

	shares, tied := make([]indexShare, r.workers), x.isTied()
	var finished sync.WaitGroup
	for i := range shares {
		from, to := i*len(users)/len(shares), (i+1)*len(users)/len(shares)
		finished.Add(1)
		go func() {
			defer finished.Done()
			shares[i].gather(x, users[from:to], tied)
		}()
	}
	finished.Wait()

	var all indexShare
	for i := range shares {
		s := &shares[i]
		if s.err != nil {
			return s.err
		}
		all.payments += s.payments
		x.transactions.Add(s.transactions)
		all.open = append(all.open, s.open...)
		x.payments.resume.join(s.resume)
		r.evidence.join(s.evidence)
	}
	for _, o := range all.open {
		x.opened(o.user, o.n, o.user.durable.Load())
	}
	x.market.restore(all.payments, func(yield func(datedTrade) bool) {
		inOrder(shares, func(t *datedTrade) bool { return yield(*t) })
	})
	r.tell(r.told.Total)
	return r.ctx.Err()
}

// indexShare is what a part of the users adds.
type indexShare struct {
	payments     uint64
	open         []openTransaction
	trades       []datedTrade // sorted
	err          error
	transactions uint64
	resume       Resume
	evidence     evidence
}

type openTransaction struct {
	user *user
	n    uint32
}

// datedTrade is a trade, and what makes the order of trades the same every time.
type datedTrade struct {
	Trade
	quote Trade
	at    account.Time
	id    account.TransactionID
}

func (t *datedTrade) before(other *datedTrade) bool {
	if t.at != other.at {
		return t.at < other.at
	}
	if c := slices.Compare(t.id.User[:], other.id.User[:]); c != 0 {
		return c < 0
	}
	return t.id.N < other.id.N
}

// gather looks at users; tied says that they have nothing to add to the identity.
func (s *indexShare) gather(x *Exchange, users []*user, tied bool) {
	if s.err = x.openSecrets(users); s.err != nil {
		return
	}
	if s.index(&x.directory, users); s.err != nil {
		return
	}
	if !tied {
		s.evidence.look(x, users)
	}
	x.notices.index(users)
	x.recoveries.index(users)
	s.resume = x.payments.index(users)
}

func (s *indexShare) index(d *directory, users []*user) {
	for _, u := range users {
		state := u.durable.Load()
		if s.err = d.claimAll(u, state); s.err != nil {
			return
		}
		counts, h := &state.Counts, &state.History
		s.transactions += uint64(h.Size())
		s.payments += uint64(counts.Of(account.TypeBuy, 0))
		if counts.Of(0, account.Pending) > 0 {
			for n := range h.Backward(1, h.Last(), 0, account.Pending) {
				s.open = append(s.open, openTransaction{u, n})
			}
		}
		for _, kind := range [...]account.Type{account.TypeBuy, account.TypeSell} {
			if counts.Of(kind, account.Completed) == 0 {
				continue
			}
			for n, t := range h.Backward(1, h.Last(), kind, account.Completed) {
				s.trades = append(s.trades, datedTrade{tradeOf(&t), quoteOf(&t), t.ConfirmedAt, account.TransactionID{User: u.id, N: n}})
			}
		}
	}
	slices.SortFunc(s.trades, func(a, b datedTrade) int {
		if b.before(&a) {
			return 1
		}
		return -1
	})
}

// inOrder calls fn with the trades of all shares, oldest first.
func inOrder(shares []indexShare, fn func(*datedTrade) bool) {
	next := make([]int, len(shares))
	for {
		var earliest *datedTrade
		of := 0
		for i := range shares {
			if next[i] == len(shares[i].trades) {
				continue
			}
			if t := &shares[i].trades[next[i]]; earliest == nil || t.before(earliest) {
				earliest, of = t, i
			}
		}
		if earliest == nil || !fn(earliest) {
			return
		}
		next[of]++
	}
}

// claimAll gives an account that exists its names.
func (d *directory) claimAll(u *user, state *account.State) error {
	for _, n := range [...]struct {
		claims nameClaims
		name   string
	}{
		{d.wallets, state.Wallet},
		{d.emails, fold(state.Email)},
		{d.usernames, fold(state.Username)},
	} {
		if owner, taken := n.claims.LoadOrStore(n.name, u); taken {
			return fmt.Errorf("users %s and %s both have the name %q", owner.id, u.id, n.name)
		}
	}
	return nil
}
