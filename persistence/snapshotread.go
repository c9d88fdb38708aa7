package persistence

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
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
	snapshot, err := newestValid(j.cfg.Snapshots, j.claim.Shard, names, workers, func(err error) {
		j.cfg.Logger.Error("a snapshot is not valid, the one before it is used, or the whole log", slog.String("error", err.Error()))
	})
	switch {
	case snapshot == nil && j.claim.First > 1 && len(names) > 0:
		return SnapshotInfo{}, false, fmt.Errorf("no snapshot is valid, and the log begins with frame %d: %w", j.claim.First, err)
	case snapshot == nil:
		return SnapshotInfo{}, false, nil
	}
	defer func() { err = errors.Join(err, snapshot.close()) }()
	if snapshot.info.End > j.claim.Next {
		return SnapshotInfo{}, false, &DamageError{File: snapshot.in.Name(), Entry: j.claim.Next,
			Reason: fmt.Sprintf("the snapshot knows of frames up to %d, the log ends before this one", snapshot.info.End-1)}
	}
	return snapshot.info, true, snapshot.each(workers, fn)
}

// ScanSnapshot reads the newest valid snapshot of a stopped service, or of a copy,
// and changes nothing: fn gets every entry, valid during the call. found is false
// if no snapshot is valid; invalid tells of those that are not.
func ScanSnapshot(dir string, shard uint16, fn func(entry []byte) error) (info SnapshotInfo, found bool, invalid []error, err error) {
	lock, err := lockDirForReading(dir)
	if err != nil {
		return SnapshotInfo{}, false, nil, err
	}
	defer lock.unlock()
	store := snapshotFiles{dir: snapshotDir(dir, shard)}
	names, err := store.Snapshots()
	if err != nil {
		return SnapshotInfo{}, false, nil, err
	}
	snapshot, _ := newestValid(store, shard, names, 1, func(err error) { invalid = append(invalid, err) })
	if snapshot == nil {
		return SnapshotInfo{}, false, invalid, nil
	}
	err = snapshot.each(1, func(_ int, entry []byte) error { return fn(entry) })
	return snapshot.info, true, invalid, errors.Join(err, snapshot.close())
}

// readableSnapshots is the part of a SnapshotStore that reads.
type readableSnapshots interface {
	OpenSnapshot(next uint64) (SnapshotReader, error)
}

// snapshotFiles are the snapshots in a directory that is not locked.
type snapshotFiles struct{ dir string }

func (s snapshotFiles) Snapshots() ([]uint64, error) { return listSnapshots(s.dir) }

func (s snapshotFiles) OpenSnapshot(next uint64) (SnapshotReader, error) {
	return openSnapshotFile(filepath.Join(s.dir, snapshotName(next)))
}

// newestValid returns the newest snapshot that is valid, nil if none is. It tells
// what is wrong with each that is not, and returns all of that.
func newestValid(store readableSnapshots, shard uint16, names []uint64, workers int, tell func(error)) (*openedSnapshot, error) {
	var all error
	for i := len(names) - 1; i >= 0; i-- {
		snapshot, err := openSnapshot(store, shard, names[i], workers)
		if err == nil {
			return snapshot, nil
		}
		tell(err)
		all = errors.Join(all, err)
	}
	return nil, all
}

// openedSnapshot is a snapshot every block of which has been checked.
type openedSnapshot struct {
	in     SnapshotReader
	info   SnapshotInfo
	blocks []blockPlace
}

// blockPlace is where a block of entries stands.
type blockPlace struct {
	blockHeader
	offset int64
}

// openSnapshot opens a snapshot and checks all of it. Its error names it.
func openSnapshot(store readableSnapshots, shard uint16, next uint64, workers int) (*openedSnapshot, error) {
	return openSnapshotGently(store, shard, next, workers, func() {})
}

