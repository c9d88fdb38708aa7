package account

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

const keyLifetime = Time(KeyLifetime / time.Microsecond)

// indexed returns how many keys can be found.
func indexed(a *Account) int {
	if a.ring.uses == nil {
		return len(a.keys)
	}
	return len(a.ring.uses)
}

func numberedKey(n int) (k Key) {
	binary.BigEndian.PutUint32(k[:], uint32(n))
	return k
}

func TestARetryIsAnsweredAndChangesNothing(t *testing.T) {
	a := opened(t, 0)
	idem := &Idempotency{Key: Key{1}, Fingerprint: Fingerprint{1}}
	first := keyed(t, a, &Deposit{Amount: 5}, idem, start)
	before := a.StateHash()
	for _, now := range []Time{start, start + 1, start + keyLifetime - 1, 0} {
		d := keyed(t, a, &Deposit{Amount: 5}, idem, now)
		if !d.Replayed || d.N != first.N || len(d.Record.Events) != 0 {
			t.Errorf("at %s a retry gives %+v, want transaction %d again", now, d, first.N)
		}
	}
	refused(t, a, &Deposit{Amount: 6}, &Idempotency{Key: Key{1}, Fingerprint: Fingerprint{2}}, start, CodeKeyReused)
	if a.StateHash() != before || a.Balance != 5 {
		t.Errorf("the retries changed the account: balance %d", a.Balance)
	}
}

func TestAKeyIsFreeAgainAfterItsLifetimeToTheMicrosecond(t *testing.T) {
	a := opened(t, 0)
	idem := &Idempotency{Key: Key{1}, Fingerprint: Fingerprint{1}}
	other := &Idempotency{Key: Key{1}, Fingerprint: Fingerprint{2}}
	keyed(t, a, &Deposit{Amount: 5}, idem, start)
	refused(t, a, &Deposit{Amount: 6}, other, start+keyLifetime-1, CodeKeyReused)
	d := keyed(t, a, &Deposit{Amount: 6}, other, start+keyLifetime)
	if d.Replayed || a.Balance != 11 || len(a.keys) != 1 {
		t.Errorf("after its lifetime: %+v, balance %d, %d keys", d, a.Balance, len(a.keys))
	}
	// Its second life lasts as long.
	refused(t, a, &Deposit{Amount: 5}, idem, start+2*keyLifetime-1, CodeKeyReused)
	keyed(t, a, &Deposit{Amount: 5}, idem, start+2*keyLifetime)
}

func TestARefusalIsNotRemembered(t *testing.T) {
	a := opened(t, 10)
	idem := &Idempotency{Key: Key{1}, Fingerprint: Fingerprint{1}}
	refused(t, a, &Debit{Amount: 11, By: "ops"}, idem, start, CodeInsufficientFunds)
	do(t, a, &Deposit{Amount: 1}, start)
	if d := keyed(t, a, &Debit{Amount: 11, By: "ops"}, idem, start); d.Replayed || a.Balance != 0 {
		t.Errorf("the same request once there is money gives %+v, balance %d", d, a.Balance)
	}
}

func TestAKeyAnswersForTheCommandsThatSettle(t *testing.T) {
	a := opened(t, 100)
	n := do(t, a, &Withdraw{Amount: 1, To: "aitbc_00"}, start)
	idem := &Idempotency{Key: Key{1}, Fingerprint: Fingerprint{1}}
	keyed(t, a, &Complete{N: n, By: "ops"}, idem, start)
	if d := keyed(t, a, &Complete{N: n, By: "ops"}, idem, start); !d.Replayed || d.N != n {
		t.Errorf("a retry gives %+v, want transaction %d again", d, n)
	}
}

func TestKeysAreLimited(t *testing.T) {
	a := opened(t, 0)
	for n := range MaxKeys - 1 {
		a.addKey(keyUse{key: numberedKey(n), at: start + Time(min(n, 1)), n: 1})
	}
	next := func(n int) *Idempotency { return &Idempotency{Key: numberedKey(n)} }
	keyed(t, a, &Deposit{Amount: 1}, next(MaxKeys), start+1)
	if len(a.keys) != MaxKeys || indexed(a) != MaxKeys {
		t.Fatalf("%d keys are remembered in order, %d in all; want %d", len(a.keys), indexed(a), MaxKeys)
	}
	refusedCheaply := func(now Time) {
		t.Helper()
		_, err := a.Decide(&Deposit{Amount: 1}, next(MaxKeys+1), now)
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeTooManyKeys {
			t.Fatalf("one key more gives %v, want %s", err, CodeTooManyKeys)
		}
	}
	refusedCheaply(start + 1)
	refusedCheaply(start + keyLifetime - 1)
	if d := keyed(t, a, &Deposit{Amount: 1}, next(MaxKeys), start+keyLifetime-1); !d.Replayed {
		t.Errorf("at the limit a retry gives %+v, want a replay", d)
	}
	do(t, a, &Deposit{Amount: 1}, start+1) // without a key there is no limit
	keyed(t, a, &Deposit{Amount: 1}, next(MaxKeys+1), start+keyLifetime)
	if len(a.keys) != indexed(a) || len(a.keys) > MaxKeys {
		t.Errorf("%d keys are remembered in order, %d in all", len(a.keys), indexed(a))
	}
}

func TestKeysThatHaveExpiredAreForgotten(t *testing.T) {
	a := opened(t, 0)
	for n := range 1000 {
		now := start + Time(n)*keyLifetime/10
		keyed(t, a, &Deposit{Amount: 1}, &Idempotency{Key: numberedKey(n)}, now)
		if len(a.keys) > 10 || indexed(a) != len(a.keys) {
			t.Fatalf("%d keys are remembered in order, %d in all; want at most 10", len(a.keys), indexed(a))
		}
	}
	if cap(a.keys) > 100 {
		t.Errorf("there is room for %d keys, of 10", cap(a.keys))
	}
}
