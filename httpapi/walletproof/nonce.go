package walletproof

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// A nonce is 30 bytes in base32, 48 letters and digits as EIP-4361 wants them:
//
//	offset  bytes
//	     0      4  second of its issue, Unix time, big-endian
//	     4     10  random
//	    14     16  first half of HMAC-SHA-256 over the 14 bytes above, the address
//	               and the origin
//
// Nothing is kept of a nonce that is given out: who asks for a billion of them costs
// no memory and pushes out nobody's. What is kept, until it expires, is each nonce
// that a valid signature came with, and only a wallet's owner can make one of those.
const (
	nonceRandom = 14 // offset of the MAC
	nonceBytes  = 30
	nonceMAC    = 16
	nonceLength = nonceBytes * 8 / 5
)

var nonceEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// Nonces makes nonces and lets each be used once. Its methods may be called from
// any goroutine.
type Nonces struct {
	key      [sha256.Size]byte // of this process: a restart ends what is given out, and what was used
	lifetime time.Duration
	maxUsed  int
	random   io.Reader

	mu sync.Mutex // guards what follows
	// used holds the MACs of the nonces used since turned, before those of the span
	// before it. A span is a lifetime, so a used nonce is held at least that long.
	used, before map[[nonceMAC]byte]struct{}
	turned       time.Time
	latest       time.Time // the latest time seen: a clock set back revives nothing
}

// NewNonces returns Nonces that live for lifetime, of which at most maxUsed can be
// used within it.
func NewNonces(lifetime time.Duration, maxUsed int, random io.Reader) (*Nonces, error) {
	n := &Nonces{lifetime: lifetime, maxUsed: maxUsed, random: random, used: map[[nonceMAC]byte]struct{}{}}
	if _, err := io.ReadFull(random, n.key[:]); err != nil {
		return nil, fmt.Errorf("random number for the key of nonces: %w", err)
	}
	return n, nil
}

// New makes a nonce for the address and the origin.
func (n *Nonces) New(address, origin string, now time.Time) (string, error) {
	var b [nonceBytes]byte
	binary.BigEndian.PutUint32(b[:], uint32(now.Unix()))
	if _, err := io.ReadFull(n.random, b[4:nonceRandom]); err != nil {
		return "", fmt.Errorf("random number for a nonce: %w", err)
	}
	mac := n.mac(b[:nonceRandom], address, origin)
	copy(b[nonceRandom:], mac[:])
	return nonceEncoding.EncodeToString(b[:]), nil
}

// Check returns when the nonce was issued, if it is one of ours for the address and
// origin and is alive. It does not use it up.
func (n *Nonces) Check(nonce, address, origin string, now time.Time) (issued time.Time, err error) {
	b, err := decodeNonce(nonce)
	if err != nil {
		return issued, err
	}
	mac := n.mac(b[:nonceRandom], address, origin)
	if !hmac.Equal(mac[:], b[nonceRandom:]) {
		return issued, fmt.Errorf("nonce is not one of ours for this address and origin")
	}
	issued = time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC()
	if n.at(now).Sub(issued) >= n.lifetime {
		return issued, fmt.Errorf("nonce of %s has expired", issued.Format(time.RFC3339))
	}
	return issued, nil
}

// Use uses up a nonce that Check accepted. Of any number of calls for it, one
// succeeds.
func (n *Nonces) Use(nonce string, now time.Time) error {
	b, err := decodeNonce(nonce)
	if err != nil {
		return err
	}
	mac := [nonceMAC]byte(b[nonceRandom:])
	now = n.at(now)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch age := now.Sub(n.turned); {
	case age >= 2*n.lifetime:
		n.before, n.used, n.turned = nil, map[[nonceMAC]byte]struct{}{}, now
	case age >= n.lifetime:
		n.before, n.used, n.turned = n.used, map[[nonceMAC]byte]struct{}{}, now
	}
	_, isUsed := n.used[mac]
	_, wasUsed := n.before[mac]
	if isUsed || wasUsed {
		return fmt.Errorf("nonce has been used")
	}
	if len(n.used)+len(n.before) >= n.maxUsed {
		return ErrBusy
	}
	n.used[mac] = struct{}{}
	return nil
}

// at is now, or the latest time seen where the clock has been set back.
func (n *Nonces) at(now time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.After(n.latest) {
		n.latest = now
	}
	return n.latest
}

// mac binds the head of a nonce to the address and origin. Lengths stand before the
// strings, so that no two pairs of them are one.
func (n *Nonces) mac(head []byte, address, origin string) [nonceMAC]byte {
	h := hmac.New(sha256.New, n.key[:])
	h.Write(head)
	for _, s := range []string{address, origin} {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(s)))
		h.Write(length[:])
		_, _ = io.WriteString(h, s)
	}
	return [nonceMAC]byte(h.Sum(nil))
}

// decodeNonce accepts one spelling of each nonce: 48 characters have no spare bits.
func decodeNonce(nonce string) ([]byte, error) {
	if len(nonce) != nonceLength {
		return nil, fmt.Errorf("nonce of %d characters", len(nonce))
	}
	b, err := nonceEncoding.DecodeString(nonce)
	if err != nil || len(b) != nonceBytes { // the decoder skips line ends
		return nil, fmt.Errorf("nonce is not base32")
	}
	return b, nil
}
