package bitcoin

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
)

// Limits of a payout.
const (
	// MaxPayees and MaxPayoutCoins keep a transaction below what nodes relay.
	MaxPayees      = 500
	MaxPayoutCoins = 500
	// MaxFeeRate in satoshi per virtual byte: a higher one is taken for a mistake.
	MaxFeeRate = 1000

	// DustLimit in satoshi: below it nodes relay no pay-to-witness-public-key-hash output.
	DustLimit = 294

	// Virtual bytes of a transaction of pay-to-witness-public-key-hash inputs, rounded up.
	bytesOverhead = 11
	bytesInput    = 68
	bytesOutput   = 9 // without its script
)

// Errors of a payout.
var (
	// ErrCoins: the coins do not pay the payees and the fee.
	ErrCoins = errors.New("the coins are not enough")
	// ErrOtherPayout: what came back is not what was handed out.
	ErrOtherPayout = errors.New("this is not the payout that was exported")
	// ErrUnsigned: a signature is missing or wrong.
	ErrUnsigned = errors.New("the payout is not signed in full")
)

// Coin is an unspent output that an address of Keys received.
type Coin struct {
	Out    wire.OutPoint
	BTC    account.Money // satoshi
	Change bool          // received on the change chain
	Index  uint32        // of its address

	Required bool // it must be spent, needed or not
}

// Payee is who gets how much.
type Payee struct {
	Address string
	BTC     account.Money // satoshi
}

// Payout is a transaction for the operator's own signer, as a PSBT (BIP-174). It
// spends what the exchange's addresses received.
type Payout struct {
	PSBT  string      // base64
	Tx    *wire.MsgTx // without signatures
	TxID  string      // the same before and after signing
	Fee   account.Money
	Spent []Coin
	// Change goes back to the account, to m/1/index; 0 where too little is left.
	Change account.Money
}

// NewPayout pays the payees from coins, those that are required and then the largest, with feeRate satoshi per
// virtual byte. The rest goes to the change address with the index changeIndex, or to
// the fee where it is dust. It chooses the same each time.
func NewPayout(keys *Keys, coins []Coin, payees []Payee, feeRate int64, changeIndex uint32) (*Payout, error) {
	if len(payees) == 0 || len(payees) > MaxPayees {
		return nil, fmt.Errorf("want 1 to %d payees, got %d", MaxPayees, len(payees))
	}
	if feeRate < 1 || feeRate > MaxFeeRate {
		return nil, fmt.Errorf("want a fee of 1 to %d satoshi per virtual byte, got %d", MaxFeeRate, feeRate)
	}
	tx := wire.NewMsgTx(2)
	size := int64(bytesOverhead)
	var total account.Money
	for _, p := range payees {
		script, err := ScriptOf(p.Address, keys.network)
		if err != nil {
			return nil, err
		}
		if p.BTC < DustLimit {
			return nil, fmt.Errorf("%s gets %d satoshi: nodes relay no less than %d", p.Address, int64(p.BTC), DustLimit)
		}
		total = plus(total, p.BTC)
		size += int64(bytesOutput + len(script))
		tx.AddTxOut(wire.NewTxOut(int64(p.BTC), script))
	}
	spent, sum, size := selectCoins(coins, total, size, feeRate)
	fee := account.Money(size * feeRate)
	left := sum - total - fee
	if left < 0 {
		return nil, fmt.Errorf("%w: %s BTC in %d of them, for %s BTC and a fee of %s BTC", ErrCoins, sum, len(spent), total, fee)
	}
	payout := &Payout{Spent: spent, Fee: fee + left}
	change, err := keys.ChangeAddress(changeIndex)
	if err != nil {
		return nil, err
	}
	script, err := ScriptOf(change, keys.network)
	if err != nil {
		return nil, err
	}
	if changeFee := account.Money(feeRate * int64(bytesOutput+len(script))); left-changeFee >= DustLimit {
		payout.Change, payout.Fee = left-changeFee, fee+changeFee
		tx.AddTxOut(wire.NewTxOut(int64(payout.Change), script))
	}
	for _, coin := range spent {
		in := wire.NewTxIn(&coin.Out, nil, nil)
		in.Sequence = wire.MaxTxInSequenceNum - 2 // may be replaced with a higher fee (BIP-125)
		tx.AddTxIn(in)
	}
	payout.Tx, payout.TxID = tx, tx.TxHash().String()
	payout.PSBT, err = DescribePayout(keys, tx, spent, payout.Change, changeIndex)
	return payout, err
}

// selectCoins takes the coins that are required, and the largest until all pay total
// and their own fee.
func selectCoins(coins []Coin, total account.Money, size, feeRate int64) (spent []Coin, sum account.Money, newSize int64) {
	coins = slices.Clone(coins)
	slices.SortFunc(coins, func(a, b Coin) int {
		if a.Required != b.Required {
			if a.Required {
				return -1
			}
			return 1
		}
		if a.BTC != b.BTC {
			return int(max(-1, min(1, b.BTC-a.BTC)))
		}
		return compareOut(a.Out, b.Out)
	})
	coins = slices.CompactFunc(coins, func(a, b Coin) bool { return a.Out == b.Out })
	for _, coin := range coins[:min(len(coins), MaxPayoutCoins)] {
		if !coin.Required && sum >= plus(total, account.Money(size*feeRate)) {
			break
		}
		spent = append(spent, coin)
		sum = plus(sum, coin.BTC)
		size += bytesInput
	}
	return spent, sum, size
}

