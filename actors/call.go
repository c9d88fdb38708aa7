package actors

import (
	"sync/atomic"

	"github.com/aitbc/exchange/actors/account"
)

// call carries one command to an actor and its outcome back. It is its own
// journal completion and its own waiter, and is pooled, so that a command costs
// no future, no timer and no registry entry. Whoever holds it may touch it: the
// requester, then the actor, then the committer, then the requester again. A
// requester that gave up never touches it, or pools it, again.
type call struct {
	exchange *Exchange
	done     chan bool     // capacity 1, so that finishing never blocks: whether there is an outcome
	next     *call         // of the mailbox
	waiting  atomic.Uint64 // whether somebody waits, and since when: see overdue
	whenLate func()        // called with the outcome where the requester gave up; may be nil
	patient  bool          // the requester never gives up

	requester Requester // told the outcome; nil where somebody waits for done

	user    *user
	command account.Command
	deposit account.Deposit // the command of the hottest route, so that it needs no allocation
	idem    account.Idempotency
	hasIdem bool

	decision account.Decision
	encoded  []byte         // the decision's record; kept for its capacity
	state    *account.State // after the record; nil if nothing changed
	err      error
}

func newCall(x *Exchange) *call {
	c := &call{exchange: x, done: make(chan bool, 1)}
	x.overdue.add(c)
	return c
}

func (c *call) idempotency() *account.Idempotency {
	if !c.hasIdem {
		return nil
	}
	return &c.idem
}

// Committed is called by the journal once the call's record, or everything the
// call's answer rests on, is durable or never known to be.
func (c *call) Committed(err error) {
	switch {
	case err != nil:
		c.err = asUnavailable(err)
	case c.state != nil:
		c.exchange.publish(c.user, c.state, &c.decision.Record)
	}
	c.answer()
}

// fail answers at once with an error of the journal.
func (c *call) fail(err error) {
	c.err = asUnavailable(err)
	c.answer()
}

// answer gives the call, with its outcome, back to the requester, if that still waits.
func (c *call) answer() {
	c.user.end()
	since := c.waiting.Load()
	switch {
	case since != gaveUp && c.waiting.CompareAndSwap(since, isAnswered):
		if requester := c.requester; requester != nil {
			requester.Outcome(c.exchange.collect(c))
			return
		}
		c.done <- true
	case c.whenLate != nil:
		go c.whenLate()
	}
}

// Requester is told the outcome of a command, as it would be returned by Make, once, by
// whichever goroutine knows it. It must not block.
type Requester interface {
	Outcome(Receipt, error)
}

// Receipt is the answer to a command that was accepted.
type Receipt struct {
	State    *account.State // durable, this command's change included
	N        uint32         // the transaction it is about, 0 if none
	Replayed bool           // the answer of an earlier request with the same key
}

// ID names the receipt's transaction.
func (r Receipt) ID() account.TransactionID { return account.TransactionID{User: r.State.ID, N: r.N} }

// do sends a command to the user's actor and waits until its outcome is durable.
// What the audit log has to have is written there first. Its error is an
// *account.Error, ErrOverloaded, ErrOutcomeUnknown or ErrAuditFailed.
func (x *Exchange) do(u *user, command account.Command, idem *account.Idempotency) (Receipt, error) {
	if err := x.audit(actOfCommand(u.id, command)); err != nil {
		return Receipt{}, err
	}
	return x.await(x.send(u, command, idem))
}

// send hands a command to the user's actor.
func (x *Exchange) send(u *user, command account.Command, idem *account.Idempotency) *call {
	c := x.newCall(command)
	x.post(c, u, idem)
	return c
}

// newCall returns a call that carries command.
func (x *Exchange) newCall(command account.Command) *call {
	c := x.calls.Get().(*call)
	c.command = command
	return c
}

// post hands c, whose command is set, to the user's actor.
func (x *Exchange) post(c *call, u *user, idem *account.Idempotency) {
	c.user = u
	if idem != nil {
		c.idem, c.hasIdem = *idem, true
	}
	x.overdue.wait(c)
	x.begin(u)
	x.mailboxOf(u).post(c)
}

// await waits until the outcome of a command that was sent is durable.
func (x *Exchange) await(c *call) (Receipt, error) {
	if !c.wait() {
		return Receipt{}, ErrOutcomeUnknown
	}
	return x.collect(c)
}

// wait reports whether the outcome came in time. If not, c belongs to the actor
// and the committer for good.
func (c *call) wait() bool { return <-c.done }

// collect takes the outcome out of a finished call and gives the call back.
func (x *Exchange) collect(c *call) (Receipt, error) {
	receipt, err := Receipt{State: c.state, N: c.decision.N, Replayed: c.decision.Replayed}, c.err
	if receipt.State == nil {
		receipt.State = c.user.durable.Load()
	}
	c.user, c.command, c.hasIdem, c.decision, c.state, c.err = nil, nil, false, account.Decision{}, nil, nil
	c.whenLate, c.patient, c.requester = nil, false, nil
	x.calls.Put(c)
	x.commands.Add(1)
	if err != nil {
		x.refused.Add(1)
		return Receipt{}, err
	}
	return receipt, nil
}
