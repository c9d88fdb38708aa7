package actors

import (
	"sync"
	"sync/atomic"
	"testing"
)

// recorder stands for an actor, and for where its goroutines come from.
type recorder struct {
	t       *testing.T
	handle  func(c *call)
	busy    atomic.Bool
	handled []*call // in order; of whose turn it is
	handed  atomic.Int32
	group   sync.WaitGroup
}

func (r *recorder) InvokeUserMessage(message any) {
	if !r.busy.CompareAndSwap(false, true) {
		r.t.Error("two calls are handled at once")
	}
	c := message.(*call)
	r.handled = append(r.handled, c)
	if r.handle != nil {
		r.handle(c)
	}
	r.busy.Store(false)
}

func (r *recorder) InvokeSystemMessage(any) {}

func (r *recorder) EscalateFailure(reason, _ any) { r.t.Errorf("escalated: %v", reason) }

func (r *recorder) Schedule(fn func()) {
	r.handed.Add(1)
	r.group.Go(fn)
}

func (r *recorder) Throughput() int { return 1 }

func TestAMailboxHandlesOneCallAtATimeInTheOrderOfEachPoster(t *testing.T) {
	const posters, each = 8, 2000
	r := &recorder{t: t}
	m := &mailbox{}
	m.RegisterHandlers(r, r)
	place := make(map[*call][2]int, posters*each)
	calls := make([][]*call, posters)
	for p := range calls {
		for n := range each {
			c := &call{}
			calls[p], place[c] = append(calls[p], c), [2]int{p, n}
		}
	}
	var group sync.WaitGroup
	for _, mine := range calls {
		group.Go(func() {
			for _, c := range mine {
				m.post(c)
			}
		})
	}
	group.Wait()
	r.group.Wait() // whoever goes on for a poster was started before its post returned
	if len(r.handled) != posters*each {
		t.Fatalf("%d calls were handled, %d posted", len(r.handled), posters*each)
	}
	var next [posters]int
	for _, c := range r.handled {
		if at := place[c]; at[1] != next[at[0]] {
			t.Fatalf("call %d of poster %d was handled when its call %d was next", at[1], at[0], next[at[0]])
		}
		next[place[c][0]]++
	}
}

func TestWhoeverPostsToABusyMailboxIsNotKeptForEver(t *testing.T) {
	const total = 3*handlesAtOnce + 10
	r := &recorder{t: t}
	m := &mailbox{}
	m.RegisterHandlers(r, r)
	r.handle = func(*call) {
		if len(r.handled) < total {
			m.post(&call{}) // there is always one more
		}
	}
	m.post(&call{})
	r.group.Wait() // each that goes on starts the next before it ends
	if len(r.handled) != total || r.handed.Load() != 3 {
		t.Errorf("%d of %d calls were handled, others went on %d times, want 3", len(r.handled), total, r.handed.Load())
	}
}
