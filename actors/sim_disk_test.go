package actors_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// fate is what becomes of one append.
type fate string

const (
	durable    fate = "durable"
	failBefore fate = "error, nothing written"
	failAfter  fate = "error, though it is durable"
	shortWrite fate = "short write"
	syncError  fate = "sync error, once" // the kernel drops what it could not write; a later sync succeeds
	powerCut   fate = "power cut"
)

var (
	errDisk  = errors.New("simulated input/output error")
	errPower = errors.New("the power is off")
)

// simDisk is what outlives a crash: whole frames, perhaps half of one behind them,
// and snapshots. What is in doubt after a failed or interrupted append is decided
// by crash.
type simDisk struct {
	mu        sync.Mutex
	first     uint64            // guarded by mu, as all below: number of frames[0]
	frames    [][]byte          // durable
	torn      []byte            // the beginning of one more
	doubt     []byte            // a frame that is durable or not
	epoch     uint64            // of the last claim
	snapshots map[uint64][]byte // durable, by name
}

func newSimDisk() *simDisk { return &simDisk{first: 1, snapshots: map[uint64][]byte{}} }

// clone is a copy that another process may start from.
func (d *simDisk) clone() *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &simDisk{
		first: d.first, frames: slices.Clone(d.frames), torn: d.torn, epoch: d.epoch, snapshots: maps.Clone(d.snapshots),
	}
}

// crash settles what was in doubt, and returns how many records of it survive.
func (d *simDisk) crash(random *rand.Rand) (survivors int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	frame := d.doubt
	d.doubt = nil
	if frame == nil {
		return 0
	}
	switch random.IntN(3) {
	case 0:
		d.frames, d.torn = append(d.frames, frame), nil
		return recordsOf(frame)
	case 1:
		d.torn = frame[:random.IntN(len(frame))]
	}
	return 0
}

func recordsOf(frame []byte) int {
	decoded, err := format.DecodeFrame(frame)
	if err != nil {
		panic(err)
	}
	return int(decoded.Count)
}

// simLog is one process's way to the disk.
type simLog struct {
	disk *simDisk

	mu      sync.Mutex
	off     bool      // guarded by mu, as all below: the power is
	held    bool      // each append waits for the scheduler
	waiting chan fate // of the append that waits; nil if none does
	next    fate      // of the next append that does not wait; "" is durable
	failed  bool      // an append has returned an error
	acked   int       // records of the appends that returned nil and are durable
	claim   persistence.Claim
}

func (l *simLog) Claim(shard uint16) (persistence.Claim, error) {
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	d.torn = nil // whatever follows the last whole frame is cut off
	d.epoch++
	l.claim = persistence.Claim{Shard: shard, Epoch: d.epoch, First: d.first, Next: d.first + uint64(len(d.frames))}
	return l.claim, nil
}

func (l *simLog) Replay(from uint64, fn func(seq uint64, frame []byte) error) error {
	l.disk.mu.Lock()
	first, frames := l.disk.first, l.disk.frames
	l.disk.mu.Unlock()
	if from = max(from, 1); from < first {
		return &persistence.DamageError{File: "simulated", Entry: from, Reason: fmt.Sprintf("the log begins with frame %d", first)}
	}
	for seq := from; seq < first+uint64(len(frames)); seq++ {
		if err := fn(seq, frames[seq-first]); err != nil {
			return err
		}
	}
	return nil
}

