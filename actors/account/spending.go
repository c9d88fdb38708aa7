package account

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
	"time"
)

// day is what a daily limit counts over.
const day = Time(24 * time.Hour / time.Microsecond)

// spending is what left an account lately, or is about to: its withdrawals and sales
// but those that failed, without fees. It follows from the history. The account's
// owner has it alone; it is made when the first limit is asked for, and kept up to
// date from then on, so that a limit costs a search and not a walk.
type spending struct {
	list []spent // oldest first, of the 24 hours before the last record and some older
}

type spent struct {
	n    uint32
	at   Time
	upTo wide // the amounts of the list up to this one
}

// admitSpending checks that amount and what was spent in the 24 hours up to at are
// not more than limit.
func (a *Account) admitSpending(amount, limit Money, at Time) *Error {
	if a.spending == nil {
		a.spending = a.spentSince(a.UpdatedAt - day)
	}
	s := a.spending
	first := sort.Search(len(s.list), func(i int) bool { return at < s.list[i].at+day })
	if first == len(s.list) && amount <= limit {
		return nil
	}
	before := s.before(first)
	used := s.before(len(s.list)).minus(before)
	left := max(0, limit-used.money())
	if amount <= left {
		return nil
	}
	if first == len(s.list) {
		return refuse(CodeDailyLimit, "%s AITBC is more than the %s that may leave this account in 24 hours, all of which are left", amount, limit)
	}
	// More is free when the oldest is a day old; enough is, when so many are that what
	// is then left is the amount.
	free := s.list[first].at + day
	if amount > limit {
		return refuse(CodeDailyLimit, "%s AITBC is more than the %s that may leave this account in 24 hours, of which %s are left; more is free from %s on", amount, limit, left, free)
	}
	total := s.before(len(s.list))
	enough := first + sort.Search(len(s.list)-first, func(i int) bool {
		return total.minus(s.list[first+i].upTo).money() <= limit-amount
	})
	err := refuse(CodeDailyLimit, "%s of the %s AITBC that may leave this account in 24 hours are left; more is free from %s on, and %s from %s on",
		left, limit, free, amount, s.list[enough].at+day)
	err.RetryAt = s.list[enough].at + day
	return err
}

// spentSince goes through the history from since on.
func (a *Account) spentSince(since Time) *spending {
	h, s := &a.History, &spending{}
	place := h.placeSince(since)
	s.list = make([]spent, 0, min(h.n+1-place, a.Counts.Of(TypeWithdrawal, 0)+a.Counts.Of(TypeSell, 0)))
	for place <= h.n {
		c := int(place-1) / chunkSize
		base, rest := openChunk(h.chunk(c))
		for i := uint32(c*chunkSize) + 1; len(rest) > 0; i++ {
			var body []byte
			if body, rest = nextPacked(rest); i < place {
				continue
			}
			place++
			if of := Type(body[0] >> headType); (of == TypeWithdrawal || of == TypeSell) && !selected(body[0], 0, Failed) {
				amount, _ := binary.Uvarint(body[1+uvarintLen(body[1:]):])
				s.append(h.numbers.number(i), packedTime(body, base), Money(amount))
			}
		}
	}
	return s
}

// uvarintLen is the length of the integer at the front of b.
func uvarintLen(b []byte) int {
	n := 1
	for b[n-1] >= 0x80 {
		n++
	}
	return n
}

// before is the sum of the first i.
func (s *spending) before(i int) wide {
	if i == 0 {
		return wide{}
	}
	return s.list[i-1].upTo
}

func (s *spending) append(n uint32, at Time, amount Money) {
	s.list = append(s.list, spent{n, at, s.before(len(s.list)).plus(amount)})
}

// add notes transaction n, made by a record at at. What is a day older than that is
// forgotten once it is half of the list.
func (s *spending) add(n uint32, at Time, amount Money) {
	if s == nil {
		return
	}
	if half := len(s.list) / 2; half >= chunkSize && at >= s.list[half].at+day {
		gone := s.list[half].upTo
		s.list = slices.Clone(s.list[half+1:])
		for i := range s.list {
			s.list[i].upTo = s.list[i].upTo.minus(gone)
		}
	}
	s.append(n, at, amount)
}

// remove notes that transaction n, of amount, has failed.
func (s *spending) remove(n uint32, amount Money) {
	if s == nil {
		return
	}
	i, found := slices.BinarySearchFunc(s.list, n, func(e spent, n uint32) int { return int(int64(e.n) - int64(n)) })
	if !found {
		return // older than a day, or on its way in
	}
	for j := i; j < len(s.list); j++ {
		s.list[j].upTo = s.list[j].upTo.minus(wide{lo: uint64(amount)})
	}
	s.list = slices.Delete(s.list, i, i+1)
}

// wide is a sum of amounts, which may leave the range of Money.
type wide struct{ hi, lo uint64 }

func (w wide) plus(m Money) wide {
	lo, carry := bits.Add64(w.lo, uint64(m), 0)
	return wide{w.hi + carry, lo}
}

func (w wide) minus(v wide) wide {
	lo, borrow := bits.Sub64(w.lo, v.lo, 0)
	return wide{w.hi - v.hi - borrow, lo}
}

// money is the sum, or the most there can be.
func (w wide) money() Money {
	if w.hi > 0 || w.lo > uint64(MaxMoney) {
		return MaxMoney
	}
	return Money(w.lo)
}
