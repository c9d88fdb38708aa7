package persistence

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aitbc/exchange/persistence/format"
)

// The layout is what stands on the disks of those who run this program.
func TestSnapshotLayoutDoesNotChange(t *testing.T) {
	var out bufferSnapshot
	e := snapshotEncoder{out: &out, info: SnapshotInfo{Shard: 7, Epoch: 3, Next: 11}, block: format.BeginBlock(nil), proceed: func() error { return nil }}
	if err := fillWith("hi", "", strings.Repeat("x", blockTarget))(e.add); err != nil {
		t.Fatal(err)
	}
	if err := e.finish(13); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "snapshot_v1.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, compact(out.Bytes()), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(compact(out.Bytes()), kept) {
		t.Error("the snapshot is not the golden one, which must stay readable")
	}
	s, err := OpenSnapshot(&out, 7, 11, 2)
	if err != nil || s.info != (SnapshotInfo{Shard: 7, Epoch: 3, Next: 11, End: 13, Entries: 3, Bytes: int64(out.Len())}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// compact leaves the long run of x out of a file that is kept.
func compact(b []byte) []byte {
	return bytes.ReplaceAll(b, bytes.Repeat([]byte("x"), blockTarget), []byte("x..."))
}

// FuzzSnapshot opens any bytes as a snapshot: it is refused with ErrSnapshot, or
// has what its footer says.
func FuzzSnapshot(f *testing.F) {
	for _, entries := range [][]string{nil, {""}, {"one", "", "three"}} {
		var out bufferSnapshot
		e := snapshotEncoder{out: &out, info: SnapshotInfo{Epoch: 1, Next: 5}, block: format.BeginBlock(nil), proceed: func() error { return nil }}
		if err := errors.Join(fillWith(entries...)(e.add), e.finish(9)); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
		f.Add(out.Bytes()[:out.Len()-7])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in bufferSnapshot
		in.Write(b)
		s, err := OpenSnapshot(&in, 0, 5, 2)
		if err != nil {
			if !errors.Is(err, format.ErrSnapshot) {
				t.Fatalf("error %v is no ErrSnapshot", err)
			}
			return
		}
		var n uint64
		if err := s.Each(1, func(int, []byte) error { n++; return nil }); err != nil || n != s.info.Entries || s.info.Bytes != int64(len(b)) {
			t.Fatalf("%d entries of %+v, %v", n, s.info, err)
		}
	})
}

// FuzzSnapshotBody puts any body behind a header that is right, and a footer that
// says so.
func FuzzSnapshotBody(f *testing.F) {
	f.Add(uint32(2), []byte("\x03one\x00"))
	f.Add(uint32(1), []byte("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01x"))
	f.Add(uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, count uint32, body []byte) {
		var file bufferSnapshot
		e := snapshotEncoder{out: &file, info: SnapshotInfo{Epoch: 1, Next: 5, Entries: uint64(count)}, proceed: func() error { return nil }}
		e.block, e.count = append(format.BeginBlock(nil), body...), max(count, 1) // finish writes a block that has entries
		if err := e.finish(9); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSnapshot(&file, 0, 5, 1)
		if err != nil {
			return
		}
		n := 0
		if err := s.Each(1, func(int, []byte) error { n++; return nil }); err != nil || n != int(max(count, 1)) {
			t.Fatalf("%d entries, %v; the header says %d", n, err, count)
		}
	})
}

// bufferSnapshot is a snapshot in memory that is written, and then read itself.
type bufferSnapshot struct{ bytes.Buffer }

func (*bufferSnapshot) Commit() error { return nil }
func (*bufferSnapshot) Abort() error  { return nil }

func (b *bufferSnapshot) OpenSnapshot(uint64) (SnapshotReader, error) {
	return bufferReader{bytes.NewReader(b.Bytes())}, nil
}

type bufferReader struct{ *bytes.Reader }

func (bufferReader) Close() error { return nil }
func (bufferReader) Name() string { return "memory" }

// fillWith returns a fill that adds the entries.
func fillWith(entries ...string) func(func([]byte) error) error {
	return func(add func([]byte) error) error {
		for _, entry := range entries {
			if err := add([]byte(entry)); err != nil {
				return err
			}
		}
		return nil
	}
}
