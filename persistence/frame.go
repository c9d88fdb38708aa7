package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
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
	Seq   uint64
	Count uint32
	body  []byte
}

// beginFrame returns dst with room for a header, to which records are appended.
func beginFrame(dst []byte) []byte {
	return append(dst[:0], make([]byte, headerSize)...)
}

// appendRecord adds one record to a frame that was begun.
func appendRecord(frame, record []byte) []byte {
	frame = binary.AppendUvarint(frame, uint64(len(record)))
	return append(frame, record...)
}

// recordSize is how many bytes a record takes in a frame.
func recordSize(record int) int {
	var prefix [binary.MaxVarintLen64]byte
	return binary.PutUvarint(prefix[:], uint64(record)) + record
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

// DecodeFrame reads a frame that fills b to its end. Every error wraps ErrFrame.
func DecodeFrame(b []byte) (Frame, error) {
	if len(b) < headerSize {
		return Frame{}, fmt.Errorf("%w: %d bytes are less than a header", ErrFrame, len(b))
	}
	if [4]byte(b) != frameMagic {
		return Frame{}, fmt.Errorf("%w: it does not begin with the magic bytes", ErrFrame)
	}
	if b[4] != frameVersion {
		return Frame{}, fmt.Errorf("%w: format version %d, this program reads version %d", ErrFrame, b[4], frameVersion)
	}
	if length := binary.LittleEndian.Uint32(b[28:]); uint64(length) != uint64(len(b)-headerSize) {
		return Frame{}, fmt.Errorf("%w: its header says %d bytes of body, there are %d", ErrFrame, length, len(b)-headerSize)
	}
	if stored, computed := binary.LittleEndian.Uint32(b[crcOffset:]), frameCRC(b); stored != computed {
		return Frame{}, fmt.Errorf("%w: checksum %08x, its header says %08x", ErrFrame, computed, stored)
	}
	return Frame{
		Shard: binary.LittleEndian.Uint16(b[6:]),
		Epoch: binary.LittleEndian.Uint64(b[8:]),
		Seq:   binary.LittleEndian.Uint64(b[16:]),
		Count: binary.LittleEndian.Uint32(b[24:]),
		body:  b[headerSize:],
	}, nil
}

// intactAt reports whether a whole frame with a good checksum begins b, and its
// number. The frame may be one that this program can't read.
func intactAt(b []byte) (seq uint64, ok bool) {
	if len(b) < headerSize || [4]byte(b) != frameMagic {
		return 0, false
	}
	end := headerSize + uint64(binary.LittleEndian.Uint32(b[28:]))
	if end > uint64(len(b)) {
		return 0, false
	}
	b = b[:end]
	return binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint32(b[crcOffset:]) == frameCRC(b)
}

// Records calls fn with each record in order. A record is valid as long as what
// the frame was decoded from.
func (f *Frame) Records(fn func(index uint32, record []byte) error) error {
	rest := f.body
	for i := range f.Count {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > math.MaxInt32 || uint64(len(rest)-n) < length {
			return fmt.Errorf("%w: record %d does not fit its body", ErrFrame, i)
		}
		if err := fn(i, rest[n:n+int(length)]); err != nil {
			return err
		}
		rest = rest[n+int(length):]
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes after its last record", ErrFrame, len(rest))
	}
	return nil
}
