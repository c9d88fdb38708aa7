package account

import (
	"encoding/binary"
	"slices"
)

// numbering says which numbers the things of a list have, which lie at places from 1
// on. A number is its place, but for what was skipped before it: after a restored
// backup numbers go on above all that may have been given out since it was made. It is
// immutable once it is shared; nil, which it is for nearly all, skips nothing.
type numbering struct{ gaps []gap } // ascending

// gap says that numbers were skipped after so many places.
type gap struct{ after, skipped uint32 }

// number returns the number of a place.
func (s *numbering) number(place uint32) uint32 {
	if s == nil {
		return place
	}
	n := place
	for _, g := range s.gaps {
		if place > g.after {
			n += g.skipped
		}
	}
	return n
}

// upTo returns the last place whose number is at most n, of a list without end; 0 if
// there is none.
func (s *numbering) upTo(n uint32) (place uint32) {
	if s == nil {
		return n
	}
	var skipped uint32
	for _, g := range s.gaps {
		switch n -= skipped; {
		case n <= g.after:
			return n
		case n-g.after <= g.skipped:
			return g.after
		}
		skipped = g.skipped
	}
	return n - skipped
}

// skip returns s with so many numbers skipped after a list of so many things, or with
// fewer, where numbers would leave their range.
func (s *numbering) skip(length, count uint32) *numbering {
	used := s.number(length+1) - 1
	if count = min(count, MaxHistory-used); count == 0 {
		return s
	}
	next := &numbering{}
	if s != nil {
		next.gaps = slices.Clone(s.gaps)
	}
	if last := len(next.gaps) - 1; last >= 0 && next.gaps[last].after == length {
		next.gaps[last].skipped += count
	} else {
		next.gaps = append(next.gaps, gap{length, count})
	}
	return next
}

// append writes how many gaps there are, and each as the places before it and the
// numbers that were skipped.
func (s *numbering) append(dst []byte) []byte {
	if s == nil {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.gaps)))
	for _, g := range s.gaps {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(g.after)), uint64(g.skipped))
	}
	return dst
}

// readNumbering reads the numbers of a list of so many things.
func readNumbering(r *reader, length uint32) *numbering {
	n := r.count(uint64(len(r.b)))
	if n == 0 {
		return nil
	}
	s, total := &numbering{gaps: make([]gap, 0, n)}, uint64(length)
	for i := range n {
		g := gap{r.uint32(), r.uint32()}
		if total += uint64(g.skipped); g.skipped == 0 || g.after > length || total > MaxHistory || (i > 0 && g.after <= s.gaps[i-1].after) {
			r.fail("a gap out of order, or beyond the range of numbers")
		}
		if r.err != nil {
			return nil
		}
		s.gaps = append(s.gaps, g)
	}
	return s
}
