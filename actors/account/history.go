package account

// chunkSize is how many transactions share an array. A change of one copies that
// many, so that a reader's history never changes under it.
const chunkSize = 64

type chunk [chunkSize]Transaction

// History is a user's transactions, oldest first, numbered from 1. It is a
// persistent value: copying a History is O(1), and what a copy shows never
// changes. Only the newest copy, which the account's owner holds, may be appended
// to or changed; any goroutine may read the others.
type History struct {
	full []*chunk
	tail []Transaction // fewer than chunkSize
}

// Len returns the number of transactions.
func (h *History) Len() uint32 { return uint32(len(h.full)*chunkSize + len(h.tail)) }

// At returns transaction n, and false if there is none.
func (h *History) At(n uint32) (Transaction, bool) {
	if n == 0 || n > h.Len() {
		return Transaction{}, false
	}
	return *h.at(n), true
}

// at returns transaction n, which must exist, for reading only.
func (h *History) at(n uint32) *Transaction {
	i := int(n - 1)
	if c := i / chunkSize; c < len(h.full) {
		return &h.full[c][i%chunkSize]
	}
	return &h.tail[i%chunkSize]
}

// append adds t. It may write to the spare capacity behind a copy's tail, which
// that copy can't see.
func (h *History) append(t Transaction) {
	h.tail = append(h.tail, t)
	if len(h.tail) == chunkSize {
		h.full = append(h.full, (*chunk)(h.tail))
		h.tail = nil
	}
}

// replace puts t in place of transaction n, which must exist.
func (h *History) replace(n uint32, t Transaction) {
	i := int(n - 1)
	if c := i / chunkSize; c < len(h.full) {
		changed := *h.full[c]
		changed[i%chunkSize] = t
		h.full = append([]*chunk(nil), h.full...)
		h.full[c] = &changed
		return
	}
	h.tail = append(make([]Transaction, 0, cap(h.tail)), h.tail...)
	h.tail[i%chunkSize] = t
}
