package account

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
	"sort"
)

// chunkSize is how many transactions are packed into one piece of memory. A change
// of one copies that piece, so that a reader's history never changes under it.
const chunkSize = 64

// History is a user's transactions, oldest first, numbered from 1 without a gap, but
// for what a restored backup has skipped. It is a persistent value: copying a History is O(1), and what a copy shows never
// changes. Only the newest copy, which the account's owner holds, may be appended
// to or changed; any goroutine may read the others.
//
// Transactions are kept packed, because they are what an exchange has most of: a
// deposit takes some 15 bytes instead of 40, without a pointer for the garbage
// collector to follow. A chunk is the time of its first transaction (a signed
// integer), and then each transaction after its length; see packed.go. The bytes
// follow from the transactions alone, however they came about.
type History struct {
	full [][]byte // of chunkSize transactions each
	tail []byte   // fewer; nil if there are none
	n    uint32   // how many there are; each has a place from 1 to n
	last uint32   // where in its chunk the transaction at place n begins: it is asked for most

	numbers *numbering // of the places
}

// Size returns how many transactions there are.
func (h *History) Size() uint32 { return h.n }

// Last returns the number of the newest transaction, 0 if there is none.
func (h *History) Last() uint32 { return h.numbers.number(h.n) }

// used returns the highest number that was taken or skipped: one more has the next.
func (h *History) used() uint32 { return h.numbers.number(h.n+1) - 1 }

// skip has the next transaction's number be that much higher.
func (h *History) skip(count uint32) { h.numbers = h.numbers.skip(h.n, count) }

// place returns where transaction n is, 0 if there is none.
func (h *History) place(n uint32) uint32 {
	place := h.numbers.upTo(n)
	if place > h.n || h.numbers.number(place) != n {
		return 0
	}
	return place
}

// places returns the places of the transactions from number oldest up to number
// newest; first is greater than last if there are none.
func (h *History) places(oldest, newest uint32) (first, last uint32) {
	if oldest > 0 {
		first = h.numbers.upTo(oldest - 1)
	}
	return first + 1, min(h.numbers.upTo(newest), h.n)
}

// At returns transaction n, and false if there is none.
func (h *History) At(n uint32) (Transaction, bool) {
	place := h.place(n)
	if place == 0 {
		return Transaction{}, false
	}
	chunk := h.chunk(int(place-1) / chunkSize)
	base, rest := openChunk(chunk)
	if place == h.n {
		rest = chunk[h.last:]
	} else {
		for range (place - 1) % chunkSize {
			_, rest = nextPacked(rest)
		}
	}
	body, _ := nextPacked(rest)
	return unpack(body, base), true
}

// Backward returns the transactions from number newest down to number oldest, and
// of these only those of a type and a status where one is given. What is left out
// costs a few nanoseconds.
func (h *History) Backward(oldest, newest uint32, t Type, s TransactionStatus) iter.Seq2[uint32, Transaction] {
	return func(yield func(uint32, Transaction) bool) {
		first, last := h.places(oldest, newest)
		var bodies [chunkSize][]byte
		for last >= first {
			c := int(last-1) / chunkSize
			base, rest := openChunk(h.chunk(c))
			begin := uint32(c*chunkSize) + 1
			for place := begin; place <= last; place++ {
				bodies[place-begin], rest = nextPacked(rest)
			}
			for ; last >= max(begin, first); last-- {
				body := bodies[last-begin]
				if selected(body[0], t, s) && !yield(h.numbers.number(last), unpack(body, base)) {
					return
				}
			}
		}
	}
}

// Count returns how many transactions from number oldest up to number newest have
// the type and status; zero stands for any.
func (h *History) Count(oldest, newest uint32, t Type, s TransactionStatus) uint32 {
	first, last := h.places(oldest, newest)
	if last < first {
		return 0
	}
	if t == 0 && s == 0 {
		return last - first + 1
	}
	var count uint32
	for c := int(first-1) / chunkSize; c*chunkSize < int(last); c++ {
		_, rest := openChunk(h.chunk(c))
		end := min(last, uint32(c*chunkSize)+chunkSize)
		for place := uint32(c*chunkSize) + 1; place <= end; place++ {
			var body []byte
			if body, rest = nextPacked(rest); place >= first && selected(body[0], t, s) {
				count++
			}
		}
	}
	return count
}

// Since returns the number of the first transaction that was made at or after at, or
// that the next one will have, if there is none: times in a history never go back.
func (h *History) Since(at Time) uint32 { return h.numbers.number(h.placeSince(at)) }

func (h *History) placeSince(at Time) uint32 {
	chunks := (int(h.n) + chunkSize - 1) / chunkSize
	c := sort.Search(chunks, func(c int) bool {
		base, _ := openChunk(h.chunk(c))
		return base >= at
	})
	if c == 0 {
		return 1
	}
	c-- // the chunk that begins before at
	base, rest := openChunk(h.chunk(c))
	place := uint32(c*chunkSize) + 1
	for len(rest) > 0 {
		var body []byte
		if body, rest = nextPacked(rest); packedTime(body, base) >= at {
			break
		}
		place++
	}
	return place
}

// chunk returns chunk c, which must exist.
func (h *History) chunk(c int) []byte {
	if c < len(h.full) {
		return h.full[c]
	}
	return h.tail
}

// append adds t. It may write to the spare capacity behind a copy's tail, which
// that copy can't see.
func (h *History) append(t Transaction) {
	if len(h.tail) == 0 {
		var base [binary.MaxVarintLen64]byte
		h.tail = grow(nil, binary.AppendVarint(base[:0], int64(t.CreatedAt)))
	}
	base, _ := openChunk(h.tail)
	var buf [packedBuffer]byte
	h.last = uint32(len(h.tail))
	h.tail = grow(h.tail, appendPacked(buf[:0], base, &t))
	h.n++
	if h.n%chunkSize == 0 {
		h.full = append(h.full, bytes.Clone(h.tail))
		h.tail = nil
	}
}

// replace puts t, made at the same time, in place of transaction n, which must
// exist.
func (h *History) replace(n uint32, t Transaction) {
	place := h.place(n)
	c := int(place-1) / chunkSize
	old := h.chunk(c)
	base, rest := openChunk(old)
	for range (place - 1) % chunkSize {
		_, rest = nextPacked(rest)
	}
	before := old[:len(old)-len(rest)]
	_, after := nextPacked(rest)
	changed := append(make([]byte, 0, len(old)+packedGrowth), before...)
	changed = append(appendPacked(changed, base, &t), after...)
	if place < h.n && c == int(h.n-1)/chunkSize {
		h.last = uint32(int(h.last) + len(changed) - len(old))
	}
	if c < len(h.full) {
		h.full = slices.Clone(h.full)
		h.full[c] = bytes.Clone(changed)
		return
	}
	h.tail = changed
}

// packedGrowth is the room that settling a transaction usually takes: a Bitcoin
// transaction's hash, and who did it.
const packedGrowth = 64

// grow appends more to tail. Where there is no room it makes some for a quarter
// more, not for double: most users have few transactions, and there are many users.
func grow(tail, more []byte) []byte {
	if n := len(tail) + len(more); n > cap(tail) {
		tail = append(make([]byte, 0, n+n/4), tail...)
	}
	return append(tail, more...)
}