// openSnapshotGently is openSnapshot that calls rest after each block, which may
// take a while where others need the processor more.
func openSnapshotGently(store readableSnapshots, shard uint16, next uint64, workers int, rest func()) (*openedSnapshot, error) {
	in, err := store.OpenSnapshot(next)
	if err != nil {
		return nil, fmt.Errorf("snapshot %d: %w", next, err)
	}
	s := &openedSnapshot{in: in, info: SnapshotInfo{Shard: shard, Next: next, Bytes: in.Size()}}
	err = s.findBlocks()
	if err == nil {
		err = s.eachBlock(workers, func(int, blockHeader, []byte) error {
			rest()
			return nil
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", in.Name(), err), in.Close())
	}
	return s, nil
}

// findBlocks walks the headers, and checks what they and the footer say. The
// blocks' bodies are left to eachBlock.
func (s *openedSnapshot) findBlocks() error {
	var crcs uint32
	var entries uint64
	header := make([]byte, blockHeaderSize)
	for offset := int64(0); ; {
		if s.info.Bytes-offset < blockHeaderSize {
			return fmt.Errorf("%w: it ends at offset %d without a footer", ErrSnapshot, offset)
		}
		if _, err := s.in.ReadAt(header, offset); err != nil {
			return err
		}
		h, err := decodeBlockHeader(header)
		switch {
		case err != nil:
			return fmt.Errorf("offset %d: %w", offset, err)
		case h.shard != s.info.Shard || h.next != s.info.Next || h.number != uint64(len(s.blocks)):
			return fmt.Errorf("%w: offset %d: block %d of snapshot %d of shard %d in the place of block %d of snapshot %d of shard %d",
				ErrSnapshot, offset, h.number, h.next, h.shard, len(s.blocks), s.info.Next, s.info.Shard)
		case int64(h.length) > s.info.Bytes-offset-blockHeaderSize:
			return fmt.Errorf("%w: offset %d: the block has %d bytes, the file ends before them", ErrSnapshot, offset, h.length)
		}
		end := offset + blockHeaderSize + int64(h.length)
		if h.kind == kindFooter {
			if end != s.info.Bytes {
				return fmt.Errorf("%w: %d bytes after the footer", ErrSnapshot, s.info.Bytes-end)
			}
			return s.checkFooter(blockPlace{h, offset}, entries, crcs)
		}
		s.blocks = append(s.blocks, blockPlace{h, offset})
		crcs = addCRC(crcs, h.crc)
		entries += uint64(h.count)
		offset = end
	}
}

// checkFooter holds the footer against the blocks before it.
func (s *openedSnapshot) checkFooter(place blockPlace, entries uint64, crcs uint32) error {
	if place.length != footerSize {
		return fmt.Errorf("%w: a footer of %d bytes, want %d", ErrSnapshot, place.length, footerSize)
	}
	block, err := s.readBlock(nil, place)
	if err != nil {
		return err
	}
	f, err := decodeFooter(block[blockHeaderSize:])
	switch {
	case err != nil:
		return err
	case f.entries != entries || f.bytes != uint64(place.offset) || f.crcs != crcs || place.count != 0:
		return fmt.Errorf("%w: its footer tells of %d entries in %d bytes, there are %d in %d, or not the same ones", ErrSnapshot, f.entries, f.bytes, entries, place.offset)
	case f.epoch == 0 || f.end < s.info.Next:
		return fmt.Errorf("%w: epoch %d, frames from %d to %d", ErrSnapshot, f.epoch, s.info.Next, f.end)
	}
	s.info.Epoch, s.info.End, s.info.Entries = f.epoch, f.end, f.entries
	return nil
}

// readBlock reads a block into buf, which grows if it must, and checks it.
func (s *openedSnapshot) readBlock(buf []byte, place blockPlace) ([]byte, error) {
	size := blockHeaderSize + int(place.length)
	if cap(buf) < size {
		buf = make([]byte, max(size, min(2*cap(buf), blockTarget)))
	}
	buf = buf[:size]
	if _, err := s.in.ReadAt(buf, place.offset); err != nil {
		return nil, fmt.Errorf("offset %d: %w", place.offset, err)
	}
	h, err := decodeBlockHeader(buf)
	if err == nil && h != place.blockHeader {
		err = fmt.Errorf("%w: it changes while it is read", ErrSnapshot)
	}
	if err == nil {
		err = checkBlock(buf, h)
	}
	if err != nil {
		return nil, fmt.Errorf("offset %d: %w", place.offset, err)
	}
	return buf, nil
}

// eachBlock reads and checks every block, by as many workers, and calls fn with
// each. The first error ends it.
func (s *openedSnapshot) eachBlock(workers int, fn func(worker int, h blockHeader, block []byte) error) error {
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
					err = fn(worker, place.blockHeader, buf)
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

// each calls fn with every entry.
func (s *openedSnapshot) each(workers int, fn func(worker int, entry []byte) error) error {
	return s.eachBlock(workers, func(worker int, h blockHeader, block []byte) error {
		return eachEntry(block, h, func(entry []byte) error { return fn(worker, entry) })
	})
}

func (s *openedSnapshot) close() error { return s.in.Close() }
