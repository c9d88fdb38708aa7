package actors

import (
	"strings"

	"github.com/aitbc/exchange/actors/account"
)

// AddAddress puts an address into the book of the session's user, under the user's own
// words, and returns it with the time from which it may be used. It may be sent again.
func (x *Exchange) AddAddress(s *Session, label, address string) (account.KnownAddress, error) {
	kind, canonical, refused := x.addressKind(address)
	if refused != nil {
		return account.KnownAddress{}, refused
	}
	receipt, err := x.do(s.user, &account.AddAddress{
		Guard: x.guardOf(s), Kind: kind, Label: label, Address: canonical, CoolingOff: x.cfg.Terms.AddressCoolingOff,
	}, nil)
	if err != nil {
		return account.KnownAddress{}, err
	}
	known, found := receipt.State.AddressBook.Find(canonical)
	if !found {
		return known, &account.Error{Code: account.CodeNotFound, Message: "the address was removed meanwhile"}
	}
	return known, nil
}

// RemoveAddress takes address n out of the book of the session's user.
func (x *Exchange) RemoveAddress(s *Session, n uint32) error {
	_, err := x.do(s.user, &account.RemoveAddress{Guard: x.guardOf(s), N: n}, nil)
	return err
}

// addressKind says what an address is of, as withdrawals and sales will take it, and
// how it is spelled. What looks like a Bitcoin address and is none is a mistake.
func (x *Exchange) addressKind(address string) (account.AddressKind, string, *account.Error) {
	canonical, err := CanonicalWallet(address)
	if err == nil {
		bitcoin := x.checkBitcoinAddress(address)
		if bitcoin == nil {
			return account.AddressBitcoin, canonical, nil
		}
		if !looksLikeBech32(canonical) {
			return account.AddressAITBC, canonical, nil
		}
		err = bitcoin
	}
	return 0, "", &account.Error{Code: CodeBadAddress, Field: "address", Message: err.Error()}
}

// looksLikeBech32 reports whether an address begins as the SegWit addresses of
// Bitcoin's networks do.
func looksLikeBech32(address string) bool {
	lower := strings.ToLower(address)
	for _, prefix := range [...]string{"bc1", "tb1", "bcrt1", "sb1"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return false
}

// safeguards are what value has to keep to that goes to address.
func (x *Exchange) safeguards(address string) account.Safeguards {
	t := &x.cfg.Terms
	if canonical, err := CanonicalWallet(address); err == nil {
		address = canonical
	}
	return account.Safeguards{Address: address, CoolingOff: t.AddressCoolingOff, DailyLimit: t.DailyLimit}
}

// ApproveWithdrawal is an operator's word for a pending withdrawal or sale, which
// another operator may then complete.
func (x *Exchange) ApproveWithdrawal(id account.TransactionID, by, reason string, idem *account.Idempotency) (Receipt, error) {
	return x.settle(id, &account.ApproveWithdrawal{N: id.N, By: by, Reason: reason}, idem)
}