// DescribePayout returns a payout's transaction as a PSBT in base64, with what a signer
// has to know of the inputs, which spend the coins in their order, and of the change,
// which is the last output, if it is not 0.
func DescribePayout(keys *Keys, tx *wire.MsgTx, spent []Coin, change account.Money, changeIndex uint32) (string, error) {
	if len(tx.TxIn) != len(spent) {
		return "", fmt.Errorf("payout: %d inputs for %d coins", len(tx.TxIn), len(spent))
	}
	packet, err := psbt.NewFromUnsignedTx(tx)
	if err != nil {
		return "", fmt.Errorf("payout: %w", err)
	}
	for i, coin := range spent {
		chain := externalChain
		if coin.Change {
			chain = changeChain
		}
		derivation, err := keys.derivation(chain, coin.Index)
		if err != nil {
			return "", err
		}
		script, err := keys.Script(coin.Change, coin.Index)
		if err != nil {
			return "", fmt.Errorf("payout: %w", err)
		}
		packet.Inputs[i].WitnessUtxo = wire.NewTxOut(int64(coin.BTC), script)
		packet.Inputs[i].SighashType = txscript.SigHashAll
		packet.Inputs[i].Bip32Derivation = []*psbt.Bip32Derivation{derivation}
	}
	if change > 0 {
		derivation, err := keys.derivation(changeChain, changeIndex)
		if err != nil {
			return "", err
		}
		packet.Outputs[len(packet.Outputs)-1].Bip32Derivation = []*psbt.Bip32Derivation{derivation}
	}
	text, err := packet.B64Encode()
	if err != nil {
		return "", fmt.Errorf("payout: %w", err)
	}
	return text, nil
}

func (k *Keys) derivation(chain int, index uint32) (*psbt.Bip32Derivation, error) {
	public, err := k.publicKey(chain, index)
	if err != nil {
		return nil, err
	}
	key := k.of(chain, index)
	return &psbt.Bip32Derivation{
		PubKey: public, MasterKeyFingerprint: key.origin,
		Bip32Path: append(slices.Clone(key.path), uint32(chain), index),
	}, nil
}

// SignedPayout checks that signed, a PSBT in base64, spends coins that are known, each
// with a valid signature over all of it, and returns the transaction to send. What the
// signer says of amounts is not believed: coinOf has them. Whom it pays is the caller's to
// check.
func SignedPayout(keys *Keys, signed string, coinOf func(wire.OutPoint) (Coin, bool)) (*wire.MsgTx, error) {
	packet, err := psbt.NewFromRawBytes(strings.NewReader(strings.TrimSpace(signed)), true)
	if err != nil {
		return nil, fmt.Errorf("the signed payout: %w", err)
	}
	spent := make([]*wire.TxOut, len(packet.UnsignedTx.TxIn))
	for i, in := range packet.UnsignedTx.TxIn {
		coin, known := coinOf(in.PreviousOutPoint)
		if !known {
			return nil, fmt.Errorf("%w: input %d spends %s, which is no coin of the exchange's that is known", ErrOtherPayout, i, in.PreviousOutPoint)
		}
		chain := externalChain
		if coin.Change {
			chain = changeChain
		}
		a, err := keys.address(chain, coin.Index)
		if err != nil {
			return nil, err
		}
		script, err := txscript.PayToAddrScript(a)
		if err != nil {
			return nil, fmt.Errorf("payout: %w", err)
		}
		spent[i] = wire.NewTxOut(int64(coin.BTC), script)
		packet.Inputs[i].WitnessUtxo, packet.Inputs[i].NonWitnessUtxo = spent[i], nil
	}
	if err := psbt.MaybeFinalizeAll(packet); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	tx, err := psbt.Extract(packet)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	if err := checkSignatures(tx, spent); err != nil {
		return nil, err
	}
	return tx, nil
}

// checkSignatures runs the scripts of the inputs, which spend the outputs in their order,
// as a node does.
func checkSignatures(tx *wire.MsgTx, spends []*wire.TxOut) error {
	outputs := make(map[wire.OutPoint]*wire.TxOut, len(tx.TxIn))
	for i, in := range tx.TxIn {
		outputs[in.PreviousOutPoint] = spends[i]
	}
	fetcher := txscript.NewMultiPrevOutFetcher(outputs)
	hashes := txscript.NewTxSigHashes(tx, fetcher)
	for i, in := range tx.TxIn {
		spent := spends[i]
		// A signature over a part of the transaction would let somebody change the rest.
		if len(in.Witness) != 2 || !bytes.HasSuffix(in.Witness[0], []byte{byte(txscript.SigHashAll)}) {
			return fmt.Errorf("%w: input %d has no signature over the whole transaction", ErrUnsigned, i)
		}
		engine, err := txscript.NewEngine(spent.PkScript, tx, i, txscript.StandardVerifyFlags, nil, hashes, spent.Value, fetcher)
		if err == nil {
			err = engine.Execute()
		}
		if err != nil {
			return fmt.Errorf("%w: input %d: %w", ErrUnsigned, i, err)
		}
	}
	return nil
}
