package account

// Changed calls fn with every transaction of h that is not the same in before, an
// earlier value of the same history, oldest first, until fn returns false. The
// arrays that both share are not looked into, so that it takes a step for every
// 64 transactions, and one for each of the few in an array that differs.
func (h *History) Changed(before *History, fn func(n uint32, t *Transaction) bool) {
	for first := uint32(1); first <= h.Len(); first += chunkSize {
		if c := int(first-1) / chunkSize; c < len(before.full) && c < len(h.full) && before.full[c] == h.full[c] {
			continue
		}
		for n := first; n < first+chunkSize && n <= h.Len(); n++ {
			t := h.at(n)
			if n <= before.Len() && *before.at(n) == *t {
				continue
			}
			if !fn(n, t) {
				return
			}
		}
	}
}
