package account

import "encoding/binary"

// part is what some accounts have and most do not, behind the keys of an encoded
// state. A number is never used again, and parts are written in the order of their
// numbers, those of them that there are.
type part struct {
	number uint64
	has    func(s *State) bool
	append func(s *State, dst []byte) []byte
	read   func(s *State, r *reader)
}

// parts are all there are.
var parts = [...]part{
	{
		number: 1,
		has:    func(s *State) bool { return s.Trail != nil },
		append: func(s *State, dst []byte) []byte { return s.Trail.append(dst) },
		read:   func(s *State, r *reader) { s.Trail = readTrail(r) },
	},
	{
		number: 2,
		has:    func(s *State) bool { return s.Factors != nil },
		append: func(s *State, dst []byte) []byte { return s.Factors.append(dst) },
		read:   func(s *State, r *reader) { s.Factors = readFactors(r) },
	},
	{
		number: 3,
		has:    func(s *State) bool { return s.AddressBook != nil },
		append: func(s *State, dst []byte) []byte { return s.AddressBook.append(dst) },
		read:   func(s *State, r *reader) { s.AddressBook = readAddressBook(r) },
	},
	{
		number: 4,
		has:    func(s *State) bool { return s.Outbox != nil },
		append: func(s *State, dst []byte) []byte { return s.Outbox.append(dst) },
		read:   func(s *State, r *reader) { s.Outbox = readOutbox(r) },
	},
	{
		number: 5,
		has:    func(s *State) bool { return s.Contact != nil },
		append: func(s *State, dst []byte) []byte { return s.Contact.append(dst) },
		read:   func(s *State, r *reader) { s.Contact = readContact(r) },
	},
	{
		number: 6,
		has:    func(s *State) bool { return s.Payouts != nil },
		append: func(s *State, dst []byte) []byte { return s.Payouts.append(dst) },
		read:   func(s *State, r *reader) { s.Payouts = readPayouts(r) },
	},
	{
		number: 7,
		has:    func(s *State) bool { return s.Outgoing != nil },
		append: func(s *State, dst []byte) []byte { return s.Outgoing.append(dst) },
		read:   func(s *State, r *reader) { s.Outgoing = readOutgoing(r) },
	},
	{
		number: 8,
		has:    func(s *State) bool { return s.PayoutTxs != nil },
		append: func(s *State, dst []byte) []byte { return s.appendPayoutTxs(dst) },
		read:   func(s *State, r *reader) { s.readPayoutTxs(r) },
	},
	{
		number: 10,
		has:    func(s *State) bool { return s.Restores != 0 },
		append: appendRestores,
		read:   readRestores,
	},
	{
		number: 11,
		has:    func(s *State) bool { return s.Restored != nil },
		append: func(s *State, dst []byte) []byte { return s.Restored.append(dst) },
		read:   func(s *State, r *reader) { s.Restored = readRestored(r, s) },
	},
	{
		number: 12,
		has:    func(s *State) bool { return s.Identity != nil },
		append: func(s *State, dst []byte) []byte { return s.Identity.append(dst) },
		read:   func(s *State, r *reader) { s.Identity = readIdentity(r) },
	},
}

// appendParts writes the parts of s: count, then for each its number, length in
// bytes, and those.
func (s *State) appendParts(dst []byte) []byte {
	n := uint64(0)
	for i := range parts {
		if parts[i].has(s) {
			n++
		}
	}
	dst = binary.AppendUvarint(dst, n)
	for i := range parts {
		if p := &parts[i]; p.has(s) {
			body := p.append(s, nil)
			dst = binary.AppendUvarint(dst, p.number)
			dst = append(binary.AppendUvarint(dst, uint64(len(body))), body...)
		}
	}
	return dst
}

// hasParts reports whether s has anything that most accounts have not.
func (s *State) hasParts() bool {
	for i := range parts {
		if parts[i].has(s) {
			return true
		}
	}
	return false
}

// readParts reads what appendParts wrote, and nothing that it would not write.
func (s *State) readParts(r *reader) {
	n := r.uvarint()
	if r.err == nil && (n == 0 || n > uint64(len(parts))) {
		r.fail("part count out of range")
	}
	next := 0
	for ; n > 0 && r.err == nil; n-- {
		number := r.uvarint()
		for next < len(parts) && parts[next].number != number {
			next++
		}
		body := reader{b: r.take(int(min(r.uvarint(), uint64(len(r.b)+1))))}
		if r.err != nil {
			return
		}
		if next == len(parts) {
			r.fail("a part that this program does not know, or out of order")
			return
		}
		parts[next].read(s, &body)
		switch {
		case body.err != nil:
			r.fail(body.err.Error())
		case len(body.b) != 0:
			r.fail("bytes after a part")
		case !parts[next].has(s):
			r.fail("an empty part")
		}
		next++
	}
}
