package bitcoin

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
)

// A Follower watches coins beside scripts: who may spend them is known, and what spends
// them is reported whole, whoever made it. An output to a watched script is a coin from
// the moment it is seen, so that a chain of transactions is followed within one block.

// spendIndex stands for "the transaction itself" where findings are kept by outpoint:
// no transaction has so many outputs.
const spendIndex = math.MaxUint32

func spendKey(id chainhash.Hash) wire.OutPoint { return wire.OutPoint{Hash: id, Index: spendIndex} }

// finding is one thing that a transaction shows: an output to a watched script or, where
// spend is set, that it spends watched coins. Its Out names it.
type finding struct {
	Output
	spend *Spend
}

// placed is a finding in a block.
type placed struct {
	finding
	Block Ref
	Time  time.Time
}

func (f finding) seen() Fact {
	if f.spend != nil {
		return &Spent{*f.spend}
	}
	return &Seen{f.Output}
}

func (p placed) inBlock() Fact {
	if p.spend != nil {
		return &SpentInBlock{*p.spend, p.Block, p.Time}
	}
	return &InBlock{p.Output, p.Block, p.Time}
}

func (f finding) removed(block Ref) Fact {
	if f.spend != nil {
		return &SpentRemoved{f.spend.ID, block}
	}
	return &Removed{f.Output, block}
}

// poolTx is a transaction of the mempool.
type poolTx struct {
	found []finding
	coins []uint64 // that it spends, watched or not, by coinKey
}

// coinKey shortens an outpoint: two may have the same, seldom.
func coinKey(out wire.OutPoint) uint64 {
	return binary.LittleEndian.Uint64(out.Hash[:8]) ^ uint64(out.Index)
}

// WatchOwn adds an output script that nobody pays to: what it receives is watched as a
// coin, and not reported. As Watch, it must be called before anybody can know of it.
func (f *Follower) WatchOwn(script []byte) {
	if _, watched := f.scripts[string(script)]; !watched {
		f.scripts[string(script)] = false
	}
}

// WatchCoin adds an output whose spending is reported. It must be called before
// the spender can be in a block; the mempool is searched again.
func (f *Follower) WatchCoin(out wire.OutPoint) {
	if _, watched := f.coins[out]; watched {
		return
	}
	f.coins[out] = struct{}{}
	if id, spent := f.inputs[coinKey(out)]; spent {
		f.before[id] = append(f.before[id], f.pool[id].found...) // Mempool asks for it again
		f.leavePool(id)
	}
}

// enterPool notes a transaction of the mempool.
func (f *Follower) enterPool(id chainhash.Hash, tx *wire.MsgTx, found []finding) {
	coins := make([]uint64, len(tx.TxIn))
	for i, in := range tx.TxIn {
		coins[i] = coinKey(in.PreviousOutPoint)
		f.inputs[coins[i]] = id
	}
	f.pool[id] = poolTx{found, coins}
}

// leavePool forgets one.
func (f *Follower) leavePool(id chainhash.Hash) {
	for _, coin := range f.pool[id].coins {
		if f.inputs[coin] == id {
			delete(f.inputs, coin)
		}
	}
	delete(f.pool, id)
}

// find returns what a transaction shows, and watches the coins that it makes.
func (f *Follower) find(tx *wire.MsgTx) (found []finding) {
	var id chainhash.Hash // costly for a large transaction, and most show nothing
	hash := func() chainhash.Hash {
		if id == (chainhash.Hash{}) {
			id = tx.TxHash()
		}
		return id
	}
	for i, out := range tx.TxOut {
		pays, watched := f.scripts[string(out.PkScript)]
		if !watched {
			continue
		}
		o := Output{Out: wire.OutPoint{Hash: hash(), Index: uint32(i)}, BTC: account.Money(out.Value)}
		f.WatchCoin(o.Out)
		if pays {
			o.Address = AddressOf(out.PkScript, f.network)
			found = append(found, finding{Output: o})
		}
	}
	var coins []wire.OutPoint
	for _, in := range tx.TxIn {
		if _, watched := f.coins[in.PreviousOutPoint]; watched {
			coins = append(coins, in.PreviousOutPoint)
		}
	}
	if coins != nil {
		found = append(found, finding{Output{Out: spendKey(hash())}, &Spend{ID: hash(), Tx: tx, Coins: coins}})
	}
	return found
}
