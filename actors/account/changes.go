package account

import "bytes"

// Changed calls fn with every transaction of h that is not the same in before, an
// earlier value of the same history, oldest first, until fn returns false. What
// both share in memory is not looked into, so that it takes a step for every 64
// transactions, and one for each of the few in a chunk that differs.
func (h *History) Changed(before *History, fn func(n uint32, t *Transaction) bool) {
	for c := 0; c*chunkSize < int(h.n); c++ {
		var old []byte
		if c*chunkSize < int(before.n) {
			old = before.chunk(c)
		}
		chunk := h.chunk(c)
		if len(old) == len(chunk) && &old[0] == &chunk[0] {
			continue
		}
		base, rest := openChunk(chunk)
		if len(old) > 0 {
			_, old = openChunk(old)
		}
		for place := uint32(c*chunkSize) + 1; len(rest) > 0; place++ {
			var body, oldBody []byte
			body, rest = nextPacked(rest)
			if len(old) > 0 {
				if oldBody, old = nextPacked(old); bytes.Equal(body, oldBody) {
					continue
				}
			}
			if t := unpack(body, base); !fn(h.numbers.number(place), &t) {
				return
			}
		}
	}
}
