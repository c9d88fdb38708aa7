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

// History is a user's transactions, oldest first, numbered from 1. It is a
// persistent value: copying a History is O(1), and what a copy shows never
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
	n    uint32
	last uint32 // where in its chunk transaction n begins: it is asked for most
}

// Len returns the number of transactions.
func (h *History) Len() uint32 { return h.n }

// At returns transaction n, and false if there is none.
func (h *History) At(n uint32) (Transaction, bool) {
	if n == 0 || n > h.n {
		return Transaction{}, false
	}
	chunk := h.chunk(int(n-1) / chunkSize)
	base, rest := openChunk(chunk)
	if n == h.n {
		rest = chunk[h.last:]
	} else {
		for range (n - 1) % chunkSize {
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
		oldest, newest := max(oldest, 1), min(newest, h.n)
		var bodies [chunkSize][]byte
		for newest >= oldest {
			c := int(newest-1) / chunkSize
			base, rest := openChunk(h.chunk(c))
			first := uint32(c*chunkSize) + 1
			for n := first; n <= newest; n++ {
				bodies[n-first], rest = nextPacked(rest)
			}
			for ; newest >= max(first, oldest); newest-- {
				body := bodies[newest-first]
				if selected(body[0], t, s) && !yield(newest, unpack(body, base)) {
					return
				}
			}
		}
	}
}

// Count returns how many transactions from number oldest up to number newest have
// the type and status; zero stands for any.
func (h *History) Count(oldest, newest uint32, t Type, s TransactionStatus) uint32 {
	oldest, newest = max(oldest, 1), min(newest, h.n)
	if newest < oldest {
		return 0
	}
	if t == 0 && s == 0 {
		return newest - oldest + 1
	}
	var count uint32
	for c := int(oldest-1) / chunkSize; c*chunkSize < int(newest); c++ {
		_, rest := openChunk(h.chunk(c))
		last := min(newest, uint32(c*chunkSize)+chunkSize)
		for n := uint32(c*chunkSize) + 1; n <= last; n++ {
			var body []byte
			if body, rest = nextPacked(rest); n >= oldest && selected(body[0], t, s) {
				count++
			}
		}
	}
	return count
}

// Since returns the number of the first transaction that was made at or after at,
// Len()+1 if there is none: times in a history never go back.
func (h *History) Since(at Time) uint32 {
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
	n := uint32(c*chunkSize) + 1
	for len(rest) > 0 {
		var body []byte
		if body, rest = nextPacked(rest); packedTime(body, base) >= at {
			break
		}
		n++
	}
	return n
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
	c := int(n-1) / chunkSize
	old := h.chunk(c)
	base, rest := openChunk(old)
	for range (n - 1) % chunkSize {
		_, rest = nextPacked(rest)
	}
	before := old[:len(old)-len(rest)]
	_, after := nextPacked(rest)
	changed := append(make([]byte, 0, len(old)+packedGrowth), before...)
	changed = append(appendPacked(changed, base, &t), after...)
	if n < h.n && c == int(h.n-1)/chunkSize {
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
