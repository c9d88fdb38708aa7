package persistence

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/aitbc/exchange/persistence/format"
)

// LoadSnapshot reads the newest valid snapshot, before Replay, which then begins
// at info.Next. fn is called with every entry, in no order, by up to workers
// goroutines at once, each of which says its number from 0. An entry is valid
// during the call; an error of fn ends the load and is returned.
//
// A snapshot is checked to its last byte before fn sees any of it; one that is not
// valid is logged, and the one before it is used. found is false if there is none
// to be used and the log has every frame. If frames are missing that only a
// snapshot can stand for, the error is a *DamageError.
func (j *Journal) LoadSnapshot(workers int, fn func(worker int, entry []byte) error) (info SnapshotInfo, found bool, err error) {
	if j.cfg.Snapshots == nil {
		return SnapshotInfo{}, false, nil
	}
	names, err := j.cfg.Snapshots.Snapshots()
	if err != nil {
		return SnapshotInfo{}, false, err
	}
	snapshot, err := NewestSnapshot(j.cfg.Snapshots, j.claim.Shard, names, workers, func(err error) {
		j.cfg.Logger.Error("a snapshot is not valid, the one before it is used, or the whole log", slog.String("error", err.Error()))
	})
	switch {
	case snapshot == nil && j.claim.First > 1 && len(names) > 0:
		return SnapshotInfo{}, false, fmt.Errorf("no snapshot is valid, and the log begins with frame %d: %w", j.claim.First, err)
	case snapshot == nil:
		return SnapshotInfo{}, false, nil
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	if snapshot.info.End > j.claim.Next {
		return SnapshotInfo{}, false, &DamageError{File: snapshot.in.Name(), Entry: j.claim.Next,
			Reason: fmt.Sprintf("the snapshot knows of frames up to %d, the log ends before this one", snapshot.info.End-1)}
	}
	return snapshot.info, true, snapshot.Each(workers, fn)
}

// SnapshotOpener is the part of a SnapshotStore that opens.
type SnapshotOpener interface {
	OpenSnapshot(next uint64) (SnapshotReader, error)
}

// NewestSnapshot returns the newest of the named snapshots that is valid, nil if none is.
// names are sorted, oldest first. It calls invalid with the error of each that is not
// valid, and returns all of them joined.
func NewestSnapshot(store SnapshotOpener, shard uint16, names []uint64, workers int, invalid func(error)) (*Snapshot, error) {
	var all error
	for i := len(names) - 1; i >= 0; i-- {
		snapshot, err := OpenSnapshot(store, shard, names[i], workers)
		if err == nil {
			return snapshot, nil
		}
		invalid(err)
		all = errors.Join(all, err)
	}
	return nil, all
}

// Snapshot is an open snapshot, every block of which has been checked.
type Snapshot struct {
	in     SnapshotReader
	info   SnapshotInfo
	blocks []blockPlace
}

// blockPlace is where a block of entries stands.
type blockPlace struct {
	format.BlockHeader
	offset int64
}

// OpenSnapshot opens a snapshot, and checks all of it with as many workers. Its error
// names the snapshot; the caller closes the one that it returns.
func OpenSnapshot(store SnapshotOpener, shard uint16, next uint64, workers int) (*Snapshot, error) {
	return openSnapshotThrottled(store, shard, next, workers, func() {})
}

// openSnapshotThrottled is OpenSnapshot that calls rest after each block, which may sleep
// where others need the processor more.
func openSnapshotThrottled(store SnapshotOpener, shard uint16, next uint64, workers int, rest func()) (*Snapshot, error) {
	in, err := store.OpenSnapshot(next)
	if err != nil {
		return nil, fmt.Errorf("snapshot %d: %w", next, err)
	}
	s := &Snapshot{in: in, info: SnapshotInfo{Shard: shard, Next: next, Bytes: in.Size()}}
	err = s.findBlocks()
	if err == nil {
		err = s.eachBlock(workers, func(int, format.BlockHeader, []byte) error {
			rest()
			return nil
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", in.Name(), err), in.Close())
	}
	return s, nil
}

// findBlocks walks the headers, and checks them and the footer. The
// blocks' bodies are left to eachBlock.
func (s *Snapshot) findBlocks() error {
	var crcs uint32
	var entries uint64
	header := make([]byte, format.BlockHeaderSize)
	for offset := int64(0); ; {
		if s.info.Bytes-offset < format.BlockHeaderSize {
			return fmt.Errorf("%w: it ends at offset %d without a footer", format.ErrSnapshot, offset)
		}
		if _, err := s.in.ReadAt(header, offset); err != nil {
			return err
		}
		h, err := format.DecodeBlockHeader(header)
		switch {
		case err != nil:
			return fmt.Errorf("offset %d: %w", offset, err)
		case h.Shard != s.info.Shard || h.Next != s.info.Next || h.Number != uint64(len(s.blocks)):
			return fmt.Errorf("%w: offset %d: block %d of snapshot %d of shard %d in the place of block %d of snapshot %d of shard %d",
				format.ErrSnapshot, offset, h.Number, h.Next, h.Shard, len(s.blocks), s.info.Next, s.info.Shard)
		case int64(h.Length) > s.info.Bytes-offset-format.BlockHeaderSize:
			return fmt.Errorf("%w: offset %d: the block has %d bytes, the file ends before them", format.ErrSnapshot, offset, h.Length)
		}
		end := offset + format.BlockHeaderSize + int64(h.Length)
		if h.Kind == format.KindFooter {
			if end != s.info.Bytes {
				return fmt.Errorf("%w: %d bytes after the footer", format.ErrSnapshot, s.info.Bytes-end)
			}
			return s.checkFooter(blockPlace{h, offset}, entries, crcs)
		}
		s.blocks = append(s.blocks, blockPlace{h, offset})
		crcs = format.AddCRC(crcs, h.CRC)
		entries += uint64(h.Count)
		offset = end
	}
}

// checkFooter holds the footer against the blocks before it.
func (s *Snapshot) checkFooter(place blockPlace, entries uint64, crcs uint32) error {
	if place.Length != format.FooterSize {
		return fmt.Errorf("%w: a footer of %d bytes, want %d", format.ErrSnapshot, place.Length, format.FooterSize)
	}
	block, err := s.readBlock(nil, place)
	if err != nil {
		return err
	}
	f, err := format.DecodeFooter(block[format.BlockHeaderSize:])
	switch {
	case err != nil:
		return err
	case f.Entries != entries || f.Bytes != uint64(place.offset) || f.CRCs != crcs || place.Count != 0:
		return fmt.Errorf("%w: its footer tells of %d entries in %d bytes, there are %d in %d, or not the same ones", format.ErrSnapshot, f.Entries, f.Bytes, entries, place.offset)
	case f.Epoch == 0 || f.End < s.info.Next:
		return fmt.Errorf("%w: epoch %d, frames from %d to %d", format.ErrSnapshot, f.Epoch, s.info.Next, f.End)
	}
	s.info.Epoch, s.info.End, s.info.Entries = f.Epoch, f.End, f.Entries
	return nil
}

// readBlock reads a block into buf, which grows if it must, and checks it.
func (s *Snapshot) readBlock(buf []byte, place blockPlace) ([]byte, error) {
	size := format.BlockHeaderSize + int(place.Length)
	if cap(buf) < size {
		buf = make([]byte, max(size, min(2*cap(buf), blockTarget)))
	}
	buf = buf[:size]
	if _, err := s.in.ReadAt(buf, place.offset); err != nil {
		return nil, fmt.Errorf("offset %d: %w", place.offset, err)
	}
	h, err := format.DecodeBlockHeader(buf)
	if err == nil && h != place.BlockHeader {
		err = fmt.Errorf("%w: it changes while it is read", format.ErrSnapshot)
	}
	if err == nil {
		err = format.CheckBlock(buf, h)
	}
	if err != nil {
		return nil, fmt.Errorf("offset %d: %w", place.offset, err)
	}
	return buf, nil
}

// eachBlock reads and checks every block, by as many workers, and calls fn with
// each. The first error ends it.
func (s *Snapshot) eachBlock(workers int, fn func(worker int, h format.BlockHeader, block []byte) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	errs := make([]error, max(workers, 1))
	for worker := range errs {
		wg.Go(func() {
			var buf []byte
			for !failed.Load() {
				i := next.Add(1) - 1
				if i >= int64(len(s.blocks)) {
					return
				}
				place := s.blocks[i]
				var err error
				if buf, err = s.readBlock(buf, place); err == nil {
					err = fn(worker, place.BlockHeader, buf)
				}
				if err != nil {
					errs[worker] = err
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err // of the workers that failed, one is enough
		}
	}
	return nil
}

// Info describes the snapshot.
func (s *Snapshot) Info() SnapshotInfo { return s.info }

// Name names the snapshot to a person: a path.
func (s *Snapshot) Name() string { return s.in.Name() }

// Each calls fn with every entry, from as many goroutines, each of which says its number
// from 0. An entry is valid during the call. The first error of fn ends it.
func (s *Snapshot) Each(workers int, fn func(worker int, entry []byte) error) error {
	return s.eachBlock(workers, func(worker int, h format.BlockHeader, block []byte) error {
		return format.EachEntry(block, h, func(entry []byte) error { return fn(worker, entry) })
	})
}

// Close closes the snapshot.
func (s *Snapshot) Close() error { return s.in.Close() }
