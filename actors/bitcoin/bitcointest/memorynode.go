package bitcointest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/bitcoin"
)

// MemoryNode is a Bitcoin node of the regression-test network as data: blocks, what is
// unspent, and a mempool, by the rules that a node holds transactions to. It has no
// proof of work, no peers and no disk; whoever holds it is the network, and decides what
// is mined, forked away and forgotten. The same calls make the same blocks.
//
// As an http.RoundTripper it answers the JSON-RPC that bitcoin.Node speaks, without a
// socket, so that a node, a watcher and an exchange run over it inside a synctest bubble.
// Its methods may be called from any goroutine.
type MemoryNode struct {
	// Latency says how long a call takes, half of it before the call is carried out and
	// half after it. nil: no time. It is set before the first call.
	Latency func(method, params string) time.Duration

	mu     sync.Mutex
	down   bool                              // guarded by mu, as all below: no call is answered
	chain  []*memoryBlock                    // the best chain, by height
	blocks map[chainhash.Hash]*wire.MsgBlock // every block there ever was
	index  map[chainhash.Hash]int32          // transactions of the best chain: the height
	coins  map[wire.OutPoint]memoryCoin      // unspent, by the best chain
	hidden []*memoryBlock                    // blocks that the network has and this node has not, by height
	pool   []*poolTx                         // parents ahead of their children
	inPool map[chainhash.Hash]*poolTx        // the pool by id
	spends map[wire.OutPoint]*poolTx         // what the pool spends
	valid  map[chainhash.Hash]bool           // witness ids whose scripts were run and hold
	mined  uint32                            // blocks ever mined, so that each is another
}

// memoryBlock is a block and what it takes to disconnect it.
type memoryBlock struct {
	block *wire.MsgBlock
	spent map[wire.OutPoint]memoryCoin
}

// memoryCoin is an unspent output.
type memoryCoin struct {
	out      *wire.TxOut
	height   int32
	coinbase bool
}

// NewMemoryNode returns a node that has the network's first block.
func NewMemoryNode() *MemoryNode {
	n := &MemoryNode{
		blocks: map[chainhash.Hash]*wire.MsgBlock{}, index: map[chainhash.Hash]int32{},
		coins: map[wire.OutPoint]memoryCoin{}, valid: map[chainhash.Hash]bool{},
	}
	n.clearPool()
	first := chaincfg.RegressionNetParams.GenesisBlock
	n.chain = append(n.chain, &memoryBlock{block: first}) // its reward can't be spent
	n.blocks[first.BlockHash()] = first
	return n
}

// Clone returns another node with the same chain and mempool.
func (n *MemoryNode) Clone() *MemoryNode {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &MemoryNode{
		Latency: n.Latency, down: n.down,
		chain: slices.Clone(n.chain), blocks: maps.Clone(n.blocks), index: maps.Clone(n.index), coins: maps.Clone(n.coins),
		hidden: slices.Clone(n.hidden), pool: slices.Clone(n.pool), inPool: maps.Clone(n.inPool), spends: maps.Clone(n.spends),
		valid: maps.Clone(n.valid), mined: n.mined,
	}
}

// Template says what to mine.
type Template struct {
	Time   time.Time
	Reward []byte // the script that gets it
	// Take chooses from the mempool; nil takes all. What spends an output of a
	// transaction that was left out is left out as well.
	Take func(*wire.MsgTx) bool
	// Extra comes ahead of the mempool's transactions, and holds to the rules of blocks
	// alone: it may conflict with the mempool, or pay no fee. What is not valid is left out.
	Extra []*wire.MsgTx
}

// Mine adds a block to the best chain.
func (n *MemoryNode) Mine(t Template) *wire.MsgBlock {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mustBeComplete()
	return n.mine(t)
}

// Reorganise replaces the newest depth blocks by a branch of more of them. What was in
// the old ones returns to the mempool, as far as it is valid still, before the first of
// the branch is mined. To whoever asks it all happens at once.
func (n *MemoryNode) Reorganise(depth int, branch ...Template) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mustBeComplete()
	if depth < 1 || depth >= len(n.chain) || len(branch) <= depth {
		panic(fmt.Sprintf("bitcointest: %d blocks of %d replaced by %d", depth, len(n.chain), len(branch)))
	}
	n.disconnect(depth)
	for _, t := range branch {
		n.mine(t)
	}
}

