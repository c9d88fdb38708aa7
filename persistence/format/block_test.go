package format

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// The layout is what stands on the disks of those who run this program.
func TestBlockLayoutDoesNotChange(t *testing.T) {
	want := []byte("\xFEAS\xFF\x01\x00\x02\x01" + // magic, version, kind, shard
		"\x0b\x00\x00\x00\x00\x00\x00\x00" + // Next
		"\x05\x00\x00\x00\x00\x00\x00\x00" + // number
		"\x02\x00\x00\x00\x04\x00\x00\x00" + // entries, body
		"\x00\x00\x00\x00" + // CRC-32C, filled in below
		"\x02hi\x00")
	checksum := crc32cByBits(want[:blockCRCOffset], want[BlockHeaderSize:])
	binary.LittleEndian.PutUint32(want[blockCRCOffset:], checksum)
	block := AppendRecord(AppendRecord(BeginBlock(nil), []byte("hi")), nil)
	crc := SealBlock(block, BlockHeader{Kind: KindEntries, Shard: 0x0102, Next: 11, Number: 5, Count: 2})
	if !bytes.Equal(block, want) || crc != checksum {
		t.Errorf("encoded\n%x, want\n%x; CRC %08x, want %08x", block, want, crc, checksum)
	}
}

func TestFooterLayoutDoesNotChange(t *testing.T) {
	footer := Footer{End: 13, Epoch: 3, Entries: 2, Bytes: 40, CRCs: AddCRC(0, 0x04030201)}
	want := []byte("\x0d\x00\x00\x00\x00\x00\x00\x00" + // End
		"\x03\x00\x00\x00\x00\x00\x00\x00" + // epoch
		"\x02\x00\x00\x00\x00\x00\x00\x00" + // entries
		"\x28\x00\x00\x00\x00\x00\x00\x00") // bytes
	want = binary.LittleEndian.AppendUint32(want, crc32cByBits([]byte{1, 2, 3, 4}))
	body := AppendFooter(nil, footer)
	if !bytes.Equal(body, want) {
		t.Errorf("encoded\n%x, want\n%x", body, want)
	}
	if decoded, err := DecodeFooter(body); err != nil || decoded != footer {
		t.Errorf("decoded %+v, %v", decoded, err)
	}
}
