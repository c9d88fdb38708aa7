package account

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// AppendState writes everything there is to know of an account, idempotency keys
// included, in one canonical binary form: two accounts with the same bytes behave
// alike for ever. It is what a snapshot stores of an account.
//
// Version 2, in the terms of Record:
//
//	version   1 byte
//	user      16 bytes
//	seq       integer
//	names     wallet, e-mail address and username, strings
//	status    1 byte
//	times     created, last login, updated, balance; signed
//	amounts   balance, held
//	sessions  count, then for each: hash (32 bytes), created, expires, used; signed
//	history   count of transactions, then for each chunk of 64: its length in bytes
//	          and those, see History
//	keys      count, then for each: key and fingerprint (16 bytes each), time
//	          (signed), number of the transaction
//
// Version 4 is that of an account that has what most have not; after the keys:
//
//	parts     count, then for each: number, length in bytes, and those, see part
//
// Version 1 had no time of use, and a session is taken for unused since it was
// created, as it is by who reads the records of that time. Version 3 was the system
// account's, with its trail alone after the keys. A later version reads every
// earlier one; testdata/state_v1 to state_v4 hold the proof.
func (s *State) AppendState(dst []byte) []byte {
	hasParts := s.hasParts()
	if hasParts {
		dst = append(dst, stateVersionParts)
	} else {
		dst = append(dst, stateVersion)
	}
	dst = append(dst, s.ID[:]...)
	dst = binary.AppendUvarint(dst, s.Seq)
	dst = appendString(dst, s.Wallet)
	dst = appendString(dst, s.Email)
	dst = appendString(dst, s.Username)
	dst = append(dst, byte(s.Status))
	for _, t := range [...]Time{s.CreatedAt, s.LastLogin, s.UpdatedAt, s.BalanceAt} {
		dst = binary.AppendVarint(dst, int64(t))
	}
	dst = appendMoney(dst, s.Balance)
	dst = appendMoney(dst, s.Held)
	dst = binary.AppendUvarint(dst, uint64(len(s.Sessions)))
	for i := range s.Sessions {
		session := &s.Sessions[i]
		dst = append(dst, session.Hash[:]...)
		dst = binary.AppendVarint(dst, int64(session.CreatedAt))
		dst = binary.AppendVarint(dst, int64(session.ExpiresAt))
		dst = binary.AppendVarint(dst, int64(session.UsedAt))
	}
	dst = binary.AppendUvarint(dst, uint64(s.History.n))
	for _, chunk := range s.History.full {
		dst = append(binary.AppendUvarint(dst, uint64(len(chunk))), chunk...)
	}
	if tail := s.History.tail; len(tail) > 0 {
		dst = append(binary.AppendUvarint(dst, uint64(len(tail))), tail...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.keys)))
	for i := range s.keys {
		use := &s.keys[i]
		dst = append(dst, use.key[:]...)
		dst = append(dst, use.fingerprint[:]...)
		dst = binary.AppendVarint(dst, int64(use.at))
		dst = binary.AppendUvarint(dst, uint64(use.n))
	}
	if hasParts {
		dst = s.appendParts(dst)
	}
	return dst
}

const (
	stateVersionNoUses = 1 // sessions without a time of use
	stateVersion       = 2
	stateVersionTrail  = 3 // the trail after the keys
	stateVersionParts  = 4
)

// StateHash is the SHA-256 of AppendState.
func (s *State) StateHash() Hash { return sha256.Sum256(s.AppendState(nil)) }

// ErrState is what every error of DecodeState wraps.
var ErrState = errors.New("not a valid account state")

// DecodeState reads what AppendState wrote, the whole of b, and keeps nothing of b.
// It checks every byte, and that balance and holds are what the history comes to.
// Every error wraps ErrState.
func DecodeState(b []byte) (*State, error) {
	in := reader{b: b}
	version := in.byte()
	if in.err == nil && (version < stateVersionNoUses || version > stateVersionParts) {
		return nil, fmt.Errorf("%w: version %d, this program reads versions %d to %d", ErrState, version, stateVersionNoUses, stateVersionParts)
	}
	s := &State{}
	copy(s.ID[:], in.take(len(s.ID)))
	s.Seq = in.uvarint()
	in.names(&s.Wallet, &s.Email, &s.Username)
	s.Status = Status(in.byte())
	for _, t := range [...]*Time{&s.CreatedAt, &s.LastLogin, &s.UpdatedAt, &s.BalanceAt} {
		*t = Time(in.varint())
	}
	s.Balance, s.Held = in.money(), in.money()
	s.readSessions(&in, version)
	s.readHistory(&in)
	s.readKeys(&in)
	switch version {
	case stateVersionTrail:
		s.Trail = readTrail(&in)
	case stateVersionParts:
		s.readParts(&in)
	}
	switch {
	case in.err != nil:
	case len(in.b) != 0:
		in.fail("bytes after the last key")
	case s.Seq == 0:
		in.fail("an account without a record")
	case s.Status == 0 || s.Status >= numUserStatuses:
		in.fail("unknown user status")
	case slices.ContainsFunc(s.keys, func(use keyUse) bool { return s.History.place(use.n) == 0 }):
		in.fail("a key of no transaction")
	}
	if in.err != nil {
		return nil, fmt.Errorf("%w: user %s: byte %d: %w", ErrState, s.ID, len(b)-len(in.b), in.err)
	}
	return s, nil
}

