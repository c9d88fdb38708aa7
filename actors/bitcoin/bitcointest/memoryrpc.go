package bitcointest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/bitcoin"
)

// Codes of a refused call (Bitcoin Core, src/rpc/protocol.h).
const (
	codeInvalidParameter = -8
	codeDeserialization  = -22
	codeMethodNotFound   = -32601
	codeInvalidParams    = -32602
)

// errDown is what a call to a node gets that does not run.
var errDown = errors.New("connection refused")

// RoundTrip implements http.RoundTripper: it answers one call.
func (n *MemoryNode) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	var call struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, err
	}
	var latency time.Duration
	if n.Latency != nil {
		latency = n.Latency(call.Method, string(call.Params))
	}
	if err := n.travel(r, latency/2); err != nil {
		return nil, err
	}
	result, refused := n.answer(call.Method, call.Params)
	if err := n.travel(r, latency/2); err != nil {
		return nil, err
	}
	response := struct {
		Result any `json:"result"`
		Error  any `json:"error"`
		ID     int `json:"id"`
	}{Result: result, ID: 1}
	status := http.StatusOK
	if refused != nil {
		status = http.StatusInternalServerError
		response.Result, response.Error = nil, map[string]any{"code": refused.code, "message": refused.message}
	}
	answer, err := json.Marshal(response)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(answer)), Body: io.NopCloser(bytes.NewReader(answer)),
	}, nil
}

// travel is the way to the node, or back.
func (n *MemoryNode) travel(r *http.Request, takes time.Duration) error {
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return errDown
	}
	return nil
}

// answer carries out a call.
func (n *MemoryNode) answer(method string, params json.RawMessage) (any, *refusal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch method {
	case "getblockchaininfo":
		return map[string]any{
			"chain": "regtest", "blocks": n.height(), "headers": int(n.height()) + len(n.hidden), "bestblockhash": n.tip().BlockHash().String(),
			"initialblockdownload": len(n.hidden) > 0, "pruned": false,
		}, nil
	case "getblockhash":
		var height int32
		if refused := read(params, &height); refused != nil {
			return nil, refused
		}
		if height < 0 || height > n.height() {
			return nil, &refusal{codeInvalidParameter, "Block height out of range"}
		}
		return n.chain[height].block.BlockHash().String(), nil
	case "getblock":
		return n.getBlock(params)
	case "getrawmempool":
		ids := make([]string, len(n.pool))
		for i, p := range n.pool {
			ids[i] = p.id.String()
		}
		return ids, nil
	case "getrawtransaction":
		return n.getRawTransaction(params)
	case "gettxout":
		return n.getTxOut(params)
	case "sendrawtransaction":
		var text string
		if refused := read(params, &text); refused != nil {
			return nil, refused
		}
		tx := new(wire.MsgTx)
		if err := tx.Deserialize(hex.NewDecoder(strings.NewReader(text))); err != nil {
			return nil, &refusal{codeDeserialization, "TX decode failed"}
		}
		return tx.TxHash().String(), n.accept(tx)
	}
	return nil, &refusal{codeMethodNotFound, "Method not found"}
}

// getBlock returns a block that there is, or was, in hexadecimal.
func (n *MemoryNode) getBlock(params json.RawMessage) (any, *refusal) {
	hash, refused := readHash(params)
	if refused != nil {
		return nil, refused
	}
	block, found := n.blocks[hash]
	if !found {
		return nil, &refusal{bitcoin.CodeNotFound, "Block not found"}
	}
	for _, b := range n.hidden {
		if b.block == block {
			return nil, &refusal{bitcoin.CodeNotFound, "Block not found"}
		}
	}
	return inHex(block)
}

