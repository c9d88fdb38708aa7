package account

import (
	"encoding/binary"
	"fmt"
)

// TOTPEnrolled sets the authenticator app. Secret is sealed.
type TOTPEnrolled struct {
	Secret []byte `json:"secret"`
	Step   uint64 `json:"step"`
}

// TOTPUsed says that the code of Step was good, and is not again.
type TOTPUsed struct {
	Step uint64 `json:"step"`
}

// TOTPRemoved takes the authenticator app away.
type TOTPRemoved struct{}

// PasskeyAdded adds a passkey.
type PasskeyAdded struct {
	ID     []byte `json:"id"`
	Name   string `json:"name"`
	Record []byte `json:"record"`
	Count  uint32 `json:"count"`
}

// PasskeyUsed says that a passkey signed, and how it is kept from now on.
type PasskeyUsed struct {
	ID     []byte `json:"id"`
	Record []byte `json:"record"`
	Count  uint32 `json:"count"`
}

// PasskeyRemoved takes a passkey away.
type PasskeyRemoved struct {
	ID []byte `json:"id"`
}

// RecoveryCodesSet replaces the recovery codes.
type RecoveryCodesSet struct {
	Codes []RecoveryCode `json:"codes"`
}

// RecoveryCodeUsed takes a recovery code away: it was shown.
type RecoveryCodeUsed struct {
	Code Hash `json:"code"`
}

// SessionRotated gives session From the token of To, elevated until Until, or not if
// that is zero.
type SessionRotated struct {
	From  Hash `json:"from"`
	To    Hash `json:"to"`
	Until Time `json:"until"`
}

// FactorsReset takes every factor away and ends every session. It is the operator's
// doing.
type FactorsReset struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
}

func (*TOTPEnrolled) kind() kind     { return kindTOTPEnrolled }
func (*TOTPUsed) kind() kind         { return kindTOTPUsed }
func (*TOTPRemoved) kind() kind      { return kindTOTPRemoved }
func (*PasskeyAdded) kind() kind     { return kindPasskeyAdded }
func (*PasskeyUsed) kind() kind      { return kindPasskeyUsed }
func (*PasskeyRemoved) kind() kind   { return kindPasskeyRemoved }
func (*RecoveryCodesSet) kind() kind { return kindRecoveryCodesSet }
func (*RecoveryCodeUsed) kind() kind { return kindRecoveryCodeUsed }
func (*SessionRotated) kind() kind   { return kindSessionRotated }
func (*FactorsReset) kind() kind     { return kindFactorsReset }

// blob reads 1 to limit bytes, and keeps a copy: an event's reader may be used again.
func (r *reader) blob(limit int) []byte {
	n := r.uvarint()
	if n == 0 || n > uint64(limit) {
		r.fail("bytes out of range")
		return nil
	}
	return append([]byte(nil), r.take(int(n))...)
}

