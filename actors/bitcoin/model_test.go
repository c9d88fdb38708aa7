package bitcoin

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// model is a node as data: a best chain and a mempool, with no rules but that a
// transaction is in one place at most.
type model struct {
	chain []*wire.MsgBlock // from height 0
	pool  []*wire.MsgTx
	count uint32 // of transactions and blocks, to make each one different

	isBackward bool // the node names its mempool newest first
}

// newModel has a first block.
func newModel() *model {
	m := &model{}
	m.mine(0)
	return m
}

// pay adds a transaction to the mempool that pays each script 1000 satoshi.
func (m *model) pay(scripts ...[]byte) *wire.MsgTx {
	m.count++
	return m.spend([]wire.OutPoint{{Index: m.count}}, scripts...)
}

// spend is pay from coins.
func (m *model) spend(coins []wire.OutPoint, scripts ...[]byte) *wire.MsgTx {
	m.count++
	tx := wire.NewMsgTx(2)
	tx.LockTime = m.count
	for _, coin := range coins {
		tx.AddTxIn(wire.NewTxIn(&coin, nil, nil))
	}
	for _, script := range scripts {
		tx.AddTxOut(wire.NewTxOut(1000, script))
	}
	m.pool = append(m.pool, tx)
	return tx
}

// drop removes the oldest n transactions from the mempool, and what spends them.
func (m *model) drop(n int) {
	n = min(n, len(m.pool))
	gone := map[chainhash.Hash]bool{}
	for i, tx := range m.pool {
		if i < n || slices.ContainsFunc(tx.TxIn, func(in *wire.TxIn) bool { return gone[in.PreviousOutPoint.Hash] }) {
			gone[tx.TxHash()] = true
		}
	}
	m.pool = slices.DeleteFunc(slices.Clone(m.pool), func(tx *wire.MsgTx) bool { return gone[tx.TxHash()] })
}

// unspent returns the outputs that no transaction spends.
func (m *model) unspent() (coins []wire.OutPoint, scripts [][]byte) {
	spent := map[wire.OutPoint]bool{}
	all := slices.Clone(m.pool)
	for _, block := range m.chain {
		all = append(all, block.Transactions...)
	}
	for _, tx := range all {
		for _, in := range tx.TxIn {
			spent[in.PreviousOutPoint] = true
		}
	}
	for _, tx := range all {
		for i, out := range tx.TxOut {
			if coin := (wire.OutPoint{Hash: tx.TxHash(), Index: uint32(i)}); !spent[coin] {
				coins, scripts = append(coins, coin), append(scripts, out.PkScript)
			}
		}
	}
	return coins, scripts
}

// mine puts the oldest n transactions of the mempool into a block.
func (m *model) mine(n int) {
	m.count++
	n = min(n, len(m.pool))
	block := wire.NewMsgBlock(&wire.BlockHeader{Nonce: m.count, Timestamp: time.Unix(int64(m.count), 0)})
	if len(m.chain) > 0 {
		block.Header.PrevBlock = m.tip().Hash
	}
	var root [4]byte
	binary.LittleEndian.PutUint32(root[:], m.count)
	copy(block.Header.MerkleRoot[:], root[:])
	block.Transactions = append(block.Transactions, m.pool[:n]...)
	m.pool = m.pool[n:]
	m.chain = append(m.chain, block)
}

// reorganise takes back the last blocks; their transactions return to the mempool,
// in front.
func (m *model) reorganise(blocks int) {
	keep := max(1, len(m.chain)-blocks)
	var back []*wire.MsgTx
	for _, block := range m.chain[keep:] {
		back = append(back, block.Transactions...)
	}
	m.chain = m.chain[:keep]
	m.pool = append(back, m.pool...)
}

func (m *model) tip() Ref { return m.ref(int32(len(m.chain) - 1)) }

func (m *model) ref(height int32) Ref { return Ref{height, m.chain[height].BlockHash()} }

// sync leads f to the model's tip and mempool, as a Watcher does with a node.
func (m *model) sync(f *Follower) error {
	for {
		switch step, height := f.Next(m.tip()); step {
		case StepWait:
			return nil
		case StepHash:
			if err := f.HashAt(height, m.ref(height).Hash); err != nil {
				return err
			}
		case StepBlock:
			f.Block(height, m.chain[height])
		case StepMempool:
			m.syncPool(f)
			return nil
		}
	}
}

