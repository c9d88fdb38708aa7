package account

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// numberedHistory is a history with gaps in its numbers, beside a plain list of what
// has which number.
type numberedHistory struct {
	h    History
	list []numbered
	next uint32
}

type numbered struct {
	n uint32
	t Transaction
}

func TestAHistoryWithGapsIsThatOfItsNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &numberedHistory{next: 1}
		at := Time(0)
		some := func() uint32 { // a number that is there, or beside one that is
			n := rapid.Uint32().Draw(t, "any")
			if len(m.list) > 0 && rapid.IntRange(0, 9).Draw(t, "there") > 0 {
				n = rapid.SampledFrom(m.list).Draw(t, "one").n + rapid.SampledFrom([]uint32{0, 1, 1<<32 - 1}).Draw(t, "beside")
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				for range rapid.IntRange(1, chunkSize+5).Draw(t, "count") {
					if m.h.used() == MaxHistory {
						return
					}
					at += Time(rapid.IntRange(0, 1).Draw(t, "later"))
					tx := Transaction{CreatedAt: at, Amount: Money(len(m.list)), Type: TypeDeposit, Status: rapid.SampledFrom([]TransactionStatus{Pending, Completed}).Draw(t, "status")}
					m.h.append(tx)
					m.list = append(m.list, numbered{m.next, tx})
					m.next++
				}
			},
			"skip": func(t *rapid.T) {
				count := rapid.OneOf(rapid.Uint32Range(0, 3), rapid.Uint32Range(0, 20_000_000)).Draw(t, "count")
				count = min(count, MaxHistory-m.h.used())
				m.h.skip(count)
				m.next += count
			},
			"replace": func(t *rapid.T) {
				if len(m.list) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(m.list)-1).Draw(t, "i")
				m.list[i].t.Status, m.list[i].t.Fee = Completed, 1<<40
				m.h.replace(m.list[i].n, m.list[i].t)
			},
			"": func(t *rapid.T) {
				m.checkNumbers(t, some())
				m.checkRange(t, some(), some())
				m.checkSince(t, rapid.Int64Range(-1, int64(at)+1).Draw(t, "since"))
			},
		})
		m.checkStored(t)
	})
}

func (m *numberedHistory) checkNumbers(t *rapid.T, n uint32) {
	last := uint32(0)
	if len(m.list) > 0 {
		last = m.list[len(m.list)-1].n
	}
	if int(m.h.Size()) != len(m.list) || m.h.Last() != last || m.h.used() != m.next-1 {
		t.Fatalf("%d transactions, the last is %d of %d; want %d, %d, %d", m.h.Size(), m.h.Last(), m.h.used(), len(m.list), last, m.next-1)
	}
	i := slices.IndexFunc(m.list, func(e numbered) bool { return e.n == n })
	got, ok := m.h.At(n)
	if ok != (i >= 0) || (ok && got != m.list[i].t) {
		t.Fatalf("transaction %d is %+v, %t", n, got, ok)
	}
}

func (m *numberedHistory) checkRange(t *rapid.T, oldest, newest uint32) {
	for _, status := range []TransactionStatus{0, Pending} {
		var want []numbered
		for _, e := range slices.Backward(m.list) {
			if e.n >= oldest && e.n <= newest && (status == 0 || e.t.Status == status) {
				want = append(want, e)
			}
		}
		var got []numbered
		for n, tx := range m.h.Backward(oldest, newest, 0, status) {
			got = append(got, numbered{n, tx})
		}
		if !slices.Equal(got, want) || int(m.h.Count(oldest, newest, 0, status)) != len(want) {
			t.Fatalf("from %d to %d, status %d: %d transactions, counted %d, want %d", oldest, newest, status, len(got), m.h.Count(oldest, newest, 0, status), len(want))
		}
	}
}

func (m *numberedHistory) checkSince(t *rapid.T, at int64) {
	want := m.next
	if i := slices.IndexFunc(m.list, func(e numbered) bool { return e.t.CreatedAt >= Time(at) }); i >= 0 {
		want = m.list[i].n
	}
	if got := m.h.Since(Time(at)); got != want {
		t.Fatalf("the first since %d is %d, want %d", at, got, want)
	}
}

// checkStored writes and reads the numbers, and compares what changed since nothing.
func (m *numberedHistory) checkStored(t *rapid.T) {
	r := reader{b: m.h.numbers.append(nil)}
	again := History{full: m.h.full, tail: m.h.tail, n: m.h.n, last: m.h.last, numbers: readNumbering(&r, m.h.n)}
	if r.err != nil || len(r.b) != 0 {
		t.Fatalf("numbers are not read: %v, %d bytes are left", r.err, len(r.b))
	}
	var got []numbered
	again.Changed(&History{}, func(n uint32, tx *Transaction) bool { got = append(got, numbered{n, *tx}); return true })
	if !slices.Equal(got, m.list) {
		t.Fatalf("%d transactions are new, want %d", len(got), len(m.list))
	}
}
