package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/wal"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// entryOf is a frame as it stands in a segment.
func entryOf(frame []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(frame))), frame...)
}

// entryOffsets returns where the entries of a sound segment begin, and its end.
func entryOffsets(t testing.TB, s segment) []int {
	t.Helper()
	r := segmentReader{segment: s, buf: readFile(t, s.path), next: s.first}
	offsets := []int{0}
	for {
		_, more, damage := r.read()
		if damage != nil {
			t.Fatal(damage)
		}
		if !more {
			return offsets
		}
		offsets = append(offsets, r.off)
	}
}

func TestTailThatWasCutAtAnyByteIsRepaired(t *testing.T) {
	for _, c := range []struct {
		name         string
		segmentBytes int
		records      int
		alone        bool // the torn entry is all there is in its segment
	}{
		{"the only entry of the first segment", defaultSegmentBytes, 1, true},
		{"the last of three entries", defaultSegmentBytes, 3, false},
		{"the only entry of a later segment", 90, 3, true}, // two entries fill a segment
	} {
		t.Run(c.name, func(t *testing.T) {
			records := persistencetest.Numbered(c.records)
			dir := writeLog(t, c.segmentBytes, records...)
			segments := segmentsOf(t, dir)
			last := segments[len(segments)-1]
			offsets := entryOffsets(t, last)
			begin, end := offsets[len(offsets)-2], offsets[len(offsets)-1]
			if (begin == 0) != c.alone {
				t.Fatalf("the last entry begins at %d of %s", begin, last.path)
			}
			whole := readFile(t, last.path)
			for size := begin; size < end; size++ {
				writeFile(t, last.path, whole[:size])
				wantRepaired(t, dir, c.segmentBytes, records[:len(records)-1], last.path, begin, size-begin)
				// Put back what the repaired log went on with.
				for _, s := range segmentsOf(t, dir) {
					if s.first > last.first {
						if err := os.Remove(s.path); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		})
	}
}

// wantRepaired opens the log, expects the records and what is logged about the
// torn bytes, appends, and opens it again.
func wantRepaired(t *testing.T, dir string, segmentBytes int, records []string, file string, offset, torn int) {
	t.Helper()
	var said persistencetest.LogBuffer
	log := openLog(t, Config{Dir: dir, SegmentBytes: segmentBytes, Logger: said.Logger()})
	c := persistencetest.Claim(t, log)
	if int(c.Next) != len(records)+1 {
		t.Fatalf("%d torn bytes: next is %d, want %d", torn, c.Next, len(records)+1)
	}
	persistencetest.WantReplayed(t, log, 1, records...)
	persistencetest.Append(t, log, c, "after the repair")
	persistencetest.Close(t, log)
	if torn == 0 {
		if s := said.String(); s != "" {
			t.Fatalf("nothing was torn, and yet: %s", s)
		}
	} else if s, want := said.String(), fmt.Sprintf("file=%s offset=%d bytes=%d entry=%d", file, offset, torn, c.Next); !strings.Contains(s, "level=WARN") || !strings.Contains(s, want) {
		t.Fatalf("logged %q, want a warning with %q", s, want)
	}
	log = openLog(t, Config{Dir: dir, SegmentBytes: segmentBytes})
	persistencetest.Claim(t, log)
	persistencetest.WantReplayed(t, log, 1, append(append([]string{}, records...), "after the repair")...)
	persistencetest.Close(t, log)
}

func TestTailOfUnwrittenBlocksIsRepaired(t *testing.T) {
	whole := entryOf(persistencetest.Frame(0, 1, 3, "never synced"))
	for name, tail := range map[string][]byte{
		"zeros and a byte":            append(make([]byte, 4096), 1),
		"an entry that ends in zeros": append(bytes.Clone(whole[:20]), make([]byte, 4096)...),
		"an entry with a hole":        append(append(bytes.Clone(whole[:len(whole)-8]), make([]byte, 4)...), whole[len(whole)-4:]...),
		"an entry without a start":    append(make([]byte, 30), whole[30:]...),
		"noise":                       bytes.Repeat([]byte{0xA5, 0x5A, 0xFE, 'A', 'X', 0xFF, 1}, 100),
		"an endless length":           bytes.Repeat([]byte{0xFF}, 64),
	} {
		t.Run(name, func(t *testing.T) {
			records := persistencetest.Numbered(2)
			dir := writeLog(t, defaultSegmentBytes, records...)
			path := segmentsOf(t, dir)[0].path
			sound := readFile(t, path)
			writeFile(t, path, append(bytes.Clone(sound), tail...))
			wantRepaired(t, dir, defaultSegmentBytes, records, path, len(sound), len(tail))
		})
	}
}

// A process that was killed leaves the zeros that were preallocated.
func TestZerosAfterTheLastEntryAreNotTorn(t *testing.T) {
	for _, zeros := range []int{1, 35, 4096} {
		records := persistencetest.Numbered(3)
		dir := writeLog(t, defaultSegmentBytes, records...)
		path := segmentsOf(t, dir)[0].path
		writeFile(t, path, append(readFile(t, path), make([]byte, zeros)...))
		wantRepaired(t, dir, defaultSegmentBytes, records, path, 0, 0)
	}
}

// An entry is written over zeros, so a part of it that the disk has not kept is zeros.
func TestEntryOfWhichSectorsWereLostIsRepaired(t *testing.T) {
	const sector, sectors = 16, 6 // smaller than any disk's, so that an entry has a few
	records := persistencetest.Numbered(2)
	entry := entryOf(persistencetest.Frame(0, 1, 3, strings.Repeat("x", sector*sectors-format.FrameHeaderSize-1)))
	for lost := 1; lost < 1<<sectors; lost++ {
		torn := append(bytes.Clone(entry), make([]byte, 100)...)
		for i := range sectors {
			if lost&(1<<i) != 0 {
				clear(torn[i*sector : (i+1)*sector])
			}
		}
		dir := writeLog(t, defaultSegmentBytes, records...)
		path := segmentsOf(t, dir)[0].path
		sound := readFile(t, path)
		writeFile(t, path, append(bytes.Clone(sound), torn...))
		bytes := len(torn)
		if isZero(torn) {
			bytes = 0
		}
		wantRepaired(t, dir, defaultSegmentBytes, records, path, len(sound), bytes)
	}
}

func TestRepairThatWasNotWrittenChangesNothing(t *testing.T) {
	dir := writeLog(t, defaultSegmentBytes, "kept")
	path := segmentsOf(t, dir)[0].path
	writeFile(t, path, append(readFile(t, path), 1, 2, 3))
	before := contentOf(t, dir)
	log := openLog(t, Config{Dir: dir})
	persistencetest.Claim(t, log)
	persistencetest.WantReplayed(t, log, 1, "kept")
	persistencetest.Close(t, log)
	wantUnchanged(t, dir, before)
}

func TestBitFlipIsCutOffOnlyInTheLastFrameAndElseNamed(t *testing.T) {
	records := persistencetest.Numbered(3)
	dir := writeLog(t, defaultSegmentBytes, records...)
	s := segmentsOf(t, dir)[0]
	offsets := entryOffsets(t, s)
	sound := readFile(t, s.path)
	for at := range sound {
		for bit := range 8 {
			flipped := bytes.Clone(sound)
			flipped[at] ^= 1 << bit
			writeFile(t, s.path, flipped)

			entry := 0 // that the bit is in, from 0
			for offsets[entry+1] <= at {
				entry++
			}
			inLast := entry == 2
			lengthPrefix := at == offsets[entry] // the frame behind it is intact
			laterVersion := at == offsets[entry]+5 && flipped[at] > sound[at]
			log := openLog(t, Config{Dir: dir})
			c, err := log.Claim(0)
			if inLast && !lengthPrefix && !laterVersion {
				if err != nil || c.Next != 3 {
					t.Fatalf("bit %d of byte %d: claim %+v, %v", bit, at, c, err)
				}
				persistencetest.WantReplayed(t, log, 1, records[:2]...)
			} else {
				var damage *persistence.DamageError
				if !errors.As(err, &damage) || damage.File != s.path || damage.Offset != int64(offsets[entry]) || damage.Entry != uint64(entry+1) {
					t.Fatalf("bit %d of byte %d: %v, want a *DamageError of %s at %d, entry %d", bit, at, err, s.path, offsets[entry], entry+1)
				}
			}
			persistencetest.Close(t, log)
			if !bytes.Equal(readFile(t, s.path), flipped) {
				t.Fatalf("bit %d of byte %d: the file was changed", bit, at)
			}
		}
	}
}

// TestDamageIsRefusedAndNamed uses a log of four segments, 1, 3, 5 and 7, with two
// entries each but the last, which has one.
func TestDamageIsRefusedAndNamed(t *testing.T) {
	other := "record ###" // as long as the log's own
	encode := persistencetest.Frame
	// put makes a segment of the frames.
	put := func(t *testing.T, s segment, frames ...[]byte) {
		var content []byte
		for _, frame := range frames {
			content = append(content, entryOf(frame)...)
		}
		writeFile(t, s.path, content)
	}
	remove := func(t *testing.T, s segment) {
		if err := os.Remove(s.path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, s []segment)
		file   string // name of the segment, empty for the directory
		offset int    // in entries
		entry  uint64
		reason string
	}{
		{"the first segment is missing", func(t *testing.T, s []segment) { remove(t, s[0]) }, "", 0, 1, "the first is 00000000000000000003"},
		{"a middle segment is missing", func(t *testing.T, s []segment) { remove(t, s[1]) }, "", 0, 3, "after 00000000000000000001 comes 00000000000000000005"},
		{"a middle segment is empty", func(t *testing.T, s []segment) { put(t, s[1]) }, "", 0, 3, "no segment begins with this entry"},
		{"a middle segment ends early", func(t *testing.T, s []segment) { put(t, s[1], encode(0, 1, 3, other)) }, "", 0, 4, "no segment begins with this entry"},
		{"a middle segment has too many entries", func(t *testing.T, s []segment) {
			put(t, s[1], encode(0, 1, 3, other), encode(0, 1, 4, other), encode(0, 1, 5, other))
		}, "", 0, 6, "no segment begins with this entry"},
		{"a middle segment has a torn tail", func(t *testing.T, s []segment) {
			content := readFile(t, s[1].path)
			writeFile(t, s[1].path, content[:len(content)-1])
		}, segmentName(3), 1, 4, "the segment ends after"},
		{"a segment before an empty last one has a torn tail", func(t *testing.T, s []segment) {
			put(t, s[3])
			content := readFile(t, s[2].path)
			writeFile(t, s[2].path, content[:len(content)-1])
		}, segmentName(5), 1, 6, "the segment ends after"},
		{"the middle segment's bytes are rotten", func(t *testing.T, s []segment) {
			content := readFile(t, s[1].path)
			content[len(content)-1] ^= 1
			writeFile(t, s[1].path, content)
		}, segmentName(3), 1, 4, "checksum"},
		{"an epoch goes back within a segment", func(t *testing.T, s []segment) { put(t, s[3], encode(0, 3, 7, other), encode(0, 2, 8, other)) }, segmentName(7), 1, 8, "epoch 2 after epoch 3"},
		{"an epoch goes back between segments", func(t *testing.T, s []segment) { put(t, s[2], encode(0, 9, 5, other), encode(0, 9, 6, other)) }, segmentName(7), 0, 7, "epoch 1 after epoch 9"},
		{"an epoch of 0", func(t *testing.T, s []segment) { put(t, s[3], encode(0, 0, 7, other)) }, segmentName(7), 0, 7, "epoch 0"},
		{"a frame comes twice", func(t *testing.T, s []segment) { put(t, s[3], encode(0, 1, 7, other), encode(0, 1, 7, other)) }, segmentName(7), 1, 8, "frame 7 stands in the place of frame 8"},
		{"a frame is left out", func(t *testing.T, s []segment) { put(t, s[3], encode(0, 1, 7, other), encode(0, 1, 9, other)) }, segmentName(7), 1, 8, "frame 9 stands in the place of frame 8"},
		{"a frame of another shard", func(t *testing.T, s []segment) { put(t, s[3], encode(5, 1, 7, other)) }, segmentName(7), 0, 7, "frame of shard 5 in the log of shard 0"},
		{"a format that came later", func(t *testing.T, s []segment) {
			later := encode(0, 1, 7, other)
			later[4] = 2
			binary.LittleEndian.PutUint32(later[32:], crc32.Checksum(slices.Concat(later[:32], later[format.FrameHeaderSize:]), crc32.MakeTable(crc32.Castagnoli)))
			put(t, s[3], later)
		}, segmentName(7), 0, 7, "format version 2, this program reads version 1"},
		{"a bad entry before a good one", func(t *testing.T, s []segment) {
			bad := encode(0, 1, 7, other)
			bad[len(bad)-1] ^= 1
			put(t, s[3], bad, encode(0, 1, 8, other))
		}, segmentName(7), 0, 7, "checksum"},
		{"a torn entry with a good one somewhere behind", func(t *testing.T, s []segment) {
			content := append(readFile(t, s[3].path), 0x80, 0x01, 'x', 'y')
			writeFile(t, s[3].path, append(content, encode(0, 1, 9, other)...))
		}, segmentName(7), 1, 8, "the entry has 128 bytes"},
		{"a truncation at the back was interrupted", func(t *testing.T, s []segment) {
			if err := os.Rename(s[3].path, s[3].path+".END"); err != nil {
				t.Fatal(err)
			}
		}, segmentName(7) + ".END", 0, 7, "truncation at the back"},
		{"nothing is left but an empty later segment", func(t *testing.T, s []segment) {
			remove(t, s[0])
			remove(t, s[1])
			remove(t, s[2])
			put(t, s[3])
		}, "", 0, 6, "knows the last epoch"},
		{"nothing is left but a torn entry in a later segment", func(t *testing.T, s []segment) {
			remove(t, s[0])
			remove(t, s[1])
			remove(t, s[2])
			writeFile(t, s[3].path, []byte{48})
		}, "", 0, 6, "knows the last epoch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeLog(t, 90, persistencetest.Numbered(7)...)
			segments := segmentsOf(t, dir)
			if len(segments) != 4 || segments[3].first != 7 {
				t.Fatalf("segments %v", segments)
			}
			entrySize := int64(entryOffsets(t, segments[0])[1])
			c.change(t, segments)
			before := contentOf(t, dir)

			log := openLog(t, Config{Dir: dir, SegmentBytes: 90})
			claimed, err := log.Claim(0)
			if err == nil {
				_, err = persistencetest.Replayed(log, 1)
			}
			if err == nil {
				t.Fatal("the log was accepted")
			}
			var damage *persistence.DamageError
			if !errors.As(err, &damage) {
				t.Fatalf("error %v, want a *DamageError", err)
			}
			first := *damage
			file, offset := filepath.Join(shardDir(dir, 0), c.file), int64(c.offset)*entrySize
			if damage.File != file || damage.Offset != offset || damage.Entry != c.entry || !strings.Contains(damage.Reason, c.reason) {
				t.Errorf("error %v\nwant %s, offset %d, entry %d: ...%s...", err, file, offset, c.entry, c.reason)
			}
			if s := err.Error(); !strings.Contains(s, damage.File) || strings.Contains(s, "\n") {
				t.Errorf("not one line with the file: %q", s)
			}
			// An owner who skips the replay is refused too.
			// But an owner who has a snapshot of what was truncated is not.
			if claimed.Next != 0 && c.name != "the first segment is missing" {
				if err := log.Append(claimed.Next, persistencetest.Frame(0, claimed.Epoch, claimed.Next, other)); !errors.As(err, &damage) {
					t.Errorf("append: %v, want a *DamageError", err)
				}
			}
			persistencetest.Close(t, log)

			// A scan says the same, except that it takes a log as truncated at the front.
			report, err := Scan(dir, 0, func(format.Position, []byte) error { return nil })
			var scanned *persistence.DamageError
			if c.name == "the first segment is missing" {
				if err != nil || report.First != 3 {
					t.Errorf("scanned %+v, %v", report, err)
				}
			} else if !errors.As(err, &scanned) || *scanned != first {
				t.Errorf("scan: %v, want %v", err, &first)
			}
			wantUnchanged(t, dir, before)
		})
	}
}

func TestEmptyLastSegmentIsSound(t *testing.T) {
	records := persistencetest.Numbered(4)
	dir := writeLog(t, 90, records...) // the fourth entry ends the second segment
	segments := segmentsOf(t, dir)
	if last := segments[len(segments)-1]; last.first != 5 || len(readFile(t, last.path)) != 0 {
		t.Fatalf("the last segment is %v, want an empty one for frame 5", last)
	}
	wantRepaired(t, dir, 90, records, "", 0, 0)
}

func TestInterruptedTruncationIsSeenAsTidwallSeesIt(t *testing.T) {
	for _, first := range []uint64{2, 3, 4, 7} {
		t.Run(fmt.Sprintf("front at entry %d", first), func(t *testing.T) {
			records := persistencetest.Numbered(7)
			dir := writeLog(t, 90, records...)
			logDir := shardDir(dir, 0)
			// What TruncateFront has done when the power goes: the new front is there,
			// and the segments it replaces are too.
			segments := segmentsOf(t, dir)
			of := segments[(first-1)/2]
			rest := readFile(t, of.path)[entryOffsets(t, of)[first-of.first]:]
			writeFile(t, filepath.Join(logDir, segmentName(first)+".START"), rest)
			writeFile(t, filepath.Join(logDir, segmentName(first)+".START.TEMP"), []byte("cut"))

			log := openLog(t, Config{Dir: dir, SegmentBytes: 90})
			c := persistencetest.Claim(t, log)
			if c.Next != 8 {
				t.Fatalf("next is %d, want 8", c.Next)
			}
			var damage *persistence.DamageError
			if _, err := persistencetest.Replayed(log, first-1); !errors.As(err, &damage) {
				t.Errorf("replay from before the front: %v, want a *DamageError", err)
			}
			persistencetest.WantReplayed(t, log, first, records[first-1:]...)
			persistencetest.Close(t, log)
			report, err := Scan(dir, 0, func(format.Position, []byte) error { return nil })
			if err != nil || report.First != first || report.Last != 7 {
				t.Errorf("scanned %+v, %v", report, err)
			}
			log = openLog(t, Config{Dir: dir, SegmentBytes: 90})
			persistencetest.Append(t, log, persistencetest.Claim(t, log), "after")
			persistencetest.Close(t, log)

			out, err := wal.Open(logDir, &wal.Options{AllowEmpty: true})
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			if got, err := out.FirstIndex(); err != nil || got != first {
				t.Errorf("for tidwall/wal the first entry is %d, %v; want %d", got, err, first)
			}
			if got, err := out.LastIndex(); err != nil || got != 8 {
				t.Errorf("for tidwall/wal the last entry is %d, %v; want 8", got, err)
			}
		})
	}
}

// FuzzTornTail puts any bytes on the tail of a real log: behind a part of it, or
// over a part of it.
func FuzzTornTail(f *testing.F) {
	var sound []byte
	var frames [][]byte
	var ends []int
	for seq := uint64(1); seq <= 3; seq++ {
		frame := persistencetest.Frame(0, 1, seq, fmt.Sprintf("record %d", seq), "")
		frames = append(frames, frame)
		sound = append(sound, entryOf(frame)...)
		ends = append(ends, len(sound))
	}
	f.Add(uint16(0), true, []byte{})
	f.Add(uint16(len(sound)), false, []byte{0, 0, 0})
	f.Add(uint16(ends[1]+9), false, sound[ends[0]:])
	f.Add(uint16(ends[0]), true, []byte{0})
	f.Add(uint16(len(sound)), false, entryOf(persistencetest.Frame(0, 2, 4, "one more")))
	f.Fuzz(func(t *testing.T, at uint16, over bool, data []byte) {
		keep := int(at) % (len(sound) + 1)
		content := append(bytes.Clone(sound[:keep]), data...)
		if over && len(content) < len(sound) {
			content = append(content, sound[len(content):]...)
		}
		dir := t.TempDir()
		path := filepath.Join(shardDir(dir, 0), segmentName(1))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, content)

		log := openLog(t, Config{Dir: dir, files: &powerDisk{}})
		c, err := log.Claim(0)
		var got [][]byte
		if err == nil {
			err = log.Replay(1, func(_ uint64, frame []byte) error {
				got = append(got, bytes.Clone(frame))
				return nil
			})
		}
		if err != nil {
			var damage *persistence.DamageError
			if !errors.As(err, &damage) {
				t.Fatalf("error %v, want a *DamageError", err)
			}
			if !bytes.Equal(readFile(t, path), content) {
				t.Fatal("refused, and yet the file was changed")
			}
			return
		}
		// Every frame that was not touched is there, and what is gone is no frame.
		for i, end := range ends {
			if keep >= end && (i >= len(got) || !bytes.Equal(got[i], frames[i])) {
				t.Fatalf("frame %d was not touched, and is gone", i+1)
			}
			if i >= len(got) && bytes.Contains(content, frames[i]) {
				t.Fatalf("frame %d is in the file whole, and was cut off", i+1)
			}
		}
		if int(c.Next) != len(got)+1 {
			t.Fatalf("next is %d after %d frames", c.Next, len(got))
		}
		persistencetest.Append(t, log, c, "after")
		persistencetest.Close(t, log)
		report, err := Scan(dir, 0, func(format.Position, []byte) error { return nil })
		if err != nil || report.TornTail != nil || report.Last != c.Next || report.LastEpoch != c.Epoch {
			t.Fatalf("scanned %+v, %v after %+v", report, err, c)
		}
	})
}
