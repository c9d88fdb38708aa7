package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// A segment is one file of the log, in the format of tidwall/wal: entries of a
// length (uvarint) and as many bytes, which here are a frame. Its name is the
// number of its first entry in 20 digits.
type segment struct {
	path  string
	first uint64
}

const segmentDigits = 20

func segmentName(first uint64) string { return fmt.Sprintf("%0*d", segmentDigits, first) }

// listSegments returns the segments of a log in order, none if it does not exist
// yet. It sees the directory as wal.Open will: a file named .START is
// the new front of a truncation that was interrupted, and replaces every segment
// listed before it. An .END file would come from a truncation at the back, which
// this program never makes.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir) // sorted by name, which is the order of the segments
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the log's segments: %w", err)
	}
	var segments []segment
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || len(name) < segmentDigits {
			continue
		}
		first, err := strconv.ParseUint(name[:segmentDigits], 10, 64)
		if err != nil || first == 0 {
			continue
		}
		path := filepath.Join(dir, name)
		switch name[segmentDigits:] {
		case "":
			segments = append(segments, segment{path, first})
		case ".START":
			segments = append(segments[:0], segment{path, first})
		case ".END":
			return nil, &persistence.DamageError{File: path, Entry: first, Reason: "a truncation at the back, which this program never makes, was interrupted"}
		}
	}
	return segments, nil
}

// sizeOf returns how many bytes the segments take.
func sizeOf(segments []segment) (int64, error) {
	var sum int64
	for _, s := range segments {
		info, err := os.Stat(s.path)
		if err != nil {
			return 0, fmt.Errorf("size of a segment: %w", err)
		}
		sum += info.Size()
	}
	return sum, nil
}

// segmentReader walks the frames of one segment, whose bytes it is given. It
// checks each: the entry's length, the frame, and that number, shard and epoch
// are what must follow.
type segmentReader struct {
	segment
	shard uint16
	buf   []byte
	off   int    // of the entry to read next
	next  uint64 // number of the frame to read next
	epoch uint64 // of the frame before, 0 if unknown
}

// entry is one frame of a segment, decoded and as it stands there.
type entry struct {
	format.Frame
	raw []byte
}

// read returns the next frame, and false at the end of the segment. Its error is
// a *persistence.DamageError for the entry at r.off, where the reader stays.
func (r *segmentReader) read() (entry, bool, *persistence.DamageError) {
	rest := r.buf[r.off:]
	if isZero(rest) {
		return entry{}, false, nil
	}
	length, n, err := format.SplitEntry(rest)
	switch {
	case err != nil:
		return entry{}, false, r.damage(err.Error())
	case length > uint64(len(rest)-n):
		return entry{}, false, r.damage(fmt.Sprintf("the entry has %d bytes, the segment ends after %d of them", length, len(rest)-n))
	}
	raw := rest[n : n+int(length)]
	frame, err := format.DecodeFrame(raw)
	switch {
	case err != nil:
		return entry{}, false, r.damage(err.Error())
	case frame.Seq != r.next:
		return entry{}, false, r.damage(fmt.Sprintf("frame %d stands in the place of frame %d", frame.Seq, r.next))
	case frame.Shard != r.shard:
		return entry{}, false, r.damage(fmt.Sprintf("frame of shard %d in the log of shard %d", frame.Shard, r.shard))
	case frame.Epoch == 0:
		return entry{}, false, r.damage("epoch 0, they are counted from 1")
	case frame.Epoch < r.epoch:
		return entry{}, false, r.damage(fmt.Sprintf("epoch %d after epoch %d", frame.Epoch, r.epoch))
	}
	r.off += n + int(length)
	r.next++
	r.epoch = frame.Epoch
	return entry{frame, raw}, true, nil
}

// isZero reports whether b has nothing but zeros, as the room after the entries of a
// segment that is being written: see preallocatedLog.
func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (r *segmentReader) damage(reason string) *persistence.DamageError {
	return &persistence.DamageError{File: r.path, Offset: int64(r.off), Entry: r.next, Reason: reason}
}

// walk reads a log from its first segment to its last, checks every frame of it,
// and calls fn with those from number from on. load returns a segment's bytes, for
// which it may use the buffer that it is given; it runs one segment ahead. A torn
// tail ends the walk without an error and is returned.
func walk(dir string, shard uint16, segments []segment, load segmentLoader, from uint64, fn func(entry) error) (*Tail, error) {
	var epoch uint64
	ahead := startReadAhead(segments, load)
	defer ahead.stop()
	for i, s := range segments {
		buf, err := ahead.next()
		if err != nil {
			return nil, fmt.Errorf("read a segment: %w", err)
		}
		last := i == len(segments)-1
		r := segmentReader{segment: s, shard: shard, buf: buf, next: s.first, epoch: epoch}
		for {
			e, more, damage := r.read()
			if damage != nil {
				tail := r.tornTail(damage, last)
				switch {
				case tail == nil:
					return nil, damage
				case r.epoch == 0 && r.next != 1:
					return nil, noEpoch(dir, r.next)
				}
				return tail, nil
			}
			if !more {
				break
			}
			if e.Seq < from {
				continue
			}
			if err := fn(e); err != nil {
				return nil, err
			}
		}
		if !last && segments[i+1].first != r.next {
			return nil, &persistence.DamageError{File: dir, Entry: r.next,
				Reason: fmt.Sprintf("no segment begins with this entry; after %s comes %s", filepath.Base(s.path), filepath.Base(segments[i+1].path))}
		}
		if epoch = r.epoch; last && epoch == 0 && r.next != 1 {
			return nil, noEpoch(dir, r.next)
		}
	}
	return nil, nil
}

// noEpoch is the damage of a log without a frame that has not begun with frame 1:
// frames and their epochs are gone.
func noEpoch(dir string, next uint64) *persistence.DamageError {
	return &persistence.DamageError{File: dir, Entry: next - 1, Reason: "no segment has this entry, which knows the last epoch"}
}
