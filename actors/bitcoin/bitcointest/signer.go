package bitcointest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// AccountKey is the extended public key of BIP-84's test vector on a test network, as
// an operator gives it to the exchange.
const AccountKey = "vpub5YvMuJNjRSYon44z9QmCfdf8SqJRVNvz6m55Qy5iVjZQxDfUgtiQjnc7CC1fAbED2tAGCZRERUfvtn2DstZGU6HMns6dXXH2wujSc2wfi2x"

// signerKey is the private key of AccountKey, published in BIP-84. The operator's
// signer has it; the exchange refuses it.
const signerKey = "zprvAdG4iTXWBoARxkkzNpNh8r6Qag3irQB8PzEMkAFeTRXxHpbF9z4QgEvBRmfvqWvGp42t42nvgGpNgYSJA9iefm1yYNZKEm7z6qUWCroSQnE"

// SecondAccountKey is another account's key, m/84h/1h/1h of the seed of BIP-32's first
// test vector, with its origin.
const SecondAccountKey = "[3442193e/84h/1h/1h]tpubDDNRbZGvdA33geQ2F7nUJQjPKszKutCNvwLZApt6YXtaZuAVotb6RBCDCHvna13m6csuTsjjrb7f2WwuViYBhU128YBmzwA9xHcLwZ8SWJe"

// secondSignerKey is the private key of SecondAccountKey.
const secondSignerKey = "tprv8ggPT9EgUnMNoBNEMU7su15GkrUPkZ1UMdjmtJqo8G6BjQujBVmWEgaM284nCMEu8SYxrqjMs9YXWEeiEEKyg7XhTw2UrGzVqbxi4CwYEDU"

// Sign is the operator's signer of AccountKey: it finds its keys by what the PSBT says
// of them, and signs each input of theirs.
func Sign(t testing.TB, exported string, kind txscript.SigHashType) string {
	t.Helper()
	packet, err := psbt.NewFromRawBytes(strings.NewReader(strings.TrimSpace(exported)), true)
	if err != nil {
		t.Fatal(err)
	}
	SignPacket(t, packet, kind)
	return encode(t, packet)
}

// SignSecond is the signer of SecondAccountKey.
func SignSecond(t testing.TB, exported string, kind txscript.SigHashType) string {
	t.Helper()
	packet, err := psbt.NewFromRawBytes(strings.NewReader(strings.TrimSpace(exported)), true)
	if err != nil {
		t.Fatal(err)
	}
	signPacket(t, packet, kind, secondSignerKey)
	return encode(t, packet)
}

func encode(t testing.TB, packet *psbt.Packet) string {
	t.Helper()
	text, err := packet.B64Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// SignPacket is Sign for a packet that was read, and perhaps changed.
func SignPacket(t testing.TB, packet *psbt.Packet, kind txscript.SigHashType) {
	t.Helper()
	signPacket(t, packet, kind, signerKey)
}

// SignPacketSecond is SignSecond for a packet that was read, and perhaps changed.
func SignPacketSecond(t testing.TB, packet *psbt.Packet, kind txscript.SigHashType) {
	t.Helper()
	signPacket(t, packet, kind, secondSignerKey)
}

// signPacket signs the inputs whose public keys are those of an account's private key.
func signPacket(t testing.TB, packet *psbt.Packet, kind txscript.SigHashType, account string) {
	t.Helper()
	outputs := map[wire.OutPoint]*wire.TxOut{}
	for i, in := range packet.UnsignedTx.TxIn {
		outputs[in.PreviousOutPoint] = packet.Inputs[i].WitnessUtxo
	}
	hashes := txscript.NewTxSigHashes(packet.UnsignedTx, txscript.NewMultiPrevOutFetcher(outputs))
	for i, in := range packet.Inputs {
		key, err := hdkeychain.NewKeyFromString(account)
		if err != nil {
			t.Fatal(err)
		}
		path := in.Bip32Derivation[0].Bip32Path
		for _, index := range path[len(path)-2:] {
			if key, err = key.Derive(index); err != nil {
				t.Fatal(err)
			}
		}
		private, err := key.ECPrivKey()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(private.PubKey().SerializeCompressed(), in.Bip32Derivation[0].PubKey) {
			continue // another signer's
		}
		signature, err := txscript.RawTxInWitnessSignature(packet.UnsignedTx, hashes, i, in.WitnessUtxo.Value, in.WitnessUtxo.PkScript, kind, private)
		if err != nil {
			t.Fatal(err)
		}
		packet.Inputs[i].SighashType = kind
		packet.Inputs[i].PartialSigs = []*psbt.PartialSig{{PubKey: in.Bip32Derivation[0].PubKey, Signature: signature}}
	}
}
