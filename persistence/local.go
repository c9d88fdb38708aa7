package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/tidwall/wal"
)

// LocalConfig says where a Local keeps its log.
type LocalConfig struct {
	// Dir is the data directory, made if it is not there. It holds
	//
	//	lock            the id of the process that uses it
	//	log/0000/       the segments of shard 0
	//	snapshots/      (to come)
	Dir string
	// SegmentBytes is the size at which a segment ends. Default 20 MiB.
	SegmentBytes int
	// Logger is told of a tail that was cut off. Default: discard.
	Logger *slog.Logger

	// files stands between the log and its files. Default: the real ones.
	files files
}

// files is how a Local changes files: the seam at which tests let a disk fail.
type files interface {
	openLog(dir string, segmentBytes int) (logFile, error)
	truncate(path string, size int64) error // and syncs the file
	remove(path string) error
	syncDir(dir string) error
}

// logFile is the part of *wal.Log that is used to append.
type logFile interface {
	Write(index uint64, data []byte) error
	Sync() error
	Close() error
}

// Local is a Log on this machine's disk. The directory's lock is its fence: one
// process at a time has it, and counts its epoch one up.
type Local struct {
	dir   string // of the data
	log   *slog.Logger
	files files
	lock  *dirLock

	// What follows is for the one goroutine that claims, replays and appends.
	shardDir string
	segBytes int
	segments []segment
	tail     *segmentReader // of the last segment; nil once appended to
	claim    Claim
	out      logFile
	failed   error // the first failure to write; nothing is written after it

	truncating sync.Mutex // one TruncateFront at a time
}

// OpenLocal locks the data directory. A *LockedError names the process that has it.
func OpenLocal(cfg LocalConfig) (*Local, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.SegmentBytes == 0 {
		cfg.SegmentBytes = 20 << 20
	}
	if cfg.files == nil {
		cfg.files = osFiles{}
	}
	l := &Local{dir: cfg.Dir, log: cfg.Logger, files: cfg.files, segBytes: cfg.SegmentBytes}
	if err := l.makeDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	l.lock = lock
	return l, nil
}

func shardDir(dir string, shard uint16) string {
	return filepath.Join(dir, "log", fmt.Sprintf("%04d", shard))
}

// makeDir makes dir and what leads to it, and syncs the directories they are in.
func (l *Local) makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := l.makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return l.files.syncDir(parent)
}

// Claim implements Log. It cuts off a torn tail, which it logs, and refuses
// damage in the last segment; Replay checks the others.
func (l *Local) Claim(shard uint16) (Claim, error) {
	if l.out != nil {
		return Claim{}, errors.New("the log has been claimed already")
	}
	l.shardDir = shardDir(l.dir, shard)
	if err := l.makeDir(l.shardDir); err != nil {
		return Claim{}, fmt.Errorf("data directory: %w", err)
	}
	segments, err := listSegments(l.shardDir)
	if err != nil {
		return Claim{}, err
	}
	l.segments = segments
	next, epoch, err := l.readTail(shard)
	if err != nil {
		return Claim{}, err
	}
	out, err := l.files.openLog(l.shardDir, l.segBytes)
	if err != nil {
		return Claim{}, fmt.Errorf("open the log in %s: %w", l.shardDir, err)
	}
	l.out = out
	if len(segments) == 0 { // the log has just made its first
		if err := l.files.syncDir(l.shardDir); err != nil {
			return Claim{}, err
		}
		l.segments = []segment{{path: filepath.Join(l.shardDir, segmentName(1)), first: 1}}
	}
	l.claim = Claim{Shard: shard, Epoch: epoch + 1, Next: next}
	return l.claim, nil
}

// readTail finds the end of the log, and repairs it where the last write was
// interrupted. An empty last segment takes the epoch from the one before.
func (l *Local) readTail(shard uint16) (next, epoch uint64, err error) {
	if len(l.segments) == 0 {
		return 1, 0, nil
	}
	for i := len(l.segments) - 1; i >= 0; i-- {
		last := i == len(l.segments)-1
		r, err := openSegment(l.segments[i], shard, 0)
		if err != nil {
			return 0, 0, err
		}
		for more := true; more; {
			if _, more, err = r.read(); err != nil {
				tail := r.tornTail(err, last)
				if tail == nil {
					return 0, 0, err
				}
				if err := l.cutOff(tail, r.next); err != nil {
					return 0, 0, err
				}
			}
		}
		if last {
			next = r.next
		}
		if r.epoch != 0 {
			return next, r.epoch, nil
		}
	}
	return next, 0, nil
}

