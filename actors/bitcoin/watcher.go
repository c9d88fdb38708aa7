package bitcoin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Limits of a Watcher.
const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 30 * time.Second
	// maxPoolFetch is how many transactions of the mempool are looked at between two
	// looks at the chain: blocks come first.
	maxPoolFetch     = 500
	progressInterval = 10 * time.Second
)

// Source is what a Watcher needs of a node; *Node is one.
type Source interface {
	Check(context.Context) (NodeInfo, error)
	Info(context.Context) (NodeInfo, error)
	BlockHash(context.Context, int32) (chainhash.Hash, error)
	Block(context.Context, chainhash.Hash) (*wire.MsgBlock, error)
	Mempool(context.Context) ([]chainhash.Hash, error)
	Transaction(context.Context, chainhash.Hash) (*wire.MsgTx, error)
}

// WatcherConfig is what a Watcher needs. Every field without a default is required.
type WatcherConfig struct {
	Source   Source
	Follower *Follower // the Watcher's own from now on
	// Handle takes facts, in order, and returns when they are durable: a restart
	// begins at the last Tip that it took. An error ends the Watcher.
	Handle func(context.Context, []Fact) error
	// Poll is the time between two looks at the node. Default 2 s.
	Poll   time.Duration
	Logger *slog.Logger   // default: discard
	Random func() float64 // in [0, 1), from one goroutine; default math/rand/v2
}

// Watcher keeps a Follower at the tip of a node. Run is its goroutine.
type Watcher struct {
	cfg      WatcherConfig
	follower *Follower // owned by Run
	log      *slog.Logger
	status   atomic.Pointer[Status]

	mu    sync.Mutex
	watch []func(*Follower) // guarded by mu: what is to be watched from the next block on
}

// State is what a Watcher is doing.
type State string

// The states of a Watcher.
const (
	Connecting State = "connecting"  // the node cannot be used; Status.Err says why
	CatchingUp State = "catching_up" // reading blocks that exist already
	Following  State = "following"   // at the node's tip
	NodeBehind State = "node_behind" // the node has fewer blocks than were followed before
)

// Status is a Watcher's state at a moment.
type Status struct {
	State      State
	Height     int32 // of the last block followed
	NodeHeight int32 // of the node's tip, when it answered last
	// Synced is when the node's tip and mempool were last found to hold nothing new:
	// what was paid before is known. Zero: never.
	Synced time.Time
	Err    error // why it is Connecting
}

