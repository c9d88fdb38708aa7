package bitcoin

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// DefaultMaxReorg is how many blocks a reorganisation may take back: a day's, more
// than ever happened, and more than the 100 after which mined coins may be spent.
const DefaultMaxReorg = 144

// ErrForkTooDeep: the node's best chain parted from the followed one before all
// blocks that are remembered. It is another chain, not a reorganisation, and only
// the operator can say which one counts.
var ErrForkTooDeep = errors.New("the node's chain has nothing in common with the blocks followed so far")

// FollowerConfig is where a Follower begins.
type FollowerConfig struct {
	Network Network
	// Start is the height of the first block that is read.
	Start int32
	// Trail are the last blocks that were followed, ascending, one each height: the
	// blocks of the last Tip facts. MaxReorg+1 of them are of use. Empty: none was.
	Trail []Ref
	// Outputs are the known outputs that a reorganisation could still take back:
	// of the last MaxReorg blocks, or with a zero Block, of the mempool. Is one in a
	// block beside Trail, all blocks of Trail are read again.
	Outputs []InBlock
	// Spends are the known spends of watched coins that a reorganisation could still
	// take back: only their ID and Block are of use. With a zero Block: of the mempool.
	Spends []SpentInBlock
	// MaxReorg is how many blocks may be taken back. Default DefaultMaxReorg.
	MaxReorg int
}

// Follower follows the best chain of a node, block by block, and reports what it
// pays to watched scripts, and what spends watched coins. It does no I/O: Next says what to ask the node for, the
// answers go into Block, HashAt, Mempool and PoolTx, and Facts hands out what they
// showed. One goroutine owns it.
type Follower struct {
	network  Network
	start    int32
	maxReorg int

	scripts map[string]bool            // watched; false: its outputs are coins, and nobody's payments
	coins   map[wire.OutPoint]struct{} // watched, outputs to scripts included
	trail   []Ref                      // the last blocks, ascending, at most maxReorg+1

	// What a reorganisation could take back.
	blocks map[wire.OutPoint]placed     // of the blocks of trail
	pool   map[chainhash.Hash]poolTx    // of the mempool
	before map[chainhash.Hash][]finding // of the mempool, to be read anew: some findings may be missing
	inputs map[uint64]chainhash.Hash    // what spends which coin in pool, by coinKey

	// While a fork is looked for: the index in trail to compare next, plus one.
	probe int

	// After a fork was found, facts are held back until the new branch is as high as
	// the old one was: an output that both branches have was never gone.
	limbo    map[wire.OutPoint]placed // taken back, and not found again so far
	settleAt int32                    // height that ends it; 0 if nothing is held back

	facts []Fact
}

// NewFollower starts at cfg's place. It panics where Trail has a gap.
func NewFollower(cfg FollowerConfig) *Follower {
	if cfg.MaxReorg == 0 {
		cfg.MaxReorg = DefaultMaxReorg
	}
	for i := 1; i < len(cfg.Trail); i++ {
		if cfg.Trail[i].Height != cfg.Trail[i-1].Height+1 {
			panic(fmt.Sprintf("bitcoin: block %v of the trail follows %v", cfg.Trail[i], cfg.Trail[i-1]))
		}
	}
	f := &Follower{
		network: cfg.Network, start: cfg.Start, maxReorg: cfg.MaxReorg,
		scripts: make(map[string]bool),
		coins:   make(map[wire.OutPoint]struct{}),
		blocks:  make(map[wire.OutPoint]placed),
		pool:    make(map[chainhash.Hash]poolTx),
		before:  make(map[chainhash.Hash][]finding),
		inputs:  make(map[uint64]chainhash.Hash),
		limbo:   make(map[wire.OutPoint]placed),
	}
	f.trail = append(f.trail, cfg.Trail[max(0, len(cfg.Trail)-cfg.MaxReorg-1):]...)
	for _, o := range cfg.Outputs {
		f.know(placed{finding{Output: o.Output}, o.Block, o.Time})
	}
	for _, s := range cfg.Spends {
		f.know(placed{finding{Output{Out: spendKey(s.ID)}, &s.Spend}, s.Block, s.Time})
	}
	if len(f.limbo) > 0 {
		f.readAgain()
	}
	return f
}

