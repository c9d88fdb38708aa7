package account

import (
	"fmt"
	"slices"
	"time"
)

// MaxAddresses is how many addresses a user's book holds.
const MaxAddresses = 100

// CodeAddressBookFull: the book holds MaxAddresses already.
const CodeAddressBookFull Code = "address_book_full"

// AddressKind says what an address of a book is of. The numbers are in the log.
type AddressKind uint8

// The kinds of address.
const (
	AddressAITBC   AddressKind = 1 // to withdraw to
	AddressBitcoin AddressKind = 2 // to be paid at for what is sold

	numAddressKinds = 3
)

var addressKindNames = [numAddressKinds]string{"", "aitbc", "bitcoin"}

func (k AddressKind) String() string {
	if k == 0 || k >= numAddressKinds {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return addressKindNames[k]
}

// KnownAddress is an address of a user's book.
type KnownAddress struct {
	N         uint32 // counts a book's from 1, and is never used again
	Kind      AddressKind
	Label     string // the user's own words
	Address   string // in its canonical form
	CreatedAt Time
	UsableAt  Time // from then on value may go there: what was said when it was added
}

// AddressBook is where a user's value may go. It is replaced, never written.
type AddressBook struct {
	Last      uint32         // number of the address added last
	Addresses []KnownAddress // oldest first
}

// Find returns the entry of an address in its canonical form. A nil book is empty.
func (b *AddressBook) Find(address string) (KnownAddress, bool) {
	if b != nil {
		for _, known := range b.Addresses {
			if known.Address == address {
				return known, true
			}
		}
	}
	return KnownAddress{}, false
}

// AddAddress puts an address into the book. What is in it under the same label stays
// as it is, so that the command may be sent again.
type AddAddress struct {
	Guard      Guard
	Kind       AddressKind
	Label      string
	Address    string        // in its canonical form
	CoolingOff time.Duration // until it may be used
}

// RemoveAddress takes an address out of the book.
type RemoveAddress struct {
	Guard Guard
	N     uint32
}

// AddressAdded puts an address into the book, which may be used from UsableAt on.
type AddressAdded struct {
	N        uint32      `json:"n"`
	Kind     AddressKind `json:"kind"`
	Label    string      `json:"label"`
	Address  string      `json:"address"`
	UsableAt Time        `json:"usable_at"`
}

// AddressRemoved takes address N out of the book.
type AddressRemoved struct {
	N uint32 `json:"n"`
}

func (c *AddAddress) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.mayChangeBook(c.Guard, at); err != nil {
		return nil, 0, err
	}
	n := uint32(1)
	if book := a.AddressBook; book != nil {
		known, found := book.Find(c.Address)
		switch {
		case found && known.Label == c.Label:
			return nil, 0, nil
		case found:
			return nil, 0, refuse(CodeNoChange, "this address is already in your address book, as %q; remove it first to add it under another label", known.Label)
		case len(book.Addresses) >= MaxAddresses:
			return nil, 0, refuse(CodeAddressBookFull, "your address book is full: it has %d addresses; remove one first", len(book.Addresses))
		}
		n = book.Last + 1
	}
	return []Event{&AddressAdded{N: n, Kind: c.Kind, Label: c.Label, Address: c.Address, UsableAt: at.Add(c.CoolingOff)}}, 0, nil
}

func (c *RemoveAddress) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.mayChangeBook(c.Guard, at); err != nil {
		return nil, 0, err
	}
	if a.AddressBook.place(c.N) < 0 {
		return nil, 0, refuse(CodeNotFound, "there is no such address in your address book")
	}
	return []Event{&AddressRemoved{N: c.N}}, 0, nil
}

func (a *Account) mayChangeBook(guard Guard, at Time) *Error {
	if err := a.MayChange(); err != nil {
		return err
	}
	return a.Admits(guard, at)
}

// place returns where address n is, -1 if there is none.
func (b *AddressBook) place(n uint32) int {
	if b == nil {
		return -1
	}
	return slices.IndexFunc(b.Addresses, func(known KnownAddress) bool { return known.N == n })
}

func (e *AddressAdded) apply(a *Account, at Time) error {
	book := AddressBook{}
	if a.AddressBook != nil {
		book = *a.AddressBook
	}
	_, known := book.Find(e.Address)
	if e.N != book.Last+1 || e.N == 0 || known || len(book.Addresses) >= MaxAddresses || e.UsableAt < at {
		return fmt.Errorf("address %d, usable at %s, after address %d in a book of %d; known: %t", e.N, e.UsableAt, book.Last, len(book.Addresses), known)
	}
	added := KnownAddress{N: e.N, Kind: e.Kind, Label: e.Label, Address: e.Address, CreatedAt: at, UsableAt: e.UsableAt}
	a.AddressBook = &AddressBook{Last: e.N, Addresses: append(slices.Clip(book.Addresses), added)}
	return nil
}

func (e *AddressRemoved) apply(a *Account, _ Time) error {
	i := a.AddressBook.place(e.N)
	if i < 0 {
		return fmt.Errorf("there is no address %d", e.N)
	}
	a.AddressBook = &AddressBook{Last: a.AddressBook.Last, Addresses: slices.Delete(slices.Clone(a.AddressBook.Addresses), i, i+1)}
	return nil
}
