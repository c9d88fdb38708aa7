package account

// keyring remembers idempotency keys for KeyLifetime, at most MaxKeys at once.
type keyring struct {
	uses  map[Key]keyUse
	order []Key // by time of use, oldest first
}

type keyUse struct {
	fingerprint Fingerprint
	at          Time
	n           uint32
}

// find returns the use of key, unless it has been forgotten by now.
func (k *keyring) find(key Key, now Time) (keyUse, bool) {
	use, ok := k.uses[key]
	return use, ok && now < use.at.Add(KeyLifetime)
}

// room reports whether one more key may be remembered at now.
func (k *keyring) room(now Time) bool {
	if len(k.order) < MaxKeys {
		return true
	}
	oldest := k.uses[k.order[0]]
	return now >= oldest.at.Add(KeyLifetime)
}

// add forgets what has expired at the use's time, and remembers key.
func (k *keyring) add(key Key, use keyUse) {
	expired := 0
	for expired < len(k.order) && use.at >= k.uses[k.order[expired]].at.Add(KeyLifetime) {
		delete(k.uses, k.order[expired])
		expired++
	}
	k.order = k.order[expired:]
	if k.uses == nil {
		k.uses = make(map[Key]keyUse)
	}
	k.uses[key] = use
	k.order = append(k.order, key)
}
