package actors

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aitbc/exchange/persistence"
)

// snapshots takes snapshots in the background, one at a time: when the log has
// grown enough, and when somebody asks.
type snapshots struct {
	exchange *Exchange
	ctx      context.Context // done when the exchange closes
	cancel   context.CancelFunc
	finished sync.WaitGroup

	mu    sync.Mutex
	ready bool          // guarded by mu: recovery is over, and closing has not begun
	stats SnapshotStats // guarded by mu
	grown int64         // guarded by mu: log bytes when the last was begun, counted as logged counts

	replayed int64 // log bytes that the start had to read; fixed after recovery
}

// SnapshotStats are counters since the start.
type SnapshotStats struct {
	Running  bool
	Taken    uint64
	Failures uint64
	// Of the last that was taken since the start:
	At      time.Time // when it was complete; zero if none was
	Took    time.Duration
	Entries uint64
	Bytes   int64
}

// ErrNotReady: the exchange is starting or stopping.
var ErrNotReady = errors.New("the exchange is starting or stopping")

func (s *snapshots) init(x *Exchange) {
	s.exchange = x
	s.ctx, s.cancel = context.WithCancel(context.Background())
}

// start begins to watch the log's growth. replayed is how many of its bytes the
// start had to read.
func (s *snapshots) start(replayed int64) {
	s.replayed = replayed
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	if s.exchange.cfg.SnapshotBytes <= 0 {
		return
	}
	s.finished.Add(1)
	go s.watch()
}

func (s *snapshots) close() {
	s.mu.Lock()
	s.ready = false
	s.mu.Unlock()
	s.cancel()
	s.finished.Wait()
}

// logged is how much a start would have to read without another snapshot.
func (s *snapshots) logged() int64 {
	return s.replayed + int64(s.exchange.cfg.Journal.Stats().Bytes)
}

// watch takes a snapshot whenever the log has grown by so much since the last.
// After a failure it waits a while: the disk may be full.
func (s *snapshots) watch() {
	defer s.finished.Done()
	const look, afterFailure = time.Second, time.Minute
	timer := time.NewTimer(look)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		}
		wait := look
		s.mu.Lock()
		due := s.logged()-s.grown >= s.exchange.cfg.SnapshotBytes
		s.mu.Unlock()
		if due {
			if _, err := s.exchange.Snapshot(s.ctx); err != nil && !errors.Is(err, ErrSnapshotRunning) {
				wait = afterFailure
			}
		}
		timer.Reset(wait)
	}
}

// StartSnapshot takes a snapshot in the background. It returns
// ErrSnapshotRunning if one is under way, or ErrNotReady.
func (x *Exchange) StartSnapshot() error {
	s := &x.snapshots
	if err := s.begin(); err != nil {
		return err
	}
	go func() { _, _ = s.take(s.ctx) }() // the log and the metrics tell of its end
	return nil
}

// OperatorSnapshot is StartSnapshot for an operator, who is in the audit log.
func (x *Exchange) OperatorSnapshot(by string) error {
	if err := x.audit(operatorAct(by, "snapshot.start", "", "")); err != nil {
		return err
	}
	return x.StartSnapshot()
}

// Snapshot takes a snapshot, and returns when it is durable. Its errors are those
// of StartSnapshot, the journal's and ctx's. Requests go on meanwhile.
func (x *Exchange) Snapshot(ctx context.Context) (persistence.SnapshotInfo, error) {
	if err := x.snapshots.begin(); err != nil {
		return persistence.SnapshotInfo{}, err
	}
	return x.snapshots.take(ctx)
}

// SnapshotStats returns the counters of this moment.
func (x *Exchange) SnapshotStats() SnapshotStats {
	x.snapshots.mu.Lock()
	defer x.snapshots.mu.Unlock()
	return x.snapshots.stats
}

// begin claims the one place there is for a snapshot; take gives it back.
func (s *snapshots) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.ready:
		return ErrNotReady
	case s.stats.Running:
		return ErrSnapshotRunning
	}
	s.stats.Running = true
	s.finished.Add(1)
	return nil
}

func (s *snapshots) take(ctx context.Context) (persistence.SnapshotInfo, error) {
	defer s.finished.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // the exchange closes
	start, logged := time.Now(), s.logged()
	var info persistence.SnapshotInfo
	err := s.exchange.audit(Act{Actor: "system", Action: "snapshot.take"}) // after which the log may lose its front
	if err == nil {
		info, err = s.exchange.cfg.Journal.Snapshot(ctx, s.fill)
	}
	took := time.Since(start)

	s.mu.Lock()
	s.stats.Running = false
	switch {
	case err == nil:
		s.grown = logged
		s.stats.Taken++
		s.stats.At, s.stats.Took, s.stats.Entries, s.stats.Bytes = time.Now(), took, info.Entries, info.Bytes
	case ctx.Err() == nil:
		s.stats.Failures++
	}
	s.mu.Unlock()

	log := s.exchange.log
	switch {
	case err == nil:
		log.Info("snapshot taken", slog.Uint64("accounts", info.Entries), slog.Int64("bytes", info.Bytes),
			slog.Duration("took", took), slog.Uint64("next_frame", info.Next))
	case ctx.Err() != nil:
		log.Info("snapshot given up: the service is stopping")
	default:
		log.Error("snapshot failed; the log keeps what it would have stood for", slog.Any("error", err))
	}
	return info, err
}

// A snapshot works for a moment and then rests for longer, so that it never holds
// a processor that a request waits for.
const (
	snapshotWork = 200 * time.Microsecond
	snapshotRest = time.Millisecond
)

// fill adds every account. Their published states do not change, so nobody is
// asked and nothing waits. Every record of a frame before the snapshot's first is
// published by now; an account made since is in the log after it.
func (s *snapshots) fill(add func(entry []byte) error) error {
	var entry []byte
	begun := time.Now()
	if cursor := s.exchange.cursor.durable.Load(); cursor != nil {
		entry = cursor.AppendState(entry)
		if err := add(entry); err != nil {
			return err
		}
	}
	for i, u := range s.exchange.created.from(0) {
		entry = u.durable.Load().AppendState(entry[:0])
		if err := add(entry); err != nil {
			return err
		}
		if i%16 == 15 && time.Since(begun) > snapshotWork {
			time.Sleep(snapshotRest)
			begun = time.Now()
		}
	}
	return nil
}
