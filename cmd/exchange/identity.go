package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// identity is what the options ask the data directory to be.
func (s *settings) identity(demo bool) *actors.IdentityConfig {
	network, err := bitcoin.ParseNetwork(s.access.bitcoinNetwork)
	if err != nil {
		panic(err) // --bitcoin-network allows only names of networks
	}
	asked := &actors.IdentityConfig{
		Mode: account.RealMode, ModeSaid: s.demo != "auto" || s.bitcoin.rpc != "", Network: network, Keys: s.bitcoin.keys, Unconfirmed: !s.bitcoin.confirmed,
	}
	if demo {
		asked.Mode = account.DemoMode
	}
	return asked
}

// whyMode says which option asks for the mode.
func (s *settings) whyMode(demo bool) string {
	switch {
	case s.bitcoin.rpc != "":
		return "by -bitcoin-rpc"
	case s.demo != "auto":
		return "by -demo=" + s.demo
	case demo:
		return "-demo is auto, and -listen " + s.listen + " a loopback address"
	}
	return "-demo is auto, and -listen " + s.listen + " no loopback address"
}

// refusal says of data that is something else than the options ask for what to do
// about it. Other errors stay as they are.
func (s *settings) refusal(err error, demo bool) error {
	var other *actors.OtherIdentity
	if !errors.As(err, &other) {
		return err
	}
	is := fmt.Sprintf("-data %s is of %s", s.data, other.Directory)
	asked, remedy := "", ""
	switch other.Part {
	case actors.IdentityMode:
		if demo {
			asked = fmt.Sprintf("demo mode was asked for (%s)", s.whyMode(demo))
			remedy = "give -demo=false for the real exchange, or another -data for a demo"
		} else {
			asked = fmt.Sprintf("a real exchange was asked for (%s)", s.whyMode(demo))
			remedy = "its balances were never paid for, so give another -data for the real exchange, or -demo without -bitcoin-rpc for the demo"
		}
	case actors.IdentityNetwork:
		asked = "-bitcoin-network is " + other.Asked
		remedy = fmt.Sprintf("give -bitcoin-network %s, or another -data", other.Is)
	case actors.IdentityKey:
		asked = "-bitcoin-xpub has account key " + other.Asked
		remedy = fmt.Sprintf("give -bitcoin-xpub with account key %s, another -data, or move this one to the other key with exchange key move", other.Is)
	case actors.IdentityOldKey:
		asked = fmt.Sprintf("-bitcoin-xpub has account key %s, which it was moved on from", other.Asked)
		remedy = "give -bitcoin-xpub with account key " + other.Is
	case actors.IdentityAddress:
		asked = "-bitcoin-xpub and -bitcoin-network make that " + other.Asked
		remedy = "give the key and the network that it was begun with"
	default:
		return &usageError{fmt.Sprintf("-data %s has accounts, which an earlier version wrote, and nothing says whether they are of a demo or of a real exchange: say -demo or -demo=false once; it is kept from then on", s.data)}
	}
	return &usageError{fmt.Sprintf("%s, and %s: %s", is, asked, remedy)}
}

// identityLines describes what a data directory is tied to, a line for each part.
func identityLines(i *account.Identity) []string {
	lines := []string{actors.DescribeIdentity(i)}
	if i == nil {
		return lines
	}
	for n := range i.Keys {
		key, external, change := &i.Keys[n], "on", "on"
		if n+1 < len(i.Keys) {
			external, change = before(key.External, i.Keys[n+1].External), before(key.Change, i.Keys[n+1].Change)
		}
		line := fmt.Sprintf("account key %s for addresses from %d %s and change from %d %s, since %s", key.Fingerprint, key.External, external, key.Change, change, key.Since)
		if key.By != "" {
			line += ", by " + key.By
		}
		lines = append(lines, line+": "+key.Text)
	}
	return lines
}

// before ends a range of indexes that began with first.
func before(first, next uint32) string {
	if first >= next {
		return "on (none)"
	}
	return fmt.Sprintf("to %d", next-1)
}

// identityObject is an identity for dump.
func identityObject(i *account.Identity) object {
	keys := make([]object, len(i.Keys))
	for n := range i.Keys {
		keys[n] = fields(&i.Keys[n])
	}
	return object{{"mode", i.Mode}, {"network", i.Network}, {"genesis", i.Genesis}, {"keys", keys}}
}

// identityEvents says what records that are lost tie the directory to; "" for others.
func identityEvents(events []account.Event) string {
	var parts []string
	for _, event := range events {
		switch e := event.(type) {
		case *account.ModeSet:
			parts = append(parts, e.Mode.String()+" mode")
		case *account.NetworkSet:
			parts = append(parts, "network "+e.Network)
		case *account.ExtendedKeyAdded:
			parts = append(parts, fmt.Sprintf("account key %s from address %d on", e.Fingerprint, e.External))
		}
	}
	return strings.Join(parts, ", ")
}
