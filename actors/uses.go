package actors

import (
	"sync"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/aitbc/exchange/actors/account"
)

// useInterval is how often at most the use of a session is written down.
const useInterval = 5 * time.Minute

// uses writes down that sessions are in use, so that those that are not can end.
//
// A use costs nothing but a comparison until the last one that was written down is an
// interval old; then one record of it is. So a session that has gone unused for the
// idle time ends within an interval after, also across a restart, and one that is in
// use never does. Nothing of it is kept in memory but which writes are under way.
type uses struct {
	idle     account.Time // until a session ends after the last use written down; 0: never
	every    account.Time
	underWay *xsync.Map[account.Hash, struct{}]
	group    sync.WaitGroup
}

func (s *uses) init(idle time.Duration) {
	s.underWay = xsync.NewMap[account.Hash, struct{}]()
	if idle > 0 {
		every := min(useInterval, idle/4)
		s.every, s.idle = microseconds(every), microseconds(idle+every)
	}
}

func microseconds(d time.Duration) account.Time { return account.Time(d / time.Microsecond) }

// writeUse has the session's use written down, and does not wait for it: where it
// fails, the session's next request tries again.
func (x *Exchange) writeUse(u *user, session account.Hash) {
	if _, writing := x.uses.underWay.LoadOrStore(session, struct{}{}); writing {
		return
	}
	x.uses.group.Go(func() {
		defer x.uses.underWay.Delete(session)
		_, _ = x.do(u, &account.UseSession{Session: session, Every: x.uses.every}, nil)
	})
}
