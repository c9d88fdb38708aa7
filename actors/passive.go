package actors

import (
	"math"
	"slices"
	"sync"
	"time"
)

// sealed is what underWay is while a user's actor is being given back: no command
// may be counted then. It is so far below zero that it stays there.
const sealed = math.MinInt32

// begin counts a command of u as under way. It is sent after that, and its actor
// is not given back before it has ended.
func (x *Exchange) begin(u *user) {
	for {
		n := u.underWay.Load()
		if n == sealed { // for as long as the lock is held
			x.spawning.Lock()
			//lint:ignore SA2001 whoever sealed the user has unsealed it before unlocking
			x.spawning.Unlock()
			continue
		}
		if u.underWay.CompareAndSwap(n, n+1) {
			break
		}
	}
	if !u.used.Load() {
		u.used.Store(true)
	}
}

// end counts a command of u as ended: its outcome is known, durable and published.
func (u *user) end() {
	if n := u.underWay.Add(-1); n < 0 {
		panic("actors: a command of user " + u.id.String() + " ended twice")
	}
}

// passivate gives u's actor and account back, and reports whether it did. Both are
// made again from the durable state when the next command comes.
//
// There is never a second actor beside a first that still handles something: the
// actor goes only while no command is under way. Every command sent to it then has
// its outcome, so its mailbox is empty, and what the actor did last, handing a
// record to the journal, came before that record's outcome. Nor can a command be
// sent meanwhile, as none can be counted.
func (x *Exchange) passivate(u *user) bool {
	x.spawning.Lock()
	defer x.spawning.Unlock()
	if !u.underWay.CompareAndSwap(0, sealed) {
		return false
	}
	defer u.underWay.Store(0)
	// Once the journal has failed, accounts are ahead of what is durable for good.
	if x.cfg.Journal.Err() != nil {
		return false
	}
	x.system.Root.Stop(u.mailbox.Load().pid)
	u.mailbox.Store(nil)
	x.actors.Add(-1)
	return true
}

// passivator gives the actors of idle users back, so that what grows is data and
// not machinery.
type passivator struct {
	stop     chan struct{}
	finished sync.WaitGroup
}

// start looks after all active users once in a period: a user without a command
// since the last look has been idle for a period at least, and for two at most.
func (p *passivator) start(x *Exchange, period time.Duration) {
	p.stop = make(chan struct{})
	p.finished.Add(1)
	go func() {
		defer p.finished.Done()
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				x.passivateIdle(p.stop)
			case <-p.stop:
				return
			}
		}
	}()
}

func (p *passivator) close() {
	if p.stop != nil {
		close(p.stop)
		p.finished.Wait()
	}
}

// passivateIdle gives back the actors of users without a command since the last
// call. It takes the lock for one user at a time.
func (x *Exchange) passivateIdle(stop <-chan struct{}) {
	x.spawning.Lock()
	users := x.active
	x.active = nil
	x.spawning.Unlock()
	kept := make([]*user, 0, len(users))
	for i, u := range users {
		if u.used.Swap(false) || !x.passivate(u) {
			kept = append(kept, u)
		}
		select {
		case <-stop:
			kept = append(kept, users[i+1:]...)
			x.keepActive(kept)
			return
		default:
		}
	}
	x.keepActive(kept)
}

func (x *Exchange) keepActive(users []*user) {
	x.spawning.Lock()
	x.active = slices.Clip(append(users, x.active...))
	x.spawning.Unlock()
}
