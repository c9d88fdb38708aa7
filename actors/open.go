package actors

import (
	"cmp"
	"slices"
	"sync"

	"github.com/aitbc/exchange/actors/account"
)

// openTransactions knows every pending transaction of every user: what the
// operator has to deal with, and what the chain and the clock may end.
type openTransactions struct {
	mu     sync.RWMutex
	byType map[account.Type]map[account.TransactionID]account.Time // guarded by mu; by creation
}

func (o *openTransactions) init() {
	o.byType = map[account.Type]map[account.TransactionID]account.Time{
		account.TypeBuy: {}, account.TypeSell: {}, account.TypeWithdrawal: {},
	}
}

func (o *openTransactions) add(t account.Type, id account.TransactionID, at account.Time) {
	o.mu.Lock()
	o.byType[t][id] = at
	o.mu.Unlock()
}

func (o *openTransactions) remove(t account.Type, id account.TransactionID) {
	o.mu.Lock()
	delete(o.byType[t], id)
	o.mu.Unlock()
}

func (o *openTransactions) has(t account.Type, id account.TransactionID) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, ok := o.byType[t][id]
	return ok
}

func (o *openTransactions) count(t account.Type) int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.byType[t])
}

// openEntry is a pending transaction and when it was made.
type openEntry struct {
	at account.Time
	id account.TransactionID
}

// order is that of a list: oldest first, and the same every time.
func (e openEntry) order(other openEntry) int {
	if c := cmp.Compare(e.at, other.at); c != 0 {
		return c
	}
	if c := slices.Compare(e.id.User[:], other.id.User[:]); c != 0 {
		return c
	}
	return cmp.Compare(e.id.N, other.id.N)
}

// list returns the pending transactions of a type, oldest first.
func (o *openTransactions) list(t account.Type) []openEntry {
	o.mu.RLock()
	entries := make([]openEntry, 0, len(o.byType[t]))
	for id, at := range o.byType[t] {
		entries = append(entries, openEntry{at, id})
	}
	o.mu.RUnlock()
	slices.SortFunc(entries, openEntry.order)
	return entries
}

// ids returns the pending transactions of a type, oldest first.
func (o *openTransactions) ids(t account.Type) []account.TransactionID {
	entries := o.list(t)
	ids := make([]account.TransactionID, len(entries))
	for i := range entries {
		ids[i] = entries[i].id
	}
	return ids
}

// opened notes that transaction n of u waits for its end.
func (x *Exchange) opened(u *user, n uint32, state *account.State) {
	id := account.TransactionID{User: u.id, N: n}
	t, _ := state.History.At(n)
	x.open.add(t.Type, id, t.CreatedAt)
	if t.Type == account.TypeBuy {
		x.payments.opened(id, &t)
	}
}

// credited notes that a payment of u has brought value, for the first time or more.
func (x *Exchange) credited(u *user, state *account.State, e *account.PaymentCredited) {
	t, _ := state.History.At(e.N)
	before := t.Credited() - e.Amount
	// What is credited later counts to the time of the first, so that the market
	// follows from the states alone.
	part := Trade{AITBC: e.Amount, BTC: boughtFor(&t, t.Credited()) - boughtFor(&t, before)}
	x.market.traded(quoteOf(&t), part, t.ConfirmedAt)
	if before == 0 {
		x.closed(u, e.N, t.Type)
	}
}

// closed notes that transaction n of u, of type t, has ended.
func (x *Exchange) closed(u *user, n uint32, t account.Type) {
	id := account.TransactionID{User: u.id, N: n}
	x.open.remove(t, id)
	if t == account.TypeBuy {
		x.payments.closed(id)
	}
}
