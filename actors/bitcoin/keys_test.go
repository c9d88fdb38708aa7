package bitcoin

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
)

// The test vectors of BIP-84, from the seed "abandon abandon ... about".
const (
	vectorPublic  = "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs"
	vectorPrivate = "zprvAdG4iTXWBoARxkkzNpNh8r6Qag3irQB8PzEMkAFeTRXxHpbF9z4QgEvBRmfvqWvGp42t42nvgGpNgYSJA9iefm1yYNZKEm7z6qUWCroSQnE"
	vectorSeed    = "73c5da0a" // fingerprint of the seed's key
)

// withVersion spells an extended key with other version bytes.
func withVersion(t *testing.T, key string, version uint32) string {
	t.Helper()
	extended, err := hdkeychain.NewKeyFromString(key)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := extended.CloneWithVersion(binary.BigEndian.AppendUint32(nil, version))
	if err != nil {
		t.Fatal(err)
	}
	return changed.String()
}

func mustKeys(t testing.TB, text string, network Network) *Keys {
	t.Helper()
	keys, err := ParseKeys(text, network)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeysDeriveThePublishedAddresses(t *testing.T) {
	for _, given := range []string{
		vectorPublic,
		withVersion(t, vectorPublic, versionXpub),
		"[" + vectorSeed + "/84h/0h/0h]" + vectorPublic,
		" [" + vectorSeed + "/84'/0'/0']" + withVersion(t, vectorPublic, versionXpub) + "\n",
	} {
		keys := mustKeys(t, given, Mainnet)
		for _, c := range []struct {
			derive func(uint32) (string, error)
			index  uint32
			want   string
		}{
			{keys.Address, 0, "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"},
			{keys.Address, 1, "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"},
			{keys.ChangeAddress, 0, "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"},
		} {
			if got, err := c.derive(c.index); err != nil || got != c.want {
				t.Errorf("address %d is %s, %v, want %s", c.index, got, err, c.want)
			}
		}
	}
}

func TestKeysOfTestNetworksGiveTheirAddresses(t *testing.T) {
	for _, c := range []struct {
		network Network
		version uint32
		prefix  string
	}{
		{Testnet, versionTpub, "tb1q"}, {Testnet4, versionVpub, "tb1q"}, {Signet, versionVpub, "tb1q"},
		{Regtest, versionVpub, "bcrt1q"}, {Regtest, versionTpub, "bcrt1q"},
	} {
		got, err := mustKeys(t, withVersion(t, vectorPublic, c.version), c.network).Address(0)
		if err != nil || !strings.HasPrefix(got, c.prefix) {
			t.Errorf("%s: %s, %v, want %s...", c.network, got, err, c.prefix)
		}
	}
}

func TestKeysRefuseWhatIsNoAccountKey(t *testing.T) {
	seed, err := hdkeychain.NewMaster(make([]byte, 32), Mainnet.Params())
	if err != nil {
		t.Fatal(err)
	}
	shallow, err := seed.Neuter()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		given   string
		network Network
		want    string
	}{
		{"empty", "", Mainnet, "not an extended public key"},
		{"an address", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", Mainnet, "not an extended public key"},
		{"a typo", strings.Replace(vectorPublic, "4Q2", "4Q3", 1), Mainnet, "checksum"},
		{"of mainnet for regtest", vectorPublic, Regtest, "mainnet"},
		{"of a test network for mainnet", withVersion(t, vectorPublic, versionVpub), Mainnet, "test network"},
		{"ypub", withVersion(t, vectorPublic, 0x049d7cb2), Mainnet, "not for BIP-84"},
		{"of the seed", shallow.String(), Mainnet, "depth 0"},
		{"origin without an end", "[73c5da0a/84h/0h/0h" + vectorPublic, Mainnet, "origin"},
		{"origin of another account", "[73c5da0a/84h/0h/1h]" + vectorPublic, Mainnet, "another account"},
		{"origin that is not hardened", "[73c5da0a/84/0/0]" + vectorPublic, Mainnet, "origin"},
		{"origin that is short", "[73c5da/84h/0h/0h]" + vectorPublic, Mainnet, "origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys, err := ParseKeys(c.given, c.network)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", keys, err, c.want)
			}
		})
	}
}

func TestKeysRefuseAPrivateKeyWithoutRepeatingIt(t *testing.T) {
	for _, given := range []string{
		vectorPrivate, "[73c5da0a/84h/0h/0h]" + vectorPrivate, withVersion(t, vectorPrivate, 0x0488ade4),
		withVersion(t, vectorPrivate, versionZpub), // a private key that claims to be public
	} {
		_, err := ParseKeys(given, Mainnet)
		if !errors.Is(err, ErrPrivateKey) {
			t.Errorf("got %v, want ErrPrivateKey", err)
		}
	}
	mistyped := vectorPrivate[:50] + vectorPrivate[51:]
	if _, err := ParseKeys(mistyped, Mainnet); err == nil || strings.Contains(err.Error(), mistyped[10:20]) {
		t.Errorf("got %v, want an error without the key", err)
	}
}

