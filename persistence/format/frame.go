package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
)

// Sizes and limits of a frame.
const (
	FrameHeaderSize = 36 // bytes
	frameVersion    = 1
	crcOffset       = 32
)

var (
	frameMagic = [4]byte{0xFE, 'A', 'X', 0xFF}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// ErrFrame is wrapped by every error of DecodeFrame.
var ErrFrame = errors.New("not a valid frame")

// Frame is a decoded frame: one batch of records as it stands in the log, the unit that
// is written, synced and checked. Its body is a part of the bytes it was decoded from.
//
//	offset  0           4        5        6           8
//	        +-----------+--------+--------+-----------+-----------------------+
//	     0  | FE A X FF | version| zero   | shard     | epoch                 |
//	        +-----------+--------+--------+-----------+-----------+-----------+
//	    16  | number                                  | count     | length    |
//	        +-----------+-----------------------------+-----------+-----------+
//	    32  | CRC-32C   |  body: length bytes, from offset 36 on
//	        +-----------+---------------------------------------------- ...
//
//	offset  bytes
//	     0      4  magic FE 'A' 'X' FF; FE and FF occur in no UTF-8 text, so that
//	               text inside a record can't look like a frame
//	     4      1  format version, 1
//	     5      1  zero
//	     6      2  shard
//	     8      8  epoch of the owner that wrote it
//	    16      8  number of the frame, from 1 without a gap
//	    24      4  number of records
//	    28      4  length of the body in bytes
//	    32      4  CRC-32C of the 32 bytes above and the body
//
// A record in the body has no header of its own: its index in the frame is its place,
// and the frame's checksum covers it.
//
//	36
//	+-----------------+--------+-----------------+--------+-- ...
//	| length, uvarint | record | length, uvarint | record |
//	+-----------------+--------+-----------------+--------+-- ...
//	record 0                   record 1
type Frame struct {
	Shard uint16
	Epoch uint64
	Seq   uint64 // number of the frame
	Count uint32 // number of records
	body  []byte
}

// BeginFrame empties dst and makes room for a header. AppendRecord adds records to it,
// SealFrame fills the header in.
func BeginFrame(dst []byte) []byte {
	return append(dst[:0], make([]byte, FrameHeaderSize)...)
}

// AppendRecord adds one record to a frame that was begun.
func AppendRecord(frame, record []byte) []byte {
	frame = binary.AppendUvarint(frame, uint64(len(record)))
	return append(frame, record...)
}

// RecordSize is how many bytes a record of the given length takes in a frame.
func RecordSize(length int) int {
	size := length + 1
	for rest := uint64(length); rest >= 0x80; rest >>= 7 {
		size++
	}
	return size
}

// SealFrame fills in the header of a frame that was begun.
func SealFrame(frame []byte, shard uint16, epoch, seq uint64, count uint32) {
	copy(frame, frameMagic[:])
	frame[4], frame[5] = frameVersion, 0
	binary.LittleEndian.PutUint16(frame[6:], shard)
	binary.LittleEndian.PutUint64(frame[8:], epoch)
	binary.LittleEndian.PutUint64(frame[16:], seq)
	binary.LittleEndian.PutUint32(frame[24:], count)
	binary.LittleEndian.PutUint32(frame[28:], uint32(len(frame)-FrameHeaderSize))
	binary.LittleEndian.PutUint32(frame[crcOffset:], frameCRC(frame))
}

func frameCRC(frame []byte) uint32 {
	crc := crc32.Update(0, castagnoli, frame[:crcOffset])
	return crc32.Update(crc, castagnoli, frame[FrameHeaderSize:])
}

// DecodeFrame reads a frame that fills b to its end, and checks all of it. It
// accepts any bytes; every error wraps ErrFrame.
func DecodeFrame(b []byte) (Frame, error) {
	frame, err := DecodeHeader(b)
	if err != nil {
		return Frame{}, err
	}
	if stored, computed := binary.LittleEndian.Uint32(b[crcOffset:]), frameCRC(b); stored != computed {
		return Frame{}, fmt.Errorf("%w: checksum %08x, its header says %08x", ErrFrame, computed, stored)
	}
	rest := frame.body
	for i := range frame.Count {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return Frame{}, fmt.Errorf("%w: record %d does not fit its body", ErrFrame, i)
		}
		rest = rest[n+int(length):]
	}
	if len(rest) != 0 {
		return Frame{}, fmt.Errorf("%w: %d bytes after its last record", ErrFrame, len(rest))
	}
	return frame, nil
}

// DecodeHeader reads and checks a frame that fills b to its end, but not its checksum and
// its records.
func DecodeHeader(b []byte) (Frame, error) {
	if len(b) < FrameHeaderSize {
		return Frame{}, fmt.Errorf("%w: %d bytes are less than a header", ErrFrame, len(b))
	}
	if [4]byte(b) != frameMagic {
		return Frame{}, fmt.Errorf("%w: it does not begin with the magic bytes", ErrFrame)
	}
	if b[4] != frameVersion {
		return Frame{}, fmt.Errorf("%w: format version %d, this program reads version %d", ErrFrame, b[4], frameVersion)
	}
	if b[5] != 0 {
		return Frame{}, fmt.Errorf("%w: its reserved byte is %d, not 0", ErrFrame, b[5])
	}
	if length := binary.LittleEndian.Uint32(b[28:]); uint64(length) != uint64(len(b)-FrameHeaderSize) {
		return Frame{}, fmt.Errorf("%w: its header says %d bytes of body, there are %d", ErrFrame, length, len(b)-FrameHeaderSize)
	}
	return Frame{
		Shard: binary.LittleEndian.Uint16(b[6:]),
		Epoch: binary.LittleEndian.Uint64(b[8:]),
		Seq:   binary.LittleEndian.Uint64(b[16:]),
		Count: binary.LittleEndian.Uint32(b[24:]),
		body:  b[FrameHeaderSize:],
	}, nil
}

// Records yields each record with its place from 0, in order. A record is valid
// as long as the bytes that the frame was decoded from.
func (f Frame) Records() iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		rest := f.body
		for i := range f.Count {
			length, n := binary.Uvarint(rest) // DecodeFrame has checked it
			end := n + int(length)
			if !yield(i, rest[n:end:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// BeginsWithFrame reports whether b begins with a whole frame whose checksum is right,
// be it of a format version that this program can't read.
func BeginsWithFrame(b []byte) bool {
	if len(b) < FrameHeaderSize || [4]byte(b) != frameMagic {
		return false
	}
	end := FrameLength(b)
	return end <= len(b) && binary.LittleEndian.Uint32(b[crcOffset:]) == frameCRC(b[:end])
}

// FrameLength is the length in bytes of the frame whose header is at the start of b, as
// that header states it.
func FrameLength(b []byte) int { return FrameHeaderSize + int(binary.LittleEndian.Uint32(b[28:])) }

// BeginsWithLaterVersion reports whether b begins like a frame of a format version that is
// later than this program.
func BeginsWithLaterVersion(b []byte) bool {
	return len(b) > 4 && [4]byte(b) == frameMagic && b[4] > frameVersion
}

// ContainsFrame reports whether a whole frame with a right checksum begins anywhere in b.
func ContainsFrame(b []byte) bool {
	for {
		i := bytes.Index(b, frameMagic[:])
		if i < 0 {
			return false
		}
		if b = b[i:]; BeginsWithFrame(b) {
			return true
		}
		b = b[1:]
	}
}