func appendBlob(dst, b []byte, limit int) []byte {
	if len(b) == 0 || len(b) > limit {
		panic(fmt.Sprintf("account: %d bytes, 1 to %d are what there may be", len(b), limit))
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func (r *reader) hash() (h Hash) {
	copy(h[:], r.take(len(h)))
	return h
}

func appendRecoveryCodes(dst []byte, codes []RecoveryCode) []byte {
	if len(codes) > MaxRecoveryCodes {
		panic(fmt.Sprintf("account: %d recovery codes, %d are the limit", len(codes), MaxRecoveryCodes))
	}
	dst = binary.AppendUvarint(dst, uint64(len(codes)))
	for i := range codes {
		dst = append(append(dst, codes[i].Salt[:]...), codes[i].Hash[:]...)
	}
	return dst
}

func (r *reader) recoveryCodes() []RecoveryCode {
	n := r.uvarint()
	if n > MaxRecoveryCodes {
		r.fail("recovery code count over the limit")
	}
	if r.err != nil || n == 0 {
		return nil
	}
	codes := make([]RecoveryCode, n)
	for i := range codes {
		copy(codes[i].Salt[:], r.take(len(codes[i].Salt)))
		codes[i].Hash = r.hash()
	}
	return codes
}

func (e *TOTPEnrolled) append(dst []byte) []byte {
	return binary.AppendUvarint(appendBlob(dst, e.Secret, maxSealed), e.Step)
}

func (e *TOTPEnrolled) read(r *reader) { e.Secret, e.Step = r.blob(maxSealed), r.uvarint() }

func (e *TOTPUsed) append(dst []byte) []byte { return binary.AppendUvarint(dst, e.Step) }

func (e *TOTPUsed) read(r *reader) { e.Step = r.uvarint() }

func (e *TOTPRemoved) append(dst []byte) []byte { return dst }

func (e *TOTPRemoved) read(*reader) {}

func (e *PasskeyAdded) append(dst []byte) []byte {
	dst = appendString(appendBlob(dst, e.ID, maxCredentialID), e.Name)
	return binary.AppendUvarint(appendBlob(dst, e.Record, maxCredential), uint64(e.Count))
}

func (e *PasskeyAdded) read(r *reader) {
	e.ID, e.Name, e.Record, e.Count = r.blob(maxCredentialID), r.string(), r.blob(maxCredential), r.uint32()
}

func (e *PasskeyUsed) append(dst []byte) []byte {
	dst = appendBlob(appendBlob(dst, e.ID, maxCredentialID), e.Record, maxCredential)
	return binary.AppendUvarint(dst, uint64(e.Count))
}

func (e *PasskeyUsed) read(r *reader) {
	e.ID, e.Record, e.Count = r.blob(maxCredentialID), r.blob(maxCredential), r.uint32()
}

func (e *PasskeyRemoved) append(dst []byte) []byte { return appendBlob(dst, e.ID, maxCredentialID) }

func (e *PasskeyRemoved) read(r *reader) { e.ID = r.blob(maxCredentialID) }

func (e *RecoveryCodesSet) append(dst []byte) []byte { return appendRecoveryCodes(dst, e.Codes) }

func (e *RecoveryCodesSet) read(r *reader) { e.Codes = r.recoveryCodes() }

func (e *RecoveryCodeUsed) append(dst []byte) []byte { return append(dst, e.Code[:]...) }

func (e *RecoveryCodeUsed) read(r *reader) { e.Code = r.hash() }

func (e *SessionRotated) append(dst []byte) []byte {
	return binary.AppendVarint(append(append(dst, e.From[:]...), e.To[:]...), int64(e.Until))
}

func (e *SessionRotated) read(r *reader) {
	e.From, e.To, e.Until = r.hash(), r.hash(), Time(r.varint())
}

func (e *FactorsReset) append(dst []byte) []byte {
	return appendString(appendString(dst, e.By), e.Reason)
}

func (e *FactorsReset) read(r *reader) { e.By, e.Reason = r.string(), r.string() }

// append writes the factors as a part of a state: whether there is an authenticator app
// (1 byte) and its secret, step and time; the passkeys after their count, each as id,
// name, record, sign count, and times of creation and use; the recovery codes; and the
// elevations after their count, each as session and end. Times are signed.
func (f *Factors) append(dst []byte) []byte {
	dst = appendBool(dst, f.TOTP != nil)
	if t := f.TOTP; t != nil {
		dst = binary.AppendUvarint(appendBlob(dst, t.Secret, maxSealed), t.Step)
		dst = binary.AppendVarint(dst, int64(t.EnrolledAt))
	}
	dst = binary.AppendUvarint(dst, uint64(len(f.Passkeys)))
	for i := range f.Passkeys {
		p := &f.Passkeys[i]
		dst = appendString(appendBlob(dst, p.ID, maxCredentialID), p.Name)
		dst = binary.AppendUvarint(appendBlob(dst, p.Record, maxCredential), uint64(p.Count))
		dst = binary.AppendVarint(binary.AppendVarint(dst, int64(p.CreatedAt)), int64(p.UsedAt))
	}
	dst = appendRecoveryCodes(dst, f.Recovery)
	dst = binary.AppendUvarint(dst, uint64(len(f.Elevated)))
	for i := range f.Elevated {
		dst = binary.AppendVarint(append(dst, f.Elevated[i].Session[:]...), int64(f.Elevated[i].Until))
	}
	return dst
}

// readFactors reads what append wrote. It returns nil for factors that are none.
func readFactors(r *reader) *Factors {
	f := &Factors{}
	if r.bool() {
		f.TOTP = &TOTP{Secret: r.blob(maxSealed), Step: r.uvarint(), EnrolledAt: Time(r.varint())}
	}
	n := r.uvarint()
	if n > MaxPasskeys {
		r.fail("passkey count over the limit")
	}
	for ; n > 0 && r.err == nil; n-- {
		p := Passkey{ID: r.blob(maxCredentialID), Name: r.string(), Record: r.blob(maxCredential), Count: r.uint32(), CreatedAt: Time(r.varint()), UsedAt: Time(r.varint())}
		if f.passkey(p.ID) >= 0 {
			r.fail("a passkey is there twice")
		}
		f.Passkeys = append(f.Passkeys, p)
	}
	f.Recovery = r.recoveryCodes()
	if n = r.uvarint(); n > MaxSessions {
		r.fail("elevation count over the limit")
	}
	for ; n > 0 && r.err == nil; n-- {
		f.Elevated = append(f.Elevated, Elevation{Session: r.hash(), Until: Time(r.varint())})
	}
	if f.TOTP == nil && len(f.Passkeys) == 0 {
		return nil
	}
	return f
}
