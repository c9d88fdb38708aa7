package bitcointest

import (
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/bitcoin"
)

// Codes of a refused transaction (Bitcoin Core, src/rpc/protocol.h).
const codeMissingInputs = -25

// What a mempool asks for beside a block's rules (Bitcoin Core, src/policy).
const (
	minFeeRate   = 1   // satoshi per virtual byte, and what a replacement pays on top
	maxReplaced  = 100 // transactions that one may replace (BIP-125, rule 5)
	dustFeeRate  = 3   // satoshi per virtual byte at which an output must be worth its spending
	maxSignalled = wire.MaxTxInSequenceNum - 2
)

// poolTx is a transaction of the mempool.
type poolTx struct {
	tx  *wire.MsgTx
	id  chainhash.Hash
	fee int64
}

// refusal is why a transaction is refused, as the node says it.
type refusal struct {
	code    int
	message string
}

func rejected(format string, args ...any) *refusal {
	return &refusal{bitcoin.CodeVerifyRejected, fmt.Sprintf(format, args...)}
}

// Pool returns the mempool, parents ahead of their children.
func (n *MemoryNode) Pool() (txs []*wire.MsgTx) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pool {
		txs = append(txs, p.tx)
	}
	return txs
}

// Submit hands the node a transaction, as a peer does. It returns an *bitcoin.RPCError
// where the node refuses it.
func (n *MemoryNode) Submit(tx *wire.MsgTx) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if refused := n.accept(tx); refused != nil {
		return &bitcoin.RPCError{Method: "sendrawtransaction", Code: refused.code, Message: refused.message}
	}
	return nil
}

// Evict makes the mempool forget a transaction, and what spends it.
func (n *MemoryNode) Evict(id chainhash.Hash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.inPool[id]; p != nil {
		n.drop(p)
	}
}

// accept takes a transaction into the mempool. The caller holds mu, as of all below.
func (n *MemoryNode) accept(tx *wire.MsgTx) *refusal {
	id := tx.TxHash()
	if _, in := n.index[id]; in {
		return &refusal{bitcoin.CodeAlreadyInChain, "Transaction outputs already in utxo set"}
	}
	if n.inPool[id] != nil {
		return nil
	}
	immature := false
	fee, size, refused := n.check(tx, func(out wire.OutPoint) (*wire.TxOut, bool) {
		if parent := n.inPool[out.Hash]; parent != nil && int(out.Index) < len(parent.tx.TxOut) {
			return parent.tx.TxOut[out.Index], true
		}
		coin, ok := n.coins[out]
		immature = immature || (ok && !n.isMature(coin))
		return coin.out, ok
	})
	switch {
	case refused != nil:
		return refused
	case immature:
		return rejected("bad-txns-premature-spend-of-coinbase")
	case fee < minFeeRate*size:
		return rejected("min relay fee not met, %d < %d", fee, minFeeRate*size)
	}
	for _, out := range tx.TxOut {
		if out.Value < dustLimit(out) {
			return rejected("dust")
		}
	}
	replaced, refused := n.replaces(tx, fee, size)
	if refused != nil {
		return refused
	}
	for _, p := range replaced {
		n.drop(p)
	}
	p := &poolTx{tx: tx, id: id, fee: fee}
	n.pool, n.inPool[id] = append(n.pool, p), p
	for _, in := range tx.TxIn {
		n.spends[in.PreviousOutPoint] = p
	}
	return nil
}

// check holds a transaction to the rules of blocks, given what it may spend, and
// returns its fee in satoshi and its size in virtual bytes.
func (n *MemoryNode) check(tx *wire.MsgTx, find func(wire.OutPoint) (*wire.TxOut, bool)) (fee, size int64, _ *refusal) {
	if len(tx.TxIn) == 0 || len(tx.TxOut) == 0 {
		return 0, 0, rejected("bad-txns-vin-or-vout-empty")
	}
	spent := make(map[wire.OutPoint]*wire.TxOut, len(tx.TxIn))
	for _, in := range tx.TxIn {
		out, found := find(in.PreviousOutPoint)
		if !found {
			return 0, 0, &refusal{codeMissingInputs, "bad-txns-inputs-missingorspent"}
		}
		if spent[in.PreviousOutPoint] != nil {
			return 0, 0, rejected("bad-txns-inputs-duplicate")
		}
		spent[in.PreviousOutPoint] = out
		fee += out.Value
	}
	for _, out := range tx.TxOut {
		if out.Value < 0 {
			return 0, 0, rejected("bad-txns-vout-negative")
		}
		fee -= out.Value
	}
	if fee < 0 {
		return 0, 0, rejected("bad-txns-in-belowout")
	}
	return fee, vsize(tx), n.checkScripts(tx, spent)
}

