package format

import (
	"encoding/binary"
	"errors"
)

// EntryLength returns how many bytes of a segment a frame takes: its entry, in the
// binary format of tidwall/wal. An entry has no checksum and no number of its own; its
// frame has both.
//
//	+------------------+---------------------------------+------------------+-- ...
//	| length of frame  | frame                           | length of frame  | frame
//	| uvarint, 1 to 5  | header of 36 bytes, records     |                  |
//	+------------------+---------------------------------+------------------+-- ...
//	0 = start of the segment                             next entry
//
// No entry begins with a zero byte: that would be the length of a frame without a
// header. Zeros up to the end of a segment are therefore preallocated room.
func EntryLength(frame []byte) int64 {
	var length [binary.MaxVarintLen64]byte
	return int64(binary.PutUvarint(length[:], uint64(len(frame))) + len(frame))
}

// Errors of SplitEntry.
var (
	ErrEntryLength = errors.New("the entry's length is not a number")
	ErrEntryCut    = errors.New("the segment ends within the entry's length")
)

// SplitEntry reads the length that b begins with. It returns the length of the frame and
// the offset in b at which the frame begins, which b need not reach.
func SplitEntry(b []byte) (length uint64, offset int, err error) {
	length, offset = binary.Uvarint(b)
	switch {
	case offset < 0:
		return 0, 0, ErrEntryLength
	case offset == 0:
		return 0, 0, ErrEntryCut
	}
	return length, offset, nil
}
