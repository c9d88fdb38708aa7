package persistence

import (
	"fmt"
	"time"

	"github.com/aitbc/exchange/persistence/format"
)

// batch is a frame that is being filled, and the completions that wait for it. A
// completion without a record of its own is a barrier. A batch belongs to the journal's mutex
// while it is queued, then to the committer.
type batch struct {
	frame       []byte
	records     int
	completions []Completion
}

// bytes is the room that was reserved for the batch's records.
func (b *batch) bytes() int { return len(b.frame) - format.FrameHeaderSize }

// commit is the committer: it writes batch after batch until the journal closes.
// Once poisoned it writes no more, and calls every completion that waits or comes
// later with the cause, still in order.
func (j *Journal) commit() {
	defer close(j.finished)
	for b := j.next(nil); b != nil; b = j.next(b) {
		err := j.Err()
		if err == nil && b.records > 0 {
			if err = j.write(b); err != nil {
				err = j.poison(err)
			}
		}
		j.mu.Lock()
		j.release(b.records, b.bytes())
		j.mu.Unlock()
		for i, c := range b.completions {
			c.Committed(err)
			b.completions[i] = nil
		}
	}
}

// next takes back the batch that is done, and waits for one to write. It returns
// nil when the journal is closing and nothing is left.
func (j *Journal) next(done *batch) *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if done != nil {
		j.recycle(done)
		j.completed = j.claim.Next
	}
	j.writing = false
	for len(j.queue) == 0 {
		if j.closing {
			return nil
		}
		j.idle = true
		j.wakeup.Wait()
	}
	b := j.queue[0]
	j.queue = append(j.queue[:0], j.queue[1:]...)
	j.writing = true
	return b
}

// write seals the batch's frame and makes it durable.
func (j *Journal) write(b *batch) error {
	start := time.Now()
	format.SealFrame(b.frame, j.claim.Shard, j.claim.Epoch, j.claim.Next, uint32(b.records))
	if err := j.cfg.Log.Append(j.claim.Next, b.frame); err != nil {
		return err
	}
	took := time.Since(start)
	j.claim.Next++
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Frames++
	j.stats.Records += uint64(b.records)
	j.stats.Bytes += uint64(len(b.frame))
	j.stats.SyncTime += took
	j.stats.LastBatchRecords, j.stats.LastBatchBytes = b.records, len(b.frame)
	j.stats.Next = j.claim.Next
	return nil
}

// poison ends the journal's writing for ever, and returns the error for all completions.
func (j *Journal) poison(cause error) error {
	j.cause = fmt.Errorf("%w: %w", ErrPoisoned, cause)
	close(j.failed)
	return j.cause
}

// accepting reports whether records are taken. The caller holds mu.
func (j *Journal) accepting() bool { return j.started && !j.closing }

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
	b.frame = format.BeginFrame(b.frame)
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

// release gives room back. The caller holds mu.
func (j *Journal) release(records, bytes int) {
	j.queuedRecords -= records
	j.queuedBytes -= bytes
	if j.queuedRecords < 0 || j.queuedBytes < 0 || (j.queuedRecords == 0) != (j.queuedBytes == 0) {
		panic(fmt.Sprintf("persistence: %d records and %d bytes stay reserved: a record had not the length that was reserved for it", j.queuedRecords, j.queuedBytes))
	}
}

// recycle keeps a batch for its buffers: one is filled while another is written.
// More come about, or larger ones, only when a burst outruns the disk. The caller
// holds mu.
func (j *Journal) recycle(b *batch) {
	const keep = 2
	if len(j.free) == keep || cap(b.frame) > 2*j.cfg.MaxBatchBytes {
		return
	}
	*b = batch{frame: b.frame[:0], completions: b.completions[:0]}
	j.free = append(j.free, b)
}
