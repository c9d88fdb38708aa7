package bitcoin

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Ref is a block's place in the chain.
type Ref struct {
	Height int32
	Hash   chainhash.Hash
}

func (r Ref) String() string { return fmt.Sprintf("%d (%s)", r.Height, r.Hash) }

// NodeInfo is what a node says of itself.
type NodeInfo struct {
	Tip     Ref   // the newest block of its best chain
	Headers int32 // the newest block that it knows of
	// Syncing: the node is still loading the chain (Bitcoin Core only; btcd never says so).
	Syncing bool
	Pruned  bool // old blocks are gone: catching up from far back fails
}

// Check asks the node who it is, and fails with ErrWrongNetwork where it is on
// another network than configured.
func (n *Node) Check(ctx context.Context) (NodeInfo, error) {
	genesis, err := n.BlockHash(ctx, 0)
	if err != nil {
		return NodeInfo{}, err
	}
	if genesis != n.network.Genesis() {
		is := "an unknown network with the first block " + genesis.String()
		if other, known := networkOf(genesis); known {
			is = other.String()
		}
		return NodeInfo{}, fmt.Errorf("%w: it is on %s, %s is configured", ErrWrongNetwork, is, n.network)
	}
	return n.Info(ctx)
}

// Info returns the node's tip and state.
func (n *Node) Info(ctx context.Context) (NodeInfo, error) {
	var info struct {
		Blocks               int32  `json:"blocks"`
		Headers              int32  `json:"headers"`
		BestBlockHash        string `json:"bestblockhash"`
		InitialBlockDownload bool   `json:"initialblockdownload"`
		Pruned               bool   `json:"pruned"`
	}
	if err := n.Call(ctx, &info, "getblockchaininfo"); err != nil {
		return NodeInfo{}, err
	}
	hash, err := parseHash(info.BestBlockHash)
	if err != nil {
		return NodeInfo{}, fmt.Errorf("getblockchaininfo: %w", err)
	}
	return NodeInfo{
		Tip: Ref{info.Blocks, hash}, Headers: info.Headers, Syncing: info.InitialBlockDownload, Pruned: info.Pruned,
	}, nil
}

// BlockHash returns the block of the node's best chain at a height.
func (n *Node) BlockHash(ctx context.Context, height int32) (chainhash.Hash, error) {
	var text string
	if err := n.Call(ctx, &text, "getblockhash", height); err != nil {
		return chainhash.Hash{}, err
	}
	hash, err := parseHash(text)
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("getblockhash: %w", err)
	}
	return hash, nil
}

// Block returns a block, of the best chain or not. Its hash is checked; its
// transactions are the node's word.
func (n *Node) Block(ctx context.Context, hash chainhash.Hash) (*wire.MsgBlock, error) {
	block := new(wire.MsgBlock)
	if err := n.object(ctx, block, "getblock", hash.String(), 0); err != nil {
		return nil, err
	}
	if got := block.BlockHash(); got != hash {
		return nil, fmt.Errorf("getblock: asked for %s, got %s", hash, got)
	}
	return block, nil
}

// Mempool returns the ids of the transactions that are in no block yet.
func (n *Node) Mempool(ctx context.Context) ([]chainhash.Hash, error) {
	var texts []string
	if err := n.Call(ctx, &texts, "getrawmempool", false); err != nil {
		return nil, err
	}
	ids := make([]chainhash.Hash, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = parseHash(text); err != nil {
			return nil, fmt.Errorf("getrawmempool: %w", err)
		}
	}
	return ids, nil
}

// Transaction returns a transaction of the mempool, or where the node keeps an
// index, of the chain. Not there is an RPCError with CodeNotFound.
func (n *Node) Transaction(ctx context.Context, id chainhash.Hash) (*wire.MsgTx, error) {
	tx := new(wire.MsgTx)
	if err := n.object(ctx, tx, "getrawtransaction", id.String(), 0); err != nil {
		return nil, err
	}
	if got := tx.TxHash(); got != id {
		return nil, fmt.Errorf("getrawtransaction: asked for %s, got %s", id, got)
	}
	return tx, nil
}

// Unspent is what the node says of an output.
type Unspent struct {
	Found         bool // it is there, and nothing spends it
	Confirmations int64
	Coinbase      bool
	Script        []byte // that it pays to
}

// Unspent looks an output up among those that are not spent, by the mempool neither.
func (n *Node) Unspent(ctx context.Context, out wire.OutPoint) (Unspent, error) {
	return n.unspent(ctx, out, true)
}

// UnspentInBlocks is Unspent without the mempool.
func (n *Node) UnspentInBlocks(ctx context.Context, out wire.OutPoint) (Unspent, error) {
	return n.unspent(ctx, out, false)
}

