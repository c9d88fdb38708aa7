package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// Stage is a part of recovery.
type Stage string

// The stages of recovery, in their order.
const (
	StageSnapshot Stage = "snapshot" // reading accounts
	StageLog      Stage = "log"      // applying the records since
	StageIndex    Stage = "index"    // finding names, trades and what is pending
)

// Progress is how far recovery has come.
type Progress struct {
	Stage   Stage
	Done    uint64 // of Total: bytes of the snapshot, frames of the log, accounts to index
	Total   uint64 // 0 if unknown
	Records uint64 // read from the log, those that the snapshot held already included
	Events  uint64 // applied
	Took    time.Duration
	InStage time.Duration // of it, since the stage began
}

// Percent says how much of the stage is done.
func (p Progress) Percent() float64 {
	if p.Total == 0 {
		return 0
	}
	return 100 * min(1, float64(p.Done)/float64(p.Total))
}

// Remaining is how long the stage will take at the rate so far, 0 if unknown.
func (p Progress) Remaining() time.Duration {
	if p.Done == 0 || p.Done >= p.Total {
		return 0
	}
	return time.Duration(float64(p.InStage) * float64(p.Total-p.Done) / float64(p.Done))
}

// Recover reads the newest snapshot and the log after it into memory, starts the
// journal, and makes the exchange ready. progress is called now and then, from any
// goroutine but one at a time. An error names the record that does not fit;
// nothing is served then.
//
// Accounts are recovered in parallel, each by one goroutine: the records of one
// user are applied in their order, those of different users in any. What is known
// across users is made from the states afterwards, so that it does not depend on
// that order.
//
// Data that is tied to something else than Config.Identity is an *OtherIdentity.
func (x *Exchange) Recover(ctx context.Context, progress func(Progress)) error {
	r, err := x.recoverStopped(ctx, progress)
	if err != nil {
		return err
	}
	if err := x.noteRestore(); err != nil {
		return err
	}
	x.payments.start()
	x.notices.start()
	x.recoveries.start()
	x.snapshots.start(r.logBytes)
	if x.cfg.PassivateAfter > 0 {
		x.passive.start(x, x.cfg.PassivateAfter)
	}
	return nil
}

// RecoverStopped is Recover for a command on the data of a stopped service: neither the
// chain nor the clock does anything by itself.
func (x *Exchange) RecoverStopped(ctx context.Context) error {
	_, err := x.recoverStopped(ctx, func(Progress) {})
	return err
}

func (x *Exchange) recoverStopped(ctx context.Context, progress func(Progress)) (*recovery, error) {
	r := &recovery{x: x, ctx: ctx, progress: progress, start: time.Now(), workers: runtime.GOMAXPROCS(0)}
	from, err := r.loadSnapshot()
	if err == nil {
		err = r.replayLog(from)
	}
	if err == nil {
		err = r.index()
	}
	if err != nil {
		return nil, err
	}
	set, err := x.identify(&r.evidence)
	if err != nil {
		return nil, err
	}
	if err := x.cfg.Journal.Start(); err != nil {
		return nil, err
	}
	x.overdue.start(x.cfg.CommandTimeout)
	return r, x.tie(set)
}

// recovery is one run of Recover.
type recovery struct {
	x        *Exchange
	ctx      context.Context
	progress func(Progress)
	workers  int
	start    time.Time
	begun    time.Time // of the stage
	told     Progress
	logBytes int64 // of the records that were read
	evidence evidence
}

// enter begins a stage.
func (r *recovery) enter(stage Stage, total uint64) {
	r.begun = time.Now()
	r.told.Stage, r.told.Done, r.told.Total = stage, 0, total
	r.tell(0)
}

func (r *recovery) tell(done uint64) {
	r.told.Done = done
	r.told.Took, r.told.InStage = time.Since(r.start), time.Since(r.begun)
	r.progress(r.told)
}

// loadSnapshot publishes the accounts of the newest snapshot, if there is one, and
// returns the number of the first frame after it.
func (r *recovery) loadSnapshot() (from uint64, err error) {
	const tellEvery = 1 << 22 // bytes
	r.enter(StageSnapshot, r.x.cfg.Journal.SnapshotBytes())
	done := make([]paddedCount, r.workers)
	info, found, err := r.x.cfg.Journal.LoadSnapshot(r.workers, func(worker int, entry []byte) error {
		state, err := account.DecodeState(entry)
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		u := &user{id: state.ID}
		u.durable.Store(state)
		if _, twice := r.x.directory.users.LoadOrStore(u.id, u); twice {
			return fmt.Errorf("snapshot: user %s is in it twice", u.id)
		}
		before := done[worker].Load()
		after := done[worker].Add(uint64(len(entry)))
		if worker == 0 && before/tellEvery != after/tellEvery {
			var sum uint64
			for i := range done {
				sum += done[i].Load()
			}
			r.tell(sum)
		}
		return r.ctx.Err()
	})
	switch {
	case err != nil:
		return 0, err
	case !found:
		return 0, nil
	}
	r.tell(r.told.Total)
	return info.Next, nil
}

// paddedCount is a counter that shares no cache line with its neighbours.
type paddedCount struct {
	atomic.Uint64
	_ [56]byte
}

// replayLog applies the records of the log from a frame on.
func (r *recovery) replayLog(from uint64) error {
	last := r.x.cfg.Journal.Stats().Next
	first := min(max(from, 1), last)
	r.enter(StageLog, last-first)
	pool := newReplayPool(r.x, r.workers)
	err := r.x.cfg.Journal.Replay(from, func(p persistence.Position, encoded []byte) error {
		r.logBytes += int64(len(encoded))
		if r.told.Records++; r.told.Records%tellRecords == 0 {
			r.told.Events = pool.events()
			r.tell(p.Frame - first)
			if err := r.ctx.Err(); err != nil {
				return err
			}
		}
		return pool.add(p, encoded)
	})
	err = pool.finish(err)
	r.told.Events = pool.events()
	if err != nil {
		return err
	}
	r.tell(r.told.Total)
	return nil
}

const tellRecords = 1 << 16

// errStopped ends the reading of a log after a worker has failed.
var errStopped = errors.New("recovery has stopped")
