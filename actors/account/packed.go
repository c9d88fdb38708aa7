package account

import (
	"encoding/binary"
	"encoding/hex"
)

// A packed transaction, in a History and in a snapshot. After its length (integers
// are uvarints):
//
//	head        1 byte: type, status, and which of the rest there is
//	created     microseconds after the chunk's first transaction
//	amount      base units
//	fee         if headFee
//	confirmed   if headConfirmed: microseconds after created. Without, a completed
//	            transaction was confirmed when it was made, any other never
//	detail      if headDetail: which fields there are, and these in the bits' order
const (
	headType      = 5 // shift
	headStatus    = 3 // shift
	headFee       = 1 << 2
	headDetail    = 1 << 1
	headConfirmed = 1 << 0
)

// The bits of a detail. What most details have comes first and takes one byte.
const (
	detailTo = 1 << iota
	detailBTC
	detailExpiresAt // microseconds after created
	detailHash      // TxHash as 32 bytes: the form of a Bitcoin transaction's
	detailConfirmations
	detailBy
	detailReason
	detailNotes
	detailExpired
	detailHashText // TxHash in another form
	detailIndex    // Derived and Index
	detailReceived // Credited, Frozen and Outputs
	detailApproved // ApprovedBy and Approval
	detailTerms    // Terms
	detailAnswered // Answered, and of which outputs
	detailEnd
)

const (
	packedBuffer = 256 // room for all but long notes and reasons
	hashBytes    = 32
)

// openChunk returns the time that a chunk's transactions count from, and the first
// of them and what follows.
func openChunk(chunk []byte) (Time, []byte) {
	base, n := binary.Varint(chunk)
	return Time(base), chunk[n:]
}

// nextPacked returns the body of the transaction at the front of b, and what
// follows it.
func nextPacked(b []byte) (body, rest []byte) {
	if size := int(b[0]); size < 0x80 { // nearly always
		return b[1 : 1+size], b[1+size:]
	}
	size, n := binary.Uvarint(b)
	return b[n : n+int(size)], b[n+int(size):]
}

// selected reports whether a head is of a type and a status; zero is any.
func selected(head byte, t Type, s TransactionStatus) bool {
	return (t == 0 || Type(head>>headType) == t) && (s == 0 || TransactionStatus(head>>headStatus&3) == s)
}

// packedTime returns when the transaction was made.
func packedTime(body []byte, base Time) Time {
	created, _ := binary.Uvarint(body[1:])
	return base + Time(created)
}

