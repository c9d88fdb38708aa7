package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
)

// A frame is one batch of records as it stands in the log: the unit that is
// written, synced and checked. Integers are little-endian.
//
//	offset  bytes
//	     0      4  magic FE 'A' 'X' FF; FE and FF occur in no UTF-8 text, so that
//	               text inside a record can't look like a frame
//	     4      1  format version, 1
//	     5      1  zero
//	     6      2  shard
//	     8      8  epoch of the owner who wrote it
//	    16      8  number of the frame, from 1 without a gap
//	    24      4  number of records
//	    28      4  length of the body in bytes
//	    32      4  CRC-32C (Castagnoli) of the 32 bytes above and the body
//	    36         body: for each record its length (uvarint) and its bytes
const (
	frameVersion = 1
	headerSize   = 36
	crcOffset    = 32
)

var (
	frameMagic = [4]byte{0xFE, 'A', 'X', 0xFF}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// ErrFrame is what every error of DecodeFrame wraps.
var ErrFrame = errors.New("not a valid frame")

// Frame is a decoded frame. Its body is a part of what it was decoded from.
type Frame struct {
	Shard uint16
	Epoch uint64
	Seq   uint64 // number of the frame
	Count uint32 // number of records
	body  []byte
}

// beginFrame empties dst and makes room for a header, to which records are
// appended.
func beginFrame(dst []byte) []byte {
	return append(dst[:0], make([]byte, headerSize)...)
}

// appendRecord adds one record to a frame that was begun.
func appendRecord(frame, record []byte) []byte {
	frame = binary.AppendUvarint(frame, uint64(len(record)))
	return append(frame, record...)
}

// recordSize is how many bytes a record of the given length takes in a frame.
func recordSize(length int) int {
	size := length + 1
	for rest := uint64(length); rest >= 0x80; rest >>= 7 {
		size++
	}
	return size
}

// sealFrame fills in the header of a frame that was begun.
func sealFrame(frame []byte, shard uint16, epoch, seq uint64, count uint32) {
	copy(frame, frameMagic[:])
	frame[4], frame[5] = frameVersion, 0
	binary.LittleEndian.PutUint16(frame[6:], shard)
	binary.LittleEndian.PutUint64(frame[8:], epoch)
	binary.LittleEndian.PutUint64(frame[16:], seq)
	binary.LittleEndian.PutUint32(frame[24:], count)
	binary.LittleEndian.PutUint32(frame[28:], uint32(len(frame)-headerSize))
	binary.LittleEndian.PutUint32(frame[crcOffset:], frameCRC(frame))
}

func frameCRC(frame []byte) uint32 {
	crc := crc32.Update(0, castagnoli, frame[:crcOffset])
	return crc32.Update(crc, castagnoli, frame[headerSize:])
}

// DecodeFrame reads a frame that fills b to its end, and checks all of it. It
// accepts any bytes; every error wraps ErrFrame.
func DecodeFrame(b []byte) (Frame, error) {
	frame, err := decodeHeader(b)
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

// decodeHeader reads and checks all but the checksum and the body.
func decodeHeader(b []byte) (Frame, error) {
	if len(b) < headerSize {
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
	if length := binary.LittleEndian.Uint32(b[28:]); uint64(length) != uint64(len(b)-headerSize) {
		return Frame{}, fmt.Errorf("%w: its header says %d bytes of body, there are %d", ErrFrame, length, len(b)-headerSize)
	}
	return Frame{
		Shard: binary.LittleEndian.Uint16(b[6:]),
		Epoch: binary.LittleEndian.Uint64(b[8:]),
		Seq:   binary.LittleEndian.Uint64(b[16:]),
		Count: binary.LittleEndian.Uint32(b[24:]),
		body:  b[headerSize:],
	}, nil
}

// Records yields each record with its place from 0, in order. A record is valid
// as long as what the frame was decoded from.
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

// intactAt reports whether b begins with a whole frame whose checksum is right,
// be it of a format version that this program can't read.
func intactAt(b []byte) bool {
	if len(b) < headerSize || [4]byte(b) != frameMagic {
		return false
	}
	end := frameLength(b)
	return end <= len(b) && binary.LittleEndian.Uint32(b[crcOffset:]) == frameCRC(b[:end])
}

// frameLength is how long the frame says it is whose header b begins with.
func frameLength(b []byte) int { return headerSize + int(binary.LittleEndian.Uint32(b[28:])) }

// laterVersion reports whether b begins like a frame of a format that came after
// this program.
func laterVersion(b []byte) bool {
	return len(b) > 4 && [4]byte(b) == frameMagic && b[4] > frameVersion
}