// readAgain takes back all of the trail that a reorganisation could. An output in a
// block beside the trail says that the facts of blocks were written in part: where
// the output was before is not known any more, and if the old branch has won since,
// it is in a block of the trail, which would not be read again.
func (f *Follower) readAgain() {
	if len(f.trail) == 0 {
		return
	}
	if f.isStart() {
		f.rewind(0)
		return
	}
	// The one block that is left must still tell this chain from another one.
	f.start = min(f.start, f.trail[0].Height-1)
	f.rewind(1)
}

// isStart says whether nothing was followed before the trail, so that a fork may lie
// before all of it.
func (f *Follower) isStart() bool {
	return f.trail[0].Height <= f.start && len(f.trail) <= f.maxReorg
}

// know takes over a finding from before the start.
func (f *Follower) know(o placed) {
	if o.spend == nil {
		f.coins[o.Out] = struct{}{}
	}
	if o.Block == (Ref{}) {
		f.before[o.Out.Hash] = append(f.before[o.Out.Hash], o.finding)
		return
	}
	if len(f.trail) > 0 {
		if o.Block.Height < f.trail[0].Height {
			return
		}
		if i := int(o.Block.Height - f.trail[0].Height); i < len(f.trail) && f.trail[i] == o.Block {
			f.blocks[o.Out] = o
			return
		}
	}
	// Its block was taken back, or was not followed to its end, before the start.
	f.limbo[o.Out] = o
	f.settleAt = max(f.settleAt, o.Block.Height, f.Tip().Height)
}

// Watch adds an output script. It must be called before anybody can know of the
// script: blocks and mempool are not searched again.
func (f *Follower) Watch(script []byte) { f.scripts[string(script)] = true }

// Watched returns how many scripts are watched.
func (f *Follower) Watched() int { return len(f.scripts) }

// Tip returns the last block that was followed; before the first, the zero Ref.
func (f *Follower) Tip() Ref {
	if len(f.trail) == 0 {
		return Ref{}
	}
	return f.trail[len(f.trail)-1]
}

// Step is what a Follower has to be told next.
type Step uint8

// The steps.
const (
	StepMempool Step = iota // at the node's tip: Mempool may be told
	StepWait                // the node has less than is known already: wait for it
	StepBlock               // Block wants the block at a height
	StepHash                // HashAt wants the hash at a height
)

// Next returns the next step, given the node's tip, and the height it is about.
func (f *Follower) Next(tip Ref) (Step, int32) {
	top := f.Tip()
	switch {
	case len(f.trail) == 0 && tip.Height < f.start:
		return StepWait, 0
	case len(f.trail) == 0:
		return StepBlock, f.start
	case tip.Height < top.Height:
		// The best chain has more work, so once it counts it is as high as this one. A
		// node that is lower is loading its chain, and takes nothing back.
		f.probe = 0
		return StepWait, 0
	case tip == top:
		f.probe = 0
		if top.Height < f.settleAt {
			return StepWait, 0 // what is missing may be in a block that it will have again
		}
		return StepMempool, 0
	case f.probe > 0:
		return StepHash, f.trail[f.probe-1].Height
	case tip.Height == top.Height:
		f.probe = len(f.trail)
		return StepHash, top.Height
	}
	return StepBlock, top.Height + 1
}

// HashAt says which block the node's best chain has at a height that Next asked for.
func (f *Follower) HashAt(height int32, hash chainhash.Hash) error {
	if f.probe == 0 || f.trail[f.probe-1].Height != height {
		return nil // the answer comes too late
	}
	if f.trail[f.probe-1].Hash == hash {
		f.rewind(f.probe)
		return nil
	}
	if f.probe--; f.probe > 0 {
		return nil
	}
	if !f.isStart() {
		return fmt.Errorf("%w, from block %v to %v", ErrForkTooDeep, f.trail[0], f.Tip())
	}
	f.rewind(0)
	return nil
}

// rewind takes back all blocks of the trail but the first keep.
func (f *Follower) rewind(keep int) {
	f.probe = 0
	if keep == len(f.trail) {
		return
	}
	f.settleAt = max(f.settleAt, f.Tip().Height)
	from := f.trail[keep].Height
	f.trail = f.trail[:keep]
	for out, o := range f.blocks {
		if o.Block.Height >= from {
			f.limbo[out] = o
			delete(f.blocks, out)
		}
	}
}

