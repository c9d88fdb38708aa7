package account

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
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
		if int(c.history.Last()) != len(c.plain) {
			t.Fatalf("after %s: copy %d has %d transactions, want %d", after, i, c.history.Last(), len(c.plain))
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
		last := m.history.Last()
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
				for i := uint32(1); i <= shared.Last(); i++ {
					if got, _ := shared.At(i); got.Amount != Money(i) {
						t.Errorf("transaction %d of %d is %+v", i, shared.Last(), got)
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

func TestAHistoryIsReadAsTheListThatItStandsFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h History
		var plain []Transaction
		now := start
		for range rapid.IntRange(0, 3*chunkSize).Draw(t, "length") {
			now += Time(rapid.IntRange(0, 2).Draw(t, "later"))
			one := Transaction{
				CreatedAt: now, Amount: 1 + Money(len(plain)),
				Type: Type(rapid.IntRange(1, numTypes-1).Draw(t, "type")), Status: TransactionStatus(rapid.IntRange(1, numStatuses-1).Draw(t, "status")),
			}
			if rapid.Bool().Draw(t, "has a detail") {
				one.Detail = &Detail{Reason: strings.Repeat("r", rapid.IntRange(0, 300).Draw(t, "reason"))}
			}
			h.append(one)
			plain = append(plain, one)
		}
		length := uint32(len(plain))
		kind, status := Type(rapid.IntRange(0, numTypes-1).Draw(t, "of type")), TransactionStatus(rapid.IntRange(0, numStatuses-1).Draw(t, "of status"))
		oldest, newest := rapid.Uint32Range(0, length+2).Draw(t, "oldest"), rapid.Uint32Range(0, length+2).Draw(t, "newest")
		var want, got []uint32
		for n := min(newest, length); n >= max(oldest, 1); n-- {
			if one := plain[n-1]; (kind == 0 || one.Type == kind) && (status == 0 || one.Status == status) {
				want = append(want, n)
			}
		}
		for n, one := range h.Backward(oldest, newest, kind, status) {
			if expected := plain[n-1]; one.Amount != expected.Amount || one.CreatedAt != expected.CreatedAt || !reflect.DeepEqual(one.detail(), expected.detail()) {
				t.Fatalf("transaction %d is %+v, want %+v", n, one, expected)
			}
			got = append(got, n)
		}
		if !slices.Equal(got, want) || h.Count(oldest, newest, kind, status) != uint32(len(want)) {
			t.Fatalf("from %d to %d of %d: %v, counted %d; want %v", newest, oldest, length, got, h.Count(oldest, newest, kind, status), want)
		}
		at := start + Time(rapid.IntRange(-1, 3*len(plain)+1).Draw(t, "at"))
		since := uint32(1 + len(plain))
		if i := slices.IndexFunc(plain, func(one Transaction) bool { return one.CreatedAt >= at }); i >= 0 {
			since = uint32(i + 1)
		}
		if h.Since(at) != since {
			t.Fatalf("since %d is transaction %d, want %d", at-start, h.Since(at), since)
		}
	})
}

func TestAPageOfAHistoryCostsWhatItShows(t *testing.T) {
	var h History
	for n := range 10_000 {
		h.append(Transaction{Type: TypeDeposit, Status: Completed, Amount: Money(n + 1), CreatedAt: start + Time(n)})
	}
	allocs := testing.AllocsPerRun(100, func() {
		shown := 0
		for range h.Backward(1, h.Last(), 0, 0) {
			if shown++; shown == 20 {
				break
			}
		}
	})
	if allocs > 2 {
		t.Errorf("a page of 20 deposits takes %.0f allocations", allocs)
	}
}

// A realistic mix: of ten transactions six are deposits and operator credits, one
// is a completed withdrawal, two are bought and one is sold for Bitcoin.
func TestATransactionCostsAtMostAHundredBytesOfHeap(t *testing.T) {
	const accounts = 200
	for _, each := range []int{10, 100, 1000} {
		histories := make([]History, accounts)
		before := heap()
		for i := range histories {
			for n := range each {
				mixed(&histories[i], n)
			}
		}
		perTransaction := float64(heap()-before) / float64(accounts*each)
		runtime.KeepAlive(histories)
		t.Logf("%d transactions: %.1f bytes each", each, perTransaction)
		if perTransaction > 100 {
			t.Errorf("one of %d transactions takes %.1f bytes of heap, 100 are the most", each, perTransaction)
		}
	}
}

// mixed adds transaction n of the mix, one a day.
func mixed(h *History, n int) {
	made := start + Time(n)*24*3600e6
	one := Transaction{CreatedAt: made, Amount: 123_4567_8901, Status: Completed, ConfirmedAt: made + 1}
	hash := strings.Repeat("4a5e1e4baab89f3a", 4)
	switch n % 10 {
	case 3, 7:
		one.Type, one.ConfirmedAt = TypeBuy, made+600e6
		one.Detail = &Detail{To: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", BTC: 12_0600, BTCFee: 600, ExpiresAt: made + 3600e6, TxHash: hash, Confirmations: 1, By: "chain"}
	case 5:
		one.Type, one.Fee, one.ConfirmedAt = TypeWithdrawal, 100_000, made+600e6
		one.Detail = &Detail{To: "aitbc_00112233445566778899aabbccddeeff", By: "ops"}
	case 9:
		one.Type, one.ConfirmedAt = TypeSell, made+600e6
		one.Detail = &Detail{To: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", BTC: 12_0600, BTCFee: 600, TxHash: hash, By: "ops"}
	case 8:
		one.Type, one.ConfirmedAt = TypeCredit, made
		one.Detail = &Detail{By: "ops", Reason: "compensation"}
	default:
		one.Type, one.ConfirmedAt = TypeDeposit, made
	}
	h.append(one)
}