func (n *MemoryNode) checkScripts(tx *wire.MsgTx, spent map[wire.OutPoint]*wire.TxOut) *refusal {
	witness := tx.WitnessHash()
	if n.valid[witness] {
		return nil
	}
	fetcher := txscript.NewMultiPrevOutFetcher(spent)
	hashes := txscript.NewTxSigHashes(tx, fetcher)
	for i, in := range tx.TxIn {
		out := spent[in.PreviousOutPoint]
		engine, err := txscript.NewEngine(out.PkScript, tx, i, txscript.StandardVerifyFlags, nil, hashes, out.Value, fetcher)
		if err == nil {
			err = engine.Execute()
		}
		if err != nil {
			return rejected("mandatory-script-verify-flag-failed (%v)", err)
		}
	}
	n.valid[witness] = true
	return nil
}

// replaces returns what a transaction would replace, by the rules of BIP-125.
func (n *MemoryNode) replaces(tx *wire.MsgTx, fee, size int64) (replaced []*poolTx, _ *refusal) {
	var direct []*poolTx
	for _, in := range tx.TxIn {
		if p := n.spends[in.PreviousOutPoint]; p != nil && !slices.Contains(direct, p) {
			direct = append(direct, p)
		}
	}
	var fees int64
	for _, p := range direct {
		if !n.signals(p) {
			return nil, rejected("txn-mempool-conflict")
		}
		if fee*vsize(p.tx) <= p.fee*size {
			return nil, rejected("insufficient fee, rejecting replacement %s; new feerate <= old feerate", tx.TxHash())
		}
		for _, d := range n.descendants(p) {
			if !slices.Contains(replaced, d) {
				replaced, fees = append(replaced, d), fees+d.fee
			}
		}
	}
	switch {
	case len(direct) == 0:
		return nil, nil
	case len(replaced) > maxReplaced:
		return nil, rejected("too many potential replacements")
	case fee < fees+minFeeRate*size:
		return nil, rejected("insufficient fee, rejecting replacement %s, less fees than conflicting txs; %d < %d", tx.TxHash(), fee, fees+minFeeRate*size)
	}
	for _, in := range tx.TxIn {
		parent := n.inPool[in.PreviousOutPoint.Hash]
		if parent == nil {
			continue
		}
		if slices.Contains(replaced, parent) {
			return nil, rejected("bad-txns-spends-conflicting-tx")
		}
		if !slices.ContainsFunc(direct, func(p *poolTx) bool {
			return slices.ContainsFunc(p.tx.TxIn, func(o *wire.TxIn) bool { return o.PreviousOutPoint.Hash == parent.id })
		}) {
			return nil, rejected("replacement-adds-unconfirmed")
		}
	}
	return replaced, nil
}

// signals reports whether a transaction, or one that it spends, says that it may be replaced.
func (n *MemoryNode) signals(p *poolTx) bool {
	for _, in := range p.tx.TxIn {
		if in.Sequence <= maxSignalled {
			return true
		}
		if parent := n.inPool[in.PreviousOutPoint.Hash]; parent != nil && n.signals(parent) {
			return true
		}
	}
	return false
}

// descendants returns a transaction and all of the pool that can't be without it.
func (n *MemoryNode) descendants(p *poolTx) []*poolTx {
	all := []*poolTx{p}
	for i := 0; i < len(all); i++ {
		for j := range all[i].tx.TxOut {
			if d := n.spends[wire.OutPoint{Hash: all[i].id, Index: uint32(j)}]; d != nil && !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	return all
}

// drop removes a transaction with its descendants.
func (n *MemoryNode) drop(p *poolTx) {
	for _, d := range n.descendants(p) {
		n.remove(d)
	}
}

func (n *MemoryNode) remove(p *poolTx) {
	n.pool = slices.DeleteFunc(n.pool, func(other *poolTx) bool { return other == p })
	delete(n.inPool, p.id)
	for _, in := range p.tx.TxIn {
		if n.spends[in.PreviousOutPoint] == p {
			delete(n.spends, in.PreviousOutPoint)
		}
	}
}

func (n *MemoryNode) clearPool() {
	n.pool, n.inPool, n.spends = nil, map[chainhash.Hash]*poolTx{}, map[wire.OutPoint]*poolTx{}
}

// vsize is a transaction's size in virtual bytes.
func vsize(tx *wire.MsgTx) int64 {
	return int64(tx.SerializeSizeStripped()*3+tx.SerializeSize()+3) / 4
}

// dustLimit is the least that an output must hold (Bitcoin Core, GetDustThreshold).
func dustLimit(out *wire.TxOut) int64 {
	if txscript.IsUnspendable(out.PkScript) {
		return 0
	}
	spending := 148
	if txscript.IsWitnessProgram(out.PkScript) {
		spending = 67
	}
	return int64(out.SerializeSize()+spending) * dustFeeRate
}
