package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// encode builds a sealed frame.
func encode(shard uint16, epoch, seq uint64, records ...string) []byte {
	frame := beginFrame(nil)
	for _, record := range records {
		frame = appendRecord(frame, []byte(record))
	}
	sealFrame(frame, shard, epoch, seq, uint32(len(records)))
	return frame
}

// openLocal opens the log in dir and closes it when the test ends, unless it is
// closed by then.
func openLocal(t testing.TB, cfg LocalConfig) *Local {
	t.Helper()
	local, err := OpenLocal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := local.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("closing: %v", err)
		}
	})
	return local
}

func claim(t testing.TB, log Log) Claim {
	t.Helper()
	c, err := log.Claim(0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// appendFrames appends one frame a record, from the claim's next number on.
func appendFrames(t testing.TB, log Log, c Claim, records ...string) {
	t.Helper()
	for i, record := range records {
		seq := c.Next + uint64(i)
		if err := log.Append(seq, encode(c.Shard, c.Epoch, seq, record)); err != nil {
			t.Fatalf("frame %d: %v", seq, err)
		}
	}
}

// closeLog closes what the test will open again.
func closeLog(t testing.TB, log Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// replayed returns the records from a frame number on.
func replayed(log Log, from uint64) ([]string, error) {
	records := []string{}
	err := log.Replay(from, func(seq uint64, encoded []byte) error {
		frame, err := DecodeFrame(encoded)
		if err != nil {
			return err
		}
		if frame.Seq != seq {
			return fmt.Errorf("frame %d came as number %d", frame.Seq, seq)
		}
		for _, record := range frame.Records() {
			records = append(records, string(record))
		}
		return nil
	})
	return records, err
}

func wantReplayed(t testing.TB, log Log, from uint64, want ...string) {
	t.Helper()
	got, err := replayed(log, from)
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("replayed %q, want %q", got, want)
	}
}

// writeLog makes a log in a new directory, one frame a record, and returns the
// directory.
func writeLog(t testing.TB, segmentBytes int, records ...string) string {
	t.Helper()
	dir := t.TempDir()
	local := openLocal(t, LocalConfig{Dir: dir, SegmentBytes: segmentBytes})
	appendFrames(t, local, claim(t, local), records...)
	closeLog(t, local)
	return dir
}

// numbered returns n records that differ.
func numbered(n int) []string {
	records := make([]string, n)
	for i := range records {
		records[i] = fmt.Sprintf("record %03d", i)
	}
	return records
}

func segmentsOf(t testing.TB, dir string) []segment {
	t.Helper()
	segments, err := listSegments(shardDir(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	return segments
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

// contentOf returns what every file below the log's directory holds.
func contentOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "log"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content[path] = string(readFile(t, path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// wantUnchanged fails if the log's files are not what they were.
func wantUnchanged(t testing.TB, dir string, before map[string]string) {
	t.Helper()
	if !maps.Equal(before, contentOf(t, dir)) {
		t.Fatal("the log's files were changed")
	}
}

// logBuffer is a logger's text, which several goroutines may write.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
