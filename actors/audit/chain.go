package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrBroken is what an entry wraps that does not follow from the ones before.
var ErrBroken = errors.New("audit chain is broken")

// Chain is where a chain has come to. The zero value is its beginning. One goroutine
// owns it.
type Chain struct {
	n    uint64
	at   int64
	head Hash
}

// Len is the number of entries.
func (c *Chain) Len() uint64 { return c.n }

// Head is the hash of the last entry. With the number of entries it stands for all of
// them.
func (c *Chain) Head() Hash { return c.head }

// Add makes e the next entry and appends its encoding to dst. N, Prev and, where the
// clock was set back, At are filled in. An entry over its limits leaves the chain as
// it is.
func (c *Chain) Add(dst []byte, e Entry) ([]byte, error) {
	e.N, e.Prev, e.At = c.n+1, c.head, max(e.At, c.at)
	if err := e.check(); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = e.Append(dst)
	c.follow(&e, dst[start:])
	return dst, nil
}

// Follow checks that an encoding is the next entry's, and returns it.
func (c *Chain) Follow(encoded []byte) (Entry, error) {
	e, err := Decode(encoded)
	if err != nil {
		return e, fmt.Errorf("%w after entry %d: %w", ErrBroken, c.n, err)
	}
	switch {
	case e.N != c.n+1:
		return e, fmt.Errorf("%w: entry %d follows entry %d", ErrBroken, e.N, c.n)
	case e.Prev != c.head:
		return e, fmt.Errorf("%w: entry %d carries the hash %x, the entry before has %x", ErrBroken, e.N, e.Prev, c.head)
	case e.At < c.at:
		return e, fmt.Errorf("%w: entry %d is older than the one before", ErrBroken, e.N)
	}
	c.follow(&e, encoded)
	return e, nil
}

func (c *Chain) follow(e *Entry, encoded []byte) {
	c.n, c.at, c.head = e.N, e.At, sha256.Sum256(encoded)
}

// Resume returns a chain that goes on from a snapshot: n entries, the last of which
// has the time at and the hash head.
func Resume(n uint64, at int64, head Hash) Chain { return Chain{n: n, at: at, head: head} }

// At is the time of the last entry.
func (c *Chain) At() int64 { return c.at }