// appendPacked writes t after its length.
func appendPacked(dst []byte, base Time, t *Transaction) []byte {
	start := len(dst)
	dst = append(dst, 0) // the length, if it fits in one byte
	dst = appendBody(dst, base, t)
	size := len(dst) - start - 1
	if size < 0x80 {
		dst[start] = byte(size)
		return dst
	}
	var prefix [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(prefix[:], uint64(size))
	dst = append(dst, prefix[:n-1]...) // for the room
	copy(dst[start+n:], dst[start+1:start+1+size])
	copy(dst[start:], prefix[:n])
	return dst
}

func appendBody(dst []byte, base Time, t *Transaction) []byte {
	head := byte(t.Type)<<headType | byte(t.Status)<<headStatus
	if t.Fee != 0 {
		head |= headFee
	}
	if t.Detail != nil {
		head |= headDetail
	}
	if t.ConfirmedAt != usualConfirmation(t.Status, t.CreatedAt) {
		head |= headConfirmed
	}
	dst = append(dst, head)
	dst = binary.AppendUvarint(dst, uint64(t.CreatedAt-base))
	dst = binary.AppendUvarint(dst, uint64(t.Amount))
	if head&headFee != 0 {
		dst = binary.AppendUvarint(dst, uint64(t.Fee))
	}
	if head&headConfirmed != 0 {
		dst = binary.AppendUvarint(dst, uint64(t.ConfirmedAt-t.CreatedAt))
	}
	if head&headDetail != 0 {
		dst = appendDetail(dst, t.CreatedAt, t.Detail)
	}
	return dst
}

// usualConfirmation is when a transaction was confirmed that says nothing of it.
func usualConfirmation(s TransactionStatus, created Time) Time {
	if s == Completed {
		return created
	}
	return 0
}

func appendDetail(dst []byte, created Time, d *Detail) []byte {
	var hash [hashBytes]byte
	bits := d.bits(&hash)
	dst = binary.AppendUvarint(dst, bits)
	if bits&detailTo != 0 {
		dst = appendString(dst, d.To)
	}
	if bits&detailBTC != 0 {
		dst = binary.AppendUvarint(dst, uint64(d.BTC))
		dst = binary.AppendUvarint(dst, uint64(d.BTCFee))
	}
	if bits&detailExpiresAt != 0 {
		dst = binary.AppendUvarint(dst, uint64(d.ExpiresAt-created))
	}
	if bits&detailHash != 0 {
		dst = append(dst, hash[:]...)
	}
	if bits&detailConfirmations != 0 {
		dst = binary.AppendUvarint(dst, uint64(d.Confirmations))
	}
	if bits&detailBy != 0 {
		dst = appendString(dst, d.By)
	}
	if bits&detailReason != 0 {
		dst = appendString(dst, d.Reason)
	}
	if bits&detailNotes != 0 {
		dst = appendString(dst, d.Notes)
	}
	if bits&detailHashText != 0 {
		dst = appendString(dst, d.TxHash)
	}
	if bits&detailIndex != 0 {
		dst = binary.AppendUvarint(dst, uint64(d.Index))
	}
	if bits&detailReceived != 0 {
		dst = appendReceived(dst, d)
	}
	if bits&detailApproved != 0 {
		dst = appendString(appendString(dst, d.ApprovedBy), d.Approval)
	}
	if bits&detailTerms != 0 {
		dst = d.Terms.append(dst)
	}
	if bits&detailAnswered != 0 {
		dst = appendAnswered(dst, d)
	}
	return dst
}

// bits says which fields d has, and puts a hash of the usual form into hash.
func (d *Detail) bits(hash *[hashBytes]byte) uint64 {
	var bits uint64
	for _, field := range [...]struct {
		there bool
		bit   uint64
	}{
		{d.To != "", detailTo}, {d.BTC != 0 || d.BTCFee != 0, detailBTC}, {d.ExpiresAt != 0, detailExpiresAt},
		{d.Confirmations != 0, detailConfirmations}, {d.By != "", detailBy}, {d.Reason != "", detailReason},
		{d.Notes != "", detailNotes}, {d.Expired, detailExpired}, {d.Derived, detailIndex},
		{d.Credited != 0 || d.Frozen != 0 || len(d.Outputs) > 0, detailReceived},
		{d.ApprovedBy != "" || d.Approval != "", detailApproved},
		{d.Terms.Kept(), detailTerms}, {d.Answered != 0 || answeredBits(d) != 0, detailAnswered},
	} {
		if field.there {
			bits |= field.bit
		}
	}
	switch {
	case lowerHex(d.TxHash, hash):
		bits |= detailHash
	case d.TxHash != "":
		bits |= detailHashText
	}
	return bits
}

// lowerHex reports whether s is the one spelling of 32 bytes in hexadecimal.
func lowerHex(s string, hash *[hashBytes]byte) bool {
	if len(s) != 2*hashBytes {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := hex.Decode(hash[:], []byte(s))
	return err == nil
}

// packedView is a packed transaction taken apart, its texts still in the chunk:
// checking one allocates nothing.
type packedView struct {
	Transaction                        // without Detail
	detail                      Detail // without its texts
	bits                        uint64
	hasDetail                   bool
	to, by, reason, notes, hash []byte
	outputs                     []byte // packed
	answered                    uint64 // which of them an operator answers for
	approvedBy, approval        []byte
}

// view takes a body apart. An error is left in r.
func (v *packedView) view(r *reader, base Time) {
	head := r.byte()
	v.Type, v.Status = Type(head>>headType), TransactionStatus(head>>headStatus&3)
	v.CreatedAt = base + Time(r.uvarint())
	v.Amount = Money(r.uvarint())
	v.Fee, v.ConfirmedAt = 0, usualConfirmation(v.Status, v.CreatedAt)
	if head&headFee != 0 {
		v.Fee = Money(r.uvarint())
	}
	if head&headConfirmed != 0 {
		v.ConfirmedAt = v.CreatedAt + Time(r.uvarint())
	}
	if v.hasDetail = head&headDetail != 0; v.hasDetail {
		v.viewDetail(r)
	}
}

func (v *packedView) viewDetail(r *reader) {
	v.detail = Detail{}
	v.to, v.by, v.reason, v.notes, v.hash, v.outputs = nil, nil, nil, nil, nil, nil
	v.approvedBy, v.approval, v.answered = nil, nil, 0
	v.bits = r.uvarint()
	if v.bits >= detailEnd || v.bits&(detailHash|detailHashText) == detailHash|detailHashText {
		r.fail("unknown detail of a transaction")
		return
	}
	if v.bits&detailTo != 0 {
		v.to = r.text()
	}
	if v.bits&detailBTC != 0 {
		v.detail.BTC, v.detail.BTCFee = Money(r.uvarint()), Money(r.uvarint())
	}
	if v.bits&detailExpiresAt != 0 {
		v.detail.ExpiresAt = v.CreatedAt + Time(r.uvarint())
	}
	if v.bits&detailHash != 0 {
		v.hash = r.take(hashBytes)
	}
	if v.bits&detailConfirmations != 0 {
		v.detail.Confirmations = r.uint32()
	}
	if v.bits&detailBy != 0 {
		v.by = r.text()
	}
	if v.bits&detailReason != 0 {
		v.reason = r.text()
	}
	if v.bits&detailNotes != 0 {
		v.notes = r.text()
	}
	v.detail.Expired = v.bits&detailExpired != 0
	if v.bits&detailHashText != 0 {
		v.hash = r.text()
	}
	if v.bits&detailIndex != 0 {
		v.detail.Derived, v.detail.Index = true, r.uint32()
	}
	if v.bits&detailReceived != 0 {
		v.viewReceived(r)
	}
	if v.bits&detailApproved != 0 {
		v.approvedBy, v.approval = r.text(), r.text()
	}
	if v.bits&detailTerms != 0 {
		v.detail.Terms = r.terms()
	}
	if v.bits&detailAnswered != 0 {
		v.viewAnswered(r)
	}
}

// unpack returns the transaction of a body that appendPacked wrote or that was
// checked when it was read.
func unpack(body []byte, base Time) Transaction {
	var v packedView
	v.view(&reader{b: body}, base)
	if !v.hasDetail {
		return v.Transaction
	}
	d := v.detail
	d.To, d.By, d.Reason, d.Notes, d.TxHash = string(v.to), nameOf(v.by), string(v.reason), string(v.notes), string(v.hash)
	d.Outputs = unpackOutputs(v.outputs)
	for i := range d.Outputs {
		d.Outputs[i].Answered = v.answered>>i&1 != 0
	}
	d.ApprovedBy, d.Approval = string(v.approvedBy), string(v.approval)
	if v.bits&detailHash != 0 {
		d.TxHash = hex.EncodeToString(v.hash)
	}
	v.Detail = &d
	return v.Transaction
}

// nameOf saves the allocation of the two most frequent names.
func nameOf(by []byte) string {
	switch string(by) {
	case "chain":
		return "chain"
	case "clock":
		return "clock"
	}
	return string(by)
}