func TestKeysEndAtTheLastIndex(t *testing.T) {
	keys := mustKeys(t, vectorPublic, Mainnet)
	if _, err := keys.Address(MaxIndex); err != nil {
		t.Errorf("the last address: %v", err)
	}
	if _, err := keys.Address(MaxIndex + 1); err == nil {
		t.Error("an address beyond the last was derived")
	}
}

func TestScriptOfAnAddressLeadsBackToIt(t *testing.T) {
	keys := mustKeys(t, withVersion(t, vectorPublic, versionVpub), Regtest)
	for index := range uint32(10) {
		want, err := keys.Address(index)
		if err != nil {
			t.Fatal(err)
		}
		script, err := ScriptOf(want, Regtest)
		if err != nil {
			t.Fatal(err)
		}
		if got := AddressOf(script, Regtest); got != want {
			t.Errorf("address %d: %s became %s", index, want, got)
		}
		if _, err := ScriptOf(want, Mainnet); err == nil {
			t.Errorf("mainnet took %s", want)
		}
	}
}

func BenchmarkKeysAddress(b *testing.B) {
	keys := mustKeys(b, vectorPublic, Mainnet)
	b.ReportAllocs()
	for i := range b.N {
		if _, err := keys.Address(uint32(i) & MaxIndex); err != nil {
			b.Fatal(err)
		}
	}
}

// secondKey is m/84h/1h/1h of BIP-32's first test vector.
const secondKey = "[3442193e/84h/1h/1h]tpubDDNRbZGvdA33geQ2F7nUJQjPKszKutCNvwLZApt6YXtaZuAVotb6RBCDCHvna13m6csuTsjjrb7f2WwuViYBhU128YBmzwA9xHcLwZ8SWJe"

func TestEachIndexIsDerivedFromTheKeyThatItBelongsTo(t *testing.T) {
	first := mustKeys(t, "["+vectorSeed+"/84h/0h/0h]"+withVersion(t, vectorPublic, versionTpub), Regtest)
	second := mustKeys(t, secondKey, Regtest)
	both := first.Then(second, 10, 3)
	back := both.Then(mustKeys(t, withVersion(t, vectorPublic, versionVpub), Regtest), 10, 9) // nothing was given out in between
	for _, c := range []struct {
		keys   *Keys
		change bool
		index  uint32
		of     *Keys
	}{
		{both, false, 0, first}, {both, false, 9, first}, {both, false, 10, second}, {both, false, MaxIndex, second},
		{both, true, 2, first}, {both, true, 3, second}, {back, false, 9, first}, {back, false, 10, first}, {back, true, 8, second}, {back, true, 9, first},
	} {
		got, err := c.keys.Script(c.change, c.index)
		want, wrong := c.of.Script(c.change, c.index)
		if err != nil || wrong != nil || !bytes.Equal(got, want) {
			t.Errorf("the script of %d (change %t) is %x, %v, want %x, %v", c.index, c.change, got, err, want, wrong)
		}
	}
	for index, want := range map[uint32]string{9: "73c5da0a/84h/0h/0h/0/9", 10: "3442193e/84h/1h/1h/0/10"} {
		d, err := both.derivation(externalChain, index)
		if err != nil {
			t.Fatal(err)
		}
		got := hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, d.MasterKeyFingerprint))
		for _, step := range d.Bip32Path {
			if step >= hdkeychain.HardenedKeyStart {
				got += fmt.Sprintf("/%dh", step-hdkeychain.HardenedKeyStart)
			} else {
				got += fmt.Sprintf("/%d", step)
			}
		}
		if got != want {
			t.Errorf("a signer finds the key of address %d at %s, want %s", index, got, want)
		}
	}
}

func TestAKeyIsTheSameHoweverItIsSpelt(t *testing.T) {
	first, second := mustKeys(t, withVersion(t, vectorPublic, versionTpub), Regtest), mustKeys(t, secondKey, Regtest)
	spelt := mustKeys(t, "["+vectorSeed+"/84h/0h/0h]"+withVersion(t, vectorPublic, versionVpub), Regtest)
	both := first.Then(second, 10, 3)
	if !first.Same(spelt) || first.Same(second) || both.Same(first) || !both.Has(spelt) || first.Has(second) {
		t.Error("a key is not told from another")
	}
	if first.Fingerprint() != spelt.Fingerprint() || fmt.Sprintf("%x", second.Fingerprint()) != "1cfc2f8e" || both.Text() != secondKey {
		t.Errorf("the keys are %s, %s, %s and %s", first, spelt, second, both.Text())
	}
	if d, err := first.WithNewest(spelt).derivation(externalChain, 0); err != nil || len(d.Bip32Path) != accountDepth+2 {
		t.Errorf("with its origin the key is found at %v, %v", d, err)
	}
}
