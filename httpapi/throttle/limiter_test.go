package throttle

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func mustLimiter(t testing.TB, policy Policy, maxKeys int) *Limiter {
	t.Helper()
	l, err := New(policy, maxKeys)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func key(n uint64) (k Key) {
	binary.BigEndian.PutUint64(k[8:], n)
	return k
}

func TestABucketGivesItsBurstAndThenItsRate(t *testing.T) {
	l := mustLimiter(t, Policy{Name: "login", Count: 6, Per: time.Minute, Burst: 3}, 10)
	for i, step := range []struct {
		after time.Duration
		want  Verdict
	}{
		{0, Verdict{true, 2, 10 * time.Second, 0}},
		{0, Verdict{true, 1, 20 * time.Second, 0}},
		{0, Verdict{true, 0, 30 * time.Second, 0}},
		{0, Verdict{false, 0, 30 * time.Second, 10 * time.Second}},
		{9 * time.Second, Verdict{false, 0, 21 * time.Second, time.Second}},
		{10 * time.Second, Verdict{true, 0, 30 * time.Second, 0}},
		{25 * time.Second, Verdict{true, 0, 25 * time.Second, 0}},
		{10 * time.Minute, Verdict{true, 2, 10 * time.Second, 0}},
	} {
		if got := l.Take(key(1), 1, noon.Add(step.after)); got != step.want {
			t.Errorf("step %d: %+v, want %+v", i, got, step.want)
		}
	}
	if got := l.Take(key(2), 1, noon); !got.Allowed {
		t.Error("another key shares the bucket")
	}
}

// Against a bucket that counts tokens as fractions: the same is allowed, whatever the
// costs and gaps.
func TestEveryVerdictIsATokenBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 20).Draw(t, "count")
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		interval := 6 * time.Second
		l, err := New(Policy{Name: "p", Count: count, Per: time.Duration(count) * interval, Burst: burst}, 100)
		if err != nil {
			t.Fatal(err)
		}
		now := noon
		tokens := time.Duration(burst) * interval // in the time that they take to come
		last := now
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
			tokens = min(tokens+now.Sub(last), time.Duration(burst)*interval)
			last = now
			cost := rapid.IntRange(1, burst).Draw(t, "cost")
			need := time.Duration(cost) * interval
			got := l.Take(key(7), cost, now)
			if got.Allowed != (tokens >= need) {
				t.Fatalf("%+v with %v of %v tokens", got, tokens, need)
			}
			if got.Allowed {
				tokens -= need
			} else if got.Retry != need-tokens {
				t.Fatalf("retry after %v, want %v", got.Retry, need-tokens)
			}
			if got.Remaining != int(tokens/interval) {
				t.Fatalf("%d remaining, want %d", got.Remaining, int(tokens/interval))
			}
		}
	})
}

// A clock that is set back by a day locks nobody out for a day.
func TestAClockSetBackEmptiesABucketAtMost(t *testing.T) {
	l := mustLimiter(t, Policy{Name: "p", Count: 6, Per: time.Minute}, 10)
	l.Take(key(1), 1, noon)
	back := noon.Add(-24 * time.Hour)
	if got := l.Take(key(1), 1, back); got.Allowed || got.Retry != 10*time.Second {
		t.Errorf("%+v, want it empty", got)
	}
	l.Take(key(2), 1, noon)
	if got := l.Take(key(2), 1, noon.Add(-10*time.Second)); !got.Allowed || got.Remaining != 3 {
		t.Errorf("%+v after ten seconds back", got)
	}
}

func TestATokenThatIsGivenBackCanBeTakenAgain(t *testing.T) {
	l := mustLimiter(t, Policy{Name: "p", Count: 2, Per: time.Minute}, 10)
	for range 10 {
		if !l.Take(key(1), 1, noon).Allowed {
			t.Fatal("refused")
		}
		l.Give(key(1), 1)
	}
	l.Give(key(2), 2) // a bucket that is not there
	if got := l.Take(key(1), 2, noon); !got.Allowed {
		t.Errorf("%+v after all was given back", got)
	}
	l.Give(key(1), 2)
	l.Give(key(1), 2) // too much
	if got := l.Take(key(1), 2, noon); !got.Allowed || got.Remaining != 0 {
		t.Errorf("%+v: more was given back than fits", got)
	}
}

func TestAConcurrentFloodGetsTheBurstAndNoMore(t *testing.T) {
	l := mustLimiter(t, Policy{Name: "p", Count: 100, Per: time.Hour}, 10)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if l.Take(key(1), 1, noon).Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 100 {
		t.Errorf("%d allowed, want 100", allowed.Load())
	}
}

func TestBucketsThatAreFullAgainMakeRoom(t *testing.T) {
	l := mustLimiter(t, Policy{Name: "p", Count: 1, Per: time.Second}, 1_000_000)
	now := noon
	for n := range uint64(200_000) { // 100 a second
		now = now.Add(10 * time.Millisecond)
		l.Take(key(n), 1, now)
	}
	// At any time 100 are in use; those that are full go as new ones come.
	if l.Len() > 1000 {
		t.Errorf("%d buckets are held, of which 100 are in use", l.Len())
	}
}