func (n *Node) unspent(ctx context.Context, out wire.OutPoint, mempool bool) (Unspent, error) {
	var found *struct {
		Confirmations int64 `json:"confirmations"`
		Coinbase      bool  `json:"coinbase"`
		ScriptPubKey  struct {
			Hex string `json:"hex"`
		} `json:"scriptPubKey"`
	}
	if err := n.Call(ctx, &found, "gettxout", out.Hash.String(), out.Index, mempool); err != nil {
		return Unspent{}, err
	}
	if found == nil {
		return Unspent{}, nil
	}
	script, err := hex.DecodeString(found.ScriptPubKey.Hex)
	if err != nil {
		return Unspent{}, fmt.Errorf("gettxout: the script of %s: %w", out, err)
	}
	return Unspent{Found: true, Confirmations: found.Confirmations, Coinbase: found.Coinbase, Script: script}, nil
}

// Placed returns a transaction that is in a block of the best chain, the block, and how
// many confirmations it has. The node needs an index of transactions for it. Not there, or
// in no block, is an RPCError with CodeNotFound.
func (n *Node) Placed(ctx context.Context, id chainhash.Hash) (*wire.MsgTx, Ref, int64, error) {
	var found struct {
		Confirmations int64  `json:"confirmations"`
		BlockHash     string `json:"blockhash"`
	}
	if err := n.Call(ctx, &found, "getrawtransaction", id.String(), 1); err != nil {
		return nil, Ref{}, 0, err
	}
	if found.Confirmations < 1 {
		return nil, Ref{}, 0, &RPCError{Method: "getrawtransaction", Code: CodeNotFound, Message: fmt.Sprintf("transaction %s is in no block", id)}
	}
	hash, err := parseHash(found.BlockHash)
	if err != nil {
		return nil, Ref{}, 0, fmt.Errorf("getrawtransaction: %w", err)
	}
	var header struct {
		Height int32 `json:"height"`
	}
	if err := n.Call(ctx, &header, "getblockheader", hash.String(), true); err != nil {
		return nil, Ref{}, 0, err
	}
	tx, err := n.Transaction(ctx, id)
	return tx, Ref{header.Height, hash}, found.Confirmations, err
}

// Confirmed returns a transaction, and how many confirmations it has: 0 in the mempool.
// For one of the chain the node needs an index of transactions. Not there is an
// RPCError with CodeNotFound.
func (n *Node) Confirmed(ctx context.Context, id chainhash.Hash) (*wire.MsgTx, int64, error) {
	var found struct {
		Confirmations int64 `json:"confirmations"`
	}
	if err := n.Call(ctx, &found, "getrawtransaction", id.String(), 1); err != nil {
		return nil, 0, err
	}
	tx, err := n.Transaction(ctx, id)
	return tx, found.Confirmations, err
}

// Send hands a signed transaction to the network. One that is in the mempool or in
// a block already is no error, so that a send whose answer was lost can be repeated.
func (n *Node) Send(ctx context.Context, tx *wire.MsgTx) error {
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		return fmt.Errorf("sendrawtransaction: %w", err)
	}
	err := n.Call(ctx, nil, "sendrawtransaction", hex.EncodeToString(raw.Bytes()))
	var refused *RPCError
	switch {
	case !errors.As(err, &refused):
		return err
	case refused.Code == CodeAlreadyInChain:
		return nil
	}
	// The words of a refusal differ between nodes and versions, so ask.
	if _, lookup := n.Transaction(ctx, tx.TxHash()); lookup == nil {
		return nil
	}
	return err
}

// IsNotFound reports whether the node has no such block or transaction.
func IsNotFound(err error) bool {
	var refused *RPCError
	return errors.As(err, &refused) && refused.Code == CodeNotFound
}

// object decodes a call's result, in hexadecimal, into a block or transaction.
func (n *Node) object(ctx context.Context, into interface{ Deserialize(io.Reader) error }, method string, params ...any) error {
	var text string
	if err := n.Call(ctx, &text, method, params...); err != nil {
		return err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	r := bytes.NewReader(raw)
	if err := into.Deserialize(r); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if r.Len() > 0 {
		return fmt.Errorf("%s: %d bytes left over", method, r.Len())
	}
	return nil
}

func parseHash(text string) (chainhash.Hash, error) {
	if len(text) != 2*chainhash.HashSize {
		return chainhash.Hash{}, fmt.Errorf("%.80q is no hash", text)
	}
	hash, err := chainhash.NewHashFromStr(text)
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("%.80q is no hash", text)
	}
	return *hash, nil
}
