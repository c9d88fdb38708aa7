package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// BlockHeader is the decoded header of a block. A snapshot is a file of blocks: blocks of
// entries, then one footer, and nothing after it. A block is the unit that is written,
// checked and decoded.
//
//	offset  0           4        5        6           8
//	        +-----------+--------+--------+-----------+-----------------------+
//	     0  | FE A S FF | version| kind   | shard     | next                  |
//	        +-----------+--------+--------+-----------+-----------+-----------+
//	    16  | number                                  | count     | length    |
//	        +-----------+-----------------------------+-----------+-----------+
//	    32  | CRC-32C   |  body: length bytes, from offset 36 on
//	        +-----------+---------------------------------------------- ...
//
//	offset  bytes
//	     0      4  magic FE 'A' 'S' FF
//	     4      1  format version, 1
//	     5      1  kind: 0 entries, 1 footer
//	     6      2  shard
//	     8      8  the snapshot's Next, so that no block of another snapshot is accepted
//	    16      8  number of the block, from 0 without a gap
//	    24      4  number of entries, in a footer 0
//	    28      4  length of the body in bytes
//	    32      4  CRC-32C of the 32 bytes above and the body
//	    36         body: for each entry its length (uvarint) and its bytes; in a footer
//	               those of Footer
type BlockHeader struct {
	Kind   byte
	Shard  uint16
	Next   uint64
	Number uint64
	Count  uint32
	Length uint32 // of the body
	CRC    uint32
}

// Kinds of blocks, and sizes in bytes.
const (
	KindEntries     = 0
	KindFooter      = 1
	BlockHeaderSize = 36
	FooterSize      = 36 // of its body
)

const (
	blockVersion   = 1
	blockCRCOffset = 32
)

var blockMagic = [4]byte{0xFE, 'A', 'S', 0xFF}

// ErrSnapshot is wrapped by every error about the content of a snapshot.
var ErrSnapshot = errors.New("not a valid snapshot")

// BeginBlock empties dst and makes room for a header. Entries are appended to it by
// AppendRecord, as records to a frame.
func BeginBlock(dst []byte) []byte {
	return append(dst[:0], make([]byte, BlockHeaderSize)...)
}

// SealBlock fills in the header of a block that was begun, and returns its CRC.
func SealBlock(block []byte, h BlockHeader) uint32 {
	if len(block)-BlockHeaderSize > math.MaxUint32 {
		panic(fmt.Sprintf("format: a block of %d bytes", len(block)))
	}
	copy(block, blockMagic[:])
	block[4], block[5] = blockVersion, h.Kind
	binary.LittleEndian.PutUint16(block[6:], h.Shard)
	binary.LittleEndian.PutUint64(block[8:], h.Next)
	binary.LittleEndian.PutUint64(block[16:], h.Number)
	binary.LittleEndian.PutUint32(block[24:], h.Count)
	binary.LittleEndian.PutUint32(block[28:], uint32(len(block)-BlockHeaderSize))
	crc := blockCRC(block)
	binary.LittleEndian.PutUint32(block[blockCRCOffset:], crc)
	return crc
}

func blockCRC(block []byte) uint32 {
	crc := crc32.Update(0, castagnoli, block[:blockCRCOffset])
	return crc32.Update(crc, castagnoli, block[BlockHeaderSize:])
}

