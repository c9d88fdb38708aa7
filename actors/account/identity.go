package account

import (
	"encoding/hex"
	"fmt"
	"slices"
)

// What a data directory is tied to. The system account keeps it from the first start
// on, so that no later one takes play money for real, looks for payments on another
// chain, or derives addresses from another key.

// Mode says whether value is real. The numbers are in the log.
type Mode uint8

// The modes. The zero value is none.
const (
	DemoMode Mode = 1 // Bitcoin is simulated, and users deposit to themselves
	RealMode Mode = 2

	numModes = 3
)

var modeNames = [numModes]string{"none", "demo", "real"}

func (m Mode) String() string {
	if m >= numModes {
		return "unknown"
	}
	return modeNames[m]
}

// KeyFingerprint is the first 4 bytes of the HASH160 of an extended key's public key
// (BIP-32).
type KeyFingerprint [4]byte

// String returns 8 hexadecimal digits.
func (f KeyFingerprint) String() string { return hex.EncodeToString(f[:]) }

// maxExtendedKey bounds the text of an extended key with its origin, in bytes.
const maxExtendedKey = 256

// MaxExtendedKeys is how many keys there may have been.
const MaxExtendedKeys = 1000

// CodeOtherIdentity: the directory is tied to something else.
const CodeOtherIdentity Code = "other_identity"

// ExtendedKey is an account's extended public key (BIP-32, BIP-84), and which
// addresses are derived from it: those of its indexes up to those of the next key.
type ExtendedKey struct {
	Fingerprint KeyFingerprint // of the account's key
	Text        string         // with its origin, if it was given with one
	External    uint32         // first index on the external chain
	Change      uint32         // first index on the change chain
	Since       Time
	By          string // who moved to it; "" for the first
}

// Identity is what a data directory is tied to. It is immutable once it is shared.
type Identity struct {
	Mode    Mode
	Network string        // Bitcoin's, by name; "" until a node was configured
	Genesis ChainHash     // of Network
	Keys    []ExtendedKey // of Network, oldest first, with ascending indexes; none without Network
}

// Key returns the key that addresses are given out from, nil if there is none.
func (i *Identity) Key() *ExtendedKey {
	if i == nil || len(i.Keys) == 0 {
		return nil
	}
	return &i.Keys[len(i.Keys)-1]
}

// SetIdentity ties the directory to a mode, and to a network and its first key where
// Network is not empty. What it is tied to already must be the same.
type SetIdentity struct {
	Mode    Mode
	Network string
	Genesis ChainHash
	Key     ExtendedKey
}

// MoveKey derives addresses from another key from now on. Its External is above every
// index that was ever given out; its Change is set here.
type MoveKey struct {
	Key ExtendedKey
	By  string
}

// ModeSet ties the directory to a mode, once.
type ModeSet struct {
	Mode Mode `json:"mode"`
}

// NetworkSet ties the directory to a network and its chain, once.
type NetworkSet struct {
	Network string    `json:"network"`
	Genesis ChainHash `json:"genesis"`
}

// ExtendedKeyAdded gives the key of the addresses from some indexes on.
type ExtendedKeyAdded struct {
	Fingerprint KeyFingerprint `json:"fingerprint"`
	Text        string         `json:"text"`
	External    uint32         `json:"external"`
	Change      uint32         `json:"change"`
	By          string         `json:"by"`
}

func (c *SetIdentity) decide(a *Account, _ Time) (events []Event, n uint32, err *Error) {
	if a.ID != SystemID {
		return nil, 0, refuse(CodeNotFound, "only the system account has an identity")
	}
	is := a.Identity
	switch {
	case is == nil:
		events = append(events, &ModeSet{Mode: c.Mode})
	case is.Mode != c.Mode:
		return nil, 0, refuse(CodeOtherIdentity, "the mode is %s, not %s", is.Mode, c.Mode)
	}
	switch {
	case c.Network == "":
	case is == nil || is.Network == "":
		events = append(events, &NetworkSet{Network: c.Network, Genesis: c.Genesis}, &ExtendedKeyAdded{
			Fingerprint: c.Key.Fingerprint, Text: c.Key.Text, External: c.Key.External, Change: c.Key.Change,
		})
	case is.Network != c.Network || is.Genesis != c.Genesis || is.Key().Fingerprint != c.Key.Fingerprint:
		return nil, 0, refuse(CodeOtherIdentity, "it is %s and key %s, not %s and key %s", is.Network, is.Key().Fingerprint, c.Network, c.Key.Fingerprint)
	}
	if len(events) > 0 && !a.Exists() {
		events = append([]Event{&Created{}}, events...)
	}
	return events, 0, nil
}

func (c *MoveKey) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	last := a.Identity.Key()
	if a.ID != SystemID || last == nil {
		return nil, 0, refuse(CodeNotFound, "there is no key to move on from")
	}
	key := c.Key
	switch {
	case len(a.Identity.Keys) == MaxExtendedKeys:
		return nil, 0, refuse(CodeNoChange, "there were %d keys, which is the limit", MaxExtendedKeys)
	case key.External < last.External:
		return nil, 0, refuse(CodeNoChange, "address %d is of an earlier key", key.External)
	}
	key.Change = max(last.Change, a.NextPayout()) // above what a restored log has skipped
	if a.Payouts != nil {
		for _, p := range a.Payouts.List {
			key.Change = max(key.Change, p.ChangeIndex+1)
		}
	}
	return []Event{&ExtendedKeyAdded{Fingerprint: key.Fingerprint, Text: key.Text, External: key.External, Change: key.Change, By: c.By}}, 0, nil
}

func (e *ModeSet) apply(a *Account, _ Time) error {
	if a.ID != SystemID || a.Identity != nil {
		return fmt.Errorf("the mode is set to %s where there is one", e.Mode)
	}
	a.Identity = &Identity{Mode: e.Mode}
	return nil
}

func (e *NetworkSet) apply(a *Account, _ Time) error {
	if a.Identity == nil || a.Identity.Mode != RealMode || a.Identity.Network != "" || e.Network == "" {
		return fmt.Errorf("the network is set to %q where there is one, or outside of real mode", e.Network)
	}
	next := *a.Identity
	next.Network, next.Genesis = e.Network, e.Genesis
	a.Identity = &next
	return nil
}

func (e *ExtendedKeyAdded) apply(a *Account, at Time) error {
	if a.Identity == nil || a.Identity.Network == "" {
		return fmt.Errorf("key %s without a network", e.Fingerprint)
	}
	if last := a.Identity.Key(); last != nil && (e.External < last.External || e.Change < last.Change) {
		return fmt.Errorf("key %s from address %d and change %d on, after %s from %d and %d on", e.Fingerprint, e.External, e.Change, last.Fingerprint, last.External, last.Change)
	}
	if len(a.Identity.Keys) == MaxExtendedKeys {
		return fmt.Errorf("key %s beyond the %d that there may be", e.Fingerprint, MaxExtendedKeys)
	}
	next := *a.Identity
	next.Keys = append(slices.Clone(next.Keys), ExtendedKey{
		Fingerprint: e.Fingerprint, Text: e.Text, External: e.External, Change: e.Change, Since: at, By: e.By,
	})
	a.Identity = &next
	return nil
}
