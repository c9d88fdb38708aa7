package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// listSegments returns the segments of a log in order. It does not exist yet:
// none. What an interrupted truncation has left is named as damage.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var segments []segment
	for _, entry := range entries {
		name := entry.Name()
		if len(name) < segmentDigits {
			continue
		}
		first, err := strconv.ParseUint(name[:segmentDigits], 10, 64)
		if err != nil || first == 0 || entry.IsDir() {
			continue
		}
		path := filepath.Join(dir, name)
		switch strings.TrimPrefix(name, name[:segmentDigits]) {
		case "":
			segments = append(segments, segment{path: path, first: first})
		case ".START", ".END":
			return nil, &DamageError{File: path, Entry: first, Reason: "a truncation that this program does not make was interrupted"}
		}
	}
	slices.SortFunc(segments, func(a, b segment) int { return strings.Compare(a.path, b.path) })
	return segments, nil
}

// segmentReader walks the frames of one segment, which it holds in memory.
type segmentReader struct {
	segment
	shard uint16
	buf   []byte
	off   int    // of the entry to read next
	next  uint64 // number of the frame to read next
	epoch uint64 // of the frame before
}

// openSegment reads a whole segment. epoch is that of the last frame before it, 0
// if unknown.
func openSegment(s segment, shard uint16, epoch uint64) (*segmentReader, error) {
	buf, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	return &segmentReader{segment: s, shard: shard, buf: buf, next: s.first, epoch: epoch}, nil
}

// read returns the next frame, and false at the end of the segment. An error is a
// *DamageError for the entry at r.off, which stays.
func (r *segmentReader) read() (Frame, bool, error) {
	if r.off == len(r.buf) {
		return Frame{}, false, nil
	}
	rest := r.buf[r.off:]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) {
		return Frame{}, false, r.damage("the entry is incomplete")
	}
	frame, err := DecodeFrame(rest[n : n+int(length)])
	switch {
	case err != nil:
		return Frame{}, false, r.damage(err.Error())
	case frame.Seq != r.next:
		return Frame{}, false, r.damage(fmt.Sprintf("frame %d stands in the place of frame %d", frame.Seq, r.next))
	case frame.Shard != r.shard:
		return Frame{}, false, r.damage(fmt.Sprintf("frame of shard %d in the log of shard %d", frame.Shard, r.shard))
	case frame.Epoch < r.epoch:
		return Frame{}, false, r.damage(fmt.Sprintf("epoch %d after epoch %d", frame.Epoch, r.epoch))
	}
	r.off += n + int(length)
	r.next++
	r.epoch = frame.Epoch
	return frame, true, nil
}

func (r *segmentReader) damage(reason string) *DamageError {
	return &DamageError{File: r.path, Offset: int64(r.off), Entry: r.next, Reason: reason}
}

// validAfter reports whether a valid frame stands anywhere behind the start of
// the entry at r.off: if there is one, the damage before it is no torn tail.
func (r *segmentReader) validAfter() bool {
	for at := r.off + 1; ; at++ {
		i := bytes.Index(r.buf[at:], frameMagic[:])
		if i < 0 {
			return false
		}
		at += i
		if seq, ok := intactAt(r.buf[at:]); ok && seq >= r.next {
			return true
		}
	}
}

// Tail is an incomplete last entry: a batch whose write was interrupted, and
// which was therefore never acknowledged.
type Tail struct {
	File   string
	Offset int64
	Bytes  int64
	Reason string
}

// tornTail says whether damage, which read has returned, is a torn tail: the last
// thing in the last segment, with nothing valid in it or behind it. A frame that
// is intact was not torn, whatever else is wrong with it; nor was one of a format
// that this program does not know.
func (r *segmentReader) tornTail(damage error, last bool) *Tail {
	var d *DamageError
	if !last || !errors.As(damage, &d) || r.validAfter() {
		return nil
	}
	if _, n := binary.Uvarint(r.buf[r.off:]); n > 0 {
		frame := r.buf[r.off+n:]
		if len(frame) > 4 && [4]byte(frame) == frameMagic && frame[4] > frameVersion {
			return nil
		}
	}
	return &Tail{File: r.path, Offset: int64(r.off), Bytes: int64(len(r.buf) - r.off), Reason: d.Reason}
}

// walk calls fn with every frame of the segments from number seq on, and checks
// all of them. A torn tail ends it without an error and is returned.
func walk(dir string, shard uint16, segments []segment, seq uint64, fn func(Frame) error) (*Tail, error) {
	var epoch, next uint64
	for i, s := range segments {
		if next != 0 && s.first != next {
			return nil, &DamageError{File: dir, Entry: next, Reason: fmt.Sprintf("no segment begins with this entry; the next one there is %s", s.path)}
		}
		if i+1 < len(segments) && segments[i+1].first <= seq {
			next = segments[i+1].first
			continue
		}
		r, err := openSegment(s, shard, epoch)
		if err != nil {
			return nil, err
		}
		for {
			frame, more, err := r.read()
			if err != nil {
				if tail := r.tornTail(err, i == len(segments)-1); tail != nil {
					return tail, nil
				}
				return nil, err
			}
			if !more {
				break
			}
			if frame.Seq < seq {
				continue
			}
			if err := fn(frame); err != nil {
				return nil, err
			}
		}
		next, epoch = r.next, r.epoch
	}
	return nil, nil
}
