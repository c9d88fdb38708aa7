package actors

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/aitbc/exchange/actors/account"
)

// MaxWatchers is how many watchers one user may have at once.
const MaxWatchers = 8

// ErrTooManyWatchers: the user has MaxWatchers already.
var ErrTooManyWatchers = errors.New("too many watchers of one user")

// Watcher is told when its session's user has a new durable state. It holds no
// queue: it says that there is something new, and State says what there is now.
// One goroutine owns it.
type Watcher struct {
	exchange *Exchange
	session  Session
	changed  chan struct{} // capacity 1
	rotated  atomic.Bool   // the session goes on under another token
}

// Watch begins to watch the session's user, until Close.
func (x *Exchange) Watch(s *Session) (*Watcher, error) {
	w := &Watcher{exchange: x, session: *s, changed: make(chan struct{}, 1)}
	w.session.State = nil
	x.watching.Lock()
	defer x.watching.Unlock()
	var list []*Watcher
	if before := s.user.watchers.Load(); before != nil {
		list = slices.Clone(*before)
	}
	if len(list) == MaxWatchers {
		return nil, ErrTooManyWatchers
	}
	list = append(list, w)
	s.user.watchers.Store(&list)
	x.watchers.Add(1)
	return w, nil
}

// Close ends the watching. It is called once.
func (w *Watcher) Close() {
	x, u := w.exchange, w.session.user
	x.watching.Lock()
	defer x.watching.Unlock()
	before := *u.watchers.Load()
	if len(before) == 1 {
		u.watchers.Store(nil)
	} else {
		list := slices.DeleteFunc(slices.Clone(before), func(other *Watcher) bool { return other == w })
		u.watchers.Store(&list)
	}
	x.watchers.Add(-1)
}

// Changed receives after one change or several.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// State returns the user's durable state. After a receive from Changed it is the
// changed one, or a later one.
func (w *Watcher) State() *account.State { return w.session.user.durable.Load() }

// SessionEnd says until when the watcher's session lives, as state has it; false if
// it has ended.
func (w *Watcher) SessionEnd(state *account.State) (account.Time, bool) {
	for i := range state.Sessions {
		if s := &state.Sessions[i]; s.Hash == w.session.hash {
			end := s.End(w.exchange.uses.idle)
			return end, w.exchange.now() < end
		}
	}
	return 0, false
}

// Rotated reports, of a session that has ended, whether it goes on under another token:
// who has that one begins to watch anew.
func (w *Watcher) Rotated() bool { return w.rotated.Load() }

// rotated is called by the journal's committer before the state without the session is
// to be seen, so that nobody takes the rotation for a logout.
func (u *user) rotated(session account.Hash) {
	if list := u.watchers.Load(); list != nil {
		for _, w := range *list {
			if w.session.hash == session {
				w.rotated.Store(true)
			}
		}
	}
}

// Now is the exchange's clock.
func (w *Watcher) Now() account.Time { return w.exchange.now() }

// tellWatchers is called by the journal's committer after each record: it takes
// one atomic load where nobody watches, and never blocks.
func (u *user) tellWatchers() {
	list := u.watchers.Load()
	if list == nil {
		return
	}
	for _, w := range *list {
		select {
		case w.changed <- struct{}{}:
		default: // told already, and not yet looked
		}
	}
}
