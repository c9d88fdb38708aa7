package account

import (
	"encoding/binary"
	"fmt"
)

const (
	kindModeSet          kind = 29
	kindNetworkSet       kind = 75
	kindExtendedKeyAdded kind = 76
)

func (*ModeSet) kind() kind          { return kindModeSet }
func (*NetworkSet) kind() kind       { return kindNetworkSet }
func (*ExtendedKeyAdded) kind() kind { return kindExtendedKeyAdded }

// checkedMode panics for a mode that the decoder would refuse.
func checkedMode(m Mode) byte {
	if m == 0 || m >= numModes {
		panic(fmt.Sprintf("account: mode %d, %d is the last", m, numModes-1))
	}
	return byte(m)
}

func (r *reader) mode() Mode {
	m := Mode(r.byte())
	if m == 0 || m >= numModes {
		r.fail("unknown mode")
	}
	return m
}

func (e *ModeSet) append(dst []byte) []byte { return append(dst, checkedMode(e.Mode)) }

func (e *ModeSet) read(r *reader) { e.Mode = r.mode() }

func (e *NetworkSet) append(dst []byte) []byte {
	return append(appendString(dst, e.Network), e.Genesis[:]...)
}

func (e *NetworkSet) read(r *reader) { e.Network, e.Genesis = r.string(), r.chainHash() }

func (e *ExtendedKeyAdded) append(dst []byte) []byte {
	key := ExtendedKey{Fingerprint: e.Fingerprint, Text: e.Text, External: e.External, Change: e.Change, By: e.By}
	return key.append(dst)
}

func (e *ExtendedKeyAdded) read(r *reader) {
	key := readExtendedKey(r)
	e.Fingerprint, e.Text, e.External, e.Change, e.By = key.Fingerprint, key.Text, key.External, key.Change, key.By
}

// append writes what an event has of a key: its fingerprint (4 bytes), text, first
// indexes, and who moved to it.
func (k *ExtendedKey) append(dst []byte) []byte {
	if len(k.Text) > maxExtendedKey {
		panic(fmt.Sprintf("account: an extended key of %d bytes, %d are the limit", len(k.Text), maxExtendedKey))
	}
	dst = appendString(append(dst, k.Fingerprint[:]...), k.Text)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(k.External)), uint64(k.Change))
	return appendString(dst, k.By)
}

func readExtendedKey(r *reader) (k ExtendedKey) {
	copy(k.Fingerprint[:], r.take(len(k.Fingerprint)))
	k.Text, k.External, k.Change, k.By = r.string(), r.uint32(), r.uint32(), r.string()
	if len(k.Text) > maxExtendedKey {
		r.fail("extended key over the limit")
	}
	return k
}

// append writes the identity: mode (1 byte), network, first block, and the keys after
// their count, each with its time (signed) behind it.
func (i *Identity) append(dst []byte) []byte {
	dst = append(appendString(append(dst, checkedMode(i.Mode)), i.Network), i.Genesis[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(i.Keys)))
	for n := range i.Keys {
		dst = binary.AppendVarint(i.Keys[n].append(dst), int64(i.Keys[n].Since))
	}
	return dst
}

func readIdentity(r *reader) *Identity {
	i := &Identity{Mode: r.mode(), Network: r.string(), Genesis: r.chainHash()}
	for n := r.count(MaxExtendedKeys); n > 0 && r.err == nil; n-- {
		key := readExtendedKey(r)
		key.Since = Time(r.varint())
		if last := i.Key(); last != nil && (key.External < last.External || key.Change < last.Change) {
			r.fail("a key's first indexes are not in order")
		}
		i.Keys = append(i.Keys, key)
	}
	return i
}
