package account

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEveryKindOfEventIsReadAsItWasWritten(t *testing.T) {
	for k := range 256 {
		k := kind(k)
		event, generator := newEvent(k), genEvents[k]
		if (event == nil) != (generator == nil) {
			t.Errorf("kind %d: is an event: %t; has a generator: %t", k, event != nil, generator != nil)
		}
		if event == nil || generator == nil {
			continue
		}
		if event.kind() != k {
			t.Errorf("kind %d makes a %T, whose kind is %d", k, event, event.kind())
		}
		t.Run(reflect.TypeOf(event).Elem().Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := &Record{User: testUser, Seq: 1, At: start, Events: []Event{generator.Draw(t, "event")}}
				if got := reread(t, r); !reflect.DeepEqual(got, r) {
					t.Fatalf("written %+v, read %+v", r.Events[0], got.Events[0])
				}
			})
		})
	}
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRecord.Draw(t, "record")
		prefix := []byte("before")
		b := r.Append(prefix)
		if !bytes.HasPrefix(b, prefix) {
			t.Fatalf("Append changed what was there: %q", b[:len(prefix)])
		}
		b = b[len(prefix):]
		// A used Record is decoded into: nothing of it may stay.
		decoded := Record{User: UserID{1}, Seq: 9, At: 9, Events: []Event{&Deposited{Amount: 9}, &Deposited{Amount: 8}}}
		if err := decoded.Decode(b); err != nil {
			t.Fatal(err)
		}
		if decoded.User != r.User || decoded.Seq != r.Seq || decoded.At != r.At || len(decoded.Events) != len(r.Events) ||
			(len(r.Events) > 0 && !reflect.DeepEqual(decoded.Events, r.Events)) {
			t.Fatalf("written %+v, read %+v", r, &decoded)
		}
		if user, err := RecordUser(b); err != nil || user != r.User {
			t.Fatalf("RecordUser gives %s, %v; want %s", user, err, r.User)
		}
		again := decoded.Append(nil)
		clear(b) // the decoded record must not rest on it
		if !bytes.Equal(decoded.Append(nil), again) {
			t.Fatal("the decoded record changed with the bytes it was read from")
		}
	})
}

// head is an encoded record up to and with its count of events.
func head(version byte, events uint64) []byte {
	b := append([]byte{version}, testUser[:]...)
	b = binary.AppendUvarint(b, 7)
	b = binary.AppendVarint(b, int64(start))
	return binary.AppendUvarint(b, events)
}

func TestWhatIsNotARecordIsRefused(t *testing.T) {
	one := func(k kind, fields ...byte) []byte { return append(append(head(1, 1), byte(k)), fields...) }
	uvarint := func(v uint64) []byte { return binary.AppendUvarint(nil, v) }
	text := func(s string) []byte { return append(uvarint(uint64(len(s))), s...) }
	overlong := append(bytes.Repeat([]byte{0xff}, 10), 1) // over 64 bits
	tests := []struct {
		name  string
		bytes []byte
		says  string
	}{
		{"nothing", nil, "cut short"},
		{"version 0", head(0, 0), "version 0"},
		{"version 2", head(2, 0), "version 2"},
		{"version 255", []byte{255}, "version 255"},
		{"kind 0", one(0), "kind 0"},
		{"kind 200", one(200), "kind 200"},
		{"kind 255", one(255), "kind 255"},
		{"no kind", head(1, 1), "cut short"},
		{"a byte too many", append(head(1, 0), 0), "after the last event"},
		{"nine events", append(head(1, 9), bytes.Repeat([]byte{byte(kindDeposited), 1, 0}, 9)...), "event count"},
		{"more events than there can be", head(1, math.MaxUint64), "event count"},
		{"a sequence number over 64 bits", append(append([]byte{1}, testUser[:]...), overlong...), "bad integer"},
		{"an amount over the range", one(kindDeposited, append(uvarint(1<<63), 0)...), "amount"},
		{"an amount over 64 bits", one(kindDeposited, append(overlong, 0)...), "bad integer"},
		{"a transaction number over 32 bits", one(kindTxFailed, append(uvarint(1<<32), 0, 0, 0)...), "32 bits"},
		{"a flag of 2", one(kindTxFailed, 1, 2, 0, 0), "neither true nor false"},
		{"status 0", one(kindStatusChanged, 0, 0, 0), "status"},
		{"status 4", one(kindStatusChanged, 4, 0, 0), "status"},
		{"text that is too long", one(kindDeposited, append([]byte{1}, text(strings.Repeat("x", maxText+1))...)...), "over the limit"},
		{"text that is said to be huge", one(kindDeposited, append([]byte{1}, uvarint(math.MaxUint64)...)...), "over the limit"},
		{"text that is not UTF-8", one(kindDeposited, append([]byte{1}, text("a\xff")...)...), "UTF-8"},
		{"text that ends inside a character", one(kindDeposited, append([]byte{1}, text("é"[:1])...)...), "UTF-8"},
		{"half a session", one(kindLoggedOut, make([]byte, 16)...), "cut short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Record
			err := r.Decode(tt.bytes)
			if !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Decode gives %v, want ErrRecord with %q", err, tt.says)
			}
		})
	}
	if _, err := RecordUser(head(1, 0)[:16]); !errors.Is(err, ErrRecord) {
		t.Errorf("the user of 16 bytes gives %v, want ErrRecord", err)
	}
}

