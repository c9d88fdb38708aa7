package persistence

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Completion is told what became of a record. Committed is called once, in the
// order of the appends, on the committer's goroutine: it must not block. nil means
// that the record is durable; an error, that it may or may not be.
type Completion interface {
	Committed(err error)
}

// Config is what a Journal needs. Only Log is required.
type Config struct {
	Log   Log
	Shard uint16

	// MaxQueuedRecords and MaxQueuedBytes bound what waits to be durable, the batch
	// that is being written included. Defaults 65,536 and 64 MiB.
	MaxQueuedRecords int
	MaxQueuedBytes   int
	// MaxBatchBytes is where a batch ends although more is waiting. Default 4 MiB.
	MaxBatchBytes int

	Logger *slog.Logger // default: discard
}

// MaxRecord is the largest record in bytes.
const MaxRecord = 1 << 20

// Journal makes records durable in batches: what arrives while one batch is
// written and synced is the next. There is no other delay, and one batch at a time
// is on its way. After a failed write it is poisoned: what the disk holds is
// unknown, so nothing is written, or acknowledged, ever again.
type Journal struct {
	cfg   Config
	claim Claim

	queuedRecords atomic.Int64 // reserved or waiting
	queuedBytes   atomic.Int64

	mu      sync.Mutex
	wakeup  sync.Cond // on mu: there is work, or the journal is closing
	queue   []*batch  // guarded by mu; the last is being filled, the first is next
	free    []*batch  // guarded by mu
	writing bool      // guarded by mu: a batch is on its way to the disk
	idle    bool      // guarded by mu: the committer sleeps
	started bool      // guarded by mu
	closing bool      // guarded by mu
	err     error     // guarded by mu: why it is poisoned

	failed   chan struct{} // closed when poisoned
	finished chan struct{} // closed when the committer has ended

	frames, records, bytes atomic.Uint64
	syncTime               atomic.Int64 // nanoseconds in Log.Append
}

// batch is a frame that is being filled and who waits for it. A completion
// without a record of its own is a barrier.
type batch struct {
	frame       []byte
	records     uint32
	recordBytes int64 // reserved for them
	completions []Completion
}

// Open claims the shard. What comes next is Replay, then Start.
func Open(cfg Config) (*Journal, error) {
	if cfg.MaxQueuedRecords == 0 {
		cfg.MaxQueuedRecords = 65_536
	}
	if cfg.MaxQueuedBytes == 0 {
		cfg.MaxQueuedBytes = 64 << 20
	}
	if cfg.MaxBatchBytes == 0 {
		cfg.MaxBatchBytes = 4 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	claim, err := cfg.Log.Claim(cfg.Shard)
	if err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg, claim: claim, failed: make(chan struct{}), finished: make(chan struct{})}
	j.wakeup.L = &j.mu
	return j, nil
}

// Replay calls fn with every record from frame number seq on, in order, before
// Start. A record is valid only during the call.
func (j *Journal) Replay(seq uint64, fn func(Position, []byte) error) error {
	return j.cfg.Log.Replay(seq, func(f Frame) error {
		return f.Records(func(i uint32, record []byte) error {
			return fn(Position{Frame: f.Seq, Record: i}, record)
		})
	})
}

// Start writes the claim's first frame, which has no record: it counts the epoch
// and proves that the disk can be written. From then on records are taken.
func (j *Journal) Start() error {
	if err := j.write(&batch{frame: beginFrame(nil)}); err != nil {
		return err
	}
	j.mu.Lock()
	j.started = true
	j.mu.Unlock()
	go j.commit()
	return nil
}

// Reserve books room for one record of the given length, so that the Append that
// must follow can't be refused. It returns ErrQueueFull, ErrRecordTooLarge,
// ErrClosed, or an error wrapping ErrPoisoned.
func (j *Journal) Reserve(length int) error {
	if length > MaxRecord {
		return fmt.Errorf("%w: %d bytes, %d are the limit", ErrRecordTooLarge, length, MaxRecord)
	}
	if j.queuedRecords.Add(1) > int64(j.cfg.MaxQueuedRecords) {
		j.queuedRecords.Add(-1)
		return ErrQueueFull
	}
	size := int64(recordSize(length))
	if j.queuedBytes.Add(size) > int64(j.cfg.MaxQueuedBytes) {
		j.queuedBytes.Add(-size)
		j.queuedRecords.Add(-1)
		return ErrQueueFull
	}
	return nil
}

// Append queues a copy of record, for which room was reserved, and never waits.
// It may be called from any goroutine; c learns the outcome.
func (j *Journal) Append(record []byte, c Completion) {
	j.mu.Lock()
	if err := j.refusal(); err != nil {
		j.mu.Unlock()
		j.release(1, int64(recordSize(len(record))))
		c.Committed(err)
		return
	}
	b := j.filling(recordSize(len(record)))
	before := len(b.frame)
	b.frame = appendRecord(b.frame, record)
	b.records++
	b.recordBytes += int64(len(b.frame) - before)
	b.completions = append(b.completions, c)
	j.wake()
	j.mu.Unlock()
}

