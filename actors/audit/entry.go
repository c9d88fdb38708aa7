package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of an entry.
const (
	version  = 1
	maxField = 256 // bytes of an actor, action or target
	// MaxNote is the longest note in bytes: a reason of 500 characters, and what it is for.
	MaxNote = 2304
	// MaxEntry is the longest encoding of an entry, in bytes.
	MaxEntry = 1 + 8 + 8 + sha256.Size + 4*2 + 3*maxField + MaxNote
)

// Hash is the SHA-256 of an entry's encoding.
type Hash [sha256.Size]byte

// Entry says who did what to whom.
type Entry struct {
	N      uint64 // from 1 without a gap
	At     int64  // Unix time in nanoseconds; never less than the entry before
	Prev   Hash   // of the entry before; zeros for the first
	Actor  string // such as operator:anna, user:<id> or system
	Action string // such as withdrawal.complete
	Target string // such as user:<id>; may be empty
	Note   string // the reason given; may be empty
}

// ErrEntry is what every error of Decode wraps.
var ErrEntry = errors.New("not a valid audit entry")

// Append appends the entry's binary form, which is what is hashed:
//
//	offset  bytes
//	     0      1  version, 1
//	     1      8  number, little-endian
//	     9      8  time, Unix nanoseconds, little-endian
//	    17     32  hash of the entry before
//	    49         actor, action, target, note: each its length (2 bytes,
//	               little-endian) and UTF-8
func (e *Entry) Append(dst []byte) []byte {
	dst = append(dst, version)
	dst = binary.LittleEndian.AppendUint64(dst, e.N)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.At))
	dst = append(dst, e.Prev[:]...)
	for _, s := range [...]string{e.Actor, e.Action, e.Target, e.Note} {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// Decode reads what Append writes. It accepts any bytes; every entry has one
// encoding.
func Decode(b []byte) (Entry, error) {
	var e Entry
	const fixed = 1 + 8 + 8 + sha256.Size
	if len(b) < fixed {
		return e, fmt.Errorf("%w: %d bytes", ErrEntry, len(b))
	}
	if b[0] != version {
		return e, fmt.Errorf("%w: version %d, this program reads version %d", ErrEntry, b[0], version)
	}
	e.N = binary.LittleEndian.Uint64(b[1:])
	e.At = int64(binary.LittleEndian.Uint64(b[9:]))
	e.Prev = Hash(b[17:fixed])
	rest := b[fixed:]
	for _, field := range []*string{&e.Actor, &e.Action, &e.Target, &e.Note} {
		if len(rest) < 2 || int(binary.LittleEndian.Uint16(rest)) > len(rest)-2 {
			return Entry{}, fmt.Errorf("%w: cut off", ErrEntry)
		}
		end := 2 + int(binary.LittleEndian.Uint16(rest))
		*field, rest = string(rest[2:end]), rest[end:]
	}
	if len(rest) != 0 {
		return Entry{}, fmt.Errorf("%w: %d bytes after its end", ErrEntry, len(rest))
	}
	return e, e.check()
}

// check reports what no entry has.
func (e *Entry) check() error {
	for _, f := range []struct {
		name, value string
		limit       int
		required    bool
	}{
		{"actor", e.Actor, maxField, true}, {"action", e.Action, maxField, true},
		{"target", e.Target, maxField, false}, {"note", e.Note, MaxNote, false},
	} {
		switch {
		case f.required && f.value == "":
			return fmt.Errorf("%w: no %s", ErrEntry, f.name)
		case len(f.value) > f.limit:
			return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrEntry, f.name, len(f.value), f.limit)
		case !utf8.ValidString(f.value) || strings.ContainsFunc(f.value, func(r rune) bool { return r < ' ' || r == 0x7F }):
			return fmt.Errorf("%w: %s has a control character or is not UTF-8", ErrEntry, f.name)
		}
	}
	return nil
}
