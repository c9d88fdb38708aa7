package local

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tidwall/wal"

	"github.com/aitbc/exchange/persistence/format"
)

// preallocatedLog is tidwall/wal's log in preallocated files: zeros follow the entries. An
// entry then changes neither the file's length nor which blocks it has, so that a sync
// writes its bytes and nothing else, which takes little more than half of the time
// (BenchmarkSync). PostgreSQL and etcd do the same.
//
// A file of its own is open for each segment beside tidwall/wal's, before anything is
// written there: so the kernel reports every failed write to it.
//
// An entry never begins with a zero, so zeros up to the end of a segment are no entry
// (see segmentReader). A segment that is over, and the last after Close, have none.
type preallocatedLog struct {
	*wal.Log
	dir          string
	segmentBytes int64
	growing      bool // not preallocated: the files grow by their entries

	first uint64   // of the segment that is written to
	file  *os.File // that segment
	end   int64    // of its entries
	size  int64    // of the file
	full  bool     // no more is preallocated: there was no room, or growing is set

	async        *asyncSync // nil: the kernel does not do it
	averageEntry int        // bytes; a moving average with the weight of eight entries
}

// preallocation is how many bytes of zeros a file is given at once, unless the disk would
// have less than preallocationReserve afterwards: zeros must not take the room of entries.
const (
	preallocation        = 1 << 20
	preallocationReserve = 64 << 20
)

// asyncFrom is the average length of an entry in bytes, some 16 records, from which on
// syncs are asynchronous: there is then enough to do besides, though a sync takes 20 to
// 30 % longer. Interleaved runs on two cores: with 256 connections that is 1.13 of the
// deposits/s; with 16, where the threads have nothing else to do, it would be 0.82.
const asyncFrom = 1536

// openPreallocated takes over log, whose last segment has no zeros yet.
func openPreallocated(log *wal.Log, dir string, segmentBytes int64, growing bool) (*preallocatedLog, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	l := &preallocatedLog{Log: log, dir: dir, segmentBytes: segmentBytes, growing: growing}
	if err := l.switchTo(segments[len(segments)-1].first); err != nil {
		return nil, err
	}
	l.async, _ = newAsyncSync() // else a thread waits
	return l, nil
}

// switchTo makes the segment that begins with the entry first the one that is written to.
func (l *preallocatedLog) switchTo(first uint64) (err error) {
	if l.file != nil {
		if err := errors.Join(l.file.Truncate(l.end), l.file.Close()); err != nil {
			return err
		}
	}
	l.first, l.full = first, l.growing
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
func (l *preallocatedLog) Write(index uint64, data []byte) error {
	l.averageEntry += (len(data) - l.averageEntry) / 8
	end := l.end + format.EntryLength(data)
	over := l.end > l.segmentBytes // tidwall/wal begins a segment before the entry
	if !over && !l.full && end > l.size {
		if err := l.preallocate(end); err != nil {
			return err
		}
	}
	if err := l.Log.Write(index, data); err != nil {
		return err
	}
	if over {
		if err := l.switchTo(index); err != nil {
			return err
		}
		end = l.end
	}
	l.end, l.size = end, max(l.size, end)
	if l.end >= l.segmentBytes { // and after one that has filled it
		return l.switchTo(index + 1)
	}
	return nil
}

// preallocate adds zeros to the file, so that it reaches to end at least. Where there is no
// room for that, there may be room for the entry.
func (l *preallocatedLog) preallocate(end int64) error {
	zeros := make([]byte, max(end-l.size, min(preallocation, l.segmentBytes-l.size)))
	free, err := osFiles{}.free(l.dir)
	if err != nil {
		return err
	}
	if free < uint64(len(zeros))+preallocationReserve {
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

// Sync implements logFile. The length of a file that was made longer is synced with it;
// only its times are not.
func (l *preallocatedLog) Sync() error {
	if l.async != nil && l.averageEntry >= asyncFrom {
		return l.async.sync(l.file.Fd())
	}
	return fdatasync(l.file.Fd())
}

// Segment implements logFile.
func (l *preallocatedLog) Segment() uint64 { return l.first }

// Close implements logFile.
func (l *preallocatedLog) Close() error {
	err := errors.Join(l.Log.Close(), l.file.Truncate(l.end), l.file.Close())
	if l.async != nil {
		err = errors.Join(err, l.async.close())
	}
	return err
}
