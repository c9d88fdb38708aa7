package walletproof

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// The addresses of EIP-55.
func TestTheCapitalsOfEIP55(t *testing.T) {
	for _, want := range []string{
		"0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
		"0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
		"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
	} {
		for _, spelling := range []string{want, strings.ToLower(want), "0x" + strings.ToUpper(want[2:])} {
			if got, err := ChecksumAddress(spelling); err != nil || got != want {
				t.Errorf("ChecksumAddress(%s) = %s, %v, want %s", spelling, got, err, want)
			}
		}
	}
}

// A signature that web3.js's documentation publishes.
var published = struct{ address, text, hash, signature string }{
	"0x2c7536E3605D9C16a7a3D7b1898e529396a65c23", "Some data",
	"1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655",
	"0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c",
}

func TestAPublishedEIP191Signature(t *testing.T) {
	if got := hex.EncodeToString(messageHash(published.text)); got != published.hash {
		t.Errorf("hash %s, want %s", got, published.hash)
	}
	if err := verifyEthereum(published.address, published.text, published.signature); err != nil {
		t.Error(err)
	}
	recovery := strings.TrimSuffix(published.signature, "1c") + "01" // as Ledger gives it
	if err := verifyEthereum(published.address, published.text, recovery); err != nil {
		t.Errorf("v as 1 in place of 28: %v", err)
	}
}

func TestForgedEthereumSignaturesAreRefused(t *testing.T) {
	raw, err := hex.DecodeString(published.signature[2:])
	if err != nil {
		t.Fatal(err)
	}
	zeros := strings.Repeat("00", 32)
	order := "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
	r, s := published.signature[2:66], published.signature[66:130]
	for name, test := range map[string]struct{ address, text, signature, reason string }{
		"another text":     {published.address, "Some date", published.signature, "signed by"},
		"another address":  {"0x52908400098527886E0F7030069857D2E4169EE7", published.text, published.signature, "signed by"},
		"the other key":    {published.address, published.text, "0x" + r + s + "1b", "signed by"},
		"high s":           {published.address, published.text, highS(raw), "lower half"},
		"s is zero":        {published.address, published.text, "0x" + r + zeros + "1c", "lower half"},
		"s is the order":   {published.address, published.text, "0x" + r + order + "1c", "lower half"},
		"r is zero":        {published.address, published.text, "0x" + zeros + s + "1c", "no key"},
		"r is the order":   {published.address, published.text, "0x" + order + s + "1c", "no key"},
		"v of a third key": {published.address, published.text, "0x" + r + s + "1d", "v is 29"},
		"v is 2":           {published.address, published.text, "0x" + r + s + "02", "v is 2"},
		"v of EIP-155":     {published.address, published.text, "0x" + r + s + "25", "v is 37"},
		"truncated":        {published.address, published.text, published.signature[:130], "hexadecimal digits"},
		"compact (2098)":   {published.address, published.text, published.signature[:130], "hexadecimal digits"},
		"no 0x":            {published.address, published.text, published.signature[2:], "hexadecimal digits"},
		"not hexadecimal":  {published.address, published.text, "0x" + r + s + "1g", "not hexadecimal"},
		"one byte more":    {published.address, published.text, published.signature + "00", "hexadecimal digits"},
		"empty":            {published.address, published.text, "", "hexadecimal digits"},
	} {
		err := verifyEthereum(test.address, test.text, test.signature)
		if err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, want %q", name, err, test.reason)
		}
	}
}

// highS is the same signature's other form, which ECDSA itself accepts.
func highS(raw []byte) string {
	var s secp256k1.ModNScalar
	s.SetByteSlice(raw[32:64])
	other := s.Negate().Bytes()
	return "0x" + hex.EncodeToString(raw[:32]) + hex.EncodeToString(other[:]) + hex.EncodeToString([]byte{raw[64] ^ 7}) // 27 <-> 28
}

func FuzzVerifyEthereum(f *testing.F) {
	f.Add(published.text, published.signature)
	f.Fuzz(func(t *testing.T, text, signature string) {
		if verifyEthereum(published.address, text, signature) != nil {
			return
		}
		if text != published.text || !strings.EqualFold(signature[:130], published.signature[:130]) {
			t.Errorf("forged: %q %q", text, signature)
		}
	})
}
