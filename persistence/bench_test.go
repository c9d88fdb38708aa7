package persistence

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

// discardLog stores nothing and allocates nothing.
type discardLog struct{ Log }

func (discardLog) Claim(shard uint16) (Claim, error) {
	return Claim{Shard: shard, Epoch: 1, Next: 1}, nil
}
func (discardLog) Append(uint64, []byte) error { return nil }
func (discardLog) Close() error                { return nil }

// reusable is a completion that can be waited for again and again.
type reusable chan error

func (r reusable) Committed(err error) { r <- err }

func TestAppendAllocatesNothing(t *testing.T) {
	j := startJournal(t, Config{Log: discardLog{}})
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
			local := openLocal(b, LocalConfig{Dir: b.TempDir()})
			benchmarkAppend(b, local, callers)
		})
	}
}

// BenchmarkAppendWithoutDisk is what the journal itself costs.
func BenchmarkAppendWithoutDisk(b *testing.B) { benchmarkAppend(b, discardLog{}, 64) }

func benchmarkAppend(b *testing.B, log Log, callers int) {
	j := startJournal(b, Config{Log: log})
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

// BenchmarkReplay reads a log of frames of 100 records of 200 bytes; an operation
// is a record.
func BenchmarkReplay(b *testing.B) {
	const frames, perFrame = 5000, 100
	dir := b.TempDir()
	local := openLocal(b, LocalConfig{Dir: dir, files: &powerDisk{}}) // 100 MB, not synced
	records := make([]string, perFrame)
	for i := range records {
		records[i] = string(make([]byte, 200))
	}
	c := claim(b, local)
	for seq := c.Next; seq < c.Next+frames; seq++ {
		if err := local.Append(seq, encode(0, c.Epoch, seq, records...)); err != nil {
			b.Fatal(err)
		}
	}
	closeLog(b, local)
	b.SetBytes(200)
	b.ReportAllocs()
	b.ResetTimer()
	for read := 0; read < b.N; {
		local := openLocal(b, LocalConfig{Dir: dir})
		j, err := Open(Config{Log: local})
		if err != nil {
			b.Fatal(err)
		}
		if err := j.Replay(0, func(Position, []byte) error { read++; return nil }); err != nil {
			b.Fatal(err)
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
	}
}

// BenchmarkLoadSnapshot loads 200,000 entries of 500 bytes with two workers; an
// operation is an entry.
func BenchmarkLoadSnapshot(b *testing.B) {
	const entries = 200_000
	dir := b.TempDir()
	j := startLocal(b, LocalConfig{Dir: dir})
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
	closeJournal(b, j)
	b.SetBytes(int64(len(entry)))
	b.ReportAllocs()
	b.ResetTimer()
	for read := 0; read < b.N; read += entries {
		j := openJournal(b, LocalConfig{Dir: dir})
		if _, found, err := j.LoadSnapshot(2, func(int, []byte) error { return nil }); err != nil || !found {
			b.Fatal(found, err)
		}
		closeJournal(b, j)
		b.ReportMetric(float64(read+entries)/b.Elapsed().Seconds(), "entries/s")
	}
}

// BenchmarkSync appends and syncs an entry of 50 records, to files that have grown ahead
// of it and to files that grow by it, and leaves the sync to the kernel.
func BenchmarkSync(b *testing.B) {
	for _, of := range []struct {
		name  string
		files osFiles
		aside bool
	}{{"ahead", osFiles{}, false}, {"exact", osFiles{exact: true}, false}, {"aside", osFiles{}, true}} {
		b.Run(of.name, func(b *testing.B) {
			opened, err := of.files.openLog(b.TempDir(), 64<<20)
			if err != nil {
				b.Fatal(err)
			}
			log := opened.(*aheadLog)
			frame := make([]byte, 50*80)
			b.ReportAllocs()
			for n := uint64(1); b.Loop(); n++ {
				log.usual = 0
				if of.aside {
					log.usual = 8 * busyFrom
				}
				if err := errors.Join(log.Write(n, frame), log.Sync()); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := log.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
