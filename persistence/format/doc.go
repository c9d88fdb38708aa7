// Package format is the bytes of the log and of its snapshots: it encodes, decodes and
// checks them. It imports nothing of the project, does no I/O, starts no goroutine and
// keeps no state; a slice that it returns is a part of the slice it was given.
//
// Every later version reads the bytes of every earlier one: a layout never changes.
// A new one gets a new format version, beside the old one, which stays readable.
//
//	record          the caller's opaque bytes
//	frame           the records of one batch, with a header and a checksum: see Frame
//	entry           a frame in a segment of tidwall/wal, with its length before it: see EntryLength
//	snapshot block  the entries of a snapshot, a megabyte or so: see BlockHeader
//	footer          the last block of a snapshot: see Footer
//
// All integers are little-endian, but uvarints, which are those of encoding/binary.
// Every checksum is CRC-32C (Castagnoli).
//
// # Envelope
//
// The log of several machines, persistence/raft, is not written yet. It will store the
// same frames: the frame, byte for byte, is the data of one Raft entry. Around it, in the
// place of the bare entry drawn at EntryLength, its log store adds an envelope with the
// attributes that Raft gives the entry: index, term and type, and the first index of the StoreLogs
// batch that the entry came in, so that a repair can tell a batch that was torn, which
// goes, from an entry that is missing, which refuses the start. The frame's epoch will be
// the term of the claim it was written under. A frame needs no change for that.
//
// Package persistence encodes and decodes frames and blocks, persistence/local reads them
// from its files; tests decode the frames that a log was handed.
package format
