package account

import (
	"crypto/sha256"
	"encoding/binary"
)

// AppendState writes everything there is to know of a, idempotency keys
// included, in one canonical binary form: two accounts with the same bytes
// behave alike for ever.
func (a *Account) AppendState(dst []byte) []byte {
	dst = append(dst, a.ID[:]...)
	dst = binary.AppendUvarint(dst, a.Seq)
	dst = appendString(dst, a.Wallet)
	dst = appendString(dst, a.Email)
	dst = appendString(dst, a.Username)
	dst = append(dst, byte(a.Status))
	for _, t := range [...]Time{a.CreatedAt, a.LastLogin, a.UpdatedAt, a.BalanceAt} {
		dst = binary.AppendVarint(dst, int64(t))
	}
	dst = appendMoney(dst, a.Balance)
	dst = appendMoney(dst, a.Held)
	dst = binary.AppendUvarint(dst, uint64(len(a.Sessions)))
	for _, s := range a.Sessions {
		dst = append(dst, s.Hash[:]...)
		dst = binary.AppendVarint(dst, int64(s.CreatedAt))
		dst = binary.AppendVarint(dst, int64(s.ExpiresAt))
	}
	dst = binary.AppendUvarint(dst, uint64(a.History.Len()))
	for n := uint32(1); n <= a.History.Len(); n++ {
		dst = a.History.at(n).appendState(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.keys.order)))
	for _, key := range a.keys.order {
		use := a.keys.uses[key]
		dst = append(dst, key[:]...)
		dst = append(dst, use.fingerprint[:]...)
		dst = binary.AppendVarint(dst, int64(use.at))
		dst = binary.AppendUvarint(dst, uint64(use.n))
	}
	return dst
}

func (t *Transaction) appendState(dst []byte) []byte {
	dst = append(dst, byte(t.Type), byte(t.Status))
	dst = binary.AppendVarint(dst, int64(t.CreatedAt))
	dst = binary.AppendVarint(dst, int64(t.ConfirmedAt))
	dst = appendMoney(dst, t.Amount)
	dst = appendMoney(dst, t.Fee)
	dst = appendBool(dst, t.Detail != nil)
	if t.Detail == nil {
		return dst
	}
	d := t.Detail
	dst = appendString(dst, d.To)
	dst = appendString(dst, d.Notes)
	dst = appendMoney(dst, d.BTC)
	dst = appendMoney(dst, d.BTCFee)
	dst = binary.AppendVarint(dst, int64(d.ExpiresAt))
	dst = appendString(dst, d.TxHash)
	dst = binary.AppendUvarint(dst, uint64(d.Confirmations))
	dst = appendBool(dst, d.Expired)
	dst = appendString(dst, d.By)
	return appendString(dst, d.Reason)
}

// StateHash is the SHA-256 of AppendState.
func (a *Account) StateHash() Hash { return sha256.Sum256(a.AppendState(nil)) }
