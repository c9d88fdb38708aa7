package actors_test

import (
	"maps"
	"slices"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// This file is the exchange as its contract has it, in the simplest form: an
// account is a plain value, copied for each record. It shares types with the
// product, and no code.

// simAccount is an account after some record.
type simAccount struct {
	exists                         bool
	email, username                string
	status                         account.Status
	created, login, updated, moved account.Time
	balance, held                  account.Money
	sessions                       []*simSession // oldest first
	used                           map[*simSession]account.Time
	transactions                   []account.Transaction
	keys                           []simKey
	factors                        simFactors
}

// simSession is shared by all states of an account. Its hash is known once the
// login was answered.
type simSession struct {
	hash             account.Hash
	known            bool
	created, expires account.Time
}

type simKey struct {
	account.Idempotency
	at account.Time
	n  uint32
}

// simCommand is every command in one: kind says which, and what else counts.
type simCommand struct {
	kind                        string
	wallet, email, username     string
	session                     *simSession
	status                      account.Status
	amount, fee, btc, btcFee    account.Money
	asked                       account.Money // the price that a buyer names, 0 for none
	to, notes, hash, by, reason string
	confirmations               uint32
	n                           uint32       // the transaction to settle
	of                          account.Type // what it must be, 0 for any
	lifetime                    time.Duration
	next                        *simSession // what the session becomes
	app                         *simApp
	step                        uint64
	refused                     account.Code // the answer, unless a key has one
}

// simOutcome is what a command comes to: a refusal, a replay of transaction n, a
// next state by one record, or nothing to do.
type simOutcome struct {
	code     account.Code
	n        uint32
	replayed bool
	next     *simAccount
}

func (a *simAccount) copy() *simAccount {
	b := *a
	b.sessions, b.transactions, b.keys = slices.Clone(a.sessions), slices.Clone(a.transactions), slices.Clone(a.keys)
	b.factors.elevated = maps.Clone(a.factors.elevated)
	b.used = map[*simSession]account.Time{}
	maps.Copy(b.used, a.used)
	return &b
}

// letsIn reports whether a session is live at now, where it ends idle after its last use
// that was written down; 0: never.
func (a *simAccount) letsIn(session *simSession, now, idle account.Time) bool {
	return slices.Contains(a.sessions, session) && now < session.expires && (idle == 0 || now < a.used[session]+idle)
}

const (
	simDay   = account.Time(24 * time.Hour / time.Microsecond)
	simEvery = account.Time(5 * time.Minute / time.Microsecond) // between uses of a session that are written down
)

// decide says what c does to a at now.
func (a *simAccount) decide(c *simCommand, idem *account.Idempotency, now account.Time) simOutcome {
	at := max(now, a.updated)
	if !a.exists && c.kind != "login" {
		return simOutcome{code: account.CodeNotFound}
	}
	if idem != nil {
		for _, k := range slices.Backward(a.keys) {
			if k.Key != idem.Key || at >= k.at+simDay {
				continue
			}
			if k.Fingerprint != idem.Fingerprint {
				return simOutcome{code: account.CodeKeyReused}
			}
			return simOutcome{n: k.n, replayed: true}
		}
	}
	if c.refused != "" {
		return simOutcome{code: c.refused}
	}
	if c.byUser() && a.exists && a.status != account.Active {
		if a.status == account.Suspended {
			return simOutcome{code: account.CodeSuspended}
		}
		return simOutcome{code: account.CodeInactive}
	}
	b := a.copy()
	n, code, changed := b.do(c, at)
	if code != "" || !changed {
		return simOutcome{code: code}
	}
	b.updated = at
	if idem != nil && n != 0 {
		b.keys = append(b.keys, simKey{*idem, at, n})
	}
	return simOutcome{n: n, next: b}
}

// byUser reports whether an account that is not active refuses c.
func (c *simCommand) byUser() bool {
	switch c.kind {
	case "login", "profile", "withdraw", "sell", "buy", "enrol", "remove factor", "step up":
		return true
	case "deposit", "complete":
		return c.by == ""
	}
	return false
}

func (a *simAccount) do(c *simCommand, at account.Time) (n uint32, code account.Code, changed bool) {
	switch c.kind {
	case "login":
		if !a.exists {
			a.exists, a.status, a.created, a.moved = true, account.Active, at, at
			a.email, a.username = c.email, c.username
		}
		a.sessions = slices.DeleteFunc(a.sessions, func(s *simSession) bool { return at >= s.expires })
		if len(a.sessions) == 32 {
			a.sessions = a.sessions[1:]
		}
		c.session.created = at
		a.sessions, a.login, a.used[c.session] = append(a.sessions, c.session), at, at
		return 0, "", true
	case "use":
		changed = slices.Contains(a.sessions, c.session) && at-a.used[c.session] >= simEvery
		if changed {
			a.used[c.session] = at
		}
		return 0, "", changed
	case "logout", "end other sessions":
		kept := slices.DeleteFunc(slices.Clone(a.sessions), func(s *simSession) bool {
			return (s == c.session) == (c.kind == "logout")
		})
		changed = len(kept) != len(a.sessions)
		a.sessions = kept
		return 0, "", changed
	case "profile":
		email, username := a.email, a.username
		if c.email != "" {
			a.email = c.email
		}
		if c.username != "" {
			a.username = c.username
		}
		if email != a.email {
			if code := a.admits(c, at); code != "" {
				return 0, code, false
			}
		}
		return 0, "", email != a.email || username != a.username
	case "status":
		if a.status == c.status {
			return 0, account.CodeNoChange, false
		}
		a.status = c.status
		return 0, "", true
	case "complete", "fail", "expire":
		return a.settle(c, at)
	case "enrol", "remove factor", "step up", "reset factors":
		code := a.changeFactors(c, at)
		return 0, code, code == ""
	case "withdraw", "sell":
		if code := a.admits(c, at); code != "" {
			return 0, code, false
		}
	}
	return a.move(c, at)
}

// move adds a transaction.
func (a *simAccount) move(c *simCommand, at account.Time) (n uint32, code account.Code, changed bool) {
	t := account.Transaction{CreatedAt: at, ConfirmedAt: at, Status: account.Completed, Amount: c.amount}
	d := account.Detail{By: c.by, Reason: c.reason}
	switch c.kind {
	case "deposit", "credit":
		t.Type = account.TypeDeposit
		if c.kind == "credit" {
			t.Type = account.TypeCredit
		}
		a.balance += c.amount
	case "debit":
		t.Type = account.TypeDebit
		if c.amount > a.balance-a.held {
			return 0, account.CodeInsufficientFunds, false
		}
		a.balance -= c.amount
	case "withdraw", "sell":
		t.Type, t.Fee = account.TypeWithdrawal, c.fee
		if c.kind == "sell" {
			t.Type = account.TypeSell
		}
		if c.amount+c.fee > a.balance-a.held {
			return 0, account.CodeInsufficientFunds, false
		}
		a.held += c.amount + c.fee
		t.Status, t.ConfirmedAt = account.Pending, 0
		d = account.Detail{To: c.to, BTC: c.btc, BTCFee: c.btcFee}
	case "buy":
		t.Type, t.Status, t.ConfirmedAt = account.TypeBuy, account.Pending, 0
		d = account.Detail{To: c.to, BTC: c.btc, BTCFee: c.btcFee, Notes: c.notes, ExpiresAt: at.Add(c.lifetime), Terms: account.PaymentTerms{Confirmations: 1}}
	default:
		panic(c.kind)
	}
	if c.kind != "buy" {
		a.moved = at
	}
	t.Detail = &d
	a.transactions = append(a.transactions, t)
	return uint32(len(a.transactions)), "", true
}

// settle ends a transaction that is pending.
func (a *simAccount) settle(c *simCommand, at account.Time) (n uint32, code account.Code, changed bool) {
	if c.n == 0 || int(c.n) > len(a.transactions) {
		return 0, account.CodeNotFound, false
	}
	t := &a.transactions[c.n-1]
	switch {
	case c.of != 0 && t.Type != c.of:
		return 0, account.CodeNotFound, false
	case t.Status != account.Pending:
		return 0, account.CodeNotPending, false
	}
	d := *t.Detail
	d.By, d.Reason = c.by, c.reason
	buy := t.Type == account.TypeBuy
	if !buy {
		a.held -= t.Amount + t.Fee
	}
	switch c.kind {
	case "complete":
		t.Status, t.ConfirmedAt = account.Completed, at
		d.TxHash, d.Confirmations = c.hash, c.confirmations
		if buy {
			a.balance += t.Amount
		} else {
			a.balance -= t.Amount + t.Fee
		}
		a.moved = at
	default:
		t.Status, d.Expired = account.Failed, c.kind == "expire"
		if !buy {
			a.moved = at
		}
	}
	t.Detail = &d
	return c.n, "", true
}

// pendingOf returns the numbers of the pending transactions of a type.
func (a *simAccount) pendingOf(t account.Type) (ns []uint32) {
	for i := range a.transactions {
		if a.transactions[i].Type == t && a.transactions[i].Status == account.Pending {
			ns = append(ns, uint32(i+1))
		}
	}
	return ns
}

// simBuyQuote is what amount AITBC cost, in satoshi at 100,000 AITBC a BTC: rounded
// for the exchange, like the half per cent of fee.
func simBuyQuote(amount account.Money) (total, fee account.Money) {
	net := (amount + 99_999) / 100_000
	fee = (net*5 + 999) / 1000
	return net + fee, fee
}

// simSaleQuote is what a sale pays out.
func simSaleQuote(amount account.Money) (payout, fee account.Money) {
	gross := amount / 100_000
	fee = (gross*5 + 999) / 1000
	return gross - fee, fee
}
