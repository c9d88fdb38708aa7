package account

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Record is what one command did: the events of one Decide, which are kept or
// lost together. It is the unit that the journal stores.
//
// Binary form, version 1 (integers are uvarints, signed ones zigzag, as in
// encoding/binary; a string is its length in bytes and UTF-8):
//
//	version  1 byte
//	user     16 bytes
//	seq      integer, counts this user's records from 1 without a gap
//	at       signed, microseconds since the Unix epoch
//	events   count, then for each: kind (1 byte) and its fields in order
//
// A later version reads every earlier one; testdata/record_v1 holds the proof.
type Record struct {
	User   UserID
	Seq    uint64
	At     Time
	Events []Event
}

const recordVersion = 1

// Limits of a record. The decoder refuses what is over them, so the encoder
// panics: a record that cannot be read again must never reach the journal. The
// longest string a command can bring is a note or a reason.
const (
	maxText        = 4096 // bytes of one string
	maxRecordEvent = 8    // events of one record
)

// ErrRecord is what every error of Decode wraps.
var ErrRecord = errors.New("not a valid record")

// Append writes r's binary form. It panics if Decode would refuse it.
func (r *Record) Append(dst []byte) []byte {
	if len(r.Events) > maxRecordEvent {
		panic(fmt.Sprintf("account: a record of %d events, %d is the limit", len(r.Events), maxRecordEvent))
	}
	dst = append(dst, recordVersion)
	dst = append(dst, r.User[:]...)
	dst = binary.AppendUvarint(dst, r.Seq)
	dst = binary.AppendVarint(dst, int64(r.At))
	dst = binary.AppendUvarint(dst, uint64(len(r.Events)))
	for _, e := range r.Events {
		dst = append(dst, byte(e.kind()))
		dst = e.append(dst)
	}
	return dst
}

// Decode reads what Append wrote, the whole of b. It keeps nothing of b. Every
// error wraps ErrRecord; r is then undefined.
func (r *Record) Decode(b []byte) error { return r.decode(b, newEvent) }

func (r *Record) decode(b []byte, newEvent func(kind) Event) error {
	in := reader{b: b}
	if version := in.byte(); in.err == nil && version != recordVersion {
		return fmt.Errorf("%w: version %d, this program reads version %d", ErrRecord, version, recordVersion)
	}
	copy(r.User[:], in.take(len(r.User)))
	r.Seq = in.uvarint()
	r.At = Time(in.varint())
	n := in.uvarint()
	if n > maxRecordEvent {
		in.fail("event count over the limit")
	}
	r.Events = r.Events[:0]
	for i := uint64(0); i < n && in.err == nil; i++ {
		k := kind(in.byte())
		e := newEvent(k)
		if e == nil {
			in.fail("unknown event kind " + fmt.Sprint(k))
			break
		}
		e.read(&in)
		r.Events = append(r.Events, e)
	}
	if in.err == nil && len(in.b) != 0 {
		in.fail("bytes after the last event")
	}
	if in.err != nil {
		return fmt.Errorf("%w: byte %d: %w", ErrRecord, len(b)-len(in.b), in.err)
	}
	return nil
}

// Decoder decodes many records one after another and uses its events again: those
// of a record are valid until the next Decode. One goroutine owns it.
type Decoder struct {
	events [maxRecordEvent][numKinds]Event // by place and kind
	place  int
	next   func(kind) Event // d.event, bound once
}

// Decode is Record.Decode, without the allocation of events.
func (d *Decoder) Decode(r *Record, b []byte) error {
	if d.next == nil {
		d.next = d.event
	}
	d.place = 0
	return r.decode(b, d.next)
}

func (d *Decoder) event(k kind) Event {
	if k >= numKinds {
		return nil
	}
	e := &d.events[d.place][k]
	d.place++
	if *e == nil {
		*e = newEvent(k)
	}
	return *e
}

// RecordHead returns the user and number of an encoded record without decoding the
// rest.
func RecordHead(b []byte) (id UserID, seq uint64, err error) {
	if id, err = RecordUser(b); err != nil {
		return id, 0, err
	}
	seq, n := binary.Uvarint(b[1+len(id):])
	if n <= 0 {
		return id, 0, fmt.Errorf("%w: bad integer", ErrRecord)
	}
	return id, seq, nil
}

// RecordUser returns the user of an encoded record without decoding the rest.
func RecordUser(b []byte) (UserID, error) {
	var id UserID
	if len(b) < 1+len(id) {
		return id, fmt.Errorf("%w: %d bytes are too short", ErrRecord, len(b))
	}
	copy(id[:], b[1:])
	return id, nil
}

// reader takes values off the front of b. After the first error it returns zero
// values, so that callers check once.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = errors.New(reason)
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil || len(r.b) < n {
		r.fail("cut short")
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool {
	switch r.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	r.fail("neither true nor false")
	return false
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err != nil || n <= 0 {
		r.fail("bad integer")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.fail("integer over 32 bits")
	}
	return uint32(v)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.err != nil || n <= 0 {
		r.fail("bad integer")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// money reads an amount, which in an event is never negative.
func (r *reader) money() Money {
	v := r.uvarint()
	if v > uint64(MaxMoney) {
		r.fail("amount out of range")
		return 0
	}
	return Money(v)
}

func (r *reader) string() string { return string(r.text()) }

// text reads a string that stays in the reader's bytes.
func (r *reader) text() []byte {
	n := r.uvarint()
	if n > maxText {
		r.fail("text over the limit")
		return nil
	}
	text := r.take(int(n))
	if !utf8.Valid(text) {
		r.fail("text is not UTF-8")
		return nil
	}
	return text
}

func appendString(dst []byte, s string) []byte {
	if len(s) > maxText || !utf8.ValidString(s) {
		panic(fmt.Sprintf("account: text of %d bytes, %d of UTF-8 are the limit: %.40q", len(s), maxText, s))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendMoney(dst []byte, m Money) []byte {
	if m < 0 {
		panic("account: a negative amount: " + m.String())
	}
	return binary.AppendUvarint(dst, uint64(m))
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}
