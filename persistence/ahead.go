package persistence

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tidwall/wal"
)

// aheadLog is tidwall/wal's log in files that are longer than what is written to them:
// zeros follow its entries. An entry then changes neither the file's length nor which
// blocks it has, so that a sync writes its bytes and nothing else, which takes little
// more than half of the time (BenchmarkSync). PostgreSQL and etcd do the same.
//
// A file of its own is open for each segment beside tidwall/wal's, before anything is
// written there: so the kernel tells it of every write that has failed.
//
// An entry never begins with a zero, so zeros up to the end of a segment are no entry
// (see segmentReader). A segment that is over, and the last after Close, have none.
type aheadLog struct {
	*wal.Log
	dir          string
	segmentBytes int64
	exact        bool // the files grow by their entries only

	first uint64   // of the segment that is written to
	file  *os.File // that segment
	end   int64    // of its entries
	size  int64    // of the file
	full  bool     // there was no room to grow

	aside *dataSync // nil: the kernel does not do it
	usual int       // bytes of an entry, of the last eight or so
}

// growth is how many zeros a file is given at once, unless the disk would have less than
// growthLeaves afterwards: zeros must not take the room of what is to be written.
const (
	growth       = 1 << 20
	growthLeaves = 64 << 20
)

// busyFrom is how many bytes an entry usually has, some 16 records, where there is enough
// to do besides: from there on a sync is left to the kernel, though it then takes 20 to
// 30 % longer. Interleaved runs on two cores: with 256 connections that is 1.13 of the
// deposits/s; with 16, where the threads have nothing else to do, it would be 0.82.
const busyFrom = 1536

// openAhead takes over log, whose last segment has no zeros yet.
func openAhead(log *wal.Log, dir string, segmentBytes int64, exact bool) (*aheadLog, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	l := &aheadLog{Log: log, dir: dir, segmentBytes: segmentBytes, exact: exact}
	if err := l.follow(segments[len(segments)-1].first); err != nil {
		return nil, err
	}
	l.aside, _ = newDataSync() // else a thread waits
	return l, nil
}

// follow turns to the segment that begins with the entry first.
func (l *aheadLog) follow(first uint64) (err error) {
	if l.file != nil {
		if err := errors.Join(l.file.Truncate(l.end), l.file.Close()); err != nil {
			return err
		}
	}
	l.first, l.full = first, l.exact
	if l.file, err = os.OpenFile(filepath.Join(l.dir, segmentName(first)), os.O_WRONLY, 0); err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	l.end, l.size = info.Size(), info.Size()
	return nil
}

// Write implements logFile.
func (l *aheadLog) Write(index uint64, data []byte) error {
	l.usual += (len(data) - l.usual) / 8
	end := l.end + entryLength(data)
	over := l.end > l.segmentBytes // tidwall/wal begins a segment before the entry
	if !over && !l.full && end > l.size {
		if err := l.grow(end); err != nil {
			return err
		}
	}
	if err := l.Log.Write(index, data); err != nil {
		return err
	}
	if over {
		if err := l.follow(index); err != nil {
			return err
		}
		end = l.end
	}
	l.end, l.size = end, max(l.size, end)
	if l.end >= l.segmentBytes { // and after one that has filled it
		return l.follow(index + 1)
	}
	return nil
}

// entryLength is how many bytes of a segment the entry takes.
func entryLength(data []byte) int64 {
	var length [binary.MaxVarintLen64]byte
	return int64(binary.PutUvarint(length[:], uint64(len(data))) + len(data))
}

// grow adds zeros to the file, so that it reaches to end at least. Where there is no room
// for that, there may be room for the entry.
func (l *aheadLog) grow(end int64) error {
	zeros := make([]byte, max(end-l.size, min(growth, l.segmentBytes-l.size)))
	free, err := osFiles{}.free(l.dir)
	if err != nil {
		return err
	}
	if free < uint64(len(zeros))+growthLeaves {
		l.full = true
		return nil
	}
	n, err := l.file.WriteAt(zeros, l.size)
	l.size += int64(n)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		l.full = true
		return nil
	}
	return err
}

// Sync implements logFile. The length of a file that has grown is synced with it; only
// its times are not.
func (l *aheadLog) Sync() error {
	if l.aside != nil && l.usual >= busyFrom {
		return l.aside.sync(l.file.Fd())
	}
	return fdatasync(l.file.Fd())
}

// Segment implements logFile.
func (l *aheadLog) Segment() uint64 { return l.first }

// Close implements logFile.
func (l *aheadLog) Close() error {
	err := errors.Join(l.Log.Close(), l.file.Truncate(l.end), l.file.Close())
	if l.aside != nil {
		err = errors.Join(err, l.aside.close())
	}
	return err
}
