package actors_test

import (
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// live reports whether a session is let in now, as far as a read has shown. One that is
// used lives for the idle time and, as not each use is written down, for up to simEvery.
func (s *sim) live(u *simUser, session *simSession) bool {
	idle := account.Time(s.idle / time.Microsecond)
	if idle > 0 {
		idle += simEvery
	}
	return u.shownAccount().letsIn(session, s.now(), idle)
}

// authenticate has a token let in, and runs the model ahead if its use is written down.
// That it is under way already need not be known: a second one would find nothing to
// write. usedNow says that there is a record more; whoever goes on has to learn first.
func (s *sim) authenticate(u *simUser, t *simToken) (actors.Session, bool) {
	live, since := s.live(u, t.session), s.now()-u.shownAccount().used[t.session]
	session, ok := s.x.Authenticate([]byte(t.token))
	if s.idle == 0 || !live || since < simEvery {
		return session, ok
	}
	outcome := u.ahead().decide(&simCommand{kind: "use", session: t.session}, nil, s.now())
	if outcome.next != nil && !s.poisoned && !s.queueFull() {
		s.note("the use of a session of %s is written down", u.wallet)
		s.record(u, outcome.next)
		s.count.uses++
		s.usedNow = true
	}
	synctest.Wait()
	return session, ok
}
