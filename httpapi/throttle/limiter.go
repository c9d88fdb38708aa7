package throttle

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// Key is who is limited: an address (see AddressKey) or an account's id.
type Key [16]byte

// Policy is a limit: Count in each Per, of which Burst may come at once.
type Policy struct {
	Name  string // letters, digits, '-' and '_'; stands in the header fields
	Count int
	Per   time.Duration
	Burst int // default Count
}

// Limits of a Policy, which keep its arithmetic within 63 bits of nanoseconds.
const (
	maxCount = 1_000_000_000
	maxSpan  = 30 * 24 * time.Hour // for a bucket to fill
)

// DefaultMaxKeys bounds a Limiter to about 60 MB.
const DefaultMaxKeys = 1_000_000

const (
	numShards = 64
	// sampled is how many buckets a new one looks at to find some that are full again,
	// and may go. With 4, at most about a quarter of what is held is of no use.
	sampled = 4
)

// Limiter holds a token bucket for each key. Its methods may be called from any
// goroutine.
//
// A bucket is one number, by the generic cell rate algorithm (ITU-T I.371): the time
// at which it will be full. A bucket that is full is no different from one that does
// not exist, so it is dropped when a later one is made; nothing has to sweep. At
// MaxKeys, of a few buckets the one that is nearest to full goes: an exhausted one,
// which is what the limit is there for, is the last to be forgotten.
type Limiter struct {
	policy   Policy
	interval int64 // nanoseconds for one token
	span     int64 // nanoseconds for a bucket to fill
	perShard int
	seed     maphash.Seed
	shards   [numShards]shard
}

type shard struct {
	mu    sync.Mutex
	fulls map[Key]int64 // guarded by mu; Unix nanoseconds
	_     [48]byte      // its neighbour's lock is on another cache line
}

// New returns a Limiter that holds at most maxKeys buckets (default DefaultMaxKeys).
func New(policy Policy, maxKeys int) (*Limiter, error) {
	if policy.Burst == 0 {
		policy.Burst = policy.Count
	}
	if maxKeys == 0 {
		maxKeys = DefaultMaxKeys
	}
	if policy.Count < 1 || policy.Count > maxCount || policy.Burst < 1 || policy.Burst > maxCount || policy.Per <= 0 || policy.Per > maxSpan {
		return nil, fmt.Errorf("policy %q: %d in %s, %d at once: want 1 to %d in at most %s", policy.Name, policy.Count, policy.Per, policy.Burst, maxCount, maxSpan)
	}
	if !isName(policy.Name) {
		return nil, fmt.Errorf("policy %q: its name must be 1 to 64 letters, digits, '-' or '_'", policy.Name)
	}
	interval := int64(policy.Per) / int64(policy.Count)
	if interval == 0 || interval > int64(maxSpan)/int64(policy.Burst) {
		return nil, fmt.Errorf("policy %q: a bucket of %d at %d in %s fills too fast or too slowly", policy.Name, policy.Burst, policy.Count, policy.Per)
	}
	l := &Limiter{
		policy: policy, interval: interval, span: interval * int64(policy.Burst),
		perShard: (maxKeys + numShards - 1) / numShards, seed: maphash.MakeSeed(),
	}
	for i := range l.shards {
		l.shards[i].fulls = make(map[Key]int64)
	}
	return l, nil
}

func isName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// Verdict is the answer to a Take.
type Verdict struct {
	Allowed   bool
	Remaining int           // tokens left
	Full      time.Duration // until the bucket is full
	Retry     time.Duration // where not Allowed, until it would be
}

// Take takes cost tokens from key's bucket, or none if there are too few: who is
// refused does not wait the longer for having asked. cost is from 1 to Burst.
func (l *Limiter) Take(key Key, cost int, now time.Time) Verdict {
	if cost < 1 || cost > l.policy.Burst {
		panic(fmt.Sprintf("throttle: cost %d of a bucket of %d", cost, l.policy.Burst))
	}
	at := now.UnixNano()
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	full, held := s.fulls[key]
	// After a clock was set back a bucket is at most empty.
	full = min(max(full, at), at+l.span)
	after := full + int64(cost)*l.interval
	if after-at > l.span {
		return l.verdict(false, full-at, after-at-l.span)
	}
	if !held {
		s.makeRoom(at, l.perShard)
	}
	s.fulls[key] = after
	return l.verdict(true, after-at, 0)
}

// Burst is how many tokens a full bucket holds.
func (l *Limiter) Burst() int { return l.policy.Burst }

// Give returns cost tokens that were taken for what then did not count, such as a
// login that succeeded. A bucket that was dropped since is full already.
func (l *Limiter) Give(key Key, cost int) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if full, held := s.fulls[key]; held {
		s.fulls[key] = full - int64(cost)*l.interval
	}
}

// Len is the number of buckets held.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.fulls)
		s.mu.Unlock()
	}
	return n
}

// shard returns where key's bucket is. The seed is secret, so that nobody can choose
// addresses that crowd one shard.
func (l *Limiter) shard(key Key) *shard {
	return &l.shards[maphash.Bytes(l.seed, key[:])%numShards]
}

// makeRoom drops some buckets that are full, or at the limit one that is nearly.
func (s *shard) makeRoom(at int64, limit int) {
	var nearest Key
	least, seen := int64(math.MaxInt64), 0
	for key, full := range s.fulls { // Go begins a map's iteration at a random place
		if full <= at {
			delete(s.fulls, key)
		} else if full < least {
			nearest, least = key, full
		}
		if seen++; seen == sampled {
			break
		}
	}
	if len(s.fulls) >= limit {
		delete(s.fulls, nearest)
	}
}

func (l *Limiter) verdict(allowed bool, filling, retry int64) Verdict {
	return Verdict{
		Allowed:   allowed,
		Remaining: int((l.span - filling) / l.interval),
		Full:      time.Duration(filling),
		Retry:     time.Duration(retry),
	}
}
