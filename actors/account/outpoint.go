package account

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// ChainHash is the hash of a Bitcoin block or transaction, as the chain has it: its
// text is the bytes turned round.
type ChainHash [32]byte

// String returns the hash as Bitcoin writes it.
func (h ChainHash) String() string {
	slices.Reverse(h[:])
	return hex.EncodeToString(h[:])
}

// MarshalText returns what String returns.
func (h ChainHash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Outpoint names an output of a Bitcoin transaction.
type Outpoint struct {
	TxID  ChainHash
	Index uint32
}

// String returns TXID:INDEX.
func (o Outpoint) String() string {
	return o.TxID.String() + ":" + strconv.FormatUint(uint64(o.Index), 10)
}

// ParseOutpoint reads what Outpoint.String writes, and no other form.
func ParseOutpoint(s string) (o Outpoint, err error) {
	txid, index, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(index, 10, 32)
	if err == nil {
		o.TxID, err = ParseChainHash(txid)
	}
	if o.Index = uint32(n); err != nil || o.String() != s {
		return Outpoint{}, errors.New("not an output: want TXID:INDEX, 64 hexadecimal digits and a number")
	}
	return o, nil
}

// ParseChainHash reads what ChainHash.String writes, and no other form.
func ParseChainHash(s string) (h ChainHash, err error) {
	if len(s) == 2*len(h) {
		_, err = hex.Decode(h[:], []byte(s))
	}
	slices.Reverse(h[:])
	if err != nil || h.String() != s {
		return ChainHash{}, errors.New("not a transaction id: want 64 hexadecimal digits in lower case")
	}
	return h, nil
}

// MarshalText returns what String returns.
func (o Outpoint) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// MaxOutputs is how many outputs of one payment are known at once.
const MaxOutputs = 64

// Output is an output that paid to a payment's address.
type Output struct {
	Out      Outpoint  `json:"Out"`
	BTC      Money     `json:"BTC"`      // satoshi
	At       Time      `json:"At"`       // when it was first known
	Height   int32     `json:"Height"`   // of its block; 0 in the mempool
	Block    ChainHash `json:"Block"`    // zero in the mempool
	Refunded Money     `json:"Refunded"` // the part of BTC that went into the refund queue
	Gone     bool      `json:"Gone"`     // in no block and not in the mempool any more
	Counted  bool      `json:"Counted"`  // part of what was credited
	Reversed bool      `json:"Reversed"` // it was counted, and the chain took it back
	Answered bool      `json:"Answered"` // an operator answers for it: it is neither credited nor refunded
}

// outputOf returns where out is in outputs, or -1.
func outputOf(outputs []Output, out Outpoint) int {
	return slices.IndexFunc(outputs, func(o Output) bool { return o.Out == out })
}
