package persistence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/aitbc/exchange/persistence/format"
)

// ErrSnapshotRunning says that a snapshot is being taken: one at a time is.
var ErrSnapshotRunning = errors.New("a snapshot is being taken already")

// MaxSnapshotEntry is the largest entry of a snapshot in bytes.
const MaxSnapshotEntry = 1 << 30

// blockTarget is the length in bytes at which a block of several entries ends.
const blockTarget = 1 << 20

// SnapshotInfo describes a snapshot.
type SnapshotInfo struct {
	Shard   uint16
	Epoch   uint64 // of the owner that wrote it
	Next    uint64 // number of the first frame to replay after it: all before are in it
	End     uint64 // no frame from this one on is in it; those in between are in some entries
	Entries uint64
	Bytes   int64 // on disk
}

var errNoSnapshots = errors.New("this journal keeps no snapshots")

// Snapshot writes a snapshot while the journal goes on, then removes the older snapshots
// and frames that the newest two make unnecessary. fill is called once and adds every
// entry; add copies it. The entries must hold every record whose completion had run
// before fill was called, and none that is not durable.
//
// A snapshot that fails, or that ctx ends, leaves nothing behind, and the journal
// as it was. That it was written, but something old could not be removed, is an
// error beside the info. Any goroutine may call it but a completion.
func (j *Journal) Snapshot(ctx context.Context, fill func(add func(entry []byte) error) error) (SnapshotInfo, error) {
	if j.cfg.Snapshots == nil {
		return SnapshotInfo{}, errNoSnapshots
	}
	if !j.snapshotting.TryLock() {
		return SnapshotInfo{}, ErrSnapshotRunning
	}
	defer j.snapshotting.Unlock()
	start := time.Now()
	next, err := j.snapshotNext(ctx)
	if err != nil {
		return SnapshotInfo{}, err
	}
	info, err := j.writeSnapshot(ctx, next, fill)
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("snapshot %d: %w", next, err)
	}
	j.cfg.Logger.Info("snapshot taken", slog.Uint64("next", info.Next), slog.Uint64("entries", info.Entries),
		slog.Int64("bytes", info.Bytes), slog.Duration("took", time.Since(start)))
	return info, j.removeObsolete(ctx)
}

// snapshotNext says from which frame on a snapshot that begins now does not hold
// everything, or why none may go on.
func (j *Journal) snapshotNext(ctx context.Context) (uint64, error) {
	if err := errors.Join(ctx.Err(), j.Err()); err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.accepting() {
		return 0, ErrClosed
	}
	return j.completed, nil
}

func (j *Journal) writeSnapshot(ctx context.Context, next uint64, fill func(add func(entry []byte) error) error) (info SnapshotInfo, err error) {
	out, err := j.cfg.Snapshots.CreateSnapshot(next)
	if err != nil {
		return SnapshotInfo{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Abort())
		}
	}()
	e := snapshotEncoder{out: out, info: SnapshotInfo{Shard: j.claim.Shard, Epoch: j.claim.Epoch, Next: next}, block: format.BeginBlock(nil)}
	e.proceed = func() error {
		_, err := j.snapshotNext(ctx)
		return err
	}
	if err := fill(e.add); err != nil {
		return SnapshotInfo{}, err
	}
	// All that an entry can hold is durable by now, so it is before the next frame.
	if err := e.finish(j.Stats().Next); err != nil {
		return SnapshotInfo{}, err
	}
	return e.info, out.Commit()
}

// removeObsolete removes the snapshots and frames that the newest two snapshots make
// unnecessary. Both are read again first, every byte: as long as there are no two
// that are valid, everything stays.
func (j *Journal) removeObsolete(ctx context.Context) error {
	names, err := j.cfg.Snapshots.Snapshots()
	if err != nil {
		return err
	}
	var valid []uint64
	var old []uint64
	for i := len(names) - 1; i >= 0; i-- {
		if _, err := j.snapshotNext(ctx); err != nil {
			return err
		}
		if len(valid) == 2 {
			old = append(old, names[i])
			continue
		}
		snapshot, err := openSnapshotThrottled(j.cfg.Snapshots, j.claim.Shard, names[i], 1, throttle(300*time.Microsecond, time.Millisecond))
		if err != nil {
			j.cfg.Logger.Error("a snapshot can't be read", slog.String("error", err.Error()))
			old = append(old, names[i])
			continue
		}
		if err := snapshot.Close(); err != nil {
			return err
		}
		valid = append(valid, names[i])
	}
	if len(valid) < 2 {
		return nil
	}
	for _, name := range old {
		if err := j.cfg.Snapshots.RemoveSnapshot(name); err != nil {
			return fmt.Errorf("remove snapshot %d: %w", name, err)
		}
	}
	if err := j.cfg.Log.TruncateFront(valid[1]); err != nil {
		return fmt.Errorf("truncate the log: %w", err)
	}
	return nil
}

// throttle returns a function that sleeps for rest when it is called and the time since
// its last sleep is longer than work.
func throttle(work, rest time.Duration) func() {
	begun := time.Now()
	return func() {
		if time.Since(begun) > work {
			time.Sleep(rest)
			begun = time.Now()
		}
	}
}

// snapshotEncoder makes blocks of entries.
type snapshotEncoder struct {
	out     SnapshotWriter
	info    SnapshotInfo
	proceed func() error // nil, or the reason to end
	block   []byte
	count   uint32
	n       uint64 // blocks written
	crcs    uint32
}

func (e *snapshotEncoder) add(entry []byte) error {
	if len(entry) > MaxSnapshotEntry {
		return fmt.Errorf("an entry of %d bytes, %d are the limit", len(entry), MaxSnapshotEntry)
	}
	if e.count > 0 && len(e.block)+format.RecordSize(len(entry)) > blockTarget {
		if err := e.flush(); err != nil {
			return err
		}
	}
	e.block = format.AppendRecord(e.block, entry)
	e.count++
	e.info.Entries++
	return nil
}

// flush writes the block, and lets others have the processor.
func (e *snapshotEncoder) flush() error {
	if err := e.proceed(); err != nil {
		return err
	}
	e.crcs = format.AddCRC(e.crcs, e.seal(format.KindEntries))
	if err := e.write(); err != nil {
		return err
	}
	e.block, e.count = format.BeginBlock(e.block), 0
	if cap(e.block) > 4*blockTarget {
		e.block = format.BeginBlock(nil)
	}
	runtime.Gosched()
	return nil
}

// finish writes the entries that are left and the footer.
func (e *snapshotEncoder) finish(end uint64) error {
	if e.count > 0 {
		if err := e.flush(); err != nil {
			return err
		}
	}
	if err := e.proceed(); err != nil {
		return err
	}
	e.info.End = end
	e.block = format.AppendFooter(e.block, format.Footer{
		End: end, Epoch: e.info.Epoch, Entries: e.info.Entries, Bytes: uint64(e.info.Bytes), CRCs: e.crcs,
	})
	e.seal(format.KindFooter)
	return e.write()
}

func (e *snapshotEncoder) seal(kind byte) uint32 {
	return format.SealBlock(e.block, format.BlockHeader{Kind: kind, Shard: e.info.Shard, Next: e.info.Next, Number: e.n, Count: e.count})
}

func (e *snapshotEncoder) write() error {
	if _, err := e.out.Write(e.block); err != nil {
		return err
	}
	e.n++
	e.info.Bytes += int64(len(e.block))
	return nil
}
