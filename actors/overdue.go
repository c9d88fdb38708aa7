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
	calls []weak.Pointer[call] // guarded by mu: all that there are, pooled or not, or given up and not yet collected as garbage
}

// patience is how many ticks a requester waits, less a part of the first.
const patience = 10

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
		c.giveUp(now)
		return false
	})
}

func (o *overdue) close() {
	if o.stop != nil {
		close(o.stop)
		o.finished.Wait()
	}
}
