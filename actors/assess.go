package actors

import (
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// assess applies the policy to what a payment has received.
func (p *payments) assess(t *account.Transaction, known account.Time) bitcoin.Assessment {
	policy, tip := p.exchange.cfg.Policy, p.tip.Load()
	d := t.Detail
	quote := bitcoin.Quote{AITBC: t.Amount, BTC: max(1, d.BTC), ExpiresAt: d.ExpiresAt.Std()}
	if t.Status == account.Failed && !d.Expired {
		// An operator has ended it: whatever comes goes back.
		quote.ExpiresAt, policy.Late = time.Time{}, bitcoin.Refund
	}
	received := make([]bitcoin.Received, 0, len(d.Outputs))
	for i := range d.Outputs {
		o := &d.Outputs[i]
		if o.Gone {
			continue
		}
		r := bitcoin.Received{Out: wireOut(o.Out), BTC: o.BTC, Height: o.Height, At: o.At.Std(), Refunded: o.Refunded}
		if o.Counted && o.Height > 0 { // it was final once, whatever the policy is now
			r.Height = max(1, min(o.Height, tip-policy.Confirmations+1))
		}
		received = append(received, r)
	}
	return bitcoin.Assess(quote, policy, received, tip, known.Std())
}

// settle does what follows from the outputs of payments, and from the time. It
// fails only where the exchange closes or the journal is gone.
func (p *payments) settle(ids []account.TransactionID) error {
	if len(ids) == 0 {
		return nil
	}
	p.settling.Lock()
	defer p.settling.Unlock()
	return p.settleLocked(ids)
}

// settleLocked is settle for a caller that holds settling.
func (p *payments) settleLocked(ids []account.TransactionID) error {
	known := p.knownUntil() + 1 // a quote ends at its time, not after it
	var orders []order
	for _, id := range ids {
		u, state := p.exchange.directory.find(id.User)
		t, ok := state.History.At(id.N)
		if !ok || t.Type != account.TypeBuy {
			continue
		}
		if !p.follows(t.Detail) {
			// What was paid is not known here, and of a simulated address that is nothing.
			if !t.Detail.Derived && t.Status == account.Pending && t.Detail.ExpiresAt < known && len(t.Detail.Outputs) == 0 {
				orders = append(orders, order{u, &account.ExpirePayment{N: id.N}})
			}
			continue
		}
		a := p.assess(&t, known)
		for _, command := range settlement(id.N, &t, &a) {
			orders = append(orders, order{u, command})
		}
		p.remember(id, p.isUnsettled(&t))
	}
	return p.sendAll(p.ctx, orders)
}

// settlement returns the commands that bring payment n to what a says.
func settlement(n uint32, t *account.Transaction, a *bitcoin.Assessment) (commands []account.Command) {
	reversed := false
	for i := range t.Detail.Outputs {
		reversed = reversed || t.Detail.Outputs[i].Reversed
	}
	if a.Credit > t.Credited() || reversed || t.Detail.Frozen > 0 {
		settle := &account.SettlePayment{N: n, Due: a.Credit}
		for _, out := range a.Outs {
			settle.Outs = append(settle.Outs, account.Outpoint{TxID: account.ChainHash(out.Hash), Index: out.Index})
		}
		commands = append(commands, settle)
	}
	for _, r := range a.Refunds {
		out := account.Outpoint{TxID: account.ChainHash(r.Out.Hash), Index: r.Out.Index}
		refund := &account.QueueRefund{N: n, Out: out, BTC: r.BTC}
		for i := range t.Detail.Outputs {
			if o := &t.Detail.Outputs[i]; o.Out == out {
				refund.Before = o.Refunded
			}
		}
		commands = append(commands, refund)
	}
	if t.Status == account.Pending && a.Final && a.Credit == 0 {
		commands = append(commands, &account.ExpirePayment{N: n})
	}
	return commands
}

// isUnsettled reports whether the next block may change what t comes to.
func (p *payments) isUnsettled(t *account.Transaction) bool {
	tip, wanted := p.tip.Load(), p.exchange.cfg.Policy.Confirmations
	for i := range t.Detail.Outputs {
		if o := &t.Detail.Outputs[i]; !o.Gone && !o.Counted && (o.Height == 0 || o.Height+wanted-1 > tip) {
			return true
		}
	}
	return false
}

// remember notes whether the next block may change a payment.
func (p *payments) remember(id account.TransactionID, unsettled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
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

// The states of a payment that are not bitcoin's.
const (
	PaymentConfirmed bitcoin.PaymentState = "confirmed" // bitcoin.PaymentCredited, by the name that clients know
	PaymentFailed    bitcoin.PaymentState = "failed"    // ended by an operator
)

// PaymentView is where a payment stands, as its payer is told.
type PaymentView struct {
	State         bitcoin.PaymentState
	Confirmations uint32 // so far, at most Required
	Required      uint32
	Received      account.Money // satoshi, of all outputs that the chain has
	Missing       account.Money // satoshi to the quote
	Credited      account.Money // AITBC
	Refund        account.Money // satoshi, set aside to be sent back
	TxHash        string        // of the first output, "" before
}

// Payment returns where a buy stands at this moment.
func (x *Exchange) Payment(t *account.Transaction) PaymentView {
	d := t.Detail
	a := x.payments.assess(t, x.now())
	v := PaymentView{
		State: a.State, Confirmations: uint32(a.Confirmations), Required: x.cfg.Terms.Confirmations,
		Received: a.Paid, Missing: a.Missing, Credited: t.Credited(), TxHash: d.TxHash,
	}
	for i := range d.Outputs {
		v.Refund += d.Outputs[i].Refunded
		if v.TxHash == "" && !d.Outputs[i].Gone {
			v.TxHash = d.Outputs[i].Out.TxID.String()
		}
	}
	switch {
	case t.Status == account.Failed && !d.Expired:
		v.State = PaymentFailed
	case t.Status == account.Completed && d.By != "chain", t.Status == account.Completed && len(d.Outputs) == 0, v.State == bitcoin.PaymentCredited:
		v.State = PaymentConfirmed
		v.Confirmations = max(v.Confirmations, d.Confirmations)
	case t.Status == account.Pending && v.State == bitcoin.PaymentExpired:
		v.State = bitcoin.PaymentPending // until the chain is known to hold nothing for it
	case t.Status == account.Completed && (v.State == bitcoin.PaymentExpired || v.State == bitcoin.PaymentPending):
		v.State = bitcoin.PaymentUnderpaid // the chain took it back
	case t.Status == account.Failed && d.Expired && len(d.Outputs) == 0:
		v.State = bitcoin.PaymentExpired
	}
	return v
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

// LiftFreeze frees what a reorganisation froze for a payment: the operator answers
// for it.
func (x *Exchange) LiftFreeze(id account.TransactionID, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.settle(id, &account.LiftFreeze{N: id.N, By: by, Reason: reason}, idem)
}
