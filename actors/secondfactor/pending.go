package secondfactor

import (
	"errors"
	"sync"
	"time"
)

// ErrBusy means that as many ceremonies or enrolments are under way as may be.
var ErrBusy = errors.New("too many second factors are being enrolled or shown at once")

// asker is whose something is that is under way: of one session alone, so that who has
// another of the user's can't push it out.
type asker struct {
	user    [16]byte
	session [32]byte
}

// pending holds what is under way, one for each asker and at most limit at once, until
// it expires. Its methods may be called from any goroutine.
type pending[V any] struct {
	limit    int
	lifetime time.Duration
	now      func() time.Time

	mu    sync.Mutex
	of    map[asker]pendingEntry[V] // guarded by mu
	swept time.Time                 // guarded by mu
}

type pendingEntry[V any] struct {
	value   V
	expires time.Time
}

func newPending[V any](limit int, lifetime time.Duration, now func() time.Time) *pending[V] {
	return &pending[V]{limit: limit, lifetime: lifetime, now: now, of: map[asker]pendingEntry[V]{}}
}

// put begins something, in place of what the asker has under way.
func (p *pending[V]) put(who asker, value V) error {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, again := p.of[who]; !again && len(p.of) >= p.limit {
		if now.Sub(p.swept) < time.Second { // a full house is swept once a second
			return ErrBusy
		}
		p.swept = now
		for other, entry := range p.of {
			if !now.Before(entry.expires) {
				delete(p.of, other)
			}
		}
		if len(p.of) >= p.limit {
			return ErrBusy
		}
	}
	p.of[who] = pendingEntry[V]{value, now.Add(p.lifetime)}
	return nil
}

// get returns what the asker has under way.
func (p *pending[V]) get(who asker) (V, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	entry, ok := p.of[who]
	return entry.value, ok && p.now().Before(entry.expires)
}

// take is get, and ends it.
func (p *pending[V]) take(who asker) (V, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	entry, ok := p.of[who]
	delete(p.of, who)
	return entry.value, ok && p.now().Before(entry.expires)
}
