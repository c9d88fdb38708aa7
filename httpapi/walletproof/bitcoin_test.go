package walletproof

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// bip322 are test vectors of BIP-322 (bip-0322/basic-test-vectors.json and
// generated-test-vectors.json of the BIPs repository).
type bip322 struct {
	Hashes []struct {
		Message, Address, MessageHash, ToSpend, ToSign string
	}
	Simple []struct{ Message, Address, Type, Signature string }
	Errors []struct{ Description, Message, Address, Signature string }
}

func TestTheHashesOfBIP322(t *testing.T) {
	var vectors bip322
	readJSON(t, "bip322.json", &vectors)
	for _, v := range vectors.Hashes {
		script, err := txscript.PayToAddrScript(bitcoinAddress(t, v.Address))
		if err != nil {
			t.Fatal(err)
		}
		if got := chainhash.TaggedHash(bip322Tag, []byte(v.Message)); got.String() != reversed(t, v.MessageHash) {
			t.Errorf("%q: message hash %s", v.Message, got)
		}
		spend := toSpend(v.Message, script)
		if got := spend.TxHash().String(); got != v.ToSpend {
			t.Errorf("%q: to_spend %s, want %s", v.Message, got, v.ToSpend)
		}
		if got := toSign(spend, nil).TxHash().String(); got != v.ToSign {
			t.Errorf("%q: to_sign %s, want %s", v.Message, got, v.ToSign)
		}
	}
	if len(vectors.Hashes) == 0 {
		t.Error("no vectors")
	}
}

// reversed turns a hash into the byte order that chainhash prints.
func reversed(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for i := len(s) - 2; i >= 0; i -= 2 {
		b.WriteString(s[i : i+2])
	}
	return b.String()
}

func TestTheSignaturesOfBIP322(t *testing.T) {
	var vectors bip322
	readJSON(t, "bip322.json", &vectors)
	accepted := map[string]int{}
	for _, v := range vectors.Simple {
		err := verifyBitcoin(bitcoinAddress(t, v.Address), &chaincfg.MainNetParams, v.Message, v.Signature)
		if oneKey := v.Type == "p2wpkh" || v.Type == "p2tr"; oneKey != (err == nil) {
			t.Errorf("%s, %q: %v", v.Type, v.Message, err)
		} else if err == nil {
			accepted[v.Type]++
		}
	}
	if accepted["p2wpkh"] < 5 || accepted["p2tr"] < 2 {
		t.Errorf("accepted by type: %v, want at least 5 of p2wpkh and 2 of p2tr", accepted)
	}
	for _, v := range vectors.Errors {
		if err := verifyBitcoin(bitcoinAddress(t, v.Address), &chaincfg.MainNetParams, v.Message, v.Signature); err == nil {
			t.Errorf("%s: accepted", v.Description)
		}
	}
	if len(vectors.Errors) < 10 {
		t.Errorf("%d errors", len(vectors.Errors))
	}
}

// A signature that the documentation of bitcoinjs-message publishes.
const (
	legacyAddress   = "1F3sAm6ZtwLAUnj7d38pGFxtP3RVEvtsbV"
	legacyText      = "This is an example of a signed message."
	legacySignature = "H9L5yLFjti0QTHhPyFrZCT1V/MMnBtXKmoiKDZ78NDBjERki6ZTQZdSMCtkgoNmp17By9ItJr8o7ChX0XxY91nk="
)

func TestAPublishedLegacySignature(t *testing.T) {
	if err := verifyBitcoin(bitcoinAddress(t, legacyAddress), &chaincfg.MainNetParams, legacyText, legacySignature); err != nil {
		t.Error(err)
	}
}

func TestEveryHeaderWorksForItsAddressesOnly(t *testing.T) {
	const text = "text"
	accepted := map[string]string{ // by compressed key and what is added to the header
		"p2pkh": "31", "p2pkh uncompressed": "27", "p2sh-p2wpkh": "31 35", "p2wpkh": "31 39",
	}
	for _, w := range wallets(t, &chaincfg.MainNetParams)[1:] {
		for _, form := range []struct {
			header     string
			compressed bool
			shift      byte
		}{{"27", false, 0}, {"31", true, 0}, {"35", true, 4}, {"39", true, 8}, {"43", true, 12}, {"23", false, 252}, {"227", true, 196}} {
			err := verifyBitcoin(bitcoinAddress(t, w.address), &chaincfg.MainNetParams, text, signLegacy(text, form.compressed, form.shift))
			want := false
			for _, header := range strings.Fields(accepted[w.kind]) {
				want = want || header == form.header
			}
			if want != (err == nil) {
				t.Errorf("%s with header from %s: %v", w.kind, form.header, err)
			}
		}
	}
}