// cutOff ends the last segment where the torn entry begins.
func (l *Local) cutOff(t *Tail, entry uint64) error {
	if err := l.files.truncate(t.File, t.Offset); err != nil {
		return fmt.Errorf("cut the torn tail off %s at offset %d: %w", t.File, t.Offset, err)
	}
	if err := l.files.syncDir(l.shardDir); err != nil {
		return err
	}
	l.log.Warn("cut off a torn tail: a batch that was being written when the service stopped, and was never acknowledged",
		slog.String("file", t.File), slog.Int64("offset", t.Offset), slog.Int64("bytes", t.Bytes),
		slog.Uint64("entry", entry), slog.String("reason", t.Reason))
	return nil
}

// Replay implements Log. It checks every frame from the segment that holds seq on.
func (l *Local) Replay(seq uint64, fn func(Frame) error) error {
	tail, err := walk(l.shardDir, l.claim.Shard, l.segments, seq, fn)
	if err == nil && tail != nil { // Claim has cut off what there was
		return &DamageError{File: tail.File, Offset: tail.Offset, Reason: "changed while it was read"}
	}
	return err
}

// Append implements Log.
func (l *Local) Append(seq uint64, frame []byte) error {
	switch {
	case l.out == nil:
		return errors.New("the log has not been claimed")
	case l.failed != nil:
		return l.failed
	case len(frame) < headerSize:
		return fmt.Errorf("%w: %d bytes", ErrFrame, len(frame))
	case binary.LittleEndian.Uint16(frame[6:]) != l.claim.Shard || binary.LittleEndian.Uint64(frame[8:]) != l.claim.Epoch:
		return ErrFenced
	case seq != l.claim.Next || binary.LittleEndian.Uint64(frame[16:]) != seq:
		return fmt.Errorf("%w: frame %d, next is %d", ErrSequence, seq, l.claim.Next)
	}
	if err := l.write(seq, frame); err != nil {
		l.failed = fmt.Errorf("write frame %d of %s: %w", seq, l.shardDir, err)
		return l.failed
	}
	l.claim.Next++
	return nil
}

// write makes one entry durable: its bytes and, where it began or ended a segment,
// the new file's name.
func (l *Local) write(seq uint64, frame []byte) error {
	if err := l.out.Write(seq, frame); err != nil {
		return err
	}
	if err := l.out.Sync(); err != nil {
		return err
	}
	// tidwall/wal begins a segment before an entry, when the last was too long, or
	// after one, when that made it long enough; the name tells.
	for _, first := range [...]uint64{seq, seq + 1} {
		if first == 1 {
			continue // made, and its directory synced, by Claim
		}
		_, err := os.Lstat(filepath.Join(l.shardDir, segmentName(first)))
		if err == nil {
			return l.files.syncDir(l.shardDir)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// TruncateFront implements Log. It removes whole segments only, oldest first, so
// that a crash in between leaves a log without a gap; and it keeps the one with
// the newest frame, which knows the epoch.
func (l *Local) TruncateFront(seq uint64) error {
	l.truncating.Lock()
	defer l.truncating.Unlock()
	segments, err := listSegments(l.shardDir)
	if err != nil {
		return err
	}
	removed := false
	for i := 0; i+2 < len(segments) && segments[i+1].first <= seq; i++ {
		if err := l.files.remove(segments[i].path); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return l.files.syncDir(l.shardDir)
}

// Close implements Log.
func (l *Local) Close() error {
	var err error
	if l.out != nil && l.failed == nil {
		err = l.out.Close()
	}
	return errors.Join(err, l.lock.unlock())
}

// osFiles are the real files.
type osFiles struct{}

func (osFiles) openLog(dir string, segmentBytes int) (logFile, error) {
	return wal.Open(dir, &wal.Options{
		NoSync:      true, // Local syncs once a frame, where a failure can be told apart
		SegmentSize: segmentBytes, SegmentCacheSize: 1, AllowEmpty: true, DirPerms: 0o750, FilePerms: 0o640,
	})
}

func (osFiles) truncate(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = file.Truncate(size)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (osFiles) remove(path string) error { return os.Remove(path) }

func (osFiles) syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", dir, err), file.Close())
	}
	return file.Close()
}

// Bytes returns how many bytes the log takes on disk, for the progress of a
// recovery. It may be called from any goroutine after Claim.
func (l *Local) Bytes() (int64, error) {
	segments, err := listSegments(l.shardDir)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range segments {
		info, err := os.Stat(s.path)
		if err != nil {
			return 0, fmt.Errorf("segment %s: %w", strconv.Quote(s.path), err)
		}
		sum += info.Size()
	}
	return sum, nil
}
