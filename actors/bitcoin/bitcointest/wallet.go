package bitcointest

import (
	"slices"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Fee is what each of the wallet's transactions pays, in satoshi: enough for the
// largest of them.
const Fee = 200_000

// Payment is an amount for an address.
type Payment struct {
	Address string
	Satoshi int64
}

// Coin is an unspent output of a Wallet.
type Coin struct {
	Out     wire.OutPoint
	Satoshi int64

	matures int32 // first height at which it can be spent
}

// Wallet is one key, and the coins that its node has mined for it.
type Wallet struct {
	Address string

	node   *Node
	key    *btcec.PrivateKey
	script []byte
	coins  []Coin // oldest first
}

func newWallet(n *Node) *Wallet {
	key, err := btcec.NewPrivateKey()
	if err != nil {
		n.t.Fatal(err)
	}
	a, err := address.NewAddressWitnessPubKeyHash(address.Hash160(key.PubKey().SerializeCompressed()), &chaincfg.RegressionNetParams)
	if err != nil {
		n.t.Fatal(err)
	}
	script, err := txscript.PayToAddrScript(a)
	if err != nil {
		n.t.Fatal(err)
	}
	return &Wallet{Address: a.EncodeAddress(), node: n, key: key, script: script}
}

// mined adds the reward of a block.
func (w *Wallet) mined(hash chainhash.Hash) {
	w.node.t.Helper()
	block, err := w.node.Block(w.node.t.Context(), hash)
	if err != nil {
		w.node.t.Fatal(err)
	}
	var header struct {
		Height int32 `json:"height"`
	}
	w.node.must(&header, "getblockheader", hash.String(), true)
	reward := block.Transactions[0]
	w.coins = append(w.coins, Coin{
		Out:     wire.OutPoint{Hash: reward.TxHash()},
		Satoshi: reward.TxOut[0].Value,
		matures: header.Height + int32(chaincfg.RegressionNetParams.CoinbaseMaturity),
	})
}

// Take removes the oldest coin that can be spent from the wallet.
func (w *Wallet) Take() Coin {
	w.node.t.Helper()
	return w.TakeAt(w.node.Tip().Height)
}

// TakeAt is Take where the chain is at a height, for a node that does not run.
func (w *Wallet) TakeAt(height int32) Coin {
	w.node.t.Helper()
	next := height + 1
	i := slices.IndexFunc(w.coins, func(c Coin) bool { return c.matures <= next })
	if i < 0 {
		w.node.t.Fatalf("no coin of %d can be spent at height %d: generate more blocks", len(w.coins), next)
	}
	coin := w.coins[i]
	w.coins = slices.Delete(w.coins, i, i+1)
	return coin
}

// Spend returns a signed transaction that spends coin on the payments, in their
// order. The rest comes back as a last output, which the wallet may spend next.
func (w *Wallet) Spend(coin Coin, payments ...Payment) *wire.MsgTx {
	w.node.t.Helper()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&coin.Out, nil, nil))
	change := coin.Satoshi - Fee
	for _, p := range payments {
		to, err := address.DecodeAddress(p.Address, &chaincfg.RegressionNetParams)
		if err != nil {
			w.node.t.Fatal(err)
		}
		script, err := txscript.PayToAddrScript(to)
		if err != nil {
			w.node.t.Fatal(err)
		}
		tx.AddTxOut(wire.NewTxOut(p.Satoshi, script))
		change -= p.Satoshi
	}
	if change < 0 {
		w.node.t.Fatalf("a coin of %d satoshi does not pay %v", coin.Satoshi, payments)
	}
	tx.AddTxOut(wire.NewTxOut(change, w.script))
	hashes := txscript.NewTxSigHashes(tx, txscript.NewCannedPrevOutputFetcher(w.script, coin.Satoshi))
	witness, err := txscript.WitnessSignature(tx, hashes, 0, coin.Satoshi, w.script, txscript.SigHashAll, w.key, true)
	if err != nil {
		w.node.t.Fatal(err)
	}
	tx.TxIn[0].Witness = witness
	return tx
}

// Pay sends the payments in one transaction.
func (w *Wallet) Pay(payments ...Payment) *wire.MsgTx {
	w.node.t.Helper()
	tx := w.Spend(w.Take(), payments...)
	w.Send(tx)
	last := uint32(len(tx.TxOut) - 1)
	w.coins = append(w.coins, Coin{
		Out:     wire.OutPoint{Hash: tx.TxHash(), Index: last},
		Satoshi: tx.TxOut[last].Value,
	})
	return tx
}

// Send hands a transaction to the wallet's node.
func (w *Wallet) Send(tx *wire.MsgTx) {
	w.node.t.Helper()
	if err := w.node.Send(w.node.t.Context(), tx); err != nil {
		w.node.t.Fatal(err)
	}
}
