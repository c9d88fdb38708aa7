package account

import "encoding/binary"

func appendUints(dst []byte, values ...uint32) []byte {
	for _, v := range values {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	return dst
}

func (e *LogRestored) append(dst []byte) []byte {
	dst = append(appendUints(dst, e.Number), e.Copy[:]...)
	return binary.AppendUvarint(appendUints(dst, e.Transactions, e.Notices, e.Payouts), e.TOTPStep)
}

func (e *LogRestored) read(r *reader) {
	e.Number = r.uint32()
	copy(e.Copy[:], r.take(len(e.Copy)))
	e.Transactions, e.Notices, e.Payouts, e.TOTPStep = r.uint32(), r.uint32(), r.uint32(), r.uvarint()
}

func (e *AccountRestored) append(dst []byte) []byte {
	return binary.AppendUvarint(appendUints(dst, e.Number, e.Transactions, e.Notices), e.TOTPStep)
}

func (e *AccountRestored) read(r *reader) {
	e.Number, e.Transactions, e.Notices, e.TOTPStep = r.uint32(), r.uint32(), r.uint32(), r.uvarint()
}

func (e *IndexesSkipped) append(dst []byte) []byte {
	return appendUints(dst, e.From, e.To)
}

func (e *IndexesSkipped) read(r *reader) { e.From, e.To = r.uint32(), r.uint32() }

func (e *UnassignedOutputMoved) append(dst []byte) []byte {
	dst = appendMoney(appendString(appendUints(appendOutpoint(dst, e.Out), e.Index), e.Address), e.BTC)
	return appendBool(append(appendHeight(dst, e.Height), e.Block[:]...), e.Gone)
}

func (e *UnassignedOutputMoved) read(r *reader) {
	e.Out, e.Index, e.Address, e.BTC = r.outpoint(), r.uint32(), r.string(), r.money()
	e.Height, e.Block, e.Gone = r.height(), r.chainHash(), r.bool()
}

func (e *UnassignedOutputSettled) append(dst []byte) []byte {
	return appendString(appendString(appendString(appendOutpoint(dst, e.Out), e.TxHash), e.By), e.Reason)
}

func (e *UnassignedOutputSettled) read(r *reader) {
	e.Out, e.TxHash, e.By, e.Reason = r.outpoint(), r.string(), r.string(), r.string()
}

// appendRestores writes how many restores the account has taken over, and the numbers
// that its history skips.
func appendRestores(s *State, dst []byte) []byte {
	return s.History.numbers.append(appendUints(dst, s.Restores))
}

func readRestores(s *State, r *reader) {
	s.Restores = r.uint32()
	s.History.numbers = readNumbering(r, s.History.n)
}

// append writes the restores, the ranges, the outputs, each after their count, and the
// numbers that the payouts skip.
func (s *Restored) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.List)))
	for i := range s.List {
		one := &s.List[i]
		dst = binary.AppendVarint(append(dst, one.Copy[:]...), int64(one.At))
		dst = binary.AppendUvarint(appendUints(dst, one.Transactions, one.Notices, one.Payouts), one.TOTPStep)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Ranges)))
	for _, one := range s.Ranges {
		dst = appendUints(dst, one.From, one.To)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Outputs)))
	for _, o := range s.Outputs {
		dst = appendString(appendUints(appendOutpoint(dst, o.Out), o.Index), o.Address)
		dst = binary.AppendVarint(appendMoney(dst, o.BTC), int64(o.At))
		dst = appendBool(append(appendHeight(dst, o.Height), o.Block[:]...), o.Gone)
		dst = binary.AppendVarint(dst, int64(o.SettledAt))
		dst = appendString(appendString(appendString(dst, o.TxHash), o.By), o.Reason)
	}
	return s.payouts.append(dst)
}

// readRestored reads what append wrote, and gives the payouts of s their numbers.
func readRestored(r *reader, s *State) *Restored {
	all := &Restored{}
	for n := r.count(uint64(len(r.b))); n > 0 && r.err == nil; n-- {
		var one Restore
		copy(one.Copy[:], r.take(len(one.Copy)))
		one.At = Time(r.varint())
		one.Transactions, one.Notices, one.Payouts, one.TOTPStep = r.uint32(), r.uint32(), r.uint32(), r.uvarint()
		all.List = append(all.List, one)
	}
	for n := r.count(uint64(len(r.b))); n > 0 && r.err == nil; n-- {
		one := IndexRange{r.uint32(), r.uint32()}
		if one.From >= one.To || one.From < all.NextIndex() {
			r.fail("a range of addresses out of order")
		}
		all.Ranges = append(all.Ranges, one)
	}
	for n := r.count(uint64(len(r.b))); n > 0 && r.err == nil; n-- {
		o := &UnassignedOutput{Out: r.outpoint(), Index: r.uint32(), Address: r.string(), BTC: r.money(), At: Time(r.varint())}
		o.Height, o.Block, o.Gone = r.height(), r.chainHash(), r.bool()
		o.SettledAt, o.TxHash, o.By, o.Reason = Time(r.varint()), r.string(), r.string(), r.string()
		all.Outputs = append(all.Outputs, o)
	}
	payouts := 0
	if s.Payouts != nil {
		payouts = len(s.Payouts.List)
	}
	all.payouts = readNumbering(r, uint32(payouts))
	if r.err != nil || (len(all.List) == 0 && len(all.Ranges) == 0) {
		return nil
	}
	for i := range payouts {
		s.Payouts.List[i].Number = all.payouts.number(uint32(i) + 1)
	}
	return all
}
