package walletproof

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

var update = flag.Bool("update", false, "write testdata/challenges.json anew; sign.mjs then signs it")

const origin = "https://exchange.example"

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// counter is a random source that tests can repeat.
type counter struct{ n uint64 }

func (c *counter) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		c.n++
		var word [8]byte
		binary.BigEndian.PutUint64(word[:], c.n)
		copy(b[i:], word[:])
	}
	return len(b), nil
}

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// newVerifier returns a verifier of the main networks at noon, the same each time.
func newVerifier(t testing.TB, change ...func(*Config)) (*Verifier, *clock) {
	t.Helper()
	c := &clock{noon}
	cfg := Config{
		Origins: []string{origin, "https://other.example:8443"}, Statement: "Log in to the AITBC exchange.",
		Bitcoin: &chaincfg.MainNetParams, Random: new(counter), Now: c.Now,
	}
	for _, f := range change {
		f(&cfg)
	}
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v, c
}

// testKey is the key that sign.mjs signs with.
func testKey() *btcec.PrivateKey {
	sum := sha256.Sum256([]byte("wallet"))
	key, _ := btcec.PrivKeyFromBytes(sum[:])
	return key
}

// wallets are the addresses of testKey, by kind.
func wallets(t testing.TB, network *chaincfg.Params) []struct{ kind, address string } {
	t.Helper()
	key := testKey().PubKey()
	compressed := btcaddress.Hash160(key.SerializeCompressed())
	encode := func(a btcaddress.Address, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a.EncodeAddress()
	}
	pkh, err := btcaddress.NewAddressPubKeyHash(compressed, network)
	p2pkh := encode(pkh, err)
	old, err := btcaddress.NewAddressPubKeyHash(btcaddress.Hash160(key.SerializeUncompressed()), network)
	uncompressed := encode(old, err)
	sh, err := btcaddress.NewAddressScriptHash(witnessScript(compressed), network)
	p2sh := encode(sh, err)
	wpkh, err := btcaddress.NewAddressWitnessPubKeyHash(compressed, network)
	p2wpkh := encode(wpkh, err)
	tr, err := btcaddress.NewAddressTaproot(taprootKey(key), network)
	p2tr := encode(tr, err)
	return []struct{ kind, address string }{
		{"ethereum", addressOf(key)},
		{"p2pkh", p2pkh}, {"p2pkh uncompressed", uncompressed}, {"p2sh-p2wpkh", p2sh}, {"p2wpkh", p2wpkh}, {"p2tr", p2tr},
	}
}

func taprootKey(key *btcec.PublicKey) []byte {
	return txscript.ComputeTaprootKeyNoScript(key).SerializeCompressed()[1:]
}

// signEthereum signs as personal_sign does.
func signEthereum(text string) string {
	compact := ecdsa.SignCompact(testKey(), messageHash(text), false)
	return "0x" + hex.EncodeToString(append(compact[1:], compact[0]))
}

// signSimple makes a BIP-322 simple signature with btcd's own signer.
func signSimple(t testing.TB, address btcaddress.Address, text string, flag txscript.SigHashType) string {
	t.Helper()
	script, err := txscript.PayToAddrScript(address)
	if err != nil {
		t.Fatal(err)
	}
	key := testKey()
	tx := toSign(toSpend(text, script), nil)
	hashes := txscript.NewTxSigHashes(tx, txscript.NewCannedPrevOutputFetcher(script, 0))
	var witness [][]byte
	if _, ok := address.(*btcaddress.AddressTaproot); ok {
		witness, err = txscript.TaprootWitnessSignature(tx, hashes, 0, 0, script, flag, key)
	} else {
		program := witnessScript(btcaddress.Hash160(key.PubKey().SerializeCompressed()))
		witness, err = txscript.WitnessSignature(tx, hashes, 0, 0, program, flag, key, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte{byte(len(witness))}
	for _, item := range witness {
		raw = append(append(raw, byte(len(item))), item...)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// signLegacy makes a legacy signature with btcd's own signer, with its header
// raised by shift.
func signLegacy(text string, compressed bool, shift byte) string {
	raw := ecdsa.SignCompact(testKey(), legacyHash(text), compressed)
	raw[0] += shift
	return base64.StdEncoding.EncodeToString(raw)
}

func bitcoinAddress(t testing.TB, s string) btcaddress.Address {
	t.Helper()
	a, err := btcaddress.DecodeAddress(s, &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func readJSON(t testing.TB, name string, to any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
