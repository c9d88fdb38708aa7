package walletproof

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

const (
	compactSignature = 65   // bytes of a legacy signature: header, r, s
	maxBitcoinSig    = 1024 // characters; a BIP-322 proof by one key has less than 200
)

// parseBitcoin reads an address of network whose owner is one key, and returns its
// one spelling.
func parseBitcoin(address string, network *chaincfg.Params) (btcaddress.Address, error) {
	decoded, err := btcaddress.DecodeAddress(address, network)
	if err != nil {
		return nil, err
	}
	if !decoded.IsForNet(network) {
		return nil, fmt.Errorf("it is not of the network %s", network.Name)
	}
	switch decoded.(type) {
	case *btcaddress.AddressPubKeyHash, *btcaddress.AddressScriptHash, *btcaddress.AddressWitnessPubKeyHash, *btcaddress.AddressTaproot:
		return decoded, nil
	}
	return nil, fmt.Errorf("its kind (%T) can't be proved by one signature", decoded)
}

// verifyBitcoin checks a signature in base64 over text: the legacy signed message
// (65 bytes, whichever header the wallet gives it) or BIP-322 simple.
func verifyBitcoin(address btcaddress.Address, network *chaincfg.Params, text, signature string) error {
	if len(signature) > maxBitcoinSig {
		return fmt.Errorf("signature of %d characters", len(signature))
	}
	if strings.ContainsAny(signature, "\r\n") { // which the decoder skips
		return fmt.Errorf("signature has line ends")
	}
	if raw, err := base64.StdEncoding.Strict().DecodeString(signature); err == nil && len(raw) == compactSignature {
		return verifyLegacy(address, network, text, raw)
	}
	return verifySimple(address, text, signature)
}

// verifyLegacy checks a signed message as Bitcoin Core's signmessage makes it. The
// header tells which of four keys signed, and by BIP-137 for which kind of address;
// Electrum and others write that of P2PKH for SegWit too, so the recovered key
// decides and not the header's claim.
func verifyLegacy(address btcaddress.Address, network *chaincfg.Params, text string, raw []byte) error {
	header := raw[0]
	var claims string
	switch {
	case header >= 27 && header <= 34:
	case header >= 35 && header <= 38:
		claims = "P2SH-P2WPKH"
	case header >= 39 && header <= 42:
		claims = "P2WPKH"
	default:
		return fmt.Errorf("header is %d", header)
	}
	if err := checkLowS(raw[33:]); err != nil {
		return err
	}
	compact := bytes.Clone(raw)
	if header > 34 {
		compact[0] = 31 + (header-27)%4 // SegWit keys are compressed
	}
	key, compressed, err := ecdsa.RecoverCompact(compact, legacyHash(text))
	if err != nil {
		return fmt.Errorf("no key made this signature: %w", err)
	}
	kind, err := keyOwns(address, network, key, compressed)
	if err != nil {
		return err
	}
	if claims != "" && claims != kind {
		return fmt.Errorf("the header is for %s, the address is %s", claims, kind)
	}
	return nil
}

// keyOwns reports which kind of address of key this is, or that it is another's.
func keyOwns(address btcaddress.Address, network *chaincfg.Params, key *btcec.PublicKey, compressed bool) (string, error) {
	serialized := key.SerializeUncompressed()
	if compressed {
		serialized = key.SerializeCompressed()
	}
	hash := btcaddress.Hash160(serialized)
	switch a := address.(type) {
	case *btcaddress.AddressPubKeyHash:
		if bytes.Equal(a.Hash160()[:], hash) {
			return "P2PKH", nil
		}
	case *btcaddress.AddressWitnessPubKeyHash:
		if compressed && bytes.Equal(a.WitnessProgram(), hash) {
			return "P2WPKH", nil
		}
	case *btcaddress.AddressScriptHash:
		if compressed && bytes.Equal(a.Hash160()[:], btcaddress.Hash160(witnessScript(hash))) {
			return "P2SH-P2WPKH", nil
		}
	}
	return "", fmt.Errorf("the key that signed is not that of the address")
}

// witnessScript is the program of a P2WPKH output: version 0 and 20 bytes.
func witnessScript(keyHash []byte) []byte { return append([]byte{0, 20}, keyHash...) }

// legacyHash is the hash that signmessage signs.
func legacyHash(text string) []byte {
	var b []byte
	for _, s := range []string{"Bitcoin Signed Message:\n", text} {
		b = appendCompactSize(b, len(s))
		b = append(b, s...)
	}
	return chainhash.DoubleHashB(b)
}

// appendCompactSize appends Bitcoin's own variable-length integer.
func appendCompactSize(b []byte, n int) []byte {
	switch {
	case n < 0xFD:
		return append(b, byte(n))
	case n <= 0xFFFF:
		return binary.LittleEndian.AppendUint16(append(b, 0xFD), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(b, 0xFE), uint32(n))
}