// A bucket's size is known, and more keys than the limit neither take more nor free
// who is exhausted.
func TestMemoryIsBounded(t *testing.T) {
	const limit = 64_000
	before := heap()
	l := fill(t, limit)
	per := float64(heap()-before) / float64(l.Len())
	t.Logf("%d buckets, %.1f bytes each", l.Len(), per)
	if per > 80 {
		t.Errorf("%.1f bytes a bucket, want at most 80", per)
	}
	if l.Len() > limit {
		t.Errorf("%d buckets, want at most %d", l.Len(), limit)
	}
	if l.Take(key(1<<60), 1, noon).Allowed {
		t.Error("a flood of addresses freed one that was exhausted")
	}
	runtime.KeepAlive(l)
}

// fill returns a limiter that holds limit buckets, after half as many more came. That
// of key 1<<60 is exhausted.
func fill(t testing.TB, limit int) *Limiter {
	t.Helper()
	l := mustLimiter(t, Policy{Name: "p", Count: 10, Per: time.Hour}, limit)
	l.Take(key(1<<60), 10, noon)
	for n := range uint64(limit + limit/2) {
		l.Take(key(n), 1, noon)
	}
	return l
}

// BenchmarkMemory measures the bytes of a bucket at a million addresses.
func BenchmarkMemory(b *testing.B) {
	before := heap()
	l := fill(b, DefaultMaxKeys)
	per := float64(heap()-before) / float64(l.Len())
	for b.Loop() {
	}
	b.ReportMetric(per, "B/bucket") // the loop resets metrics
	b.ReportMetric(float64(l.Len()), "buckets")
	runtime.KeepAlive(l)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestPoliciesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, p := range []Policy{
		{Name: "p", Count: 0, Per: time.Second}, {Name: "p", Count: 1}, {Name: "p", Count: 1, Per: -1},
		{Name: "p", Count: 2, Per: 1}, {Name: "p", Count: 1, Per: time.Second, Burst: -1},
		{Name: "p", Count: 1, Per: maxSpan, Burst: 2}, {Name: "p", Count: 1, Per: 2 * maxSpan},
		{Name: "", Count: 1, Per: time.Second}, {Name: "a\"", Count: 1, Per: time.Second},
	} {
		if _, err := New(p, 1); err == nil {
			t.Errorf("New accepts %+v", p)
		}
	}
}

func TestTheHeaderFieldsAreThoseOfTheDraft(t *testing.T) {
	l := mustLimiter(t, Policy{Name: "login", Count: 6, Per: time.Minute, Burst: 3}, 10)
	if got := string(l.AppendPolicy(nil)); got != `"login";q=3;w=30` {
		t.Errorf("%s", got)
	}
	v := l.Take(key(1), 1, noon)
	if got := string(l.AppendLimit([]byte("a, "), v)); got != `a, "login";r=2;t=10` {
		t.Errorf("%s", got)
	}
	l.Take(key(1), 2, noon)
	v = l.Take(key(1), 1, noon.Add(100*time.Millisecond))
	if got := string(l.AppendLimit(nil, v)); got != `"login";r=0;t=30` || v.RetryAfter() != 10 {
		t.Errorf("%s, retry after %d", got, v.RetryAfter())
	}
	// Who waits as told is served.
	if !l.Take(key(1), 1, noon.Add(100*time.Millisecond+time.Duration(v.RetryAfter())*time.Second)).Allowed {
		t.Error("refused after waiting as told")
	}
}

func TestTakeDoesNotAllocate(t *testing.T) {
	l := mustLimiter(t, Policy{Name: "p", Count: 1000, Per: time.Second}, 100)
	l.Take(key(1), 1, noon)
	if n := testing.AllocsPerRun(100, func() { l.Take(key(1), 1, noon) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, keys := range []uint64{1, 1_000, 1_000_000} {
		b.Run(map[uint64]string{1: "one key", 1_000: "a thousand keys", 1_000_000: "a million keys"}[keys], func(b *testing.B) {
			l := mustLimiter(b, Policy{Name: "p", Count: 1000, Per: time.Second}, 1_000_000)
			for n := range keys {
				l.Take(key(n), 1, noon)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				now := noon
				for n := uint64(0); pb.Next(); n += 7919 {
					now = now.Add(time.Microsecond)
					l.Take(key(n%keys), 1, now)
				}
			})
		})
	}
	b.Run("flood of new keys at the limit", func(b *testing.B) {
		l := mustLimiter(b, Policy{Name: "p", Count: 1, Per: time.Hour}, 100_000)
		b.ReportAllocs()
		for n := uint64(0); b.Loop(); n++ {
			l.Take(key(n), 1, noon)
		}
	})
}
