package actors

import (
	"slices"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// termsOf returns what a payment was quoted under. For one that is older than terms are
// kept, today's hold for what is not decided of it yet: what counts for a credit is a
// floor, and what was refunded is.
func (x *Exchange) termsOf(t *account.Transaction) account.PaymentTerms {
	if t.Detail.Terms.Kept() {
		return t.Detail.Terms
	}
	return x.cfg.Policy
}

// assess applies the terms of a payment to what it has received.
func (p *payments) assess(t *account.Transaction, known account.Time) bitcoin.Assessment {
	d := t.Detail
	quote := bitcoin.Quote{AITBC: t.Amount, BTC: max(1, d.BTC), ExpiresAt: d.ExpiresAt.Std()}
	before := bitcoin.Settled{Credited: t.Credited(), Answered: d.Answered, Ended: t.Ended()}
	received := make([]bitcoin.Received, 0, len(d.Outputs))
	for i := range d.Outputs {
		o := &d.Outputs[i]
		if o.Gone {
			before.Missing = before.Missing || o.Reversed
			continue
		}
		received = append(received, bitcoin.Received{
			Out: wireOut(o.Out), BTC: o.BTC, Height: o.Height, At: o.At.Std(), Refunded: o.Refunded,
			Counted: o.Counted, Reversed: o.Reversed, Answered: t.Answers(o),
		})
	}
	return bitcoin.Assess(quote, p.exchange.termsOf(t), before, received, p.tip.Load(), known.Std())
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
		u, t := p.find(id)
		switch {
		case u == nil:
		case p.follows(t.Detail):
			a := p.assess(&t, known)
			for _, command := range settlement(id.N, &t, &a) {
				orders = append(orders, order{u, command})
			}
		case !t.Detail.Derived && t.Status == account.Pending && t.Detail.ExpiresAt < known && len(t.Detail.Outputs) == 0:
			// What was paid is not known here, and to a simulated address that is nothing.
			orders = append(orders, order{u, &account.ExpirePayment{N: id.N}})
		}
	}
	if err := p.sendAll(p.ctx, orders); err != nil {
		return err
	}
	for _, id := range ids {
		if u, t := p.find(id); u != nil {
			p.track(id, &t)
		}
	}
	return nil
}

// find returns a payment and whose it is, nil if there is no such payment.
func (p *payments) find(id account.TransactionID) (*user, account.Transaction) {
	u, state := p.exchange.directory.find(id.User)
	if state == nil {
		return nil, account.Transaction{}
	}
	t, ok := state.History.At(id.N)
	if !ok || t.Type != account.TypeBuy {
		return nil, t
	}
	return u, t
}

// settlement returns the commands that bring payment n to what a says.
func settlement(n uint32, t *account.Transaction, a *bitcoin.Assessment) (commands []account.Command) {
	settle := &account.SettlePayment{N: n, Due: a.Credit}
	needed := a.Credit != t.Credited() || t.Detail.Frozen > 0
	for _, out := range a.Outs {
		settle.Outs = append(settle.Outs, accountOut(out))
	}
	var refunds []account.Command
	for i := range t.Detail.Outputs {
		o := &t.Detail.Outputs[i]
		counts := slices.Contains(settle.Outs, o.Out)
		needed = needed || o.Reversed || (counts && !o.Counted)
		for _, due := range a.Refunds {
			switch {
			case accountOut(due.Out) != o.Out:
			case counts:
				settle.Surplus, settle.SurplusOf = due.BTC, o.Out
			default:
				refunds = append(refunds, &account.QueueRefund{N: n, Out: o.Out, BTC: due.BTC, Before: o.Refunded})
			}
		}
	}
	if needed {
		commands = append(commands, settle)
	}
	commands = append(append(commands, surplus(n, t)...), refunds...)
	if t.Status == account.Pending && a.Final && a.Credit == 0 {
		commands = append(commands, &account.ExpirePayment{N: n})
	}
	return commands
}

// surplus returns the refunds that a version which queued them later than the credit did
// not come to, newest output first.
func surplus(n uint32, t *account.Transaction) (commands []account.Command) {
	left := t.Surplus()
	for i := len(t.Detail.Outputs) - 1; i >= 0 && left > 0; i-- {
		o := &t.Detail.Outputs[i]
		if part := min(left, o.BTC-o.Refunded); o.Counted && part > 0 {
			commands = append(commands, &account.QueueRefund{N: n, Out: o.Out, BTC: part, Before: o.Refunded})
			left -= part
		}
	}
	return commands
}

// LiftFreeze frees what a reorganisation froze for a payment: the operator answers
// for it.
func (x *Exchange) LiftFreeze(id account.TransactionID, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.settle(id, &account.LiftFreeze{N: id.N, By: by, Reason: reason}, idem)
}