// getRawTransaction returns a transaction of the mempool or the best chain.
func (n *MemoryNode) getRawTransaction(params json.RawMessage) (any, *refusal) {
	id, refused := readHash(params)
	if refused != nil {
		return nil, refused
	}
	var verbose int
	if refused := read(params, new(string), &verbose); refused != nil {
		return nil, refused
	}
	var tx *wire.MsgTx
	height, inChain := n.index[id]
	if inChain {
		for _, candidate := range n.chain[height].block.Transactions {
			if candidate.TxHash() == id {
				tx = candidate
			}
		}
	} else if p := n.inPool[id]; p != nil {
		tx = p.tx
	}
	if tx == nil {
		return nil, &refusal{bitcoin.CodeNotFound, "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."}
	}
	raw, refused := inHex(tx)
	if refused != nil || verbose == 0 {
		return raw, refused
	}
	found := map[string]any{"txid": id.String(), "hex": raw}
	if inChain {
		found["confirmations"] = n.height() - height + 1
		found["blockhash"] = n.chain[height].block.BlockHash().String()
		found["blocktime"] = n.chain[height].block.Header.Timestamp.Unix()
	}
	return found, nil
}

// getTxOut returns an output that nothing spends, null if there is none.
func (n *MemoryNode) getTxOut(params json.RawMessage) (any, *refusal) {
	id, refused := readHash(params)
	if refused != nil {
		return nil, refused
	}
	var index uint32
	withPool := true
	if refused := read(params, new(string), &index, &withPool); refused != nil {
		return nil, refused
	}
	at := wire.OutPoint{Hash: id, Index: index}
	coin, found := n.coins[at]
	confirmations := n.height() - coin.height + 1
	if withPool {
		if p := n.inPool[id]; p != nil && int(index) < len(p.tx.TxOut) {
			coin, found, confirmations = memoryCoin{out: p.tx.TxOut[index]}, true, 0
		}
		found = found && n.spends[at] == nil
	}
	if !found {
		return nil, nil
	}
	return map[string]any{
		"bestblock": n.tip().BlockHash().String(), "confirmations": confirmations, "value": json.Number(inBTC(coin.out.Value)),
		"scriptPubKey": map[string]any{
			"hex": hex.EncodeToString(coin.out.PkScript), "address": bitcoin.AddressOf(coin.out.PkScript, bitcoin.Regtest),
		},
		"coinbase": coin.coinbase,
	}, nil
}

// inBTC writes satoshi as an exact decimal.
func inBTC(satoshi int64) string {
	digits := []byte("00000000")
	whole := satoshi / 100_000_000
	for i, rest := len(digits)-1, satoshi%100_000_000; i >= 0; i, rest = i-1, rest/10 {
		digits[i] += byte(rest % 10)
	}
	text, _ := json.Marshal(whole)
	return string(text) + "." + string(digits)
}

func inHex(what interface{ Serialize(io.Writer) error }) (any, *refusal) {
	var raw bytes.Buffer
	if err := what.Serialize(&raw); err != nil {
		return nil, &refusal{codeDeserialization, err.Error()}
	}
	return hex.EncodeToString(raw.Bytes()), nil
}

// read decodes a call's parameters, in their order; those that are not given keep what
// they are.
func read(params json.RawMessage, into ...any) *refusal {
	var given []json.RawMessage
	if err := json.Unmarshal(params, &given); err != nil {
		return &refusal{codeInvalidParams, err.Error()}
	}
	for i, parameter := range into {
		if i == len(given) {
			break
		}
		if err := json.Unmarshal(given[i], parameter); err != nil {
			return &refusal{codeInvalidParams, err.Error()}
		}
	}
	return nil
}

func readHash(params json.RawMessage) (chainhash.Hash, *refusal) {
	var text string
	if refused := read(params, &text); refused != nil {
		return chainhash.Hash{}, refused
	}
	hash, err := chainhash.NewHashFromStr(text)
	if err != nil {
		return chainhash.Hash{}, &refusal{codeInvalidParameter, "parameter must be of length 64"}
	}
	return *hash, nil
}
