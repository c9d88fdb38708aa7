package throttle

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// Field is the header field in which a proxy says whom it forwards for. It is one of
// two and not both: a proxy that sets one of them passes on the other as the client
// wrote it.
type Field string

// The fields.
const (
	XForwardedFor Field = "X-Forwarded-For"
	Forwarded     Field = "Forwarded" // RFC 7239
)

// maxHops bounds how far back a field is read.
const maxHops = 32

// Proxies are those whose word for a client's address is taken. The zero value
// trusts nobody. It is not changed once made.
type Proxies struct {
	Field    Field
	networks []netip.Prefix
}

// ParseProxies reads a list of networks and addresses, separated by commas, such as
// "10.0.0.0/8, ::1".
func ParseProxies(field Field, list string) (Proxies, error) {
	p := Proxies{Field: field}
	if field != XForwardedFor && field != Forwarded {
		return p, fmt.Errorf("header field %q: want %s or %s", field, XForwardedFor, Forwarded)
	}
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		network, err := netip.ParsePrefix(item)
		if err != nil {
			address, err := netip.ParseAddr(item)
			if err != nil || address.Zone() != "" {
				return p, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", item)
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		if network.Addr().Is4In6() {
			return p, fmt.Errorf("%q: write an IPv4 network as such", item)
		}
		p.networks = append(p.networks, network.Masked())
	}
	return p, nil
}

func (p Proxies) trusts(address netip.Addr) bool {
	for _, network := range p.networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// Client returns the address that a request came from. remote is the connection's
// other end, and lines are the values of p.Field in the order they came.
//
// Each proxy appends whom it got the request from, so the field is read from its end,
// for as long as the one who wrote is trusted; the first who is not is the client.
// What stands before that is the client's own invention.
func (p Proxies) Client(remote netip.Addr, lines ...[]byte) netip.Addr {
	client := plain(remote)
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		rest, more := lines[i], true
		for more {
			if hops++; !p.trusts(client) || hops > maxHops {
				return client
			}
			var hop []byte
			hop, rest, more = p.last(rest)
			address, ok := p.address(hop)
			if !ok {
				return client // the last who is known
			}
			client = address
		}
	}
	return client
}

// last splits off a list's last element. Quotes are counted from the end, where a
// proxy wrote, so that a client's open quote can't swallow what the proxy says.
func (p Proxies) last(list []byte) (hop, rest []byte, more bool) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"' && p.Field == Forwarded:
			quoted = !quoted
		case list[i] == ',' && !quoted:
			return list[i+1:], list[:i], true
		}
	}
	return list, nil, false
}

// address reads one element: an address with or without a port or, of Forwarded, the
// parameters among which one names it.
func (p Proxies) address(hop []byte) (netip.Addr, bool) {
	hop = bytes.Trim(hop, " \t")
	if p.Field == Forwarded {
		var found bool
		if hop, found = forParameter(hop); !found {
			return netip.Addr{}, false
		}
	}
	if len(hop) > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535") {
		return netip.Addr{}, false
	}
	s := string(hop)
	address, err := netip.ParseAddr(s)
	if err != nil {
		if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
			address, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		} else {
			var withPort netip.AddrPort
			withPort, err = netip.ParseAddrPort(s)
			address = withPort.Addr()
		}
	}
	return plain(address), err == nil && address.Zone() == ""
}

// forParameter returns the value of a Forwarded element's parameter "for", if it is
// there once.
func forParameter(element []byte) (value []byte, found bool) {
	for pair := range bytes.SplitSeq(element, []byte(";")) {
		name, v, ok := bytes.Cut(bytes.Trim(pair, " \t"), []byte("="))
		if !ok || !bytes.EqualFold(name, []byte("for")) {
			continue
		}
		if found {
			return nil, false
		}
		if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
			v = v[1 : len(v)-1]
		}
		value, found = v, true
	}
	return value, found
}

// plain is the address without a zone, and as IPv4 where it is that.
func plain(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

// AddressKey is the key of a client's address. One of IPv6 counts by its /64, which
// is the least that a customer gets and has 2^64 addresses.
func AddressKey(address netip.Addr) Key {
	address = plain(address)
	if address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			address = network.Addr()
		}
	}
	return Key(address.As16())
}
