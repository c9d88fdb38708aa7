package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/aitbc/exchange/persistence"
)

// Config says where a Log keeps its files.
type Config struct {
	// Dir is the data directory, made if it is not there. It holds
	//
	//	lock            the id of the process that uses it
	//	log/0000/       the segments of shard 0
	//	snapshot/0000/  its snapshots, each named by its Next in 20 digits; .tmp while written
	Dir string
	// SegmentBytes is the size at which a segment ends. Default 20 MiB. The last
	// segment is held in memory.
	SegmentBytes int
	// Logger gets a warning when a torn tail is cut off. Default: discard.
	Logger *slog.Logger

	// files stands between the log and its files. Default: the real ones.
	files files
	// syncEvery is how much of a snapshot is written before it is synced. Default
	// 2 MiB.
	syncEvery int
}

const defaultSegmentBytes = 20 << 20

// Log is a persistence.Log and a persistence.SnapshotStore on this machine's disk. The
// directory's lock is its fence: one process at a time has it, and counts its epoch one up.
//
// Claim reads the last segment, to learn where the log ends. Replay reads every segment,
// checks every frame, and that none is missing between them. The first Append does so if no Replay has, then opens the log; until then
// nothing of it is changed, a torn tail included.
type Log struct {
	dir          string // the data directory
	log          *slog.Logger
	files        files
	segmentBytes int
	lock         *dirLock

	// For the one goroutine that claims, replays and appends; shardDir is set by the
	// first Claim and then for all to read.
	shardDir string
	claim    persistence.Claim
	appended bool // since the claim

	// Found by Claim and Replay, until the log is opened.
	segments []segment
	tail     []byte // the last segment up to its last whole entry
	torn     *Tail  // the bytes after it; nil if there are none
	checked  bool   // every frame has been

	out    logFile // nil until the first Append
	newest uint64  // first frame of the segment that is written to

	truncating sync.Mutex // one TruncateFront at a time

	mu     sync.Mutex // also held while the directory is synced: one failure fails all
	opened bool       // guarded by mu: out is open
	failed error      // guarded by mu: why nothing is ever written again

	syncEvery       int   // bytes
	snapshotsOpened bool  // for the one snapshot at a time: its directory is durable
	snapshotsFailed error // guarded by mu: why no more snapshots are written
}

// Open makes and locks the data directory. Its error names the path; a
// *LockedError names the process that has the lock.
func Open(cfg Config) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.SegmentBytes == 0 {
		cfg.SegmentBytes = defaultSegmentBytes
	}
	if cfg.SegmentBytes < 0 {
		return nil, fmt.Errorf("segment size of %d bytes", cfg.SegmentBytes)
	}
	if cfg.files == nil {
		cfg.files = osFiles{}
	}
	if cfg.syncEvery == 0 {
		cfg.syncEvery = defaultSyncEvery
	}
	l := &Log{dir: cfg.Dir, log: cfg.Logger, files: cfg.files, segmentBytes: cfg.SegmentBytes, syncEvery: cfg.syncEvery}
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

// makeDir makes dir and its missing parents, and syncs the directory that each new
// one is in.
func (l *Log) makeDir(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case err == nil:
		return l.syncIfEmpty(dir)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := l.makeDir(parent); err != nil {
		return err
	}
	if err := l.files.mkdir(dir); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return l.files.syncDir(parent)
}

// syncIfEmpty syncs the directory that an empty one is in: the process that made dir may
// have ended before that, and whatever is put into it now would be lost with its name. One
// that holds something was synced first. Where that directory can't be read, somebody
// else has made dir.
func (l *Log) syncIfEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	if err := l.files.syncDir(filepath.Dir(dir)); !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// Claim implements persistence.Log. A later claim on the same Log must be for the same shard.
// A *persistence.DamageError refuses a log whose end can't be found.
func (l *Log) Claim(shard uint16) (persistence.Claim, error) {
	if err := l.failure(); err != nil {
		return persistence.Claim{}, err
	}
	if l.shardDir != "" {
		if shard != l.claim.Shard {
			return persistence.Claim{}, fmt.Errorf("shard %d: this log has claimed shard %d", shard, l.claim.Shard)
		}
		segments, err := listSegments(l.shardDir)
		if err != nil {
			return persistence.Claim{}, err
		}
		l.claim.Epoch++
		l.claim.First = firstOf(segments, l.claim.Next)
		l.appended = false
		return l.claim, nil
	}
	dir := shardDir(l.dir, shard)
	if err := l.makeDir(dir); err != nil {
		return persistence.Claim{}, fmt.Errorf("data directory: %w", err)
	}
	segments, err := listSegments(dir)
	if err != nil {
		return persistence.Claim{}, err
	}
	next, epoch, err := l.findEnd(dir, shard, segments)
	if err != nil {
		return persistence.Claim{}, err
	}
	l.shardDir, l.segments = dir, segments
	l.claim = persistence.Claim{Shard: shard, Epoch: epoch + 1, First: firstOf(segments, next), Next: next}
	return l.claim, nil
}

