package local

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// Append implements persistence.Log.
func (l *Log) Append(seq uint64, frame []byte) error {
	if l.shardDir == "" {
		return errNotClaimed
	}
	if err := l.failure(); err != nil {
		return err
	}
	header, err := format.DecodeHeader(frame)
	switch {
	case err != nil:
		return err
	case header.Shard != l.claim.Shard || header.Epoch != l.claim.Epoch:
		return fmt.Errorf("%w: frame of shard %d, epoch %d; the claim is of shard %d, epoch %d", persistence.ErrFenced, header.Shard, header.Epoch, l.claim.Shard, l.claim.Epoch)
	case seq != l.claim.Next || header.Seq != seq:
		return fmt.Errorf("%w: frame %d as number %d, the next is %d", persistence.ErrSequence, header.Seq, seq, l.claim.Next)
	}
	if l.out == nil {
		if err := l.open(); err != nil {
			return l.fail(fmt.Errorf("open the log in %s: %w", l.shardDir, err))
		}
	}
	l.appended = true
	if err := l.write(seq, frame); err != nil {
		return l.fail(fmt.Errorf("write frame %d in %s: %w", seq, l.shardDir, err))
	}
	l.claim.Next++
	return nil
}

// open puts the log on disk as Claim and Replay have found it, and opens it.
//
// The last segment is written anew, without its torn tail: the process before may
// have ended without a sync, or because one failed, and a page that the kernel
// could not write is in its cache as if it had. The replayed frames are thus durable
// before anybody acts on them. The directories are synced for the same reason.
func (l *Log) open() error {
	if !l.checked {
		if err := l.Replay(l.claim.Next, func(uint64, []byte) error { return nil }); err != nil {
			return err
		}
	}
	if n := len(l.segments); n > 0 {
		if err := l.files.rewrite(l.segments[n-1].path, l.tail); err != nil {
			return err
		}
	}
	if t := l.torn; t != nil {
		l.log.Warn("cut off a torn tail: a batch that was being written when the service stopped, and was never acknowledged",
			slog.String("file", t.File), slog.Int64("offset", t.Offset), slog.Int64("bytes", t.Bytes),
			slog.Uint64("entry", t.Entry), slog.String("reason", t.Reason))
	}
	out, err := l.files.openLog(l.shardDir, l.segmentBytes)
	if err != nil {
		return err
	}
	last, err := out.LastIndex()
	if err != nil {
		return err
	}
	if last+1 != l.claim.Next {
		panic(fmt.Sprintf("local: the log of %s ends with frame %d, for tidwall/wal with %d", l.shardDir, l.claim.Next-1, last))
	}
	segments, err := listSegments(l.shardDir)
	if err != nil {
		return err
	}
	for _, dir := range []string{l.shardDir, filepath.Dir(l.shardDir), l.dir} {
		if err := l.syncDir(dir); err != nil {
			return err
		}
	}
	l.out, l.newest = out, segments[len(segments)-1].first
	l.segments, l.tail, l.torn = nil, nil, nil
	l.mu.Lock()
	l.opened = true
	l.mu.Unlock()
	return nil
}

// write makes one entry durable: its bytes and, where it began or ended a segment,
// the new file's name.
func (l *Log) write(seq uint64, frame []byte) error {
	if err := l.out.Write(seq, frame); err != nil {
		return err
	}
	if err := l.out.Sync(); err != nil {
		return err
	}
	begun := l.out.Segment()
	if begun == l.newest {
		return l.failure() // of a TruncateFront meanwhile
	}
	l.newest = begun
	return l.syncDir(l.shardDir)
}

// TruncateFront implements persistence.Log. It may be called from any goroutine after Claim.
//
// It removes whole segments only, oldest first, and each for good before the next:
// a disk may keep any of several changes to a directory that was not synced, and
// the log would have a gap. It removes them itself: tidwall/wal would copy a part of
// one while appends wait, and never reads an old segment here. The last two stay,
// one of which has the newest frame, which knows the epoch. Nothing is removed
// before the first Append.
func (l *Log) TruncateFront(seq uint64) error {
	l.truncating.Lock()
	defer l.truncating.Unlock()
	l.mu.Lock()
	opened, err := l.opened, l.failed
	l.mu.Unlock()
	if err != nil || !opened {
		return err
	}
	segments, err := listSegments(l.shardDir)
	if err != nil {
		return err
	}
	for len(segments) > 2 && segments[1].first <= seq {
		if err := l.files.remove(segments[0].path); err != nil {
			return fmt.Errorf("remove a segment: %w", err)
		}
		if err := l.syncDir(l.shardDir); err != nil {
			return err
		}
		segments = segments[1:]
	}
	return nil
}

// syncDir syncs a directory. A failure is everybody's: the kernel reports it once, so
// it may concern a name that another goroutine has made.
func (l *Log) syncDir(dir string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = l.files.syncDir(dir)
	}
	return l.failed
}

// fail makes err the answer to everything that follows, and returns it.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
	return err
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}
