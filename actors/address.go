package actors

import (
	"fmt"
	"strings"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/address/v2/bech32"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

// Length limits of a wallet's address, in characters.
const (
	MinWallet = 8
	MaxWallet = 128
)

// CanonicalWallet returns the one spelling of a wallet's address that logins are
// compared by. Ethereum addresses (0x and 40 hexadecimal digits) and Bitcoin's
// Bech32 addresses (BIP-173) have no case and become lower case; every other
// address is 8 to 128 letters, digits and underscores, taken as it is.
func CanonicalWallet(wallet string) (string, error) {
	if len(wallet) < MinWallet || len(wallet) > MaxWallet {
		return "", fmt.Errorf("must be %d to %d characters, not %d", MinWallet, MaxWallet, len(wallet))
	}
	for i := 0; i < len(wallet); i++ {
		if c := wallet[i]; !isLetter(c) && !isDigit(c) && c != '_' {
			return "", fmt.Errorf("must have letters, digits and _ only")
		}
	}
	if isEthereum(wallet) || isBech32(wallet) {
		return strings.ToLower(wallet), nil
	}
	return wallet, nil
}

func isEthereum(s string) bool {
	if len(s) != 42 || s[0] != '0' || (s[1] != 'x' && s[1] != 'X') {
		return false
	}
	for i := 2; i < len(s); i++ {
		if c := s[i] | 0x20; !isDigit(s[i]) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isBech32 reports whether s is a Bitcoin SegWit address of any network.
func isBech32(s string) bool {
	prefix, _, err := bech32.DecodeNoLimit(s)
	return err == nil && chaincfg.IsBech32SegwitPrefix(prefix+"1")
}

func isLetter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// CheckBitcoinAddress reports what is wrong with address, to which money will be
// sent: its form, its checksum, or that it is of none of networks.
func CheckBitcoinAddress(address string, networks ...*chaincfg.Params) error {
	wanted := make([]string, len(networks))
	for i, network := range networks {
		wanted[i] = network.Name
		if decoded, err := btcaddress.DecodeAddress(address, network); err == nil && decoded.IsForNet(network) {
			return nil
		}
	}
	return fmt.Errorf("must be a valid Bitcoin address (%s): check it for a missing or mistyped character", strings.Join(wanted, ", "))
}
