package actors

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// BitcoinConfig is what a BitcoinChain needs. Every field without a default is
// required.
type BitcoinConfig struct {
	Node   *bitcoin.Node
	Keys   *bitcoin.Keys  // until Start, which may know of earlier ones
	Poll   time.Duration  // between two looks at the node; default 2 s
	Logger *slog.Logger   // default: discard
	Random func() float64 // in [0, 1), spreads what is tried again; default math/rand/v2
}

// BitcoinChain is the Chain of a real node. Addresses are never unwatched, because
// a payment may come late.
//
// Indexes go up by one for each payment, paid or not, so the operator's own wallet
// on the same account finds them all only with a gap limit (BIP-44 says 20) above
// the number of payments in a row that nobody paid.
type BitcoinChain struct {
	cfg      BitcoinConfig
	network  bitcoin.Network
	ctx      context.Context // done when it stops
	cancel   context.CancelFunc
	finished sync.WaitGroup
	handle   Handle

	watcher atomic.Pointer[bitcoin.Watcher] // nil until the first block to read is known
	ready   atomic.Bool                     // a place in the chain is in the log
	failed  atomic.Pointer[error]           // why it is not followed any more
	change  changeScripts

	mu    sync.Mutex
	next  uint32   // guarded by mu: above every index that was ever used
	spare []uint32 // guarded by mu: below next, and never seen by anybody
}

// NewBitcoinChain prepares a BitcoinChain.
func NewBitcoinChain(cfg BitcoinConfig) *BitcoinChain {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b := &BitcoinChain{cfg: cfg, network: cfg.Keys.Network(), change: changeScripts{keys: cfg.Keys, index: map[string]uint32{}}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Start implements Chain.
func (b *BitcoinChain) Start(resume Resume, handle Handle) {
	b.handle = handle
	b.mu.Lock()
	b.next = resume.NextIndex
	b.mu.Unlock()
	if resume.Keys != nil {
		b.change.keys = resume.Keys
	}
	b.finished.Add(1)
	if len(resume.Trail) == 0 {
		go b.begin(resume)
		return
	}
	b.watch(resume, resume.Trail[0].Height)
	b.ready.Store(true) // there is something to watch an address with
	go b.run()
}

// begin waits for the node to say where its chain ends: no address was given out
// before that block.
func (b *BitcoinChain) begin(resume Resume) {
	wait, told := 100*time.Millisecond, false
	for {
		info, err := b.cfg.Node.Check(b.ctx)
		if err == nil {
			b.watch(resume, info.Tip.Height)
			b.run()
			return
		}
		if errors.Is(err, bitcoin.ErrWrongNetwork) {
			b.fail(err)
			b.finished.Done()
			return
		}
		if !told && b.ctx.Err() == nil {
			told = true
			b.cfg.Logger.Warn("the Bitcoin node cannot be used, trying again; nobody can buy until then", slog.Any("error", err))
		}
		select {
		case <-b.ctx.Done():
			b.finished.Done()
			return
		case <-time.After(wait):
			wait = min(2*wait, 10*time.Second)
		}
	}
}

// watch makes the watcher, with all that was ever given out.
func (b *BitcoinChain) watch(resume Resume, start int32) {
	follower := bitcoin.NewFollower(bitcoin.FollowerConfig{
		Network: b.network, Start: start, Trail: resume.Trail, Outputs: withinReorg(resume), Spends: spendsWithinReorg(resume),
	})
	for _, address := range resume.Addresses {
		if script, err := bitcoin.ScriptOf(address, b.network); err == nil { // else it is one of another network
			follower.Watch(script)
		}
	}
	for _, coin := range resume.Coins {
		follower.WatchCoin(coin)
	}
	for _, script := range b.change.upTo(resume.NextChange + changeAhead) {
		follower.WatchOwn(script)
	}
	b.watcher.Store(bitcoin.NewWatcher(bitcoin.WatcherConfig{
		Source: b.cfg.Node, Follower: follower, Handle: b.take, Poll: b.cfg.Poll, Logger: b.cfg.Logger, Random: b.cfg.Random,
	}))
	b.cfg.Logger.Info("following the Bitcoin chain", slog.String("network", b.network.String()),
		slog.Int("height", int(follower.Tip().Height)), slog.Int("addresses", follower.Watched()), slog.Int("next_index", int(b.next)))
}

// withinReorg leaves out the outputs of blocks that no reorganisation reaches.
func withinReorg(resume Resume) (outputs []bitcoin.InBlock) {
	for _, o := range resume.Outputs {
		if o.Block == (bitcoin.Ref{}) || len(resume.Trail) == 0 || o.Block.Height >= resume.Trail[0].Height {
			outputs = append(outputs, o)
		}
	}
	return outputs
}

func spendsWithinReorg(resume Resume) (spends []bitcoin.SpentInBlock) {
	for _, s := range resume.Spends {
		if len(resume.Trail) == 0 || s.Block.Height >= resume.Trail[0].Height {
			spends = append(spends, s)
		}
	}
	return spends
}

func (b *BitcoinChain) run() {
	defer b.finished.Done()
	if err := b.watcher.Load().Run(b.ctx); err != nil && b.ctx.Err() == nil {
		b.fail(err)
	}
}

// take hands facts on, and says whether more blocks come.
func (b *BitcoinChain) take(ctx context.Context, facts []bitcoin.Fact) error {
	status, last := b.watcher.Load().Status(), int32(-1)
	for _, fact := range facts {
		if tip, ok := fact.(*bitcoin.Tip); ok {
			last = tip.Block.Height
		}
	}
	more := status.State == bitcoin.CatchingUp && last >= 0 && last < status.NodeHeight
	if err := b.handle(ctx, facts, more); err != nil {
		return err
	}
	if last >= 0 && !more {
		b.ready.Store(true)
	}
	return nil
}

// fail ends the buying until an operator has restarted the service.
func (b *BitcoinChain) fail(err error) {
	b.failed.Store(&err)
	b.cfg.Logger.Error("ALERT: the Bitcoin chain is not followed any more, so nobody can buy; restart when the cause is gone", slog.Any("error", err))
}

// Stop implements Chain.
func (b *BitcoinChain) Stop() {
	b.cancel()
	b.finished.Wait()
}

// NewAddress implements Chain.
func (b *BitcoinChain) NewAddress() (Address, error) {
	if !b.ready.Load() || b.failed.Load() != nil {
		return Address{}, ErrChainDown
	}
	for {
		index := b.takeIndex()
		text, err := b.change.keys.Address(index)
		if err != nil {
			if index < bitcoin.MaxIndex {
				continue // one index in 2^127 has no key
			}
			return Address{}, err
		}
		script, err := bitcoin.ScriptOf(text, b.network)
		if err != nil {
			return Address{}, err
		}
		b.watcher.Load().Watch(script)
		return Address{Text: text, Derived: true, Index: index}, nil
	}
}

func (b *BitcoinChain) takeIndex() uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.spare); n > 0 {
		index := b.spare[n-1]
		b.spare = b.spare[:n-1]
		return index
	}
	b.next++
	return b.next - 1
}