// DecodeBlockHeader reads the header at the start of b, and checks all that can be
// checked without the body.
func DecodeBlockHeader(b []byte) (BlockHeader, error) {
	switch {
	case len(b) < BlockHeaderSize:
		return BlockHeader{}, fmt.Errorf("%w: %d bytes are less than a block's header", ErrSnapshot, len(b))
	case [4]byte(b) != blockMagic:
		return BlockHeader{}, fmt.Errorf("%w: a block does not begin with the magic bytes", ErrSnapshot)
	case b[4] != blockVersion:
		return BlockHeader{}, fmt.Errorf("%w: format version %d, this program reads version %d", ErrSnapshot, b[4], blockVersion)
	case b[5] != KindEntries && b[5] != KindFooter:
		return BlockHeader{}, fmt.Errorf("%w: a block of kind %d", ErrSnapshot, b[5])
	}
	return BlockHeader{
		Kind:   b[5],
		Shard:  binary.LittleEndian.Uint16(b[6:]),
		Next:   binary.LittleEndian.Uint64(b[8:]),
		Number: binary.LittleEndian.Uint64(b[16:]),
		Count:  binary.LittleEndian.Uint32(b[24:]),
		Length: binary.LittleEndian.Uint32(b[28:]),
		CRC:    binary.LittleEndian.Uint32(b[blockCRCOffset:]),
	}, nil
}

// CheckBlock checks a whole block, whose header h is: its checksum, and that its
// entries fill its body.
func CheckBlock(block []byte, h BlockHeader) error {
	if computed := blockCRC(block); computed != h.CRC {
		return fmt.Errorf("%w: block %d has checksum %08x, its header says %08x", ErrSnapshot, h.Number, computed, h.CRC)
	}
	if h.Kind == KindFooter {
		return nil
	}
	rest := block[BlockHeaderSize:]
	for i := range h.Count {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return fmt.Errorf("%w: entry %d does not fit block %d", ErrSnapshot, i, h.Number)
		}
		rest = rest[n+int(length):]
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes after the last entry of block %d", ErrSnapshot, len(rest), h.Number)
	}
	return nil
}

// EachEntry calls fn with every entry of a block that CheckBlock has passed.
func EachEntry(block []byte, h BlockHeader, fn func(entry []byte) error) error {
	rest := block[BlockHeaderSize:]
	for range h.Count {
		length, n := binary.Uvarint(rest)
		end := n + int(length)
		if err := fn(rest[n:end:end]); err != nil {
			return err
		}
		rest = rest[end:]
	}
	return nil
}

// Footer is the body of the last block of a snapshot.
//
//	offset  0                       8
//	        +-----------------------+-----------------------+
//	     0  | End                   | epoch                 |
//	        +-----------------------+-----------------------+
//	    16  | entries               | bytes                 |
//	        +-----------+-----------+-----------------------+
//	    32  | CRCs      |
//	        +-----------+
//
//	offset  bytes
//	     0      8  the snapshot's End
//	     8      8  epoch of the owner that wrote it
//	    16      8  number of entries in all blocks
//	    24      8  bytes of all blocks before the footer
//	    32      4  CRC-32C of the CRCs of all blocks before the footer, in order
type Footer struct {
	End, Epoch, Entries, Bytes uint64
	CRCs                       uint32
}

// AppendFooter appends the body of a footer to a block that was begun.
func AppendFooter(block []byte, f Footer) []byte {
	for _, v := range [...]uint64{f.End, f.Epoch, f.Entries, f.Bytes} {
		block = binary.LittleEndian.AppendUint64(block, v)
	}
	return binary.LittleEndian.AppendUint32(block, f.CRCs)
}

// DecodeFooter reads the body of a footer.
func DecodeFooter(body []byte) (Footer, error) {
	if len(body) != FooterSize {
		return Footer{}, fmt.Errorf("%w: a footer of %d bytes, want %d", ErrSnapshot, len(body), FooterSize)
	}
	return Footer{
		End:     binary.LittleEndian.Uint64(body),
		Epoch:   binary.LittleEndian.Uint64(body[8:]),
		Entries: binary.LittleEndian.Uint64(body[16:]),
		Bytes:   binary.LittleEndian.Uint64(body[24:]),
		CRCs:    binary.LittleEndian.Uint32(body[32:]),
	}, nil
}

// AddCRC adds the CRC of one more block to the CRC of all blocks' CRCs, which begins
// with 0.
func AddCRC(crcs, crc uint32) uint32 {
	return crc32.Update(crcs, castagnoli, binary.LittleEndian.AppendUint32(nil, crc))
}