// FallBehind makes the node forget its newest blocks, and its mempool, as one does that
// was started from an older copy. The network still has them.
func (n *MemoryNode) FallBehind(blocks int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mustBeComplete()
	n.hidden = slices.Clone(n.chain[len(n.chain)-blocks:])
	n.disconnect(blocks)
	n.clearPool()
}

// CatchUp gives the node what it has forgotten by FallBehind.
func (n *MemoryNode) CatchUp() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.hidden {
		n.connect(b.block)
	}
	n.hidden = nil
}

// SetDown says whether calls fail, as those to a node that does not run. One that is
// under way fails too, though it may have been carried out.
func (n *MemoryNode) SetDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

// Tip returns the newest block.
func (n *MemoryNode) Tip() bitcoin.Ref {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bitcoin.Ref{Height: n.height(), Hash: n.tip().BlockHash()}
}

// Chain returns the blocks of the best chain from a height on, to be read only.
func (n *MemoryNode) Chain(from int32) (blocks []*wire.MsgBlock) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.chain[min(int(from), len(n.chain)):] {
		blocks = append(blocks, b.block)
	}
	return blocks
}

// Height returns the height of the block of the best chain that a transaction is in;
// false if none has it.
func (n *MemoryNode) Height(id chainhash.Hash) (int32, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	height, found := n.index[id]
	return height, found
}

// Unspent returns what a script can spend in the next block, oldest first, the
// mempool's outputs last.
func (n *MemoryNode) Unspent(script []byte) (coins []Coin) {
	n.mu.Lock()
	defer n.mu.Unlock()
	heights := map[wire.OutPoint]int32{}
	for out, c := range n.coins {
		if string(c.out.PkScript) == string(script) && n.spends[out] == nil && n.isMature(c) {
			heights[out] = c.height
			coins = append(coins, Coin{Out: out, Satoshi: c.out.Value})
		}
	}
	slices.SortFunc(coins, func(a, b Coin) int {
		if c := heights[a.Out] - heights[b.Out]; c != 0 {
			return int(c)
		}
		return compareOut(a.Out, b.Out)
	})
	for _, p := range n.pool {
		for i, out := range p.tx.TxOut {
			at := wire.OutPoint{Hash: p.id, Index: uint32(i)}
			if string(out.PkScript) == string(script) && n.spends[at] == nil {
				coins = append(coins, Coin{Out: at, Satoshi: out.Value})
			}
		}
	}
	return coins
}

func compareOut(a, b wire.OutPoint) int {
	if c := slices.Compare(a.Hash[:], b.Hash[:]); c != 0 {
		return c
	}
	return int(a.Index) - int(b.Index)
}

// mustBeComplete is held to by what adds to the network's chain. The caller holds mu, as
// of all methods below.
func (n *MemoryNode) mustBeComplete() {
	if len(n.hidden) > 0 {
		panic("bitcointest: the node is behind the network")
	}
}

func (n *MemoryNode) height() int32 { return int32(len(n.chain) - 1) }

func (n *MemoryNode) tip() *wire.MsgBlock { return n.chain[len(n.chain)-1].block }

// isMature reports whether the next block may spend a coin.
func (n *MemoryNode) isMature(c memoryCoin) bool {
	return !c.coinbase || n.height()+1-c.height >= int32(chaincfg.RegressionNetParams.CoinbaseMaturity)
}

func (n *MemoryNode) mine(t Template) *wire.MsgBlock {
	const reward = 50 * 100_000_000
	n.mined++
	height := n.height() + 1
	script, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddInt64(int64(n.mined)).Script()
	if err != nil {
		panic(err)
	}
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: wire.MaxPrevOutIndex}, script, nil))
	coinbase.AddTxOut(wire.NewTxOut(reward, t.Reward))
	block := wire.NewMsgBlock(&wire.BlockHeader{
		Version: 0x20000000, PrevBlock: n.tip().BlockHash(), Timestamp: t.Time.Truncate(time.Second),
		Bits: chaincfg.RegressionNetParams.PowLimitBits, Nonce: n.mined,
	})
	txs := slices.Clone(t.Extra)
	for _, p := range n.pool {
		if t.Take == nil || t.Take(p.tx) {
			txs = append(txs, p.tx)
		}
	}
	block.Transactions = append([]*wire.MsgTx{coinbase}, n.valids(txs)...)
	block.Header.MerkleRoot = merkleRoot(block.Transactions)
	n.connect(block)
	return block
}

