package account

import (
	"encoding/binary"
	"fmt"
)

func (*AddressAdded) kind() kind       { return kindAddressAdded }
func (*AddressRemoved) kind() kind     { return kindAddressRemoved }
func (*WithdrawalApproved) kind() kind { return kindWithdrawalApproved }

func (e *AddressAdded) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.N))
	dst = append(dst, checkedKind(e.Kind))
	dst = appendString(appendString(dst, e.Label), e.Address)
	return binary.AppendVarint(dst, int64(e.UsableAt))
}

func (e *AddressAdded) read(r *reader) {
	e.N, e.Kind, e.Label, e.Address, e.UsableAt = r.uint32(), r.addressKind(), r.string(), r.string(), Time(r.varint())
}

func (e *AddressRemoved) append(dst []byte) []byte { return binary.AppendUvarint(dst, uint64(e.N)) }

func (e *AddressRemoved) read(r *reader) { e.N = r.uint32() }

func (e *WithdrawalApproved) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.N))
	return appendString(appendString(dst, e.By), e.Reason)
}

func (e *WithdrawalApproved) read(r *reader) {
	e.N, e.By, e.Reason = r.uint32(), r.string(), r.string()
}

func checkedKind(k AddressKind) byte {
	if k == 0 || k >= numAddressKinds {
		panic(fmt.Sprintf("account: address kind %d, %d is the last", k, numAddressKinds-1))
	}
	return byte(k)
}

func (r *reader) addressKind() AddressKind {
	k := AddressKind(r.byte())
	if k == 0 || k >= numAddressKinds {
		r.fail("unknown kind of address")
	}
	return k
}

// append writes the book: the number of the address added last, the count of them,
// and each as number, kind (1 byte), label, address, created and usable (signed).
func (b *AddressBook) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.Last))
	dst = binary.AppendUvarint(dst, uint64(len(b.Addresses)))
	for i := range b.Addresses {
		known := &b.Addresses[i]
		dst = binary.AppendUvarint(dst, uint64(known.N))
		dst = append(dst, checkedKind(known.Kind))
		dst = appendString(appendString(dst, known.Label), known.Address)
		dst = binary.AppendVarint(dst, int64(known.CreatedAt))
		dst = binary.AppendVarint(dst, int64(known.UsableAt))
	}
	return dst
}

func readAddressBook(r *reader) *AddressBook {
	b := &AddressBook{Last: r.uint32()}
	n := r.uvarint()
	if n > MaxAddresses || b.Last == 0 {
		r.fail("address count out of range")
	}
	if r.err != nil {
		return nil
	}
	b.Addresses = make([]KnownAddress, n)
	before := uint32(0)
	for i := range b.Addresses {
		known := &b.Addresses[i]
		known.N, known.Kind, known.Label, known.Address = r.uint32(), r.addressKind(), r.string(), r.string()
		known.CreatedAt, known.UsableAt = Time(r.varint()), Time(r.varint())
		if known.N <= before || known.N > b.Last {
			r.fail("an address's number is not in order")
		}
		before = known.N
	}
	if r.err != nil {
		return nil
	}
	return b
}
