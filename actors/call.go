package actors

import (
	"fmt"
	"sync/atomic"

	"github.com/aitbc/exchange/actors/account"
)

// call carries one command to an actor and its outcome back. It is its own journal
// completion and its own waiter, and is pooled, so that a command costs no future, no
// timer and no registry entry.
//
// One party at a time owns a call, and hands it on once:
//
//	owner      from                      until
//	requester  newCall                   post
//	actor      the mailbox               it gives the call to the journal, or fails it
//	committer  Committed, or fail        answer
//	requester  answer, if it still waits collect, which pools the call
//
// The requester's fields are written before post and stay as they are until collect; the
// outcome's are the owner's alone. For who waits as a Requester answer itself collects.
//
// A requester waits from post on. Two end that, the committer by answer and overdue by
// giveUp, by changing waiting, and whoever is first tells the requester:
//
//	waiting   answer makes it  giveUp makes it
//	a tick    answered         gaveUp, if that tick is long past
//	forever   answered         -
//	gaveUp    answered         -
//	answered  a panic          -
//
// A call that was given up is never collected: its requester may be being told so at any
// time after, by done or requester, and whoever had the call next would be told instead.
// It stays the actor's, the committer's, and whenLate's where somebody has to know the
// outcome all the same, and then nobody's.
type call struct {
	exchange *Exchange
	done     chan bool     // capacity 1, so that telling never blocks: whether there is an outcome
	waiting  atomic.Uint64 // how somebody waits: answered, gaveUp, forever, or from firstTick on since when

	next *call // of the mailbox

	// The requester's.
	requester Requester            // told the outcome; nil where somebody waits for done
	whenLate  func(Receipt, error) // told it where the requester gave up, on a goroutine of its own; may be nil
	patient   bool                 // the requester never gives up
	user      *user
	command   account.Command
	deposit   account.Deposit // the command of the hottest route, so that it needs no allocation
	idem      account.Idempotency
	hasIdem   bool

	// The outcome's.
	decision account.Decision
	encoded  []byte         // the decision's record; kept for its capacity
	state    *account.State // after the record; nil if nothing changed
	err      error
}

// What call.waiting is beside the tick at which its requester began to wait.
const (
	answered = iota // the outcome is known; or the call was not sent
	gaveUp          // the requester was told, or is being told, that it is not
	forever         // a patient requester waits
	firstTick
)

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

// wait notes that the requester begins to wait, at a tick.
func (c *call) wait(tick uint64) {
	since := firstTick + tick
	if c.patient {
		since = forever
	}
	if was := c.waiting.Swap(since); was != answered {
		panic(fmt.Sprintf("actors: a call was sent that is still waited for (%d)", was))
	}
}

// answer ends the command. It gives the call, with its outcome, back to the requester if
// that still waits.
func (c *call) answer() {
	c.user.end()
	switch c.waiting.Swap(answered) {
	case answered:
		panic("actors: a call was answered twice")
	case gaveUp:
		if c.whenLate != nil {
			go c.whenLate(c.outcome())
		}
		return
	}
	if requester := c.requester; requester != nil {
		requester.Outcome(c.exchange.collect(c))
		return
	}
	c.done <- true
}

// giveUp lets the requester go if it has waited for long at a tick. It does not own c,
// which may be another requester's by now. But a tick that was long past, and is still
// there to be changed, is of whoever waits now.
func (c *call) giveUp(now uint64) {
	since := c.waiting.Load()
	if since < firstTick || firstTick+now-since < patience || !c.waiting.CompareAndSwap(since, gaveUp) {
		return
	}
	if c.requester != nil {
		c.requester.Outcome(Receipt{}, ErrOutcomeUnknown)
		return
	}
	c.done <- false
}

// outcome returns what came of the command.
func (c *call) outcome() (Receipt, error) {
	if c.err != nil {
		return Receipt{}, c.err
	}
	receipt := Receipt{State: c.state, N: c.decision.N, Replayed: c.decision.Replayed}
	if receipt.State == nil {
		receipt.State = c.user.durable.Load()
	}
	return receipt, nil
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
	c.wait(x.overdue.ticks.Load())
	x.begin(u)
	x.mailboxOf(u).post(c)
}

// await waits until the outcome of a command that was sent is durable.
func (x *Exchange) await(c *call) (Receipt, error) {
	if !<-c.done {
		return Receipt{}, ErrOutcomeUnknown // and c is not the requester's any more
	}
	return x.collect(c)
}

// collect takes the outcome out of a call whose requester was told that there is one, and
// gives the call back.
func (x *Exchange) collect(c *call) (Receipt, error) {
	receipt, err := c.outcome()
	c.requester, c.whenLate, c.patient, c.user, c.command, c.hasIdem = nil, nil, false, nil, nil, false
	c.decision, c.state, c.err = account.Decision{}, nil, nil
	x.calls.Put(c)
	x.commands.Add(1)
	if err != nil {
		x.refused.Add(1)
	}
	return receipt, err
}