// valids leaves out what may not be in the next block together with what is before it.
func (n *MemoryNode) valids(txs []*wire.MsgTx) (valid []*wire.MsgTx) {
	made, gone := map[wire.OutPoint]*wire.TxOut{}, map[wire.OutPoint]bool{}
	find := func(out wire.OutPoint) (*wire.TxOut, bool) {
		if gone[out] {
			return nil, false
		}
		if made[out] != nil {
			return made[out], true
		}
		coin, ok := n.coins[out]
		return coin.out, ok && n.isMature(coin)
	}
	for _, tx := range txs {
		if _, _, refused := n.check(tx, find); refused != nil {
			continue
		}
		if _, in := n.index[tx.TxHash()]; in {
			continue
		}
		for _, in := range tx.TxIn {
			gone[in.PreviousOutPoint] = true
		}
		for i, out := range tx.TxOut {
			made[wire.OutPoint{Hash: tx.TxHash(), Index: uint32(i)}] = out
		}
		valid = append(valid, tx)
	}
	return valid
}

// connect adds a block, of valid transactions, to the best chain.
func (n *MemoryNode) connect(block *wire.MsgBlock) {
	b := &memoryBlock{block: block, spent: map[wire.OutPoint]memoryCoin{}}
	n.chain = append(n.chain, b)
	n.blocks[block.BlockHash()] = block
	for i, tx := range block.Transactions {
		id := tx.TxHash()
		n.index[id] = n.height()
		for _, in := range tx.TxIn {
			if coin, ok := n.coins[in.PreviousOutPoint]; ok {
				b.spent[in.PreviousOutPoint] = coin
				delete(n.coins, in.PreviousOutPoint)
			}
			if other := n.spends[in.PreviousOutPoint]; other != nil && other.id != id {
				n.drop(other)
			}
		}
		for j, out := range tx.TxOut {
			n.coins[wire.OutPoint{Hash: id, Index: uint32(j)}] = memoryCoin{out: out, height: n.height(), coinbase: i == 0}
		}
		if p := n.inPool[id]; p != nil {
			n.remove(p)
		}
	}
}

// disconnect takes the newest blocks off the best chain. Their transactions return to
// the mempool, ahead of what is in it, and what is valid no more leaves it.
func (n *MemoryNode) disconnect(depth int) {
	var back []*wire.MsgTx
	for range depth {
		b := n.chain[len(n.chain)-1]
		n.chain = n.chain[:len(n.chain)-1]
		for _, tx := range slices.Backward(b.block.Transactions) {
			id := tx.TxHash()
			delete(n.index, id)
			for i := range tx.TxOut {
				delete(n.coins, wire.OutPoint{Hash: id, Index: uint32(i)})
			}
		}
		for out, coin := range b.spent {
			if _, there := n.index[out.Hash]; there { // else it was made by the block itself
				n.coins[out] = coin
			}
		}
		back = append(slices.Clone(b.block.Transactions[1:]), back...)
	}
	for _, p := range n.pool {
		back = append(back, p.tx)
	}
	n.clearPool()
	for _, tx := range back {
		_ = n.accept(tx)
	}
}

// merkleRoot is a block's commitment to its transactions.
func merkleRoot(txs []*wire.MsgTx) chainhash.Hash {
	level := make([]chainhash.Hash, len(txs))
	for i, tx := range txs {
		level[i] = tx.TxHash()
	}
	for len(level) > 1 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		next := make([]chainhash.Hash, len(level)/2)
		for i := range next {
			next[i] = chainhash.DoubleHashH(slices.Concat(level[2*i][:], level[2*i+1][:]))
		}
		level = next
	}
	return level[0]
}
