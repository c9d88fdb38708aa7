package account

import (
	"encoding/binary"
	"fmt"
)

// The binary form of each event: its fields in the order of the struct. A field
// is never taken out, moved or given another meaning; what must change becomes
// an event of a new kind.

func (e *Created) append(dst []byte) []byte {
	dst = appendString(dst, e.Wallet)
	dst = appendString(dst, e.Email)
	return appendString(dst, e.Username)
}

func (e *Created) read(r *reader) {
	e.Wallet, e.Email, e.Username = r.string(), r.string(), r.string()
}

func (e *LoggedIn) append(dst []byte) []byte {
	dst = append(dst, e.Session[:]...)
	return binary.AppendVarint(dst, int64(e.ExpiresAt))
}

func (e *LoggedIn) read(r *reader) {
	copy(e.Session[:], r.take(len(e.Session)))
	e.ExpiresAt = Time(r.varint())
}

func (e *LoggedOut) append(dst []byte) []byte { return append(dst, e.Session[:]...) }

func (e *LoggedOut) read(r *reader) { copy(e.Session[:], r.take(len(e.Session))) }

func (e *OtherSessionsEnded) append(dst []byte) []byte { return append(dst, e.Session[:]...) }

func (e *OtherSessionsEnded) read(r *reader) { copy(e.Session[:], r.take(len(e.Session))) }

func (e *SessionUsed) append(dst []byte) []byte { return append(dst, e.Session[:]...) }

func (e *SessionUsed) read(r *reader) { copy(e.Session[:], r.take(len(e.Session))) }

func (e *ProfileChanged) append(dst []byte) []byte {
	dst = appendString(dst, e.Email)
	return appendString(dst, e.Username)
}

func (e *ProfileChanged) read(r *reader) { e.Email, e.Username = r.string(), r.string() }

func (e *StatusChanged) append(dst []byte) []byte {
	if e.Status == 0 || e.Status >= numUserStatuses {
		panic(fmt.Sprintf("account: user status %d, %d is the last", e.Status, numUserStatuses-1))
	}
	dst = append(dst, byte(e.Status))
	dst = appendString(dst, e.By)
	return appendString(dst, e.Reason)
}

func (e *StatusChanged) read(r *reader) {
	e.Status = Status(r.byte())
	if e.Status == 0 || e.Status >= numUserStatuses {
		r.fail("unknown user status")
	}
	e.By, e.Reason = r.string(), r.string()
}

func (e *Deposited) append(dst []byte) []byte {
	dst = appendMoney(dst, e.Amount)
	return appendString(dst, e.By)
}

func (e *Deposited) read(r *reader) { e.Amount, e.By = r.money(), r.string() }

func (e *WithdrawalRequested) append(dst []byte) []byte {
	dst = appendMoney(dst, e.Amount)
	dst = appendMoney(dst, e.Fee)
	return appendString(dst, e.To)
}

func (e *WithdrawalRequested) read(r *reader) {
	e.Amount, e.Fee, e.To = r.money(), r.money(), r.string()
}

func (e *SaleRequested) append(dst []byte) []byte {
	dst = appendMoney(dst, e.Amount)
	dst = appendMoney(dst, e.BTC)
	dst = appendMoney(dst, e.BTCFee)
	return appendString(dst, e.Address)
}

func (e *SaleRequested) read(r *reader) {
	e.Amount, e.BTC, e.BTCFee, e.Address = r.money(), r.money(), r.money(), r.string()
}

func (e *PaymentCreated) append(dst []byte) []byte {
	dst = appendMoney(dst, e.Amount)
	dst = appendMoney(dst, e.BTC)
	dst = appendMoney(dst, e.BTCFee)
	dst = appendString(dst, e.Address)
	dst = binary.AppendVarint(dst, int64(e.ExpiresAt))
	return appendString(dst, e.Notes)
}

func (e *PaymentCreated) read(r *reader) {
	e.Amount, e.BTC, e.BTCFee, e.Address = r.money(), r.money(), r.money(), r.string()
	e.ExpiresAt, e.Notes = Time(r.varint()), r.string()
}

func (e *TxCompleted) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.N))
	dst = append(dst, byte(e.Type))
	dst = appendMoney(dst, e.Amount)
	dst = appendMoney(dst, e.Fee)
	dst = appendString(dst, e.TxHash)
	dst = binary.AppendUvarint(dst, uint64(e.Confirmations))
	dst = appendString(dst, e.By)
	return appendString(dst, e.Reason)
}

func (e *TxCompleted) read(r *reader) {
	e.N, e.Type, e.Amount, e.Fee = r.uint32(), Type(r.byte()), r.money(), r.money()
	e.TxHash, e.Confirmations, e.By, e.Reason = r.string(), r.uint32(), r.string(), r.string()
}

func (e *TxFailed) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.N))
	dst = appendBool(dst, e.Expired)
	dst = appendString(dst, e.By)
	return appendString(dst, e.Reason)
}

func (e *TxFailed) read(r *reader) {
	e.N, e.Expired, e.By, e.Reason = r.uint32(), r.bool(), r.string(), r.string()
}

func (e *Credited) append(dst []byte) []byte {
	dst = appendMoney(dst, e.Amount)
	dst = appendString(dst, e.By)
	return appendString(dst, e.Reason)
}

func (e *Credited) read(r *reader) { e.Amount, e.By, e.Reason = r.money(), r.string(), r.string() }

func (e *Debited) append(dst []byte) []byte {
	dst = appendMoney(dst, e.Amount)
	dst = appendString(dst, e.By)
	return appendString(dst, e.Reason)
}

func (e *Debited) read(r *reader) { e.Amount, e.By, e.Reason = r.money(), r.string(), r.string() }

func (e *KeyUsed) append(dst []byte) []byte {
	dst = append(dst, e.Key[:]...)
	dst = append(dst, e.Fingerprint[:]...)
	return binary.AppendUvarint(dst, uint64(e.N))
}

func (e *KeyUsed) read(r *reader) {
	copy(e.Key[:], r.take(len(e.Key)))
	copy(e.Fingerprint[:], r.take(len(e.Fingerprint)))
	e.N = r.uint32()
}
