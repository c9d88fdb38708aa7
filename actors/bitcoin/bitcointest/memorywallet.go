package bitcointest

import (
	"crypto/sha256"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/bitcoin"
)

// MemoryWallet is one key, which its name makes: the same name is the same key.
type MemoryWallet struct {
	Address string
	Script  []byte

	key *btcec.PrivateKey
}

// NewMemoryWallet makes the key of a name.
func NewMemoryWallet(name string) *MemoryWallet {
	seed := sha256.Sum256([]byte(name))
	key, public := btcec.PrivKeyFromBytes(seed[:])
	a, err := address.NewAddressWitnessPubKeyHash(address.Hash160(public.SerializeCompressed()), &chaincfg.RegressionNetParams)
	if err != nil {
		panic(err)
	}
	script, err := txscript.PayToAddrScript(a)
	if err != nil {
		panic(err)
	}
	return &MemoryWallet{Address: a.EncodeAddress(), Script: script, key: key}
}

// Spend returns a signed transaction that spends the wallet's coins on the payments, in
// their order, and leaves fee satoshi to the miner. The rest comes back as a last output.
// replaceable says whether it signals that it may be replaced (BIP-125).
func (w *MemoryWallet) Spend(coins []Coin, fee int64, replaceable bool, payments ...Payment) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	spent := map[wire.OutPoint]*wire.TxOut{}
	left := -fee
	for _, coin := range coins {
		in := wire.NewTxIn(&coin.Out, nil, nil)
		if in.Sequence = wire.MaxTxInSequenceNum - 1; replaceable {
			in.Sequence = maxSignalled
		}
		tx.AddTxIn(in)
		spent[coin.Out] = wire.NewTxOut(coin.Satoshi, w.Script)
		left += coin.Satoshi
	}
	for _, p := range payments {
		script, err := bitcoin.ScriptOf(p.Address, bitcoin.Regtest)
		if err != nil {
			panic(err)
		}
		tx.AddTxOut(wire.NewTxOut(p.Satoshi, script))
		left -= p.Satoshi
	}
	if left < 0 {
		panic(fmt.Sprintf("bitcointest: %d coins do not pay %v", len(coins), payments))
	}
	if change := wire.NewTxOut(left, w.Script); left >= dustLimit(change) {
		tx.AddTxOut(change)
	}
	hashes := txscript.NewTxSigHashes(tx, txscript.NewMultiPrevOutFetcher(spent))
	for i, coin := range coins {
		witness, err := txscript.WitnessSignature(tx, hashes, i, coin.Satoshi, w.Script, txscript.SigHashAll, w.key, true)
		if err != nil {
			panic(err)
		}
		tx.TxIn[i].Witness = witness
	}
	return tx
}