// Barrier has c told when everything appended before is durable: at once, on the
// caller's goroutine, if nothing is under way.
func (j *Journal) Barrier(c Completion) {
	j.mu.Lock()
	err := j.refusal()
	if err != nil || (len(j.queue) == 0 && !j.writing) {
		j.mu.Unlock()
		c.Committed(err)
		return
	}
	b := j.filling(0)
	b.completions = append(b.completions, c)
	j.wake()
	j.mu.Unlock()
}

// refusal says why nothing more is taken. The caller holds mu.
func (j *Journal) refusal() error {
	switch {
	case j.err != nil:
		return j.err
	case j.closing || !j.started:
		return ErrClosed
	}
	return nil
}

// filling returns the batch that takes size more bytes. The caller holds mu.
func (j *Journal) filling(size int) *batch {
	if n := len(j.queue); n > 0 {
		if b := j.queue[n-1]; len(b.frame)+size <= j.cfg.MaxBatchBytes {
			return b
		}
	}
	var b *batch
	if n := len(j.free); n > 0 {
		b, j.free = j.free[n-1], j.free[:n-1]
	} else {
		b = &batch{}
	}
	b.frame = beginFrame(b.frame)
	j.queue = append(j.queue, b)
	return b
}

// wake starts the committer if it sleeps. The caller holds mu.
func (j *Journal) wake() {
	if j.idle {
		j.idle = false
		j.wakeup.Signal()
	}
}

// commit writes batch after batch until the journal closes or is poisoned.
func (j *Journal) commit() {
	defer close(j.finished)
	for {
		j.mu.Lock()
		for len(j.queue) == 0 && !j.closing {
			j.idle = true
			j.wakeup.Wait()
		}
		j.idle = false
		if len(j.queue) == 0 {
			j.mu.Unlock()
			return
		}
		b := j.queue[0]
		j.queue = append(j.queue[:0], j.queue[1:]...)
		j.writing = true
		j.mu.Unlock()

		if b.records > 0 {
			if err := j.write(b); err != nil {
				j.poison(b, err)
				return
			}
		}
		j.release(int64(b.records), b.recordBytes)
		for i, c := range b.completions {
			c.Committed(nil)
			b.completions[i] = nil
		}
		j.mu.Lock()
		j.writing = false
		j.recycle(b)
		j.mu.Unlock()
	}
}

// write seals the batch's frame and makes it durable.
func (j *Journal) write(b *batch) error {
	sealFrame(b.frame, j.claim.Shard, j.claim.Epoch, j.claim.Next, b.records)
	start := time.Now()
	if err := j.cfg.Log.Append(j.claim.Next, b.frame); err != nil {
		return err
	}
	j.syncTime.Add(int64(time.Since(start)))
	j.claim.Next++
	j.frames.Add(1)
	j.records.Add(uint64(b.records))
	j.bytes.Add(uint64(len(b.frame)))
	return nil
}

// recycle keeps a batch for its buffers, unless a burst has made them large. The
// caller holds mu.
func (j *Journal) recycle(b *batch) {
	const keep = 4
	if len(j.free) < keep && cap(b.frame) <= 2*j.cfg.MaxBatchBytes {
		*b = batch{frame: b.frame[:0], completions: b.completions[:0]}
		j.free = append(j.free, b)
	}
}

func (j *Journal) release(records, bytes int64) {
	j.queuedRecords.Add(-records)
	j.queuedBytes.Add(-bytes)
}

// poison ends the journal. The outcome of everything queued is unknown.
func (j *Journal) poison(current *batch, cause error) {
	j.mu.Lock()
	j.err = fmt.Errorf("%w: %w", ErrPoisoned, cause)
	err, queue := j.err, j.queue
	j.queue = nil
	j.mu.Unlock()
	close(j.failed)
	for _, b := range append([]*batch{current}, queue...) {
		j.release(int64(b.records), b.recordBytes)
		for _, c := range b.completions {
			c.Committed(err)
		}
	}
}

// Failed is closed when the journal is poisoned; Err then says why.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err returns an error wrapping ErrPoisoned and the cause, or nil.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Close makes everything appended durable, refuses what comes later, and closes
// the log. It returns why the journal is poisoned, if it is.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return ErrClosed
	}
	j.closing = true
	started := j.started
	j.wakeup.Signal()
	j.mu.Unlock()
	if started {
		<-j.finished
	}
	return errors.Join(j.Err(), j.cfg.Log.Close())
}

// Stats are counters and gauges since Open.
type Stats struct {
	Frames, Records, Bytes uint64        // made durable
	SyncTime               time.Duration // spent writing and syncing them
	QueuedRecords          int64
	QueuedBytes            int64
	Epoch                  uint64
}

// Stats returns the counters of this moment. Any goroutine may call it.
func (j *Journal) Stats() Stats {
	return Stats{
		Frames: j.frames.Load(), Records: j.records.Load(), Bytes: j.bytes.Load(),
		SyncTime:      time.Duration(j.syncTime.Load()),
		QueuedRecords: j.queuedRecords.Load(), QueuedBytes: j.queuedBytes.Load(),
		Epoch: j.claim.Epoch,
	}
}
