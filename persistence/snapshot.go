package persistence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// ErrSnapshotRunning says that a snapshot is being taken: one at a time is.
var ErrSnapshotRunning = errors.New("a snapshot is being taken already")

var errNoSnapshots = errors.New("this journal keeps no snapshots")

// Snapshot writes a snapshot while the journal goes on, then gives up the older
// snapshots and frames that the newest two make unnecessary. fill is called once
// and adds every entry; add copies it. What fill adds must hold every record whose
// completion had run before fill was called, and none that is not durable.
//
// A snapshot that fails, or that ctx ends, leaves nothing behind, and the journal
// as it was. That it was written, but something old could not be given up, is an
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
	return info, j.giveUp(ctx)
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
	return j.settled, nil
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
	e := snapshotEncoder{out: out, info: SnapshotInfo{Shard: j.claim.Shard, Epoch: j.claim.Epoch, Next: next}, block: beginBlock(nil)}
	e.goOn = func() error {
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

// giveUp removes the snapshots and frames that the newest two snapshots make
// unnecessary. Both are read again first, every byte: as long as there are no two
// that are valid, everything stays.
func (j *Journal) giveUp(ctx context.Context) error {
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
		snapshot, err := openSnapshotGently(j.cfg.Snapshots, j.claim.Shard, names[i], 1, restAfter(300*time.Microsecond, time.Millisecond))
		if err != nil {
			j.cfg.Logger.Error("a snapshot can't be read", slog.String("error", err.Error()))
			old = append(old, names[i])
			continue
		}
		if err := snapshot.close(); err != nil {
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

// restAfter returns a function that rests when there was so much work since it
// did so last.
func restAfter(work, rest time.Duration) func() {
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
	out   SnapshotWriter
	info  SnapshotInfo
	goOn  func() error // returns why it must not
	block []byte
	count uint32
	n     uint64 // blocks written
	crcs  uint32
}

func (e *snapshotEncoder) add(entry []byte) error {
	if len(entry) > MaxSnapshotEntry {
		return fmt.Errorf("an entry of %d bytes, %d are the limit", len(entry), MaxSnapshotEntry)
	}
	if e.count > 0 && len(e.block)+recordSize(len(entry)) > blockTarget {
		if err := e.flush(); err != nil {
			return err
		}
	}
	e.block = append(binary.AppendUvarint(e.block, uint64(len(entry))), entry...)
	e.count++
	e.info.Entries++
	return nil
}

// flush writes the block, and lets others have the processor.
func (e *snapshotEncoder) flush() error {
	if err := e.goOn(); err != nil {
		return err
	}
	e.crcs = addCRC(e.crcs, e.seal(kindEntries))
	if err := e.write(); err != nil {
		return err
	}
	e.block, e.count = beginBlock(e.block), 0
	if cap(e.block) > 4*blockTarget {
		e.block = beginBlock(nil)
	}
	runtime.Gosched()
	return nil
}

// finish writes what is left and the footer.
func (e *snapshotEncoder) finish(end uint64) error {
	if e.count > 0 {
		if err := e.flush(); err != nil {
			return err
		}
	}
	if err := e.goOn(); err != nil {
		return err
	}
	e.info.End = end
	e.block = appendFooter(e.block, footer{
		end: end, epoch: e.info.Epoch, entries: e.info.Entries, bytes: uint64(e.info.Bytes), crcs: e.crcs,
	})
	e.seal(kindFooter)
	return e.write()
}

func (e *snapshotEncoder) seal(kind byte) uint32 {
	return sealBlock(e.block, blockHeader{kind: kind, shard: e.info.Shard, next: e.info.Next, number: e.n, count: e.count})
}

func (e *snapshotEncoder) write() error {
	if _, err := e.out.Write(e.block); err != nil {
		return err
	}
	e.n++
	e.info.Bytes += int64(len(e.block))
	return nil
}
