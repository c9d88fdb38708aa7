package account

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
)

func depositRecord(seq uint64) *Record {
	return &Record{User: testUser, Seq: seq, At: start, Events: []Event{&Deposited{Amount: 1}}}
}

func BenchmarkParseMoney(b *testing.B) {
	b.ReportAllocs()
	text := []byte("12345.67890123")
	for b.Loop() {
		if _, err := ParseMoney(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApplyOfADeposit(b *testing.B) {
	b.ReportAllocs()
	a := opened(b, 0)
	r := depositRecord(0)
	for b.Loop() {
		r.Seq = a.Seq + 1
		if err := a.Apply(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecideEncodeAndApplyOfADeposit(b *testing.B) {
	b.ReportAllocs()
	a := opened(b, 0)
	c := &Deposit{Amount: 1}
	var encoded []byte
	for b.Loop() {
		d, err := a.Decide(c, nil, start)
		if err != nil {
			b.Fatal(err)
		}
		encoded = d.Record.Append(encoded[:0])
		if err := a.Apply(&d.Record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(encoded)), "bytes/record")
}

// A withdrawal that is completed at once, in an account with a long history: the
// copy of a chunk, and of the list of chunks, is part of it.
func BenchmarkWithdrawAndCompleteAfterManyDeposits(b *testing.B) {
	b.ReportAllocs()
	a := opened(b, MaxMoney/2)
	for range 10_000 {
		do(b, a, &Deposit{Amount: 1}, start)
	}
	for b.Loop() {
		n := do(b, a, &Withdraw{Amount: 1, Fee: 1, To: "aitbc_00"}, start)
		do(b, a, &Complete{N: n, By: "ops"}, start)
	}
}

func BenchmarkDecodeOfADeposit(b *testing.B) {
	b.ReportAllocs()
	encoded := depositRecord(2).Append(nil)
	var r Record
	for b.Loop() {
		if err := r.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeOfAKeyedPayment(b *testing.B) {
	b.ReportAllocs()
	encoded := (&Record{User: testUser, Seq: 2, At: start, Events: []Event{
		goldenEvents["payment_created"], goldenEvents["key_used"],
	}}).Append(nil)
	var r Record
	for b.Loop() {
		if err := r.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}

// What one transaction costs in memory, its share of the account included: one
// run is a million deposits, spread over 100,000 accounts in turn.
func BenchmarkMemoryOfAMillionDeposits(b *testing.B) {
	const users, each = 100_000, 10
	b.ReportAllocs()
	var bytes, alone uint64
	for b.Loop() {
		before := heap()
		accounts := make([]*Account, users)
		for i := range accounts {
			var id UserID
			binary.BigEndian.PutUint32(id[:], uint32(i))
			accounts[i] = New(id)
			r := Record{User: id, Seq: 1, At: start, Events: []Event{&Created{Wallet: "w", Email: "e", Username: "u"}}}
			if err := accounts[i].Apply(&r); err != nil {
				b.Fatal(err)
			}
		}
		alone = heap() - before
		for round := range each {
			for _, a := range accounts {
				r := depositRecord(uint64(round) + 2)
				r.User = a.ID
				if err := a.Apply(r); err != nil {
					b.Fatal(err)
				}
			}
		}
		bytes = heap() - before
		runtime.KeepAlive(accounts)
	}
	b.ReportMetric(float64(bytes)/(users*each), "bytes/transaction")
	b.ReportMetric(float64(alone)/users, "bytes/empty-account")
}

// heap returns the bytes in use once all garbage is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkNotice queues a notice and has it delivered, with so many open ones beside it.
func BenchmarkNotice(b *testing.B) {
	for _, open := range []int{0, 256, MaxUndelivered - 1} {
		b.Run(fmt.Sprint(open), func(b *testing.B) {
			a := opened(b, 5)
			for range open {
				told(b, a, deposit(), start)
			}
			b.ReportAllocs()
			for b.Loop() {
				told(b, a, deposit(), start)
				n := a.Outbox.Next - 1
				do(b, a, &SettleNotice{N: n, State: NoticeDelivered, Attempts: 1}, start)
			}
		})
	}
}
