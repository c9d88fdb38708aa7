package actors

import (
	"slices"
	"strings"

	"github.com/aitbc/exchange/actors/account"
)

// What an operator may do. by is the operator's name and reason their words;
// both are in the event. Whoever calls has checked the operator's key.

// OperatorDeposit adds a completed deposit to a user's account.
func (x *Exchange) OperatorDeposit(id account.UserID, amount account.Money, by string, idem *account.Idempotency) (Receipt, error) {
	return x.operate(id, &account.Deposit{Amount: amount, By: by}, idem)
}

// Credit adds amount to a user's balance.
func (x *Exchange) Credit(id account.UserID, amount account.Money, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.operate(id, &account.Credit{Amount: amount, By: by, Reason: reason}, idem)
}

// Debit takes amount from a user's available balance.
func (x *Exchange) Debit(id account.UserID, amount account.Money, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.operate(id, &account.Debit{Amount: amount, By: by, Reason: reason}, idem)
}

// SetStatus suspends, closes or reactivates a user's account.
func (x *Exchange) SetStatus(id account.UserID, status account.Status, by, reason string) (Receipt, error) {
	return x.operate(id, &account.SetStatus{Status: status, By: by, Reason: reason}, nil)
}

// CompleteTransaction ends a pending withdrawal, sale or payment well. txHash is
// the Bitcoin transaction that settled it, if any.
func (x *Exchange) CompleteTransaction(id account.TransactionID, txHash, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.payouts.endSale(id, func() (Receipt, error) {
		return x.settle(id, &account.Complete{
			N: id.N, FourEyesAbove: x.cfg.Terms.FourEyesAbove, TxHash: txHash, By: by, Reason: reason,
		}, idem)
	})
}

// FailTransaction ends a pending withdrawal, sale or payment without moving value.
func (x *Exchange) FailTransaction(id account.TransactionID, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.payouts.endSale(id, func() (Receipt, error) {
		return x.settle(id, &account.Fail{N: id.N, By: by, Reason: reason}, idem)
	})
}

func (x *Exchange) settle(id account.TransactionID, command account.Command, idem *account.Idempotency) (Receipt, error) {
	return x.operate(id.User, command, idem)
}

// operate sends a command that did not come from the user's own session.
func (x *Exchange) operate(id account.UserID, command account.Command, idem *account.Idempotency) (Receipt, error) {
	u, _ := x.directory.find(id)
	if u == nil {
		return Receipt{}, &account.Error{Code: account.CodeNotFound, Message: "there is no such user"}
	}
	return x.do(u, command, idem)
}

// FindUser returns the user with the id, wallet, username or e-mail address.
func (x *Exchange) FindUser(name string) (*account.State, bool) {
	if id, err := account.ParseUserID(strings.ToLower(name)); err == nil {
		return x.State(id)
	}
	if wallet, err := CanonicalWallet(name); err == nil {
		if u, ok := x.directory.wallets.Load(wallet); ok {
			return x.State(u.id)
		}
	}
	for _, claims := range []nameClaims{x.directory.usernames, x.directory.emails} {
		// A name may be claimed before it is durable; only its owner's state counts.
		if u, ok := claims.Load(fold(name)); ok {
			state := u.durable.Load()
			if state != nil && (fold(state.Username) == fold(name) || fold(state.Email) == fold(name)) {
				return state, true
			}
		}
	}
	return nil, false
}

// Users returns up to limit users in the order of their creation, starting after
// the first skip of all users, and how many of all have been looked at then. A
// status other than 0 leaves out users of another.
func (x *Exchange) Users(skip, limit int, status account.Status) (states []*account.State, next int, more bool) {
	list := x.created.from(skip)
	for i, u := range list {
		if len(states) == limit {
			return states, skip + i, true
		}
		if state := u.durable.Load(); status == 0 || state.Status == status {
			states = append(states, state)
		}
	}
	return states, skip + len(list), false
}

// OpenTransactions returns up to limit pending transactions of a type, oldest
// first, how many there are, and whether more follow. after is the last one of the
// page before, which may have ended meanwhile, or the zero value.
func (x *Exchange) OpenTransactions(t account.Type, after account.TransactionID, limit int) (ids []account.TransactionID, total int, more bool) {
	all := x.open.list(t)
	first := 0
	if last, _, ok := x.Transaction(after); ok {
		first, _ = slices.BinarySearchFunc(all, openEntry{last.CreatedAt, after}, openEntry.order)
		if first < len(all) && all[first].id == after {
			first++
		}
	}
	end := min(len(all), first+limit)
	for _, e := range all[first:end] {
		ids = append(ids, e.id)
	}
	return ids, len(all), end < len(all)
}

// Transaction returns a transaction and the state of its user.
func (x *Exchange) Transaction(id account.TransactionID) (account.Transaction, *account.State, bool) {
	_, state := x.directory.find(id.User)
	if state == nil {
		return account.Transaction{}, nil, false
	}
	t, ok := state.History.At(id.N)
	return t, state, ok
}
