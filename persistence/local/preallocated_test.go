package local

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aitbc/exchange/persistence/persistencetest"
)

// openPreallocatedLog opens the log that a Log would append to in dir.
func openPreallocatedLog(t *testing.T, dir string, segmentBytes int) *preallocatedLog {
	t.Helper()
	log, err := osFiles{}.openLog(dir, segmentBytes)
	if err != nil {
		t.Fatal(err)
	}
	return log.(*preallocatedLog)
}

func segmentsIn(t *testing.T, dir string) []segment {
	t.Helper()
	segments, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	return segments
}

// entriesOf returns the entries of a segment's file, and how many zeros follow them.
func entriesOf(t *testing.T, s segment) (entries [][]byte, zeros int) {
	t.Helper()
	r := segmentReader{segment: s, buf: readFile(t, s.path), next: s.first}
	for {
		e, more, damage := r.read()
		if damage != nil {
			t.Fatal(damage)
		}
		if !more {
			return entries, len(r.buf) - r.off
		}
		entries = append(entries, bytes.Clone(e.raw))
	}
}

// TestPreallocationMovesNoEntryOfAnySize writes the same entries with
// preallocated files and with files that grow, each in a few lives.
func TestPreallocationMovesNoEntryOfAnySize(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(1, seed))
		preallocated, growing := t.TempDir(), t.TempDir()
		number := uint64(1)
		for range 4 {
			segmentBytes := 50 + random.IntN(400) // of another size in each life
			grows := openPreallocatedLog(t, preallocated, segmentBytes)
			grows.growing = random.IntN(4) == 0
			plain, err := osFiles{growing: true}.openLog(growing, segmentBytes)
			if err != nil {
				t.Fatal(err)
			}
			for range random.IntN(12) {
				frame := persistencetest.Frame(0, 1, number, string(make([]byte, random.IntN(300))))
				for _, log := range []logFile{grows, plain} {
					if err := log.Write(number, frame); err != nil {
						t.Fatal(err)
					}
					if err := log.Sync(); err != nil {
						t.Fatal(err)
					}
				}
				number++
				segments := segmentsIn(t, preallocated)
				if last := segments[len(segments)-1].first; grows.Segment() != last || plain.Segment() != last {
					t.Fatalf("seed %d: it writes to segment %d, and %d without preallocation; the last is %d", seed, grows.Segment(), plain.Segment(), last)
				}
				for _, s := range segments[:len(segments)-1] {
					if _, zeros := entriesOf(t, s); zeros > 0 {
						t.Fatalf("seed %d: %d zeros are left in %s", seed, zeros, s.path)
					}
				}
			}
			for _, log := range []logFile{grows, plain} {
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		with, without := segmentsIn(t, preallocated), segmentsIn(t, growing)
		if len(with) != len(without) {
			t.Fatalf("seed %d: %d segments, %d without preallocation", seed, len(with), len(without))
		}
		for i := range with {
			if with[i].first != without[i].first || !slices.Equal(readFile(t, with[i].path), readFile(t, without[i].path)) {
				t.Fatalf("seed %d: %s is another file than without preallocation", seed, with[i].path)
			}
		}
	}
}

func TestLogIsPreallocatedUntilItIsClosed(t *testing.T) {
	dir := t.TempDir()
	log := openPreallocatedLog(t, dir, 3<<20)
	frame := persistencetest.Frame(0, 1, 1, string(make([]byte, 1000)))
	for n := range uint64(2000) {
		frame := persistencetest.Frame(0, 1, n+1, string(frame[:1000]))
		if err := log.Write(n+1, frame); err != nil {
			t.Fatal(err)
		}
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if log.async.event.request != 0 {
		t.Errorf("a sync of entries of %d bytes was left to the kernel", log.averageEntry)
	}
	entries, zeros := entriesOf(t, segmentsIn(t, dir)[0])
	if len(entries) != 2000 || zeros == 0 || zeros >= preallocation || log.size%preallocation != 0 {
		t.Errorf("%d entries, %d zeros, %d bytes in all", len(entries), zeros, log.size)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, zeros := entriesOf(t, segmentsIn(t, dir)[0]); len(entries) != 2000 || zeros != 0 {
		t.Errorf("after the end %d entries and %d zeros", len(entries), zeros)
	}
}
