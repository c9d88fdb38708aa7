package bitcoin

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

// MaxIndex is the last index of an address (BIP-32: the rest need the private key).
const MaxIndex = hdkeychain.HardenedKeyStart - 1

// The two chains of an account (BIP-44).
const (
	externalChain = 0 // addresses that are given out
	changeChain   = 1 // what comes back from the operator's own payments
)

// Version bytes of an extended key: BIP-32, and SLIP-132 for BIP-84.
const (
	versionXpub = 0x0488b21e
	versionTpub = 0x043587cf
	versionZpub = 0x04b24746
	versionVpub = 0x045f1cf6
)

// accountDepth is how far an account's key, m/84'/coin'/account', is from its seed.
const accountDepth = 3

// ErrPrivateKey: an extended private key was given where a public one is wanted.
// The exchange never holds a private key.
var ErrPrivateKey = errors.New("this is a private key, which the exchange must never hold: consider it exposed, and give the account's extended public key")

// Keys derives addresses from the extended public keys of BIP-84 accounts: each index
// from the key that it belongs to. It holds no private key, never changes, and may be
// used from any goroutine.
type Keys struct {
	network Network
	keys    []*extendedKey // by their first indexes; never empty
}

// extendedKey is the key of an account, and the first indexes that it is used for.
type extendedKey struct {
	text   string    // as it was given, without space around it
	first  [2]uint32 // by chain
	chains [2]*hdkeychain.ExtendedKey
	origin uint32   // fingerprint of the key that path begins at, as PSBT has it
	path   []uint32 // from there to the account
}

// ParseKeys reads an account's extended public key, for all indexes: zpub or xpub on
// mainnet, vpub or tpub elsewhere, with or without its origin before it as in BIP-380,
// "[d34db33f/84h/0h/0h]xpub...". No error repeats what was given.
func ParseKeys(text string, network Network) (*Keys, error) {
	key, err := parseKey(strings.TrimSpace(text), network)
	if err != nil {
		return nil, err
	}
	return &Keys{network: network, keys: []*extendedKey{key}}, nil
}

// Then returns the keys of k, and the newest of next for the external indexes from
// external on and the change indexes from change on, which are none below those of k's
// newest.
func (k *Keys) Then(next *Keys, external, change uint32) *Keys {
	key := *next.newest()
	key.first = [2]uint32{externalChain: external, changeChain: change}
	return &Keys{network: k.network, keys: append(slices.Clip(k.keys), &key)}
}

// Later returns the keys whose first external index is above one, each for all indexes.
func (k *Keys) Later(index uint32) (later []*Keys) {
	for _, key := range k.keys {
		if key.first[externalChain] > index {
			alone := *key
			alone.first = [2]uint32{}
			later = append(later, &Keys{network: k.network, keys: []*extendedKey{&alone}})
		}
	}
	return later
}

func (k *Keys) newest() *extendedKey { return k.keys[len(k.keys)-1] }

// of returns the key of an index.
func (k *Keys) of(chain int, index uint32) *extendedKey {
	for _, key := range slices.Backward(k.keys) {
		if key.first[chain] <= index {
			return key
		}
	}
	return k.keys[0]
}

func parseKey(text string, network Network) (*extendedKey, error) {
	k := &extendedKey{text: text}
	hasOrigin := strings.HasPrefix(text, "[")
	if hasOrigin {
		origin, key, closed := strings.Cut(text[1:], "]")
		if !closed {
			return nil, errors.New("the key's origin: want [fingerprint/84h/0h/0h] before the key")
		}
		if err := k.parseOrigin(origin); err != nil {
			return nil, err
		}
		text = key
	}
	extended, err := hdkeychain.NewKeyFromString(text)
	switch {
	case errors.Is(err, hdkeychain.ErrBadChecksum):
		return nil, errors.New("the extended public key has a wrong checksum: look for a mistyped character")
	case err != nil:
		return nil, errors.New("not an extended public key: want one that begins with zpub, xpub, vpub or tpub")
	case extended.IsPrivate():
		return nil, ErrPrivateKey
	}
	version := binary.BigEndian.Uint32(extended.Version())
	isMainnet := network.params.Net == chaincfg.MainNetParams.Net
	switch version {
	case versionXpub, versionZpub:
		if !isMainnet {
			return nil, fmt.Errorf("the extended public key is one of mainnet, %s is configured", network)
		}
	case versionTpub, versionVpub:
		if isMainnet {
			return nil, errors.New("the extended public key is one of a test network, mainnet is configured")
		}
	default:
		return nil, fmt.Errorf("the extended public key is of a kind (version %08x) that is not for BIP-84 addresses: want one that begins with zpub, xpub, vpub or tpub", version)
	}
	if extended.Depth() != accountDepth {
		return nil, fmt.Errorf("the extended public key is at depth %d: want an account's, m/84'/0'/0', at depth %d", extended.Depth(), accountDepth)
	}
	if hasOrigin && k.path[accountDepth-1] != extended.ChildIndex() {
		return nil, errors.New("the key's origin ends in another account than the key is of")
	}
	for i := range k.chains {
		if k.chains[i], err = extended.Derive(uint32(i)); err != nil {
			return nil, fmt.Errorf("chain %d of the extended public key: %w", i, err)
		}
	}
	if !hasOrigin {
		// Without it the account's key stands for its own seed, which a signer that
		// knows the account recognizes.
		k.origin = swap(k.chains[0].ParentFingerprint())
	}
	return k, nil
}

