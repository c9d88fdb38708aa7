package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// encode builds a sealed frame.
func encode(shard uint16, epoch, seq uint64, records ...string) []byte {
	frame := BeginFrame(nil)
	for _, record := range records {
		frame = AppendRecord(frame, []byte(record))
	}
	SealFrame(frame, shard, epoch, seq, uint32(len(records)))
	return frame
}

func TestFrameComesBackAsItWasEncoded(t *testing.T) {
	for _, records := range [][]string{
		nil,
		{""},
		{"a"},
		{"", "", ""},
		{strings.Repeat("x", 127), strings.Repeat("y", 128), strings.Repeat("z", 1<<14)},
		{string(frameMagic[:]), string(encode(0, 1, 1, "inner"))},
	} {
		frame, err := DecodeFrame(encode(7, 3, 1<<40, records...))
		if err != nil {
			t.Fatalf("%q: %v", records, err)
		}
		if frame.Shard != 7 || frame.Epoch != 3 || frame.Seq != 1<<40 || int(frame.Count) != len(records) {
			t.Errorf("decoded %+v", frame)
		}
		var got []string
		for i, record := range frame.Records() {
			if int(i) != len(got) {
				t.Errorf("record %d came as number %d", len(got), i)
			}
			got = append(got, string(record))
		}
		if !slices.Equal(got, records) {
			t.Errorf("got %q, want %q", got, records)
		}
	}
}

// The layout is what stands on the disks of those who run this program.
func TestFrameLayoutDoesNotChange(t *testing.T) {
	want := []byte("\xFEAX\xFF\x01\x00\x02\x01" + // magic, version, zero, shard
		"\x03\x00\x00\x00\x00\x00\x00\x00" + // epoch
		"\x04\x00\x00\x00\x00\x00\x00\x00" + // number
		"\x02\x00\x00\x00\x04\x00\x00\x00" + // records, body
		"\x00\x00\x00\x00" + // CRC-32C, filled in below
		"\x02hi\x00")
	binary.LittleEndian.PutUint32(want[crcOffset:], crc32cByBits(want[:crcOffset], want[FrameHeaderSize:]))
	if got := encode(0x0102, 3, 4, "hi", ""); !bytes.Equal(got, want) {
		t.Errorf("encoded\n%x, want\n%x", got, want)
	}
}

// crc32cByBits is CRC-32C as RFC 3720, appendix B.4, defines it, without a table.
func crc32cByBits(parts ...[]byte) uint32 {
	crc := ^uint32(0)
	for _, part := range parts {
		for _, b := range part {
			crc ^= uint32(b)
			for range 8 {
				crc = crc>>1 ^ 0x82F63B78&-(crc&1)
			}
		}
	}
	return ^crc
}

func TestRecordSizeIsWhatAppendRecordAdds(t *testing.T) {
	for _, length := range []int{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1 << 20} {
		if got, want := RecordSize(length), len(AppendRecord(nil, make([]byte, length))); got != want {
			t.Errorf("record of %d bytes: %d, want %d", length, got, want)
		}
	}
}

func TestDecodeFrameSaysWhatIsWrong(t *testing.T) {
	// reseal makes the checksum right, so that what lies behind it is tested.
	reseal := func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[crcOffset:], frameCRC(b))
		return b
	}
	for _, c := range []struct {
		name, want string
		change     func(b []byte) []byte
	}{
		{"empty", "0 bytes are less than a header", func(b []byte) []byte { return nil }},
		{"short of a header", "35 bytes are less than a header", func(b []byte) []byte { return b[:FrameHeaderSize-1] }},
		{"no magic", "magic bytes", func(b []byte) []byte { b[3] = 0; return b }},
		{"later version", "format version 2, this program reads version 1", func(b []byte) []byte { b[4] = 2; return reseal(b) }},
		{"reserved byte", "reserved byte is 1", func(b []byte) []byte { b[5] = 1; return reseal(b) }},
		{"cut body", "12 bytes of body, there are 11", func(b []byte) []byte { return b[:len(b)-1] }},
		{"long body", "12 bytes of body, there are 13", func(b []byte) []byte { return append(b, 0) }},
		{"flipped bit", "checksum", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"record over the end", "record 1 does not fit", func(b []byte) []byte { b[FrameHeaderSize+6] = 9; return reseal(b) }},
		{"endless length", "record 0 does not fit", func(b []byte) []byte {
			copy(b[FrameHeaderSize:], bytes.Repeat([]byte{0xFF}, 12))
			return reseal(b)
		}},
		{"more records than there are", "record 2 does not fit", func(b []byte) []byte { b[24] = 3; return reseal(b) }},
		{"fewer records than there are", "6 bytes after its last record", func(b []byte) []byte { b[24] = 1; return reseal(b) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeFrame(c.change(encode(0, 1, 1, "first", "other")))
			if !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(encode(0, 1, 1))
	f.Add(encode(1, 2, 3, "one", "", "three"))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := DecodeFrame(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("error %v is no ErrFrame", err)
			}
			return
		}
		if !BeginsWithFrame(b) {
			t.Fatal("decoded, and yet not intact")
		}
		// What was decoded encodes to a frame that means the same.
		var records []string
		for _, record := range frame.Records() {
			records = append(records, string(record))
		}
		if len(records) != int(frame.Count) {
			t.Fatalf("%d records, the header says %d", len(records), frame.Count)
		}
		again, err := DecodeFrame(encode(frame.Shard, frame.Epoch, frame.Seq, records...))
		if err != nil {
			t.Fatal(err)
		}
		var i int
		for _, record := range again.Records() {
			if string(record) != records[i] {
				t.Fatalf("record %d: %q, was %q", i, record, records[i])
			}
			i++
		}
	})
}

// FuzzDecodeBody puts any body behind a header that is right.
func FuzzDecodeBody(f *testing.F) {
	f.Add(uint32(2), []byte("\x03one\x00"))
	f.Add(uint32(1), []byte("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01x"))
	f.Fuzz(func(t *testing.T, count uint32, body []byte) {
		b := append(BeginFrame(nil), body...)
		SealFrame(b, 1, 2, 3, count)
		frame, err := DecodeFrame(b)
		if err != nil {
			return
		}
		var n uint32
		for range frame.Records() {
			n++
		}
		if n != count {
			t.Fatalf("%d records, the header says %d", n, count)
		}
	})
}
