package local

import (
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// Tail is an incomplete last entry: a batch whose write was interrupted, and
// which was therefore never acknowledged.
type Tail struct {
	File   string
	Offset int64  // where the entry begins
	Bytes  int64  // from there to the end of the file
	Entry  uint64 // number of the frame that was being written
	Reason string // why it is no frame
}

// tornTail returns the torn tail that damage at r.off, which read has found, is, or nil
// if it is none. last says that the segment is the log's last; any other has no torn
// tail, as a segment is synced before the next begins.
//
// A write that was interrupted leaves the beginning of an entry, and anything,
// often zeros, where blocks of the file were never written. It leaves no whole
// frame: one with a right checksum at or behind r.off was written in full, and
// may have been acknowledged. Nor does it leave the version byte of a format that
// this program does not know.
func (r *segmentReader) tornTail(damage *persistence.DamageError, last bool) *Tail {
	if !last || format.ContainsFrame(r.buf[r.off:]) {
		return nil
	}
	if _, n, err := format.SplitEntry(r.buf[r.off:]); err == nil && format.BeginsWithLaterVersion(r.buf[r.off+n:]) {
		return nil
	}
	return &Tail{
		File: r.path, Offset: damage.Offset, Bytes: int64(len(r.buf) - r.off),
		Entry: damage.Entry, Reason: damage.Reason,
	}
}
