package persistence_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// memoryStore outlives the logs that are opened on it.
type memoryStore struct{ frames [][]byte }

// memoryLog is a Log in memory, for tests of the journal above it. With a gate
// each append says that it has come, and waits to be told its outcome.
type memoryLog struct {
	store *memoryStore
	gate  *gate

	mu       sync.Mutex // guards all below, and store
	claim    persistence.Claim
	claimed  bool
	appended bool
	closed   bool
	failed   error
}

// gate holds appends up.
type gate struct {
	arrived chan []byte // a copy of the frame
	outcome chan error
}

func newGate() *gate { return &gate{arrived: make(chan []byte), outcome: make(chan error)} }

func (l *memoryLog) Claim(shard uint16) (persistence.Claim, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	epoch, next := l.claim.Epoch, uint64(len(l.store.frames))+1
	if next > 1 {
		frame, err := format.DecodeFrame(l.store.frames[next-2])
		if err != nil {
			return persistence.Claim{}, err
		}
		epoch = max(epoch, frame.Epoch)
	}
	l.claim = persistence.Claim{Shard: shard, Epoch: epoch + 1, First: 1, Next: next}
	l.claimed, l.appended = true, false
	return l.claim, nil
}

func (l *memoryLog) Replay(from uint64, fn func(uint64, []byte) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.claimed || l.appended {
		return errors.New("no replay now")
	}
	if from > l.claim.Next {
		return &persistence.DamageError{File: "memory", Entry: l.claim.Next, Reason: "the log ends here"}
	}
	for i, frame := range l.store.frames {
		if seq := uint64(i) + 1; seq >= from {
			if err := fn(seq, frame); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *memoryLog) Append(seq uint64, frame []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	header, err := format.DecodeHeader(frame)
	switch {
	case !l.claimed:
		return errors.New("not claimed")
	case l.closed:
		return persistence.ErrClosed
	case l.failed != nil:
		return l.failed
	case err != nil:
		return err
	case header.Shard != l.claim.Shard || header.Epoch != l.claim.Epoch:
		return persistence.ErrFenced
	case seq != l.claim.Next || header.Seq != seq:
		return persistence.ErrSequence
	}
	l.appended = true
	kept := append([]byte(nil), frame...)
	if l.gate != nil {
		l.mu.Unlock() // a TruncateFront may run beside it
		l.gate.arrived <- kept
		err := <-l.gate.outcome
		l.mu.Lock()
		if l.failed = err; err != nil {
			return err
		}
	}
	l.store.frames = append(l.store.frames, kept)
	l.claim.Next++
	return nil
}

func (l *memoryLog) TruncateFront(uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return persistence.ErrClosed
	}
	return nil
}

func (l *memoryLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return persistence.ErrClosed
	}
	l.closed = true
	return nil
}

// memorySnapshots is a SnapshotStore in memory.
type memorySnapshots struct {
	mu   sync.Mutex
	kept map[uint64][]byte // guarded by mu
}

func (m *memorySnapshots) Snapshots() ([]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.kept)), nil
}

func (m *memorySnapshots) CreateSnapshot(next uint64) (persistence.SnapshotWriter, error) {
	return &bufferSnapshot{store: m, next: next}, nil
}

func (m *memorySnapshots) OpenSnapshot(next uint64) (persistence.SnapshotReader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.kept[next]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return memorySnapshot{bytes.NewReader(content)}, nil
}

func (m *memorySnapshots) RemoveSnapshot(next uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.kept[next]; !ok {
		return fs.ErrNotExist
	}
	delete(m.kept, next)
	return nil
}

// bufferSnapshot is a snapshot in memory that is written, and then put into a store.
type bufferSnapshot struct {
	bytes.Buffer
	store *memorySnapshots
	next  uint64
}

func (b *bufferSnapshot) Commit() error {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if b.store.kept == nil {
		b.store.kept = map[uint64][]byte{}
	}
	b.store.kept[b.next] = slices.Clone(b.Bytes())
	return nil
}

func (b *bufferSnapshot) Abort() error { return nil }

type memorySnapshot struct{ *bytes.Reader }

func (memorySnapshot) Close() error { return nil }
func (memorySnapshot) Name() string { return "memory" }

func TestMemoryLogIsALog(t *testing.T) {
	persistencetest.TestLog(t, func(t *testing.T) func() persistence.Log {
		store := &memoryStore{}
		return func() persistence.Log { return &memoryLog{store: store} }
	})
}

func TestMemorySnapshotsAreASnapshotStore(t *testing.T) {
	persistencetest.TestSnapshotStore(t, func(t *testing.T) func() (persistence.SnapshotStore, func()) {
		store := &memorySnapshots{}
		return func() (persistence.SnapshotStore, func()) { return store, func() {} }
	})
}