// What Decode would refuse must never reach the journal: no start would follow.
func TestARecordThatCannotBeReadIsNotWritten(t *testing.T) {
	for what, event := range map[string]Event{
		"a negative amount":          &Deposited{Amount: -1},
		"a negative price":           &SaleRequested{Amount: 1, BTC: -1},
		"a negative fee":             &PaymentCreated{Amount: 1, BTC: 1, BTCFee: -1},
		"text that is too long":      &Credited{Amount: 1, Reason: strings.Repeat("x", maxText+1)},
		"text that is not UTF-8":     &Credited{Amount: 1, Reason: "\xff"},
		"a status that is not one":   &StatusChanged{Status: numUserStatuses},
		"a status that was not set":  &StatusChanged{},
		"a wallet that is not UTF-8": &Created{Wallet: "\xc3"},
	} {
		panics(t, what, func() { (&Record{Events: []Event{event}}).Append(nil) })
	}
	nine := make([]Event, maxRecordEvent+1)
	for i := range nine {
		nine[i] = &Deposited{Amount: 1}
	}
	panics(t, "a record of nine events", func() { (&Record{Events: nine}).Append(nil) })
}

// A few hostile bytes must not make the decoder reserve a lot of memory.
func TestRefusingARecordTakesLittleMemory(t *testing.T) {
	hostile := [][]byte{
		head(1, math.MaxUint64),
		append(append(head(1, maxRecordEvent), byte(kindCreated)), binary.AppendUvarint(nil, maxText)...),
		append(append(head(1, maxRecordEvent), byte(kindCreated)), binary.AppendUvarint(nil, math.MaxInt64)...),
	}
	const rounds, limit = 1000, 2048
	var before, after runtime.MemStats
	var r Record
	for _, b := range hostile {
		runtime.ReadMemStats(&before)
		for range rounds {
			if r.Decode(b) == nil {
				t.Fatalf("%x is read as a record", b)
			}
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > limit {
			t.Errorf("%d bytes are allocated to refuse %x, want at most %d", each, b, limit)
		}
	}
}

func TestEncodingARecordIntoItsBufferDoesNotAllocate(t *testing.T) {
	r := &Record{User: testUser, Seq: 2, At: start, Events: []Event{
		&WithdrawalRequested{Amount: Unit, Fee: 1, To: "aitbc_0e519a"}, &KeyUsed{Key: Key{1}, N: 1},
	}}
	buffer := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { buffer = r.Append(buffer[:0]) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}