// GiveBack implements Chain.
func (b *BitcoinChain) GiveBack(a Address) {
	b.mu.Lock()
	b.spare = append(b.spare, a.Index)
	b.mu.Unlock()
}

// Keys implements Payer.
func (b *BitcoinChain) Keys() *bitcoin.Keys { return b.change.keys }

// Node implements Payer.
func (b *BitcoinChain) Node() *bitcoin.Node { return b.cfg.Node }

// WatchCoins implements Payer.
func (b *BitcoinChain) WatchCoins(coins []wire.OutPoint, change uint32) {
	if w := b.watcher.Load(); w != nil { // without it there were no coins
		w.WatchCoins(coins, b.change.upTo(change+changeAhead))
	}
}

// ChangeIndex implements Payer.
func (b *BitcoinChain) ChangeIndex(script []byte) (uint32, bool) { return b.change.indexOf(script) }

// CheckAddress implements Chain.
func (b *BitcoinChain) CheckAddress(address string) error {
	return CheckBitcoinAddress(address, b.network.Params())
}

// Watch implements Chain: NewAddress and Start have done it.
func (b *BitcoinChain) Watch(WatchedPayment) {}

// Unwatch implements Chain.
func (b *BitcoinChain) Unwatch(account.TransactionID) {}

// KnownUntil implements Chain.
func (b *BitcoinChain) KnownUntil() time.Time {
	if w := b.watcher.Load(); w != nil {
		return w.Status().Synced
	}
	return time.Time{}
}

// Status implements Chain.
func (b *BitcoinChain) Status() (s ChainStatus) {
	s.State = bitcoin.Connecting
	if w := b.watcher.Load(); w != nil {
		s.Status = w.Status()
	}
	if failed := b.failed.Load(); failed != nil {
		s.Failed = *failed
	}
	b.mu.Lock()
	s.NextIndex = b.next
	b.mu.Unlock()
	return s
}
