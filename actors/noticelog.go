package actors

import (
	"errors"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/delivery"
)

// NoticePlace is where a walk over all notices is: at the first Users, in the order of
// their creation, and among the notices of the next at those up to N.
type NoticePlace struct {
	Users int
	N     uint32
}

// NoticeEntry is a notice, and where it stands.
type NoticeEntry struct {
	ID      account.NoticeID
	Notice  *account.Notice
	Waiting delivery.Waiting // of an open one that can be delivered
}

// Notices returns up to limit notices that are open, or that are not, by user and
// number, and where more begin. What has ended meanwhile may be left out.
func (x *Exchange) Notices(open bool, from NoticePlace, limit int) (entries []NoticeEntry, next NoticePlace, more bool) {
	next, more = x.walkNotices(from, func(u *user, n *account.Notice) bool {
		if (n.State == account.NoticeOpen) != open {
			return true
		}
		if len(entries) == limit {
			return false
		}
		entries = append(entries, x.noticeEntry(u.id, n))
		return true
	})
	return entries, next, more
}

func (x *Exchange) noticeEntry(id account.UserID, n *account.Notice) NoticeEntry {
	e := NoticeEntry{ID: account.NoticeID{User: id, N: n.N}, Notice: n}
	if c := x.notices.channels[n.Channel]; c != nil && n.State == account.NoticeOpen {
		e.Waiting, _ = c.queue.Waiting(id, n.N)
	}
	return e
}

// walkNotices calls fn with every notice from a place on, until it returns false, and
// returns the place of that one.
func (x *Exchange) walkNotices(from NoticePlace, fn func(u *user, n *account.Notice) bool) (at NoticePlace, more bool) {
	at = from
	for _, u := range x.created.from(from.Users) {
		if o := u.durable.Load().Outbox; o != nil {
			for _, n := range o.Notices {
				if n.N <= at.N {
					continue
				}
				if !fn(u, n) {
					return at, true
				}
				at.N = n.N
			}
		}
		at = NoticePlace{Users: at.Users + 1}
	}
	return at, false
}

// Notice returns a notice that is kept.
func (x *Exchange) Notice(id account.NoticeID) (NoticeEntry, bool) {
	_, state := x.directory.find(id.User)
	if state == nil {
		return NoticeEntry{}, false
	}
	n := state.Outbox.Notice(id.N)
	if n == nil {
		return NoticeEntry{}, false
	}
	return x.noticeEntry(id.User, n), true
}

// ReplayNotice has a settled notice delivered once more.
func (x *Exchange) ReplayNotice(id account.NoticeID, by string) error {
	_, err := x.operate(id.User, &account.ReplayNotice{N: id.N, By: by}, nil)
	return err
}

// ReplayNotices has up to limit settled notices of what happened at or after since
// delivered once more; failed leaves out those that were delivered. It returns how many
// it was, and where more begin.
func (x *Exchange) ReplayNotices(since account.Time, failed bool, from NoticePlace, limit int, by string) (replayed int, next NoticePlace, more bool, err error) {
	if err := x.audit(operatorAct(by, "notices.replay", "", "of what happened since "+since.String())); err != nil {
		return 0, from, false, err
	}
	var calls []*call
	next, more = x.walkNotices(from, func(u *user, n *account.Notice) bool {
		if n.State == account.NoticeOpen || n.At < since || (failed && n.State != account.NoticeFailed) {
			return true
		}
		if len(calls) == limit {
			return false
		}
		calls = append(calls, x.send(u, &account.ReplayNotice{N: n.N, By: by}, nil))
		return true
	})
	for _, c := range calls {
		_, failure := x.await(c)
		var refused *account.Error
		switch {
		case failure == nil:
			replayed++
		case !errors.As(failure, &refused): // a refused one is open again, or gone
			err = failure
		}
	}
	return replayed, next, more, err
}
