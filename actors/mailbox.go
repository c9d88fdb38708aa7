package actors

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// mailbox is the queue of a user's actor. The commands are linked by their own
// pooled calls, and whoever posts the first of them handles it, and what comes
// meanwhile, on its own goroutine: an actor never waits, so that is faster than to
// start another. One goroutine at a time is the actor's, in the order of posting.
//
// It implements actor.Mailbox. The actor's calls come by post, which spares the way
// over its PID.
type mailbox struct {
	pid        *actor.PID // set before anybody knows of the mailbox
	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher

	running atomic.Bool          // somebody handles what is posted
	posted  atomic.Pointer[call] // the newest call, linked to those before it
	system  atomic.Int32         // how many messages systemQueue holds
	mu      sync.Mutex
	queue   []any // guarded by mu: the messages of the actor system
}

// handlesAtOnce is how many calls whoever posted one handles before another
// goroutine goes on, so that a busy account can't keep its poster for ever.
const handlesAtOnce = 300

// post hands c to the actor.
func (m *mailbox) post(c *call) {
	for {
		newest := m.posted.Load()
		c.next = newest
		if m.posted.CompareAndSwap(newest, c) {
			break
		}
	}
	if m.running.CompareAndSwap(false, true) {
		m.run()
	}
}

// run handles what was posted until nothing is left. The caller has set running.
func (m *mailbox) run() {
	for handled := 0; ; {
		for m.system.Load() > 0 {
			m.invoker.InvokeSystemMessage(m.take())
		}
		for c := oldestFirst(m.posted.Swap(nil)); c != nil; handled++ {
			next := c.next // before c is handled: then it may be another command's already
			c.next = nil
			m.invoker.InvokeUserMessage(c)
			c = next
		}
		m.running.Store(false)
		if m.posted.Load() == nil && m.system.Load() == 0 || !m.running.CompareAndSwap(false, true) {
			return
		}
		if handled >= handlesAtOnce {
			m.dispatcher.Schedule(m.run)
			return
		}
	}
}

// oldestFirst turns a list around.
func oldestFirst(newest *call) *call {
	var list *call
	for newest != nil {
		newest, newest.next, list = newest.next, list, newest
	}
	return list
}

func (m *mailbox) take() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	message := m.queue[0]
	m.queue = m.queue[1:]
	m.system.Add(-1)
	return message
}

// PostUserMessage implements actor.Mailbox.
func (m *mailbox) PostUserMessage(message any) {
	c, ok := message.(*call)
	if !ok {
		panic("actors: a user's actor takes calls only")
	}
	m.post(c)
}

// PostSystemMessage implements actor.Mailbox. What suspends an actor that failed never
// comes: a panic in it ends the process.
func (m *mailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	m.queue = append(m.queue, message)
	m.system.Add(1)
	m.mu.Unlock()
	if m.running.CompareAndSwap(false, true) {
		m.run()
	}
}

// RegisterHandlers implements actor.Mailbox.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.invoker, m.dispatcher = invoker, dispatcher
}

// Start implements actor.Mailbox.
func (m *mailbox) Start() {}

// UserMessageCount implements actor.Mailbox: calls are counted where they wait for
// the journal.
func (m *mailbox) UserMessageCount() int { return 0 }
