package walletproof

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/sha3"
)

// ethereumSignature is the length of a signature: r, s and v.
const ethereumSignature = 65

// ChecksumAddress spells an Ethereum address with the capitals of EIP-55. The
// address is 0x and 40 hexadecimal digits: all lower case, all upper case, or
// with its capitals right; a wrong capital is a mistyped address.
func ChecksumAddress(address string) (string, error) {
	digits, ok := strings.CutPrefix(address, "0x")
	if !ok {
		digits, ok = strings.CutPrefix(address, "0X")
	}
	if !ok || len(digits) != 40 {
		return "", fmt.Errorf("want 0x and 40 hexadecimal digits")
	}
	lower := strings.ToLower(digits)
	if _, err := hex.DecodeString(lower); err != nil {
		return "", fmt.Errorf("want hexadecimal digits after 0x")
	}
	spelled := []byte(lower)
	hash := keccak([]byte(lower))
	for i, c := range spelled {
		if nibble := hash[i/2] >> (4 * (1 - i%2)) & 0xF; c >= 'a' && nibble >= 8 {
			spelled[i] = c - 'a' + 'A'
		}
	}
	if digits != lower && digits != strings.ToUpper(digits) && digits != string(spelled) {
		return "", fmt.Errorf("its capital letters are not those of its EIP-55 checksum: check it for a mistyped character")
	}
	return "0x" + string(spelled), nil
}

// verifyEthereum checks an EIP-191 (personal_sign) signature over text: 0x and 130
// hexadecimal digits, r || s || v. address is spelled by ChecksumAddress.
func verifyEthereum(address, text, signature string) error {
	digits, ok := strings.CutPrefix(signature, "0x")
	if !ok || len(digits) != 2*ethereumSignature {
		return fmt.Errorf("want 0x and %d hexadecimal digits, got %d characters", 2*ethereumSignature, len(signature))
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("signature is not hexadecimal")
	}
	// v is 27 or 28, or 0 or 1 as some hardware wallets give it. Others (the chain id
	// of EIP-155, or an r above the group's order) belong to no signed message.
	v := raw[64]
	if v < 27 {
		v += 27
	}
	if v != 27 && v != 28 {
		return fmt.Errorf("v is %d", raw[64])
	}
	if err := checkLowS(raw[32:64]); err != nil {
		return err
	}
	compact := append([]byte{v}, raw[:64]...)
	key, _, err := ecdsa.RecoverCompact(compact, messageHash(text))
	if err != nil {
		return fmt.Errorf("no key made this signature: %w", err)
	}
	if signer := addressOf(key); signer != address {
		return fmt.Errorf("signed by %s", signer)
	}
	return nil
}

// messageHash is the hash that personal_sign signs, by EIP-191.
func messageHash(text string) []byte {
	return keccak([]byte("\x19Ethereum Signed Message:\n" + strconv.Itoa(len(text)) + text))
}

func addressOf(key *secp256k1.PublicKey) string {
	hash := keccak(key.SerializeUncompressed()[1:])
	address, err := ChecksumAddress("0x" + hex.EncodeToString(hash[12:]))
	if err != nil {
		panic(err) // 20 bytes make 40 digits
	}
	return address
}

// checkLowS refuses the second form that every ECDSA signature has: with n-s in
// place of s it is as valid, so a signature would not be one thing (EIP-2, BIP-62).
func checkLowS(b []byte) error {
	var s secp256k1.ModNScalar
	if overflow := s.SetByteSlice(b); overflow || s.IsZero() || s.IsOverHalfOrder() {
		return fmt.Errorf("s is not in the lower half of its range")
	}
	return nil
}

// keccak is the Keccak-256 of Ethereum, which is older than SHA-3 and differs.
func keccak(b []byte) []byte {
	h := sha3.NewLegacyKeccak256()
	h.Write(b)
	return h.Sum(nil)
}
