package walletproof

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// simplePrefix may stand before a BIP-322 simple signature in base64; older signers
// write none.
const simplePrefix = "smp"

// bip322Tag is the tag of BIP-322's message hash.
var bip322Tag = []byte("BIP0322-signed-message")

// bip322Flags are the consensus rules and those that BIP-322 requires beyond them.
const bip322Flags = txscript.StandardVerifyFlags

// verifySimple checks a BIP-322 signature in its simple form: the witness of a
// transaction that can't exist, which spends an output of the address. Only proofs
// by one key are taken: P2WPKH, P2SH-P2WPKH, and Taproot's key path.
func verifySimple(address btcaddress.Address, text, signature string) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(signature, simplePrefix))
	if err != nil {
		return fmt.Errorf("signature is not base64")
	}
	witness, err := decodeWitness(raw)
	if err != nil {
		return err
	}
	script, err := txscript.PayToAddrScript(address)
	if err != nil {
		return err
	}
	spend := toSpend(text, script)
	sign := toSign(spend, witness)
	switch address.(type) {
	case *btcaddress.AddressWitnessPubKeyHash:
		err = checkKeyWitness(witness)
	case *btcaddress.AddressScriptHash:
		if err = checkKeyWitness(witness); err == nil {
			redeem := witnessScript(btcaddress.Hash160(witness[1]))
			sign.TxIn[0].SignatureScript = append([]byte{byte(len(redeem))}, redeem...)
		}
	case *btcaddress.AddressTaproot:
		err = checkTaprootWitness(witness)
	default:
		err = fmt.Errorf("BIP-322 simple is for SegWit addresses")
	}
	if err != nil {
		return err
	}
	outputs := txscript.NewCannedPrevOutputFetcher(script, 0)
	engine, err := txscript.NewEngine(script, sign, 0, bip322Flags, nil, txscript.NewTxSigHashes(sign, outputs), 0, outputs)
	if err == nil {
		err = engine.Execute()
	}
	if err != nil {
		return fmt.Errorf("invalid signature: %w", err)
	}
	return nil
}

// checkKeyWitness checks that the witness is a signature with SIGHASH_ALL and a
// compressed key.
func checkKeyWitness(witness wire.TxWitness) error {
	if len(witness) != 2 || len(witness[0]) < 9 || len(witness[1]) != 33 {
		return fmt.Errorf("witness is not a signature and a key")
	}
	if flag := txscript.SigHashType(witness[0][len(witness[0])-1]); flag != txscript.SigHashAll {
		return fmt.Errorf("signature has sighash flag %#x, want ALL", flag)
	}
	return nil
}

// checkTaprootWitness checks that the witness is one Schnorr signature of the key
// path, with SIGHASH_ALL in its short or long form.
func checkTaprootWitness(witness wire.TxWitness) error {
	if len(witness) != 1 {
		return fmt.Errorf("witness is not one signature of the key path")
	}
	switch s := witness[0]; {
	case len(s) == 64:
	case len(s) == 65 && txscript.SigHashType(s[64]) == txscript.SigHashAll:
	default:
		return fmt.Errorf("witness is no Schnorr signature with SIGHASH_ALL: %d bytes", len(s))
	}
	return nil
}

// decodeWitness reads a witness stack of at most two items, each under 253 bytes, so
// that every length is one byte. Nothing may be left over.
func decodeWitness(raw []byte) (wire.TxWitness, error) {
	if len(raw) == 0 || raw[0] == 0 || raw[0] > 2 {
		return nil, fmt.Errorf("not a witness of one or two items")
	}
	count, rest := int(raw[0]), raw[1:]
	witness := make(wire.TxWitness, 0, count)
	for range count {
		if len(rest) == 0 || rest[0] >= 0xFD || int(rest[0]) > len(rest)-1 {
			return nil, fmt.Errorf("witness is cut off")
		}
		end := 1 + int(rest[0])
		witness = append(witness, bytes.Clone(rest[1:end]))
		rest = rest[end:]
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%d bytes after the witness", len(rest))
	}
	return witness, nil
}

// toSpend is BIP-322's transaction whose one output commits to the text.
func toSpend(text string, script []byte) *wire.MsgTx {
	hash := chainhash.TaggedHash(bip322Tag, []byte(text))
	tx := wire.NewMsgTx(0)
	in := wire.NewTxIn(&wire.OutPoint{Index: wire.MaxPrevOutIndex}, append([]byte{txscript.OP_0, txscript.OP_DATA_32}, hash[:]...), nil)
	in.Sequence = 0
	tx.AddTxIn(in)
	tx.AddTxOut(wire.NewTxOut(0, script))
	return tx
}

// toSign is BIP-322's transaction that spends it.
func toSign(spend *wire.MsgTx, witness wire.TxWitness) *wire.MsgTx {
	id := spend.TxHash()
	tx := wire.NewMsgTx(0)
	in := wire.NewTxIn(&wire.OutPoint{Hash: id}, nil, witness)
	in.Sequence = 0
	tx.AddTxIn(in)
	tx.AddTxOut(wire.NewTxOut(0, []byte{txscript.OP_RETURN}))
	return tx
}
