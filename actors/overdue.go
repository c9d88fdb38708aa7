package actors

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// overdue lets requesters go that have waited for too long. It looks at all calls now
// and then, so that a command needs no timer.
type overdue struct {
	ticks    atomic.Uint64 // tenths of CommandTimeout since the start
	stop     chan struct{}
	finished sync.WaitGroup

	mu    sync.Mutex
	calls []weak.Pointer[call] // guarded by mu: all that there are, pooled or not
}

// What call.waiting is beside the tick at which its requester began to wait.
const (
	isAnswered = iota // or nobody waits, or whoever does never gives up
	gaveUp
	firstTick
)

// patience is how many ticks a requester waits, less a part of the first.
const patience = 10

// wait notes that somebody begins to wait for c, which may be a pooled one that whoever
// had it before gave up.
func (o *overdue) wait(c *call) {
	since := uint64(isAnswered)
	if !c.patient {
		since = firstTick + o.ticks.Load()
	}
	c.waiting.Store(since)
}

func (o *overdue) add(c *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, weak.Make(c))
}

func (o *overdue) start(timeout time.Duration) {
	o.stop = make(chan struct{})
	o.finished.Go(func() {
		ticker := time.NewTicker(max(1, timeout/patience))
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				o.letGo(o.ticks.Add(1))
			case <-o.stop:
				return
			}
		}
	})
}

// letGo lets everybody go who waits for too long at a tick, and forgets calls that are
// no more.
func (o *overdue) letGo(now uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = slices.DeleteFunc(o.calls, func(p weak.Pointer[call]) bool {
		c := p.Value()
		if c == nil {
			return true
		}
		since := c.waiting.Load()
		if since >= firstTick && firstTick+now-since >= patience && c.waiting.CompareAndSwap(since, gaveUp) {
			if c.requester != nil {
				c.requester.Outcome(Receipt{}, ErrOutcomeUnknown)
			} else {
				c.done <- false
			}
		}
		return false
	})
}

func (o *overdue) close() {
	if o.stop != nil {
		close(o.stop)
		o.finished.Wait()
	}
}
