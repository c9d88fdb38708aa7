package httpapi

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

const maxLabel = 64 // characters of an address's label

// addresses answers with the user's address book, oldest first.
func (s *Server) addresses(r *request) error {
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "addresses"), '[')
	if book := r.session.State.AddressBook; book != nil {
		for i := range book.Addresses {
			b = appendKnownAddress(b, &book.Addresses[i])
		}
	}
	r.body = append(b, ']', '}')
	return r.json(fasthttp.StatusOK)
}

// appendKnownAddress writes an address as one object of a list or as a whole response.
func appendKnownAddress(b []byte, known *account.KnownAddress) []byte {
	if n := len(b); n > 0 && b[n-1] == '}' {
		b = append(b, ',')
	}
	b = append(b, '{')
	b = appendString(b, "id", itoa(int(known.N)))
	b = appendString(b, "label", known.Label)
	b = appendString(b, "address", known.Address)
	b = appendString(b, "kind", known.Kind.String())
	b = appendTime(b, "created_at", known.CreatedAt)
	b = appendTime(b, "usable_at", known.UsableAt)
	return append(b, '}')
}

// addAddress puts an address into the book. A retry gets what the first request got,
// key or not: an address is in the book once.
func (s *Server) addAddress(r *request) error {
	var label, address string
	if err := r.decode(text("label", &label, 1, maxLabel), text("address", &address, 1, actors.MaxWallet)); err != nil {
		return err
	}
	known, err := s.exchange.AddAddress(&r.session, label, address)
	if err != nil {
		return err
	}
	r.body = appendKnownAddress(r.body[:0], &known)
	return r.json(fasthttp.StatusCreated)
}

func (s *Server) removeAddress(r *request) error {
	n, err := strconv.ParseUint(string(r.captures.at(0)), 10, 32)
	if err != nil {
		return notFound("there is no such address in your address book")
	}
	if err := s.exchange.RemoveAddress(&r.session, uint32(n)); err != nil {
		return err
	}
	b := append(r.body[:0], '{')
	r.body = append(appendUint(b, "removed", 1), '}')
	return r.json(fasthttp.StatusOK)
}
