package walletproof

import (
	"crypto/rand"
	"errors"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newNonces(t testing.TB, maxUsed int) *Nonces {
	t.Helper()
	n, err := NewNonces(5*time.Minute, maxUsed, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustNew(t testing.TB, n *Nonces, address string, now time.Time) string {
	t.Helper()
	nonce, err := n.New(address, origin, now)
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}

// Against a model: whatever the order of logins, replays and the clock's steps
// (back, too), a nonce works once, within its lifetime, and never again.
func TestANonceWorksOnceWithinItsLifetime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, err := NewNonces(5*time.Minute, 1000, new(counter))
		if err != nil {
			t.Fatal(err)
		}
		type given struct {
			nonce   string
			expires time.Time
			used    bool
		}
		var all []*given
		now, latest := noon, time.Time{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(-60, 400).Draw(t, "seconds")) * time.Second)
			if now.After(latest) {
				latest = now
			}
			nonce, err := n.New("a", origin, now)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &given{nonce, now.Add(5 * time.Minute), false})
			g := all[rapid.IntRange(max(0, len(all)-4), len(all)-1).Draw(t, "which")]
			_, err = n.Check(g.nonce, "a", origin, now)
			if err == nil {
				err = n.Use(g.nonce, now)
			}
			if want := !g.used && latest.Before(g.expires); want != (err == nil) {
				t.Fatalf("at %v a nonce that expires at %v, used %v: %v", now, g.expires, g.used, err)
			}
			g.used = g.used || err == nil
		}
	})
}

// A flood of nonces that nobody signs is kept nowhere.
func TestAFloodOfNoncesTakesNoMemory(t *testing.T) {
	n := newNonces(t, 10)
	mine := mustNew(t, n, "mine", noon)
	for range 10_000 {
		mustNew(t, n, "theirs", noon)
	}
	if kept := len(n.used) + len(n.before); kept != 0 {
		t.Errorf("%d nonces are kept", kept)
	}
	if err := n.Use(mine, noon); err != nil {
		t.Errorf("the flood pushed out a nonce: %v", err)
	}
}

func TestAtTheLimitLoginsAreRefusedAndNoneIsForgotten(t *testing.T) {
	n := newNonces(t, 3)
	var nonces []string
	for range 3 {
		nonce := mustNew(t, n, "a", noon)
		nonces = append(nonces, nonce)
		if err := n.Use(nonce, noon); err != nil {
			t.Fatal(err)
		}
	}
	fourth := mustNew(t, n, "a", noon)
	if err := n.Use(fourth, noon); !errors.Is(err, ErrBusy) {
		t.Errorf("at the limit: %v, want ErrBusy", err)
	}
	for _, nonce := range nonces {
		if err := n.Use(nonce, noon); err == nil || errors.Is(err, ErrBusy) {
			t.Errorf("a replay at the limit: %v", err)
		}
	}
	later := noon.Add(10 * time.Minute)
	if err := n.Use(mustNew(t, n, "a", later), later); err != nil {
		t.Errorf("after their lifetime: %v", err)
	}
}

func TestNoncesOfAnotherProcessAreUnknown(t *testing.T) {
	a, b := newNonces(t, 1), newNonces(t, 1)
	if _, err := b.Check(mustNew(t, a, "a", noon), "a", origin, noon); err == nil {
		t.Error("the key of a nonce is not of this process")
	}
}

// The used nonces of a full house.
func TestMemoryOfUsedNonces(t *testing.T) {
	const count = 100_000
	n := newNonces(t, count)
	before := heap()
	for range count {
		if err := n.Use(mustNew(t, n, "a", noon), noon); err != nil {
			t.Fatal(err)
		}
	}
	per := float64(heap()-before) / count
	runtime.KeepAlive(n)
	t.Logf("%.1f bytes a used nonce", per)
	if per > 64 {
		t.Errorf("%.1f bytes a used nonce, want at most 64", per)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkNonce(b *testing.B) {
	n := newNonces(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		nonce := mustNew(b, n, "0x881b6F98B7f93c452c0469AD9bb51B197B5bdC3a", noon)
		if _, err := n.Check(nonce, "0x881b6F98B7f93c452c0469AD9bb51B197B5bdC3a", origin, noon); err != nil {
			b.Fatal(err)
		}
	}
}