func (m *model) syncPool(f *Follower) {
	ids, known := make([]chainhash.Hash, len(m.pool)), map[chainhash.Hash]*wire.MsgTx{}
	for i, tx := range m.pool {
		ids[i] = tx.TxHash()
		known[ids[i]] = tx
	}
	if m.isBackward {
		slices.Reverse(ids)
	}
	for unknown := f.Mempool(m.tip(), ids); len(unknown) > 0; unknown = f.Mempool(m.tip(), ids) {
		for _, id := range unknown {
			f.PoolTx(known[id])
		}
	}
}

// ledger is a consumer of facts that knows outputs by their outpoint, as one that
// writes a log does.
type ledger struct {
	outputs map[wire.OutPoint]InBlock // a zero Block: in the mempool
	spends  map[chainhash.Hash]Ref    // likewise
	trail   []Ref
}

func newLedger() *ledger {
	return &ledger{outputs: map[wire.OutPoint]InBlock{}, spends: map[chainhash.Hash]Ref{}}
}

func (l *ledger) take(facts []Fact) {
	for _, fact := range facts {
		switch fact := fact.(type) {
		case *Seen:
			l.outputs[fact.Out] = InBlock{Output: fact.Output}
		case *InBlock:
			l.outputs[fact.Out] = *fact
		case *Removed:
			delete(l.outputs, fact.Out)
		case *Spent:
			l.spends[fact.ID] = Ref{}
		case *SpentInBlock:
			l.spends[fact.ID] = fact.Block
		case *SpentRemoved:
			delete(l.spends, fact.ID)
		case *Tip:
			for len(l.trail) > 0 && l.trail[len(l.trail)-1].Height >= fact.Block.Height {
				l.trail = l.trail[:len(l.trail)-1]
			}
			l.trail = append(l.trail, fact.Block)
		}
	}
}

// clone is what the log of l would bring back.
func (l *ledger) clone() *ledger {
	c := newLedger()
	for out, o := range l.outputs {
		c.outputs[out] = o
	}
	maps.Copy(c.spends, l.spends)
	c.trail = append(c.trail, l.trail...)
	return c
}

func (l *ledger) config(c FollowerConfig) FollowerConfig {
	c.Trail = l.trail
	for _, o := range l.outputs {
		c.Outputs = append(c.Outputs, o)
	}
	for id, block := range l.spends {
		c.Spends = append(c.Spends, SpentInBlock{Spend: Spend{ID: id}, Block: block})
	}
	return c
}

// want is what a ledger must hold at the model's tip.
func (m *model) want(watched map[string]bool, from int32) map[wire.OutPoint]InBlock {
	want := map[wire.OutPoint]InBlock{}
	add := func(tx *wire.MsgTx, in InBlock) {
		for i, out := range tx.TxOut {
			if watched[string(out.PkScript)] {
				in.Out = wire.OutPoint{Hash: tx.TxHash(), Index: uint32(i)}
				in.BTC = 1000
				in.Address = AddressOf(out.PkScript, Regtest)
				want[in.Out] = in
			}
		}
	}
	for height := from; int(height) < len(m.chain); height++ {
		block := m.chain[height]
		for _, tx := range block.Transactions {
			add(tx, InBlock{Block: m.ref(height), Time: block.Header.Timestamp})
		}
	}
	for _, tx := range m.pool {
		add(tx, InBlock{})
	}
	return want
}

// wantSpends is what a ledger must hold of spends at the model's tip.
func (m *model) wantSpends(coins map[wire.OutPoint]bool, from int32) map[chainhash.Hash]Ref {
	want := map[chainhash.Hash]Ref{}
	add := func(tx *wire.MsgTx, block Ref) {
		if slices.ContainsFunc(tx.TxIn, func(in *wire.TxIn) bool { return coins[in.PreviousOutPoint] }) {
			want[tx.TxHash()] = block
		}
	}
	for height := from; int(height) < len(m.chain); height++ {
		for _, tx := range m.chain[height].Transactions {
			add(tx, m.ref(height))
		}
	}
	for _, tx := range m.pool {
		add(tx, Ref{})
	}
	return want
}