func TestBtcdsSignerIsAccepted(t *testing.T) {
	v, _ := newVerifier(t)
	for _, w := range wallets(t, &chaincfg.MainNetParams) {
		if err := v.Verify(valid(t, v, w.kind)); err != nil {
			t.Errorf("%s: %s", w.kind, Reason(err))
		}
	}
}

func TestForgedBitcoinSignaturesAreRefused(t *testing.T) {
	const text = "text"
	addresses := map[string]btcaddress.Address{}
	for _, w := range wallets(t, &chaincfg.MainNetParams)[1:] {
		addresses[w.kind] = bitcoinAddress(t, w.address)
	}
	simple := func(kind string, change func(raw []byte) []byte) string {
		raw, err := base64.StdEncoding.DecodeString(signSimple(t, addresses[kind], text, sigHash(kind)))
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(change(raw))
	}
	highLegacy := func() string {
		raw, err := base64.StdEncoding.DecodeString(signLegacy(text, true, 0))
		if err != nil {
			t.Fatal(err)
		}
		var s secp256k1.ModNScalar
		s.SetByteSlice(raw[33:])
		other := s.Negate().Bytes()
		copy(raw[33:], other[:])
		raw[0] = 31 + (raw[0] - 31) ^ 1 // the other of the two keys
		return base64.StdEncoding.EncodeToString(raw)
	}
	flagged := func(kind string, flag txscript.SigHashType) string { return signSimple(t, addresses[kind], text, flag) }
	for _, test := range []struct{ name, kind, signature, reason string }{
		{"high s", "p2pkh", highLegacy(), "lower half"},
		{"legacy for Taproot", "p2tr", signLegacy(text, true, 0), "not that of the address"},
		{"simple for P2PKH", "p2pkh", simple("p2wpkh", bytes.Clone), "SegWit"},
		{"of the other address", "p2sh-p2wpkh", simple("p2wpkh", bytes.Clone), "invalid signature"},
		{"SIGHASH_NONE", "p2wpkh", flagged("p2wpkh", txscript.SigHashNone), "sighash"},
		{"SIGHASH_SINGLE", "p2sh-p2wpkh", flagged("p2sh-p2wpkh", txscript.SigHashSingle), "sighash"},
		{"anyone can pay", "p2wpkh", flagged("p2wpkh", txscript.SigHashAll|txscript.SigHashAnyOneCanPay), "sighash"},
		{"Taproot SIGHASH_NONE", "p2tr", flagged("p2tr", txscript.SigHashNone), "SIGHASH_ALL"},
		{"one byte less", "p2wpkh", simple("p2wpkh", func(b []byte) []byte { return b[:len(b)-1] }), "cut off"},
		{"one byte more", "p2wpkh", simple("p2wpkh", func(b []byte) []byte { return append(b, 0) }), "after the witness"},
		{"no witness", "p2wpkh", "AA==", "one or two items"},
		{"many items", "p2wpkh", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{200, 0}, 60)), "one or two items"},
		{"key only", "p2wpkh", simple("p2wpkh", func(b []byte) []byte { return append([]byte{1}, b[2+int(b[1]):]...) }), "not a signature and a key"},
		{"Taproot script path", "p2tr", simple("p2wpkh", bytes.Clone), "key path"},
		{"Taproot bit", "p2tr", simple("p2tr", func(b []byte) []byte { b[9] ^= 1; return b }), "invalid signature"},
		{"not base64", "p2wpkh", "!", "base64"},
		{"base64 with spare bits", "p2pkh", legacySignature[:86] + "n=", "base64"},
		{"line end", "p2pkh", signLegacy(text, true, 0) + "\n", ""},
	} {
		err := verifyBitcoin(addresses[test.kind], &chaincfg.MainNetParams, text, test.signature)
		if err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, want %q", test.name, err, test.reason)
		}
	}
}

func FuzzVerifyBitcoin(f *testing.F) {
	var all []recorded
	readJSON(f, "wallets.json", &all)
	kinds := wallets(f, &chaincfg.MainNetParams)[1:]
	for i := range kinds {
		for _, p := range all {
			if raw, err := base64.StdEncoding.DecodeString(p.Signature); err == nil {
				f.Add(uint8(i), raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		address := bitcoinAddress(t, kinds[int(kind)%len(kinds)].address)
		if verifyBitcoin(address, &chaincfg.MainNetParams, "a text that nobody signed", base64.StdEncoding.EncodeToString(raw)) == nil {
			t.Errorf("forged for %s: %x", address, raw)
		}
	})
}
