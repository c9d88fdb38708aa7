package actors

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// replayPool applies records in parallel. A user's records all go to one worker,
// in their order. They travel in batches, because handing over a single one costs
// more than applying it.
type replayPool struct {
	x        *Exchange
	workers  []*replayWorker
	free     chan *replayBatch // bounds how far the reader is ahead
	failed   atomic.Bool
	finished sync.WaitGroup
}

// replayBatch is a few hundred records, one after another in buf.
type replayBatch struct {
	buf []byte
	at  []replayRecord
}

type replayRecord struct {
	position persistence.Position
	end      int // of the record in buf
}

// Where a batch ends, and how many there are for a worker.
const (
	replayBatchBytes   = 64 << 10
	replayBatchRecords = 512
	replayBatches      = 4
)

// replayWorker owns the accounts of its users until the pool has finished.
type replayWorker struct {
	pool     *replayPool
	in       chan *replayBatch
	filling  *replayBatch // the reader's
	accounts map[account.UserID]*recovered
	decoder  account.Decoder
	record   account.Record
	applied  atomic.Uint64 // events
	err      error
	errAt    persistence.Position
}

// recovered is an account that is being replayed. Its State is what is published
// at the end, without a copy.
type recovered struct {
	account.Account
	known uint64 // records up to this one were in the snapshot
}

func newReplayPool(x *Exchange, workers int) *replayPool {
	p := &replayPool{x: x, free: make(chan *replayBatch, workers*replayBatches)}
	for range workers * replayBatches {
		p.free <- &replayBatch{}
	}
	for range workers {
		w := &replayWorker{pool: p, in: make(chan *replayBatch, replayBatches), accounts: map[account.UserID]*recovered{}}
		p.workers = append(p.workers, w)
		p.finished.Add(1)
		go w.run()
	}
	return p
}

// add copies a record for its user's worker.
func (p *replayPool) add(at persistence.Position, encoded []byte) error {
	id, err := account.RecordUser(encoded)
	if err != nil {
		return replayError(at, err)
	}
	w := p.workers[int(id[len(id)-1])%len(p.workers)]
	b := w.filling
	if b == nil {
		b = <-p.free
		w.filling = b
	}
	b.buf = append(b.buf, encoded...)
	b.at = append(b.at, replayRecord{at, len(b.buf)})
	if len(b.buf) >= replayBatchBytes || len(b.at) == replayBatchRecords {
		w.in <- b
		w.filling = nil
		if p.failed.Load() {
			return errStopped
		}
	}
	return nil
}

// finish waits for what was added, and publishes the accounts unless something
// failed: reading the log, with err, or applying a record.
func (p *replayPool) finish(err error) error {
	for _, w := range p.workers {
		if w.filling != nil {
			w.in <- w.filling
		}
		close(w.in)
	}
	p.finished.Wait()
	var first *replayWorker
	for _, w := range p.workers {
		if w.err != nil && (first == nil || before(w.errAt, first.errAt)) {
			first = w
		}
	}
	switch {
	case first != nil && (err == nil || errors.Is(err, errStopped)):
		return replayError(first.errAt, first.err)
	case err != nil:
		return err
	}
	for _, w := range p.workers {
		p.finished.Add(1)
		go w.publish()
	}
	p.finished.Wait()
	return nil
}

func before(a, b persistence.Position) bool {
	return a.Frame < b.Frame || (a.Frame == b.Frame && a.Record < b.Record)
}

func replayError(at persistence.Position, err error) error {
	return fmt.Errorf("frame %d, record %d: %w", at.Frame, at.Record, err)
}

// events returns how many have been applied so far.
func (p *replayPool) events() uint64 {
	var sum uint64
	for _, w := range p.workers {
		sum += w.applied.Load()
	}
	return sum
}

// run applies batches until there are no more. After an error it only takes them.
func (w *replayWorker) run() {
	defer w.pool.finished.Done()
	for b := range w.in {
		start, events := 0, uint64(0)
		for _, r := range b.at {
			if w.err != nil {
				break
			}
			n, err := w.apply(b.buf[start:r.end])
			if err != nil {
				w.err, w.errAt = err, r.position
				w.pool.failed.Store(true)
			}
			events += uint64(n)
			start = r.end
		}
		w.applied.Add(events)
		b.buf, b.at = b.buf[:0], b.at[:0]
		w.pool.free <- b
	}
}

// apply applies one record, exactly as its actor did, and returns the number of
// its events. What the snapshot has already is skipped.
func (w *replayWorker) apply(encoded []byte) (events int, err error) {
	id, seq, err := account.RecordHead(encoded)
	if err != nil {
		return 0, err
	}
	a := w.accounts[id]
	if a == nil {
		a = &recovered{}
		if u, ok := w.pool.x.directory.users.Load(id); ok {
			a.Account = *account.Resume(u.durable.Load())
			a.known = a.Seq
		} else {
			a.Account = *account.New(id)
		}
		w.accounts[id] = a
	}
	if seq <= a.known {
		return 0, nil
	}
	if err := w.decoder.Decode(&w.record, encoded); err != nil {
		return 0, err
	}
	return len(w.record.Events), a.Apply(&w.record)
}

// publish makes the accounts what everybody reads.
func (w *replayWorker) publish() {
	defer w.pool.finished.Done()
	for id, a := range w.accounts {
		u, ok := w.pool.x.directory.users.Load(id)
		if !ok {
			u = &user{id: id}
			w.pool.x.directory.users.Store(id, u)
		}
		u.durable.Store(&a.State)
	}
}
