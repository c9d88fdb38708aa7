package account

import (
	"fmt"
	"slices"
	"testing"
)

// A history is checked against a plain slice, and every copy of it ever taken
// against the slice's copy of then.
type historyModel struct {
	history History
	plain   []Transaction
	copies  []historyCopy
}

type historyCopy struct {
	history History
	plain   []Transaction
}

func (m *historyModel) append(t Transaction) {
	m.history.append(t)
	m.plain = append(m.plain, t)
}

func (m *historyModel) replace(n uint32, t Transaction) {
	m.history.replace(n, t)
	m.plain[n-1] = t
}

func (m *historyModel) share() {
	m.copies = append(m.copies, historyCopy{m.history, slices.Clone(m.plain)})
}

func (m *historyModel) check(t *testing.T, after string) {
	t.Helper()
	for i, c := range append(m.copies, historyCopy{m.history, m.plain}) {
		if int(c.history.Len()) != len(c.plain) {
			t.Fatalf("after %s: copy %d has %d transactions, want %d", after, i, c.history.Len(), len(c.plain))
		}
		for n := range uint32(len(c.plain)) {
			if got, ok := c.history.At(n + 1); !ok || got != c.plain[n] {
				t.Fatalf("after %s: transaction %d of copy %d is %+v, %t; want %+v", after, n+1, i, got, ok, c.plain[n])
			}
		}
		for _, n := range []uint32{0, uint32(len(c.plain)) + 1, 1<<32 - 1} {
			if got, ok := c.history.At(n); ok {
				t.Fatalf("after %s: copy %d has a transaction %d: %+v", after, i, n, got)
			}
		}
	}
}

func TestACopyOfAHistoryNeverChanges(t *testing.T) {
	var m historyModel
	m.share() // the empty history
	m.check(t, "nothing")
	stamp := Money(0)
	next := func() Transaction {
		stamp++
		return Transaction{Amount: stamp, Type: TypeDeposit, Status: Completed}
	}
	// The first, the last, and both sides of every end of a chunk.
	edges := []uint32{1, 2, chunkSize - 1, chunkSize, chunkSize + 1, 2*chunkSize - 1, 2 * chunkSize, 2*chunkSize + 1, 3 * chunkSize}
	for i := range 3*chunkSize + 20 {
		m.append(next())
		last := m.history.Len()
		if i%17 == 0 || slices.Contains(edges, last) || slices.Contains(edges, last+1) {
			m.share()
			m.check(t, fmt.Sprintf("append %d", last))
			for _, n := range append(edges, last) {
				if n > last {
					continue
				}
				m.replace(n, next())
				m.check(t, fmt.Sprintf("replace %d of %d", n, last))
			}
			m.share()
		}
	}
	m.check(t, "all")
}

func TestReadersOfACopyDoNotMeetItsOwner(t *testing.T) {
	var h History
	done := make(chan struct{})
	readers := 0
	for n := uint32(1); n <= 4*chunkSize; n++ {
		h.append(Transaction{Amount: Money(n)})
		if n%5 == 0 {
			h.replace(n-2, Transaction{Amount: Money(n - 2), Fee: 1})
		}
		if n%16 != 0 {
			continue
		}
		readers++
		go func(shared History) {
			defer func() { done <- struct{}{} }()
			for range 20 {
				for i := uint32(1); i <= shared.Len(); i++ {
					if got, _ := shared.At(i); got.Amount != Money(i) {
						t.Errorf("transaction %d of %d is %+v", i, shared.Len(), got)
						return
					}
				}
			}
		}(h)
	}
	for range readers {
		<-done
	}
}
