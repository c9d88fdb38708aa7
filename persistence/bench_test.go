package persistence_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// discardLog stores nothing and allocates nothing.
type discardLog struct{ persistence.Log }

func (discardLog) Claim(shard uint16) (persistence.Claim, error) {
	return persistence.Claim{Shard: shard, Epoch: 1, Next: 1}, nil
}
func (discardLog) Append(uint64, []byte) error { return nil }
func (discardLog) Close() error                { return nil }

// reusable is a completion that can be waited for again and again.
type reusable chan error

func (r reusable) Committed(err error) { r <- err }

func TestAppendAllocatesNothing(t *testing.T) {
	j := persistencetest.Start(t, persistence.Config{Log: discardLog{}})
	record, done := make([]byte, 200), make(reusable, 2)
	appendOne := func() {
		if err := j.Reserve(len(record)); err != nil {
			t.Fatal(err)
		}
		j.Append(record, done)
		j.Barrier(done)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		appendOne() // until the buffers are as large as they get
	}
	if n := testing.AllocsPerRun(1000, appendOne); n != 0 {
		t.Errorf("%v allocations an append, want 0", n)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkAppend makes records of 200 bytes durable for as many callers at a
// time, each of which waits for its own.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			benchmarkAppend(b, openLocal(b, local.Config{Dir: b.TempDir()}), callers)
		})
	}
}

// BenchmarkAppendWithoutDisk is what the journal itself costs.
func BenchmarkAppendWithoutDisk(b *testing.B) { benchmarkAppend(b, discardLog{}, 64) }

func benchmarkAppend(b *testing.B, log persistence.Log, callers int) {
	j := persistencetest.Start(b, persistence.Config{Log: log})
	before := j.Stats().Frames
	record := make([]byte, 200)
	var started atomic.Int64
	done := make(chan struct{})
	b.ReportAllocs()
	b.SetBytes(int64(len(record)))
	b.ResetTimer()
	for range callers {
		go func() {
			defer func() { done <- struct{}{} }()
			c := make(reusable, 1)
			for started.Add(1) <= int64(b.N) {
				if err := j.Reserve(len(record)); err != nil {
					b.Error(err)
					return
				}
				j.Append(record, c)
				if err := <-c; err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	for range callers {
		<-done
	}
	b.StopTimer()
	frames := j.Stats().Frames - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/float64(frames), "records/frame")
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLoadSnapshot loads 200,000 entries of 500 bytes with two workers; an
// operation is an entry.
func BenchmarkLoadSnapshot(b *testing.B) {
	const entries = 200_000
	dir := b.TempDir()
	j := startJournal(b, local.Config{Dir: dir})
	entry := make([]byte, 500)
	if _, err := j.Snapshot(b.Context(), func(add func([]byte) error) error {
		for range entries {
			if err := add(entry); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	persistencetest.CloseJournal(b, j)
	b.SetBytes(int64(len(entry)))
	b.ReportAllocs()
	b.ResetTimer()
	for read := 0; read < b.N; read += entries {
		j := openJournal(b, local.Config{Dir: dir})
		if _, found, err := j.LoadSnapshot(2, func(int, []byte) error { return nil }); err != nil || !found {
			b.Fatal(found, err)
		}
		persistencetest.CloseJournal(b, j)
		b.ReportMetric(float64(read+entries)/b.Elapsed().Seconds(), "entries/s")
	}
}
