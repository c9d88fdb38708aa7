package persistence

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/aitbc/exchange/persistence/format"
)

// Position says where a record stands in the log.
type Position = format.Position

// Completion learns the outcome of a record. Committed is called once, in the
// order of the appends, on the committer's goroutine: it must not block. nil means
// that the record is durable; an error, that it may or may not be.
type Completion interface {
	Committed(err error)
}

// Config holds the parts and limits of a Journal. Only Log is required.
type Config struct {
	Log   Log // closed by the journal's Close
	Shard uint16
	// Snapshots is where snapshots are kept, after the log's claim: a local.Log is its
	// own. nil keeps none, and the log grows.
	Snapshots SnapshotStore

	// MaxQueuedRecords and MaxQueuedBytes bound the records that are reserved or wait to
	// be durable, the batch that is being written included; beyond them Reserve refuses.
	// Defaults 65,536 and 64 MiB.
	MaxQueuedRecords int
	MaxQueuedBytes   int
	// MaxBatchBytes is where a batch ends although more is waiting. A larger record
	// is a batch of its own. Default 4 MiB.
	MaxBatchBytes int

	Logger *slog.Logger // default: discard
}

// MaxRecord is the largest record in bytes.
const MaxRecord = 1 << 20

// setDefaults fills in the defaults of zero fields and refuses values out of range.
func (cfg *Config) setDefaults() error {
	if cfg.Log == nil {
		return errors.New("a journal needs a log")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for _, limit := range []struct {
		name     string
		value    *int
		standard int
	}{
		{"MaxQueuedRecords", &cfg.MaxQueuedRecords, 65_536},
		{"MaxQueuedBytes", &cfg.MaxQueuedBytes, 64 << 20},
		{"MaxBatchBytes", &cfg.MaxBatchBytes, 4 << 20},
	} {
		if *limit.value == 0 {
			*limit.value = limit.standard
		}
		if *limit.value < 0 || *limit.value > math.MaxInt32 { // a frame counts in 32 bits
			return fmt.Errorf("%s is %d, must be 1 to %d", limit.name, *limit.value, math.MaxInt32)
		}
	}
	return nil
}

// Journal makes records durable in batches: the records that arrive while one batch is
// written and synced are the next. There is no other delay, and one batch at a time is
// in flight. After a failed write it is poisoned: the content of the disk is unknown, so
// nothing is written, or acknowledged, ever again. See the package's comment.
type Journal struct {
	cfg   Config
	claim Claim // Next is the committer's, once started

	mu            sync.Mutex
	wakeup        sync.Cond // on mu: there is work, or the journal is closing
	queue         []*batch  // guarded by mu; the last is being filled, the first is next
	free          []*batch  // guarded by mu
	writing       bool      // guarded by mu: a batch is in flight, or its completions are
	idle          bool      // guarded by mu: the committer sleeps
	started       bool      // guarded by mu
	closing       bool      // guarded by mu
	queuedRecords int       // guarded by mu: reserved, or appended and not yet completed
	queuedBytes   int       // guarded by mu
	stats         Stats     // guarded by mu; the counters, not the gauges
	completed     uint64    // guarded by mu: the completions of all frames before it have run

	snapshotting sync.Mutex // one snapshot at a time; also held while the log is closed

	failed   chan struct{} // closed when poisoned
	cause    error         // written before failed is closed, read after
	finished chan struct{} // closed when the committer has ended
}

// Open claims the shard. Next come LoadSnapshot, Replay, then Start. After an error the
// log is still the caller's to close.
func Open(cfg Config) (*Journal, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	claim, err := cfg.Log.Claim(cfg.Shard)
	if err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg, claim: claim, failed: make(chan struct{}), finished: make(chan struct{})}
	j.wakeup.L = &j.mu
	j.stats.Epoch, j.stats.Next = claim.Epoch, claim.Next
	return j, nil
}

