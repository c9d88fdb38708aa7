package local

import (
	"errors"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// BenchmarkReplay reads a log of frames of 100 records of 200 bytes; an operation
// is a record.
func BenchmarkReplay(b *testing.B) {
	const frames, perFrame = 5000, 100
	dir := b.TempDir()
	log := openLog(b, Config{Dir: dir, files: &powerDisk{}}) // 100 MB, not synced
	records := make([]string, perFrame)
	for i := range records {
		records[i] = string(make([]byte, 200))
	}
	c := persistencetest.Claim(b, log)
	for seq := c.Next; seq < c.Next+frames; seq++ {
		if err := log.Append(seq, persistencetest.Frame(0, c.Epoch, seq, records...)); err != nil {
			b.Fatal(err)
		}
	}
	persistencetest.Close(b, log)
	b.SetBytes(200)
	b.ReportAllocs()
	b.ResetTimer()
	for read := 0; read < b.N; {
		log := openLog(b, Config{Dir: dir})
		j, err := persistence.Open(persistence.Config{Log: log})
		if err != nil {
			b.Fatal(err)
		}
		if err := j.Replay(0, func(format.Position, []byte) error { read++; return nil }); err != nil {
			b.Fatal(err)
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
	}
}

// BenchmarkSync appends and syncs an entry of 50 records: to preallocated files, to files
// that grow by it, and to preallocated files by an asynchronous sync.
func BenchmarkSync(b *testing.B) {
	for _, of := range []struct {
		name  string
		files osFiles
		async bool
	}{{"preallocated", osFiles{}, false}, {"growing", osFiles{growing: true}, false}, {"asynchronous", osFiles{}, true}} {
		b.Run(of.name, func(b *testing.B) {
			opened, err := of.files.openLog(b.TempDir(), 64<<20)
			if err != nil {
				b.Fatal(err)
			}
			log := opened.(*preallocatedLog)
			frame := make([]byte, 50*80)
			b.ReportAllocs()
			for n := uint64(1); b.Loop(); n++ {
				log.averageEntry = 0
				if of.async {
					log.averageEntry = 8 * asyncFrom
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