// parseOrigin reads "d34db33f/84h/0h/0h"; ' is written for h too.
func (k *extendedKey) parseOrigin(text string) error {
	wrong := errors.New("the key's origin: want [fingerprint/84h/0h/0h] before the key")
	fields := strings.Split(text, "/")
	fingerprint, err := hex.DecodeString(fields[0])
	if err != nil || len(fingerprint) != 4 || len(fields) != 1+accountDepth {
		return wrong
	}
	k.origin = binary.LittleEndian.Uint32(fingerprint)
	for _, field := range fields[1:] {
		number, isHardened := strings.CutSuffix(strings.ReplaceAll(field, "'", "h"), "h")
		index, err := strconv.ParseUint(number, 10, 31)
		if err != nil || !isHardened {
			return wrong
		}
		k.path = append(k.path, hdkeychain.HardenedKeyStart+uint32(index))
	}
	return nil
}

// swap turns a fingerprint as hdkeychain has it into the byte order of psbt.
func swap(fingerprint uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], fingerprint)
	return binary.LittleEndian.Uint32(b[:])
}

// Network returns the network of the addresses.
func (k *Keys) Network() Network { return k.network }

// String names the newest account key by its fingerprint (BIP-32), which gives nothing
// away.
func (k *Keys) String() string { return fmt.Sprintf("account key %x", k.Fingerprint()) }

// Fingerprint returns that of the newest account key (BIP-32).
func (k *Keys) Fingerprint() (f [4]byte) {
	binary.BigEndian.PutUint32(f[:], k.newest().chains[0].ParentFingerprint())
	return f
}

// Text returns the newest key as it was given, with its origin.
func (k *Keys) Text() string { return k.newest().text }

// Same reports whether the newest keys are one, however they are spelt and whatever
// their origin.
func (k *Keys) Same(other *Keys) bool { return k.newest().same(other.newest()) }

// Has reports whether the newest of other is any of k's.
func (k *Keys) Has(other *Keys) bool { return slices.ContainsFunc(k.keys, other.newest().same) }

func (k *extendedKey) same(other *extendedKey) bool {
	for i, chain := range k.chains {
		same := other.chains[i]
		if chain.ParentFingerprint() != same.ParentFingerprint() || !bytes.Equal(chain.ChainCode(), same.ChainCode()) {
			return false
		}
	}
	return true
}

// WithNewest returns k with the newest key as it is spelt in the same one, with the
// origin that it has there.
func (k *Keys) WithNewest(same *Keys) *Keys {
	key := *same.newest()
	key.first = k.newest().first
	return &Keys{network: k.network, keys: append(slices.Clone(k.keys[:len(k.keys)-1]), &key)}
}

// Address returns the address of an index on the external chain: m/0/index below
// the account.
func (k *Keys) Address(index uint32) (string, error) {
	a, err := k.address(externalChain, index)
	if err != nil {
		return "", err
	}
	return a.EncodeAddress(), nil
}

// ChangeAddress returns the address of an index on the change chain, m/1/index.
func (k *Keys) ChangeAddress(index uint32) (string, error) {
	a, err := k.address(changeChain, index)
	if err != nil {
		return "", err
	}
	return a.EncodeAddress(), nil
}

func (k *Keys) address(chain int, index uint32) (*address.AddressWitnessPubKeyHash, error) {
	public, err := k.publicKey(chain, index)
	if err != nil {
		return nil, err
	}
	return address.NewAddressWitnessPubKeyHash(address.Hash160(public), k.network.params)
}

// Script returns the output script that pays to the address of an index, on the change
// chain or the external one.
func (k *Keys) Script(change bool, index uint32) ([]byte, error) {
	chain := externalChain
	if change {
		chain = changeChain
	}
	a, err := k.address(chain, index)
	if err != nil {
		return nil, err
	}
	return txscript.PayToAddrScript(a)
}

func (k *Keys) publicKey(chain int, index uint32) ([]byte, error) {
	if index > MaxIndex {
		return nil, fmt.Errorf("address %d: the last is %d", index, uint32(MaxIndex))
	}
	// One index in 2^127 has no key (BIP-32); the next one is to be used then.
	child, err := k.of(chain, index).chains[chain].Derive(index)
	if err != nil {
		return nil, fmt.Errorf("address %d: %w", index, err)
	}
	public, err := child.ECPubKey()
	if err != nil {
		return nil, fmt.Errorf("address %d: %w", index, err)
	}
	return public.SerializeCompressed(), nil
}

// ScriptOf returns the output script that pays to an address of a network.
func ScriptOf(text string, network Network) ([]byte, error) {
	a, err := address.DecodeAddress(text, network.params)
	if err != nil || !a.IsForNet(network.params) {
		return nil, fmt.Errorf("%.100q is not a valid address of %s", text, network)
	}
	return txscript.PayToAddrScript(a)
}

// AddressOf returns the address that an output script pays to, "" if it has none.
func AddressOf(script []byte, network Network) string {
	_, addresses, _, err := txscript.ExtractPkScriptAddrs(script, network.params)
	if err != nil || len(addresses) != 1 {
		return ""
	}
	return addresses[0].EncodeAddress()
}