// NewWatcher prepares a Watcher.
func NewWatcher(cfg WatcherConfig) *Watcher {
	if cfg.Poll == 0 {
		cfg.Poll = 2 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	w := &Watcher{cfg: cfg, follower: cfg.Follower, log: cfg.Logger}
	w.status.Store(&Status{State: Connecting, Height: cfg.Follower.Tip().Height})
	return w
}

// Status may be called from any goroutine.
func (w *Watcher) Status() Status { return *w.status.Load() }

// Watch adds an output script, from any goroutine. When it has returned, nobody can
// pay to the script unseen, so it is called before the address is given out.
func (w *Watcher) Watch(script []byte) { w.add(func(f *Follower) { f.Watch(script) }) }

// WatchCoins adds outputs whose spending is reported, and scripts whose outputs are such
// coins, from any goroutine: before anybody can sign a transaction that spends them.
func (w *Watcher) WatchCoins(coins []wire.OutPoint, own [][]byte) {
	w.add(func(f *Follower) {
		for _, coin := range coins {
			f.WatchCoin(coin)
		}
		for _, script := range own {
			f.WatchOwn(script)
		}
	})
}

func (w *Watcher) add(watch func(*Follower)) {
	w.mu.Lock()
	w.watch = append(w.watch, watch)
	w.mu.Unlock()
}

// takeWatched tells the follower what was added.
func (w *Watcher) takeWatched() {
	w.mu.Lock()
	added := w.watch
	w.watch = nil
	w.mu.Unlock()
	for _, watch := range added {
		watch(w.follower)
	}
}

// errHandle marks an error of WatcherConfig.Handle.
type errHandle struct{ error }

func (e errHandle) Unwrap() error { return e.error }

// Run follows the chain until ctx is done (nil), Handle fails, or the node turns out
// to be on another network or chain: ErrWrongNetwork, ErrForkTooDeep. A node that
// does not answer is tried again for ever.
func (w *Watcher) Run(ctx context.Context) error {
	backoff, checked := minBackoff, false
	for {
		wait := w.cfg.Poll
		// Behind an address there may be another node after every failure.
		err := error(nil)
		if !checked {
			_, err = w.cfg.Source.Check(ctx)
		}
		if err == nil {
			checked = true
			err = w.catchUp(ctx)
		}
		switch failed := new(errHandle); {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			backoff = minBackoff
		case errors.As(err, failed), errors.Is(err, ErrWrongNetwork), errors.Is(err, ErrForkTooDeep):
			return err
		default:
			if checked || w.Status().Err == nil {
				w.log.Warn("the Bitcoin node cannot be used, trying again", slog.Any("error", err))
			}
			checked = false
			w.update(func(s *Status) { s.State, s.Err = Connecting, err })
			wait = time.Duration(float64(backoff) * (0.5 + w.cfg.Random()/2))
			backoff = min(2*backoff, maxBackoff)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (w *Watcher) update(change func(*Status)) {
	s := *w.status.Load()
	change(&s)
	w.status.Store(&s)
}

// catchUp does what there is to do until the follower is at the node's tip, or the
// node is behind it.
func (w *Watcher) catchUp(ctx context.Context) error {
	f, progress := w.follower, time.Now()
	info, err := w.cfg.Source.Info(ctx)
	if err != nil {
		return err
	}
	for {
		step, height := f.Next(info.Tip)
		switch step {
		case StepWait:
			w.update(func(s *Status) {
				s.State, s.Height, s.NodeHeight, s.Err = NodeBehind, f.Tip().Height, info.Tip.Height, nil
			})
			return nil
		case StepMempool:
			return w.lookAtMempool(ctx, info)
		case StepHash:
			hash, err := w.cfg.Source.BlockHash(ctx, height)
			if err != nil {
				return err
			}
			if err := f.HashAt(height, hash); err != nil {
				return err
			}
			// The node's chain has changed since the tip was read.
			if info, err = w.cfg.Source.Info(ctx); err != nil {
				return err
			}
		case StepBlock:
			w.update(func(s *Status) {
				s.State, s.Height, s.NodeHeight, s.Err = CatchingUp, f.Tip().Height, info.Tip.Height, nil
			})
			if now := time.Now(); now.Sub(progress) >= progressInterval {
				progress = now
				w.log.Info("following the Bitcoin chain", slog.Int("height", int(height)), slog.Int("node_height", int(info.Tip.Height)))
			}
			if err := w.readBlock(ctx, height); err != nil {
				return err
			}
			if height >= info.Tip.Height { // a long way up, the node may have gone on
				if info, err = w.cfg.Source.Info(ctx); err != nil {
					return err
				}
			}
		}
	}
}

func (w *Watcher) readBlock(ctx context.Context, height int32) error {
	hash, err := w.cfg.Source.BlockHash(ctx, height)
	if err != nil {
		return err
	}
	block, err := w.cfg.Source.Block(ctx, hash)
	if err != nil {
		return fmt.Errorf("block %d: %w", height, err)
	}
	// A script that was added while the block was on its way is not in it; one that
	// was added before the block was asked for may be.
	w.takeWatched()
	w.follower.Block(height, block)
	return w.deliver(ctx)
}

// lookAtMempool reads the mempool of the node, which is at tip info.Tip.
func (w *Watcher) lookAtMempool(ctx context.Context, info NodeInfo) error {
	asked := time.Now()
	ids, err := w.cfg.Source.Mempool(ctx)
	if err != nil {
		return err
	}
	after, err := w.cfg.Source.Info(ctx)
	if err != nil {
		return err
	}
	if after.Tip != info.Tip {
		return nil // a block came in between: first the block
	}
	w.takeWatched()
	all, err := w.readPool(ctx, info.Tip, ids)
	if err != nil {
		return err
	}
	if err := w.deliver(ctx); err != nil {
		return err
	}
	w.update(func(s *Status) {
		s.State, s.Height, s.NodeHeight, s.Err = Following, info.Tip.Height, info.Tip.Height, nil
		if all {
			s.Synced = asked
		}
	})
	return nil
}

// readPool reads the transactions of the mempool that the follower wants to see, some of
// them twice where one shows that another one spends what is ours, and says whether that
// was all.
func (w *Watcher) readPool(ctx context.Context, tip Ref, ids []chainhash.Hash) (all bool, err error) {
	gone := map[chainhash.Hash]bool{} // or in a block, since the mempool was read
	for left := maxPoolFetch; ; {
		unknown := slices.DeleteFunc(w.follower.Mempool(tip, ids), func(id chainhash.Hash) bool { return gone[id] })
		if len(unknown) == 0 || left == 0 {
			return len(unknown) == 0, nil
		}
		for _, id := range unknown[:min(len(unknown), left)] {
			left--
			tx, err := w.cfg.Source.Transaction(ctx, id)
			if IsNotFound(err) {
				gone[id] = true
				continue
			}
			if err != nil {
				return false, err
			}
			w.follower.PoolTx(tx)
		}
	}
}

func (w *Watcher) deliver(ctx context.Context) error {
	facts := w.follower.Facts()
	if len(facts) == 0 {
		return nil
	}
	if err := w.cfg.Handle(ctx, facts); err != nil {
		return errHandle{err}
	}
	return nil
}
