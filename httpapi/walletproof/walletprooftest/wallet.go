package walletprooftest

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/sha3"

	"github.com/aitbc/exchange/httpapi/walletproof"
)

// Wallet is an Ethereum wallet.
type Wallet struct {
	Address string // with its checksum (EIP-55)
	key     *secp256k1.PrivateKey
}

// NewWallet returns the wallet of a name, the same each time.
func NewWallet(t testing.TB, name string) Wallet {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	key := secp256k1.PrivKeyFromBytes(sum[:])
	hash := keccak(key.PubKey().SerializeUncompressed()[1:])
	address, err := walletproof.ChecksumAddress("0x" + hex.EncodeToString(hash[12:]))
	if err != nil {
		t.Fatal(err)
	}
	return Wallet{address, key}
}

// Sign is personal_sign (EIP-191): 0x and 130 hexadecimal digits.
func (w Wallet) Sign(text string) string {
	hash := keccak([]byte("\x19Ethereum Signed Message:\n" + strconv.Itoa(len(text)) + text))
	compact := ecdsa.SignCompact(w.key, hash, false)
	return "0x" + hex.EncodeToString(append(compact[1:], compact[0]))
}

func keccak(b []byte) []byte {
	h := sha3.NewLegacyKeccak256()
	h.Write(b)
	return h.Sum(nil)
}
