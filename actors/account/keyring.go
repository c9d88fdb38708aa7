package account

// keyUse is an idempotency key and what it answers for. Keys are a part of State,
// so that a published state is all that a snapshot needs.
type keyUse struct {
	key         Key
	fingerprint Fingerprint
	at          Time
	n           uint32
}

// keyring finds idempotency keys among those of a State, which remembers each for
// KeyLifetime and at most MaxKeys at once. The account's owner has it alone; it is
// made from the state when it is first needed.
type keyring struct {
	uses  map[Key]uint64 // place among all that were ever first in line; nil while there are few
	first uint64         // place of the state's first key
}

// indexedKeys is how many keys are looked through one by one. A map of fewer would
// cost more memory than it saves time.
const indexedKeys = 16

// findKey returns the use of key, unless it has been forgotten by now.
func (a *Account) findKey(key Key, now Time) (keyUse, bool) {
	i, ok := a.placeOf(key)
	if !ok {
		return keyUse{}, false
	}
	use := a.keys[i]
	return use, now < use.at.Add(KeyLifetime)
}

// placeOf returns where the latest use of key is in a.keys.
func (a *Account) placeOf(key Key) (int, bool) {
	if len(a.keys) <= indexedKeys {
		for i := len(a.keys) - 1; i >= 0; i-- {
			if a.keys[i].key == key {
				return i, true
			}
		}
		return 0, false
	}
	if a.ring.uses == nil {
		a.ring.uses = make(map[Key]uint64, 2*len(a.keys))
		for i := range a.keys {
			a.ring.uses[a.keys[i].key] = a.ring.first + uint64(i)
		}
	}
	place, ok := a.ring.uses[key]
	return int(place - a.ring.first), ok
}

// roomForKey reports whether one more key may be remembered at now.
func (a *Account) roomForKey(now Time) bool {
	return len(a.keys) < MaxKeys || now >= a.keys[0].at.Add(KeyLifetime)
}

// addKey forgets what has expired at the use's time, and remembers the key. What
// other states show of the same array does not change: the front is sliced off, and
// what is added lies behind their end.
func (a *Account) addKey(use keyUse) {
	expired := 0
	for expired < len(a.keys) && use.at >= a.keys[expired].at.Add(KeyLifetime) {
		place := a.ring.first + uint64(expired)
		if key := a.keys[expired].key; a.ring.uses != nil && a.ring.uses[key] == place {
			delete(a.ring.uses, key)
		}
		expired++
	}
	a.ring.first += uint64(expired)
	a.keys = append(a.keys[expired:], use)
	switch {
	case len(a.keys) <= indexedKeys:
		a.ring.uses = nil
	case a.ring.uses != nil:
		a.ring.uses[use.key] = a.ring.first + uint64(len(a.keys)-1)
	}
}