// Append does what the scheduler chose. After a sync error it behaves as a disk
// does, and not as a Log must: a retry seems to succeed, and is not durable.
func (l *simLog) Append(seq uint64, frame []byte) error {
	l.mu.Lock()
	f := l.next
	l.next = ""
	if f == "" {
		f = durable
	}
	if l.held && !l.off {
		c := make(chan fate, 1)
		l.waiting = c
		l.mu.Unlock()
		f = <-c
		l.mu.Lock()
		l.waiting = nil
	}
	defer l.mu.Unlock()
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.off {
		return errPower
	}
	if l.failed {
		return nil
	}
	if next := d.first + uint64(len(d.frames)); seq != next {
		return fmt.Errorf("%w: frame %d, the next is %d", persistence.ErrSequence, seq, next)
	}
	frame = bytes.Clone(frame)
	switch f {
	case powerCut:
		d.doubt, l.off = frame, true
		return errPower
	case durable:
		d.frames = append(d.frames, frame)
		l.acked += recordsOf(frame)
		return nil
	case failAfter, syncError:
		d.doubt = frame
	case shortWrite:
		d.torn = frame[:len(frame)/2]
	}
	l.failed = true
	return errDisk
}

// decide lets the append that waits go on.
func (l *simLog) decide(f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting != nil {
		l.waiting <- f
	}
}

// cut takes the power away. What waits is in doubt; nothing is written any more.
func (l *simLog) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	if l.waiting != nil {
		l.waiting <- powerCut // it turns the power off
		return
	}
	l.off = true
}

func (l *simLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// seen is what the scheduler has to know after each step.
func (l *simLog) seen() (acked int, failed, waiting, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked, l.failed, l.waiting != nil, l.held
}

// TruncateFront gives up all that it may: whoever still needs it finds a gap.
func (l *simLog) TruncateFront(seq uint64) error {
	if l.dead() {
		return errPower
	}
	d := l.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if seq > d.first {
		d.frames = slices.Clone(d.frames[seq-d.first:])
		d.first = seq
	}
	return nil
}

func (l *simLog) dead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.off || l.failed
}

func (l *simLog) Close() error { return nil }

// simSnapshots is one process's way to the snapshots on the disk. It shares its
// process's power with the log.
type simSnapshots struct {
	disk *simDisk
	log  *simLog

	mu      sync.Mutex
	held    bool      // guarded by mu, as all below: the next commit waits
	waiting chan bool // of the commit that waits: whether it succeeds
	fail    int       // writes from now to one that fails, 0 for none
}

func (s *simSnapshots) Snapshots() ([]uint64, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return slices.Sorted(maps.Keys(s.disk.snapshots)), nil
}

func (s *simSnapshots) CreateSnapshot(next uint64) (persistence.SnapshotWriter, error) {
	if s.log.dead() {
		return nil, errPower
	}
	return &simSnapshot{store: s, next: next}, nil
}

func (s *simSnapshots) OpenSnapshot(next uint64) (persistence.SnapshotReader, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	content, ok := s.disk.snapshots[next]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return simSnapshotReader{bytes.NewReader(content)}, nil
}

func (s *simSnapshots) RemoveSnapshot(next uint64) error {
	if s.log.dead() {
		return errPower
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	delete(s.disk.snapshots, next)
	return nil
}

// decide lets the commit that waits go on, and later ones not wait.
func (s *simSnapshots) decide(ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	if s.waiting != nil {
		s.waiting <- ok
		s.waiting = nil
	}
}

// simSnapshot is a snapshot that is written; a crash before its Commit leaves nothing.
type simSnapshot struct {
	bytes.Buffer
	store *simSnapshots
	next  uint64
}

func (w *simSnapshot) Write(p []byte) (int, error) {
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		if s.fail--; s.fail == 0 {
			return len(p) / 2, errDisk
		}
	}
	return w.Buffer.Write(p)
}

func (w *simSnapshot) Commit() error {
	s := w.store
	s.mu.Lock()
	ok := true
	if s.held {
		c := make(chan bool, 1)
		s.waiting = c
		s.mu.Unlock()
		ok = <-c
	} else {
		s.mu.Unlock()
	}
	if s.log.dead() || !ok {
		return errDisk
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.snapshots[w.next] = bytes.Clone(w.Bytes())
	return nil
}

func (w *simSnapshot) Abort() error { return nil }

type simSnapshotReader struct{ *bytes.Reader }

func (simSnapshotReader) Close() error { return nil }
func (simSnapshotReader) Name() string { return "simulated" }
