package account

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatChangedInAHistoryIsWhatDiffersAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h History
		add := func(n int) {
			for range n {
				h.append(Transaction{CreatedAt: Time(h.Last() + 1), Status: Pending})
			}
		}
		add(rapid.IntRange(0, 3*chunkSize).Draw(t, "before"))
		before := h
		want := map[uint32]bool{}
		for range rapid.IntRange(0, 5).Draw(t, "steps") {
			if h.Last() > 0 && rapid.Bool().Draw(t, "replace") {
				n := rapid.Uint32Range(1, h.Last()).Draw(t, "n")
				changed, _ := h.At(n)
				changed.Status = Completed
				h.replace(n, changed)
				want[n] = true
				continue
			}
			first := h.Last() + 1
			add(rapid.IntRange(0, chunkSize).Draw(t, "added"))
			for n := first; n <= h.Last(); n++ {
				want[n] = true
			}
		}
		var got []uint32
		h.Changed(&before, func(n uint32, tx *Transaction) bool {
			if there, _ := h.At(n); there != *tx {
				t.Fatalf("transaction %d is told as %+v, and is %+v", n, tx, there)
			}
			got = append(got, n)
			return true
		})
		if !slices.IsSorted(got) || len(got) != len(want) {
			t.Fatalf("changed are %v, want %v", got, want)
		}
		for _, n := range got {
			if !want[n] {
				t.Fatalf("transaction %d is told as changed", n)
			}
		}
	})
}