// names reads strings into one piece of memory.
func (r *reader) names(names ...*string) {
	start := r.b
	for range names {
		r.text()
	}
	if r.err != nil {
		return
	}
	all, at := string(start[:len(start)-len(r.b)]), 0
	for _, name := range names {
		size, n := binary.Uvarint(start[at:])
		*name = all[at+n : at+n+int(size)]
		at += n + int(size)
	}
}

func (s *State) readSessions(r *reader, version byte) {
	n := r.uvarint()
	if n > MaxSessions {
		r.fail("session count over the limit")
	}
	if r.err != nil || n == 0 {
		return
	}
	s.Sessions = make([]Session, n)
	for i := range s.Sessions {
		session := &s.Sessions[i]
		copy(session.Hash[:], r.take(len(session.Hash)))
		session.CreatedAt, session.ExpiresAt = Time(r.varint()), Time(r.varint())
		session.UsedAt = session.CreatedAt
		if version != stateVersionNoUses {
			session.UsedAt = Time(r.varint())
		}
	}
}

// readHistory keeps the chunks nearly as they are, once it has looked at every
// transaction in them.
func (s *State) readHistory(r *reader) {
	h := &s.History
	h.n = r.uint32()
	// A transaction takes at least 4 bytes: the count can't ask for more memory.
	if r.err == nil && uint64(h.n) > uint64(len(r.b))/4 {
		r.fail("transaction count over what there is")
	}
	if r.err != nil {
		return
	}
	if full := h.n / chunkSize; full > 0 {
		h.full = make([][]byte, 0, full)
	}
	sum := chunkSum{counts: &s.Counts, updated: s.UpdatedAt}
	for left := h.n; left > 0; {
		n := min(left, chunkSize)
		chunk := r.take(int(min(r.uvarint(), uint64(len(r.b)+1))))
		if sum.add(r, chunk, int(n)); r.err != nil {
			return
		}
		h.last = sum.last
		if n == chunkSize {
			h.full = append(h.full, bytes.Clone(chunk))
		} else {
			h.tail = bytes.Clone(chunk)
		}
		left -= n
	}
	s.Frozen = sum.frozen
	if sum.balance != s.Balance || sum.held != s.Held || s.Held > s.Balance {
		r.fail(fmt.Sprintf("balance %s and holds of %s, the history comes to %s and %s", s.Balance, s.Held, sum.balance, sum.held))
	}
}

// chunkSum checks chunks and adds up what their transactions come to.
type chunkSum struct {
	counts        *Counts
	balance, held Money
	frozen        Money
	latest        Time   // creation of the last transaction
	updated       Time   // of the account: nothing is newer
	last          uint32 // where the last transaction begins in its chunk
	any           bool
}

// add checks a chunk of n transactions.
func (c *chunkSum) add(r *reader, chunk []byte, n int) {
	if r.err != nil {
		return
	}
	in := reader{b: chunk}
	base := Time(in.varint())
	var v packedView
	for i := range n {
		c.last = uint32(len(chunk) - len(in.b))
		body := reader{b: in.take(int(min(in.uvarint(), uint64(len(in.b)+1))))}
		if in.err != nil {
			r.fail("a transaction is cut short")
			return
		}
		v.view(&body, base)
		switch {
		case body.err != nil:
			r.fail(body.err.Error())
		case len(body.b) != 0:
			r.fail("bytes after a transaction")
		case v.Type == 0 || v.Type >= numTypes || v.Status == 0:
			r.fail("unknown transaction type or status")
		case v.Amount <= 0 || v.Fee < 0:
			r.fail("amount out of range")
		case i == 0 && v.CreatedAt != base, c.any && v.CreatedAt < c.latest, v.CreatedAt > c.updated:
			r.fail("a transaction's time is not in order")
		default:
			c.count(&v)
			continue
		}
		return
	}
	if len(in.b) != 0 {
		r.fail("bytes after the last transaction")
	}
}

func (c *chunkSum) count(t *packedView) {
	c.frozen += t.frozen()
	c.any, c.latest = true, t.CreatedAt
	c.counts[t.Type][t.Status]++
	switch {
	case t.Status == Pending:
		c.held += t.debit()
	case t.Status == Completed && t.debit() != 0:
		c.balance -= t.debit()
	case t.Status == Completed:
		c.balance += t.incoming()
	}
}

func (s *State) readKeys(r *reader) {
	n := r.uvarint()
	if n > MaxKeys || n > uint64(len(r.b))/(2*16) {
		r.fail("key count over the limit")
	}
	if r.err != nil || n == 0 {
		return
	}
	s.keys = make([]keyUse, n)
	for i := range s.keys {
		use := &s.keys[i]
		copy(use.key[:], r.take(len(use.key)))
		copy(use.fingerprint[:], r.take(len(use.fingerprint)))
		use.at, use.n = Time(r.varint()), r.uint32()
	}
}
