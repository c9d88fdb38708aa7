package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A snapshot is a file of blocks: entries blocks, then one footer, and nothing
// after it. A block is the unit that is written, checked and decoded. Integers
// are little-endian.
//
//	offset  bytes
//	     0      4  magic FE 'A' 'S' FF
//	     4      1  format version, 1
//	     5      1  kind: 0 entries, 1 footer
//	     6      2  shard
//	     8      8  the snapshot's Next, so that no block of another one passes
//	    16      8  number of the block, from 0 without a gap
//	    24      4  number of entries, in a footer 0
//	    28      4  length of the body in bytes
//	    32      4  CRC-32C (Castagnoli) of the 32 bytes above and the body
//	    36         body: for each entry its length (uvarint) and its bytes; in a footer
//
//	     0      8  the snapshot's End
//	     8      8  epoch of the owner who wrote it
//	    16      8  number of entries in all blocks
//	    24      8  bytes of all blocks before the footer
//	    32      4  CRC-32C of the CRCs of all blocks before the footer, in order
const (
	blockVersion    = 1
	blockHeaderSize = 36
	blockCRCOffset  = 32
	footerSize      = 36
	kindEntries     = 0
	kindFooter      = 1
	blockTarget     = 1 << 20 // where a block of several entries ends
)

// MaxSnapshotEntry is the largest entry of a snapshot in bytes.
const MaxSnapshotEntry = 1 << 30

var blockMagic = [4]byte{0xFE, 'A', 'S', 0xFF}

// ErrSnapshot is what an error wraps that says what is wrong with a snapshot.
var ErrSnapshot = errors.New("not a valid snapshot")

// SnapshotInfo describes a snapshot.
type SnapshotInfo struct {
	Shard   uint16
	Epoch   uint64 // of the owner who wrote it
	Next    uint64 // number of the first frame to replay after it: all before are in it
	End     uint64 // no frame from this one on is in it; those in between are in some entries
	Entries uint64
	Bytes   int64 // on disk
}

// blockHeader is a decoded header.
type blockHeader struct {
	kind   byte
	shard  uint16
	next   uint64
	number uint64
	count  uint32
	length uint32 // of the body
	crc    uint32
}

// beginBlock empties dst and makes room for a header, to which entries are
// appended as records are to a frame.
func beginBlock(dst []byte) []byte {
	return append(dst[:0], make([]byte, blockHeaderSize)...)
}

// sealBlock fills in the header of a block that was begun, and returns its CRC.
func sealBlock(block []byte, h blockHeader) uint32 {
	if len(block)-blockHeaderSize > math.MaxUint32 {
		panic(fmt.Sprintf("persistence: a block of %d bytes", len(block)))
	}
	copy(block, blockMagic[:])
	block[4], block[5] = blockVersion, h.kind
	binary.LittleEndian.PutUint16(block[6:], h.shard)
	binary.LittleEndian.PutUint64(block[8:], h.next)
	binary.LittleEndian.PutUint64(block[16:], h.number)
	binary.LittleEndian.PutUint32(block[24:], h.count)
	binary.LittleEndian.PutUint32(block[28:], uint32(len(block)-blockHeaderSize))
	crc := blockCRC(block)
	binary.LittleEndian.PutUint32(block[blockCRCOffset:], crc)
	return crc
}

func blockCRC(block []byte) uint32 {
	crc := crc32.Update(0, castagnoli, block[:blockCRCOffset])
	return crc32.Update(crc, castagnoli, block[blockHeaderSize:])
}

// decodeBlockHeader reads the header that b begins with, and checks what can be
// checked without the body.
func decodeBlockHeader(b []byte) (blockHeader, error) {
	switch {
	case len(b) < blockHeaderSize:
		return blockHeader{}, fmt.Errorf("%w: %d bytes are less than a block's header", ErrSnapshot, len(b))
	case [4]byte(b) != blockMagic:
		return blockHeader{}, fmt.Errorf("%w: a block does not begin with the magic bytes", ErrSnapshot)
	case b[4] != blockVersion:
		return blockHeader{}, fmt.Errorf("%w: format version %d, this program reads version %d", ErrSnapshot, b[4], blockVersion)
	case b[5] != kindEntries && b[5] != kindFooter:
		return blockHeader{}, fmt.Errorf("%w: a block of kind %d", ErrSnapshot, b[5])
	}
	return blockHeader{
		kind:   b[5],
		shard:  binary.LittleEndian.Uint16(b[6:]),
		next:   binary.LittleEndian.Uint64(b[8:]),
		number: binary.LittleEndian.Uint64(b[16:]),
		count:  binary.LittleEndian.Uint32(b[24:]),
		length: binary.LittleEndian.Uint32(b[28:]),
		crc:    binary.LittleEndian.Uint32(b[blockCRCOffset:]),
	}, nil
}

// checkBlock checks a whole block, whose header h is: its checksum, and that its
// entries fill its body.
func checkBlock(block []byte, h blockHeader) error {
	if computed := blockCRC(block); computed != h.crc {
		return fmt.Errorf("%w: block %d has checksum %08x, its header says %08x", ErrSnapshot, h.number, computed, h.crc)
	}
	if h.kind == kindFooter {
		return nil
	}
	rest := block[blockHeaderSize:]
	for i := range h.count {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return fmt.Errorf("%w: entry %d does not fit block %d", ErrSnapshot, i, h.number)
		}
		rest = rest[n+int(length):]
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes after the last entry of block %d", ErrSnapshot, len(rest), h.number)
	}
	return nil
}

// eachEntry calls fn with every entry of a block that checkBlock has passed.
func eachEntry(block []byte, h blockHeader, fn func(entry []byte) error) error {
	rest := block[blockHeaderSize:]
	for range h.count {
		length, n := binary.Uvarint(rest)
		end := n + int(length)
		if err := fn(rest[n:end:end]); err != nil {
			return err
		}
		rest = rest[end:]
	}
	return nil
}

// footer is the body of a footer.
type footer struct {
	end, epoch, entries, bytes uint64
	crcs                       uint32
}

func appendFooter(block []byte, f footer) []byte {
	for _, v := range [...]uint64{f.end, f.epoch, f.entries, f.bytes} {
		block = binary.LittleEndian.AppendUint64(block, v)
	}
	return binary.LittleEndian.AppendUint32(block, f.crcs)
}

func decodeFooter(body []byte) (footer, error) {
	if len(body) != footerSize {
		return footer{}, fmt.Errorf("%w: a footer of %d bytes, want %d", ErrSnapshot, len(body), footerSize)
	}
	return footer{
		end:     binary.LittleEndian.Uint64(body),
		epoch:   binary.LittleEndian.Uint64(body[8:]),
		entries: binary.LittleEndian.Uint64(body[16:]),
		bytes:   binary.LittleEndian.Uint64(body[24:]),
		crcs:    binary.LittleEndian.Uint32(body[32:]),
	}, nil
}

// addCRC continues the checksum of all blocks' checksums.
func addCRC(crcs, crc uint32) uint32 {
	return crc32.Update(crcs, castagnoli, binary.LittleEndian.AppendUint32(nil, crc))
}