// firstOf returns the number of the oldest frame, next if there is none.
func firstOf(segments []segment, next uint64) uint64 {
	if len(segments) == 0 {
		return next
	}
	return segments[0].first
}

// findEnd reads the last segment, and keeps it for Replay. If it is empty, the
// one before knows the epoch.
func (l *Log) findEnd(dir string, shard uint16, segments []segment) (next, epoch uint64, err error) {
	next, l.torn = 1, nil
	for i := len(segments) - 1; i >= 0 && epoch == 0; i-- {
		last := i == len(segments)-1
		buf, err := loadSegment(segments[i], nil)
		if err != nil {
			return 0, 0, fmt.Errorf("read a segment: %w", err)
		}
		r := segmentReader{segment: segments[i], shard: shard, buf: buf, next: segments[i].first}
		for more := true; more; {
			var damage *persistence.DamageError
			if _, more, damage = r.read(); damage != nil {
				if l.torn = r.tornTail(damage, last); l.torn == nil {
					return 0, 0, damage
				}
			}
		}
		if last {
			next, l.tail = r.next, buf[:r.off]
		}
		epoch = r.epoch
	}
	if epoch == 0 && next != 1 {
		return 0, 0, noEpoch(dir, next)
	}
	return next, epoch, nil
}

// Replay implements persistence.Log. Whatever from is, it checks every frame there is.
func (l *Log) Replay(from uint64, fn func(seq uint64, frame []byte) error) error {
	if l.shardDir == "" {
		return errNotClaimed
	}
	if l.appended {
		return errors.New("the log can't be replayed once it was appended to")
	}
	segments, load := l.segments, segmentLoader(l.loadChecked)
	if l.out != nil { // claimed again
		var err error
		if segments, err = listSegments(l.shardDir); err != nil {
			return err
		}
		load = loadSegment
	}
	from = max(from, 1)
	if from > l.claim.Next {
		return &persistence.DamageError{File: l.shardDir, Entry: l.claim.Next, Reason: fmt.Sprintf("the log ends here, frames up to %d must have been in it", from-1)}
	}
	if len(segments) > 0 && segments[0].first > from {
		return &persistence.DamageError{File: l.shardDir, Entry: from, Reason: fmt.Sprintf("no segment has this entry; the first is %s", filepath.Base(segments[0].path))}
	}
	tail, err := walk(l.shardDir, l.claim.Shard, segments, load, from, func(e entry) error { return fn(e.Seq, e.raw) })
	if err != nil {
		return err
	}
	if tail != nil {
		return &persistence.DamageError{File: tail.File, Offset: tail.Offset, Entry: tail.Entry, Reason: "changed while the log was in use: " + tail.Reason}
	}
	l.checked = true
	return nil
}

var errNotClaimed = errors.New("the log has not been claimed")

// loadChecked returns the last segment as Claim has found it, any other from disk.
func (l *Log) loadChecked(s segment, buf []byte) ([]byte, error) {
	if s == l.segments[len(l.segments)-1] {
		return l.tail, nil
	}
	return loadSegment(s, buf)
}

// Bytes returns how many bytes the log takes on disk. It may be called from any
// goroutine after Claim.
func (l *Log) Bytes() (int64, error) {
	segments, err := listSegments(l.shardDir)
	if err != nil {
		return 0, err
	}
	return sizeOf(segments)
}

// Close implements persistence.Log. After a failure it leaves the files as they are.
func (l *Log) Close() error {
	l.truncating.Lock() // let one that is under way finish
	defer l.truncating.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.failed, persistence.ErrClosed) {
		return persistence.ErrClosed
	}
	var err error
	if l.out != nil && l.failed == nil {
		err = l.out.Close()
	}
	l.failed = persistence.ErrClosed
	return errors.Join(err, l.lock.unlock())
}