// Block takes the block of the node's best chain at a height that Next asked for.
func (f *Follower) Block(height int32, block *wire.MsgBlock) {
	next := f.start
	if len(f.trail) > 0 {
		next = f.Tip().Height + 1
	}
	if height != next {
		return // the answer comes too late
	}
	if len(f.trail) > 0 && block.Header.PrevBlock != f.Tip().Hash {
		f.probe = len(f.trail)
		return
	}
	ref := Ref{height, block.BlockHash()}
	if len(f.trail) > f.maxReorg {
		f.trail = slices.Delete(f.trail, 0, len(f.trail)-f.maxReorg)
	}
	f.trail = append(f.trail, ref)
	for _, tx := range block.Transactions {
		for _, found := range f.find(tx) {
			in := placed{found, ref, block.Header.Timestamp}
			f.blocks[found.Out] = in
			delete(f.limbo, found.Out)
			f.leavePool(found.Out.Hash)
			delete(f.before, found.Out.Hash)
			f.facts = append(f.facts, in.inBlock())
		}
	}
	f.settle()
	f.facts = append(f.facts, &Tip{Block: ref, Time: block.Header.Timestamp})
	f.forget()
}

// settle ends a reorganisation when the new branch is as high as the old one was.
func (f *Follower) settle() {
	if f.settleAt == 0 || f.Tip().Height < f.settleAt {
		return
	}
	f.settleAt = 0
	gone := make([]placed, 0, len(f.limbo))
	for _, o := range f.limbo {
		gone = append(gone, o)
	}
	clear(f.limbo)
	slices.SortFunc(gone, func(a, b placed) int { return compareOut(a.Out, b.Out) })
	for _, o := range gone {
		f.facts = append(f.facts, o.removed(o.Block))
	}
}

// forget drops what no reorganisation can take back any more, the coins that are
// spent for good too. It looks through all of it now and then only.
func (f *Follower) forget() {
	first := f.trail[0].Height
	if first%16 != 0 {
		return
	}
	for out, o := range f.blocks {
		if o.Block.Height < first {
			delete(f.blocks, out)
			if o.spend != nil {
				for _, coin := range o.spend.Coins {
					delete(f.coins, coin)
				}
			}
		}
	}
}

// Mempool says which transactions are in the node's mempool while tip is its tip.
// It returns those that PoolTx wants to see.
func (f *Follower) Mempool(tip Ref, ids []chainhash.Hash) (unknown []chainhash.Hash) {
	if tip != f.Tip() {
		return nil // what is missing may be in a block that has not been read
	}
	// A start may find the trail at the node's tip, and an output in a block beside it:
	// nobody must wait for the next block to take that back.
	if f.settle(); f.settleAt != 0 {
		return nil
	}
	present := make(map[chainhash.Hash]struct{}, len(ids))
	for _, id := range ids {
		present[id] = struct{}{}
		if _, known := f.pool[id]; !known {
			unknown = append(unknown, id)
		}
	}
	var gone []finding
	for id, tx := range f.pool {
		if _, still := present[id]; !still {
			gone = append(gone, tx.found...)
			f.leavePool(id)
		}
	}
	for id, found := range f.before {
		if _, still := present[id]; !still {
			gone = append(gone, found...)
			delete(f.before, id)
		}
	}
	slices.SortFunc(gone, func(a, b finding) int { return compareOut(a.Out, b.Out) })
	for _, found := range gone {
		f.facts = append(f.facts, found.removed(Ref{}))
	}
	return unknown
}

// PoolTx takes a transaction that Mempool asked for. It may show that another one,
// which is known, is to be asked for again: a coin that is only now watched, and spent.
func (f *Follower) PoolTx(tx *wire.MsgTx) {
	id := tx.TxHash()
	if _, known := f.pool[id]; known {
		return
	}
	found := f.find(tx)
	f.enterPool(id, tx, found)
	delete(f.before, id)
	for _, o := range found {
		f.facts = append(f.facts, o.seen())
	}
}

// Facts returns the facts since the last call, in order.
func (f *Follower) Facts() []Fact {
	if f.settleAt != 0 {
		return nil
	}
	facts := f.facts
	f.facts = nil
	return facts
}

func compareOut(a, b wire.OutPoint) int {
	if c := bytes.Compare(a.Hash[:], b.Hash[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.Index, b.Index)
}
