package account

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
)

// FuzzDecodeRecord reads any bytes. What is a record is written and read again
// as the same; nothing panics, and a record is no bigger than its bytes allow.
func FuzzDecodeRecord(f *testing.F) {
	for name := range goldens() {
		for _, b := range readGolden(f, name) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		original := bytes.Clone(b)
		var r Record
		if err := r.Decode(b); err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("%v does not wrap ErrRecord", err)
			}
			return
		}
		if !bytes.Equal(b, original) {
			t.Fatal("Decode changed its input")
		}
		if len(r.Events) > maxRecordEvent || cap(r.Events) > 2*maxRecordEvent {
			t.Fatalf("%d events, room for %d", len(r.Events), cap(r.Events))
		}
		if n := textBytes(&r); n > len(b) {
			t.Fatalf("%d bytes hold %d bytes of text", len(b), n)
		}
		written := r.Append(nil)
		if len(written) > len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(written))
		}
		again := reread(t, &r)
		if len(r.Events) == 0 {
			again.Events, r.Events = nil, nil
		}
		if !reflect.DeepEqual(again, &r) {
			t.Fatalf("read %+v, then %+v", &r, again)
		}
		if !bytes.Equal(again.Append(nil), written) {
			t.Fatal("the same record is written in two ways")
		}
	})
}

// textBytes adds up the length of all text in r.
func textBytes(r *Record) int {
	n := 0
	for _, e := range r.Events {
		fields := reflect.ValueOf(e).Elem()
		for i := range fields.NumField() {
			if field := fields.Field(i); field.Kind() == reflect.String {
				n += field.Len()
			}
		}
	}
	return n
}

// FuzzApply applies any records to an account. Each is applied or refused with
// ErrApply, and after each that was applied the account still adds up.
func FuzzApply(f *testing.F) {
	f.Add(fuzzScript(goldenHistory()))
	for name, records := range goldens() {
		if name != "history" {
			f.Add(fuzzScript(append(goldenHistory()[:2], records...)))
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		a, twin := New(testUser), New(testUser)
		var tally Tally
		for range 256 { // enough for every limit of sessions and chunks
			var r Record
			var ok bool
			if script, ok = nextRecord(script, a, &r); !ok {
				break
			}
			if err := a.Apply(&r); err != nil {
				if !errors.Is(err, ErrApply) {
					t.Fatalf("%v does not wrap ErrApply", err)
				}
				return
			}
			if err := checkInvariants(a); err != nil {
				t.Fatalf("after %+v: %v", &r, err)
			}
			tally.Add(&r)
			if !tally.Balance().IsInt64() || tally.Balance().Int64() != int64(a.Balance) {
				t.Fatalf("the records come to %s, the balance is %d", tally.Balance(), a.Balance)
			}
			apply(t, twin, reread(t, &r))
		}
		if a.StateHash() != twin.StateHash() {
			t.Fatal("the same records led to two states")
		}
	})
}

// A script is a list of records, each after its length in two bytes, of which the
// highest bit asks for user, number and time to be made to fit: otherwise hardly
// a change that the fuzzer makes would get past them.
const fits = 1 << 15

func fuzzScript(records []*Record) []byte {
	var script []byte
	for _, r := range records {
		b := r.Append(nil)
		script = binary.BigEndian.AppendUint16(script, uint16(len(b))|fits)
		script = append(script, b...)
	}
	return script
}

// nextRecord takes a record off the front of script, and reports false at the
// end and at what is not a record.
func nextRecord(script []byte, a *Account, r *Record) (rest []byte, ok bool) {
	if len(script) < 2 {
		return nil, false
	}
	size := binary.BigEndian.Uint16(script)
	body := script[2:]
	n := min(int(size&^fits), len(body))
	if r.Decode(body[:n]) != nil {
		return nil, false
	}
	if size&fits != 0 {
		r.User, r.Seq, r.At = a.ID, a.Seq+1, max(r.At, a.UpdatedAt)
	}
	return body[n:], true
}
