package persistencetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// Frame builds a sealed frame.
func Frame(shard uint16, epoch, seq uint64, records ...string) []byte {
	frame := format.BeginFrame(nil)
	for _, record := range records {
		frame = format.AppendRecord(frame, []byte(record))
	}
	format.SealFrame(frame, shard, epoch, seq, uint32(len(records)))
	return frame
}

// Records returns the records of a frame.
func Records(t testing.TB, frame []byte) []string {
	t.Helper()
	records, err := recordsOf(frame, nil)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func recordsOf(frame []byte, records []string) ([]string, error) {
	decoded, err := format.DecodeFrame(frame)
	if err != nil {
		return records, err
	}
	for _, record := range decoded.Records() {
		records = append(records, string(record))
	}
	return records, nil
}

// Claim claims shard 0.
func Claim(t testing.TB, log persistence.Log) persistence.Claim {
	t.Helper()
	c, err := log.Claim(0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Append appends one frame for each record, from the claim's next number on.
func Append(t testing.TB, log persistence.Log, c persistence.Claim, records ...string) {
	t.Helper()
	for i, record := range records {
		seq := c.Next + uint64(i)
		if err := log.Append(seq, Frame(c.Shard, c.Epoch, seq, record)); err != nil {
			t.Fatalf("frame %d: %v", seq, err)
		}
	}
}

// Close closes a log that the test opens again.
func Close(t testing.TB, log persistence.Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// Replayed returns the records from a frame number on.
func Replayed(log persistence.Log, from uint64) ([]string, error) {
	records := []string{}
	err := log.Replay(from, func(seq uint64, encoded []byte) error {
		frame, err := format.DecodeFrame(encoded)
		if err != nil {
			return err
		}
		if frame.Seq != seq {
			return fmt.Errorf("frame %d came as number %d", frame.Seq, seq)
		}
		records, err = recordsOf(encoded, records)
		return err
	})
	return records, err
}

// WantReplayed fails unless the records from a frame number on are those.
func WantReplayed(t testing.TB, log persistence.Log, from uint64, want ...string) {
	t.Helper()
	got, err := Replayed(log, from)
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("replayed %q, want %q", got, want)
	}
}

// Numbered returns n records that differ.
func Numbered(n int) []string {
	records := make([]string, n)
	for i := range records {
		records[i] = fmt.Sprintf("record %03d", i)
	}
	return records
}