// Replay calls fn with every record from frame number from on, in order, before
// Start. It checks every frame of the log, whichever log that is. A record is valid
// only during the call; an error of fn is returned as it is.
func (j *Journal) Replay(from uint64, fn func(p Position, record []byte) error) error {
	next := max(from, 1)
	err := j.cfg.Log.Replay(from, func(seq uint64, encoded []byte) error {
		frame, err := format.DecodeFrame(encoded)
		if err != nil {
			return fmt.Errorf("frame %d: %w", seq, err)
		}
		if seq != next || frame.Seq != seq || frame.Shard != j.claim.Shard {
			return fmt.Errorf("%w: frame %d of shard %d came as number %d, frame %d of shard %d must come", ErrSequence, frame.Seq, frame.Shard, seq, next, j.claim.Shard)
		}
		next++
		for i, record := range frame.Records() {
			if err := fn(Position{Frame: seq, Record: i}, record); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && next != j.claim.Next {
		err = fmt.Errorf("%w: the log ended before frame %d, the next to write is %d", ErrSequence, next, j.claim.Next)
	}
	return err
}

// Start writes the claim's first frame, which has no record: it counts the epoch,
// proves that the disk can be written, and makes the replayed records durable. From
// then on records are taken.
func (j *Journal) Start() error {
	j.mu.Lock()
	started, closing := j.started, j.closing
	j.mu.Unlock()
	if closing {
		return ErrClosed
	}
	if started {
		panic("persistence: a journal was started twice")
	}
	first := &batch{frame: format.BeginFrame(nil)}
	if err := j.write(first); err != nil {
		return err
	}
	j.cfg.Logger.Info("journal started", slog.Uint64("shard", uint64(j.claim.Shard)),
		slog.Uint64("epoch", j.claim.Epoch), slog.Uint64("next", j.claim.Next))
	j.mu.Lock()
	j.started, j.completed = true, j.claim.Next
	j.mu.Unlock()
	go j.commit()
	return nil
}

// Reserve books room for one record of the given length in bytes. The Append that
// must follow has a record of that length and can't be refused for want of room.
// It returns ErrQueueFull, ErrRecordTooLarge, ErrClosed, also before Start, or an
// error wrapping ErrPoisoned and the cause.
func (j *Journal) Reserve(recordBytes int) error {
	if recordBytes < 0 || recordBytes > MaxRecord {
		return fmt.Errorf("%w: %d bytes, %d are the limit", ErrRecordTooLarge, recordBytes, MaxRecord)
	}
	size := format.RecordSize(recordBytes)
	if size > j.cfg.MaxQueuedBytes {
		return fmt.Errorf("%w: it takes %d bytes, the queue %d", ErrRecordTooLarge, size, j.cfg.MaxQueuedBytes)
	}
	if err := j.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !j.accepting():
		return ErrClosed
	case j.queuedRecords >= j.cfg.MaxQueuedRecords || j.queuedBytes+size > j.cfg.MaxQueuedBytes:
		return ErrQueueFull
	}
	j.queuedRecords++
	j.queuedBytes += size
	return nil
}

// Append queues a copy of record, for which room was reserved, and never waits.
// It may be called from any goroutine. c learns the outcome; on a journal that is
// not started or is closed, c is called with ErrClosed on the caller's goroutine.
func (j *Journal) Append(record []byte, c Completion) {
	size := format.RecordSize(len(record))
	j.mu.Lock()
	if !j.accepting() {
		j.release(1, size)
		j.mu.Unlock()
		c.Committed(ErrClosed)
		return
	}
	if j.queuedRecords == 0 || j.queuedBytes < size {
		records, bytes := j.queuedRecords, j.queuedBytes
		j.mu.Unlock()
		panic(fmt.Sprintf("persistence: append of %d bytes without a reservation: %d bytes are reserved for %d records", size, bytes, records))
	}
	b := j.filling(size)
	b.frame = format.AppendRecord(b.frame, record)
	b.records++
	b.completions = append(b.completions, c)
	j.wake()
	j.mu.Unlock()
}

// Barrier has c called when everything appended before is durable: at once, on the
// caller's goroutine, if nothing is under way or the journal takes nothing. A barrier
// needs no reservation: callers that each wait for theirs limit how many there are.
func (j *Journal) Barrier(c Completion) {
	j.mu.Lock()
	if !j.accepting() {
		j.mu.Unlock()
		c.Committed(ErrClosed)
		return
	}
	if len(j.queue) == 0 && !j.writing {
		j.mu.Unlock()
		c.Committed(j.Err())
		return
	}
	b := j.filling(0)
	b.completions = append(b.completions, c)
	j.wake()
	j.mu.Unlock()
}

// Failed is closed when the journal is poisoned; Err then says why.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err returns an error wrapping ErrPoisoned and the cause, or nil.
func (j *Journal) Err() error {
	select {
	case <-j.failed:
		return j.cause
	default:
		return nil
	}
}

// Close refuses later records, makes everything appended durable, calls its
// completions, and closes the log. It returns why the journal is poisoned, if it
// is; the second call returns ErrClosed. It must not be called by a completion.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return ErrClosed
	}
	j.closing = true
	started := j.started
	j.wake()
	j.mu.Unlock()
	if started {
		<-j.finished
	}
	j.snapshotting.Lock() // one that is under way sees closing, and ends
	defer j.snapshotting.Unlock()
	return errors.Join(j.Err(), j.cfg.Log.Close())
}

// Stats are counters since Open and gauges of the moment.
type Stats struct {
	Frames   uint64        // made durable, each with one write and one sync
	Records  uint64        // in them
	Bytes    uint64        // of the frames
	SyncTime time.Duration // spent writing and syncing them

	LastBatchRecords int
	LastBatchBytes   int

	QueuedRecords int64 // reserved or waiting to be durable
	QueuedBytes   int64

	Epoch uint64
	Next  uint64 // number of the next frame
}

// Stats returns the counters of this moment. Any goroutine may call it.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	stats := j.stats
	stats.QueuedRecords, stats.QueuedBytes = int64(j.queuedRecords), int64(j.queuedBytes)
	return stats
}
