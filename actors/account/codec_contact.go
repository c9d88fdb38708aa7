package account

import "encoding/binary"

func (e *EmailCodeSent) append(dst []byte) []byte {
	dst = append(appendString(dst, e.Email), e.Code[:]...)
	return binary.AppendVarint(dst, int64(e.ExpiresAt))
}

func (e *EmailCodeSent) read(r *reader) {
	e.Email = r.string()
	copy(e.Code[:], r.take(len(e.Code)))
	e.ExpiresAt = Time(r.varint())
}

func (*EmailCodeMissed) append(dst []byte) []byte { return dst }
func (*EmailCodeMissed) read(*reader)             {}

func (e *EmailVerified) append(dst []byte) []byte { return appendString(dst, e.Email) }
func (e *EmailVerified) read(r *reader)           { e.Email = r.string() }

// append writes the contact: verified address and its time (signed), address of the
// code, the code's hash, its end (signed) and wrong tries, and the times of codes
// (signed) after their count. A recovery that is under way follows: its times (signed)
// and its code.
func (c *Contact) append(dst []byte) []byte {
	dst = binary.AppendVarint(appendString(dst, c.Verified), int64(c.VerifiedAt))
	dst = append(appendString(dst, c.CodeFor), c.Code[:]...)
	dst = binary.AppendUvarint(binary.AppendVarint(dst, int64(c.CodeExpires)), uint64(c.WrongCodes))
	dst = binary.AppendUvarint(dst, uint64(len(c.Codes)))
	for _, t := range c.Codes {
		dst = binary.AppendVarint(dst, int64(t))
	}
	if r := c.Recovery; r != nil {
		for _, t := range [...]Time{r.RequestedAt, r.Until, r.RemindedAt} {
			dst = binary.AppendVarint(dst, int64(t))
		}
		dst = appendString(dst, r.Cancel)
	}
	return dst
}

func readContact(r *reader) *Contact {
	c := &Contact{Verified: r.string(), VerifiedAt: Time(r.varint()), CodeFor: r.string()}
	copy(c.Code[:], r.take(len(c.Code)))
	c.CodeExpires, c.WrongCodes = Time(r.varint()), r.uint32()
	n := r.uvarint()
	if n > MaxEmailCodes || c.WrongCodes > MaxWrongCodes {
		r.fail("codes over the limit")
	}
	for ; n > 0 && r.err == nil; n-- {
		c.Codes = append(c.Codes, Time(r.varint()))
	}
	if r.err == nil && len(r.b) > 0 { // a part ends where its bytes do
		c.Recovery = &Recovery{RequestedAt: Time(r.varint()), Until: Time(r.varint()), RemindedAt: Time(r.varint()), Cancel: r.string()}
	}
	if r.err != nil {
		return nil
	}
	return c
}

func (e *RecoveryRequested) append(dst []byte) []byte {
	return appendString(binary.AppendVarint(dst, int64(e.Until)), e.Cancel)
}

func (e *RecoveryRequested) read(r *reader) { e.Until, e.Cancel = Time(r.varint()), r.string() }

func (*RecoveryReminded) append(dst []byte) []byte { return dst }
func (*RecoveryReminded) read(*reader)             {}

func (e *RecoveryCancelled) append(dst []byte) []byte { return appendString(dst, e.By) }
func (e *RecoveryCancelled) read(r *reader)           { e.By = r.string() }
