package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// receiver is where everything is delivered to, and the record of it.
type receiver struct {
	queue  *Queue
	mu     sync.Mutex
	begun  time.Time
	answer func(Item, int) Result // of an attempt, the first of an item being 1
	tries  map[string]int         // guarded by mu
	log    []string               // guarded by mu: what was tried, as LINE.N
	at     []time.Duration        // guarded by mu: and when
	ended  []Ended                // guarded by mu
	most   int                    // guarded by mu: attempts at once
	now    int                    // guarded by mu
	endErr error
	onEnd  func(Ended) // may be nil
	takes  time.Duration
}

func name(item Item) string { return fmt.Sprintf("%c.%d", item.Line[0], item.N) }

func (r *receiver) deliver(ctx context.Context, item Item) Result {
	r.mu.Lock()
	r.tries[name(item)]++
	try := r.tries[name(item)]
	r.log, r.at = append(r.log, name(item)), append(r.at, time.Since(r.begun))
	r.now++
	r.most = max(r.most, r.now)
	r.mu.Unlock()
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
	return r.answer(item, try)
}

func (r *receiver) end(_ context.Context, e Ended) error {
	r.mu.Lock()
	r.ended = append(r.ended, e)
	r.mu.Unlock()
	if r.onEnd != nil {
		r.onEnd(e)
	}
	return r.endErr
}

// during runs a queue for that long, of a clock that costs no time.
func (r *receiver) during(t *testing.T, cfg Config, span time.Duration, items ...Item) error {
	t.Helper()
	r.begun, r.tries = time.Now(), map[string]int{}
	cfg.Deliver, cfg.End = r.deliver, r.end
	r.queue = New(cfg)
	for _, item := range items {
		r.queue.Add(item)
	}
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	return r.queue.Run(ctx)
}

func item(line byte, n uint32) Item { return Item{Line: [16]byte{line}, N: n, OpenedAt: time.Now()} }

func good(Item, int) Result { return Result{Delivered: true} }
func bad(Item, int) Result  { return Result{Problem: "503"} }

func TestALineIsDeliveredInItsOrderAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: good}
		if err := r.during(t, Config{}, time.Minute, item('a', 3), item('a', 1), item('a', 2), item('a', 2)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.log); got != "[a.1 a.2 a.3]" {
			t.Errorf("tried %s", got)
		}
		if s := r.queue.Stats(); s != (Stats{Delivered: 3, Attempts: 3}) || !r.queue.Oldest().IsZero() || len(r.queue.lines) != 0 {
			t.Errorf("%+v", s)
		}
		for _, e := range r.ended {
			if !e.Delivered || e.Attempts != 1 || e.Problem != "" {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestWhatFailsIsTriedLessAndLessOftenAndHoldsUpItsLineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(item Item, _ int) Result {
			if item.Line[0] == 'a' && item.N == 1 {
				return bad(item, 0)
			}
			return good(item, 0)
		}}
		items := []Item{item('a', 1), item('a', 2)}
		for n := range uint32(50) {
			items = append(items, item('b', n), item(byte('c'+n), 1))
		}
		if err := r.during(t, Config{GiveUp: 24 * time.Hour}, 48*time.Hour, items...); err != nil {
			t.Fatal(err)
		}
		var tries []time.Duration
		for i, what := range r.log {
			switch {
			case what == "a.1":
				tries = append(tries, r.at[i])
			case what == "a.2":
				if r.at[i] < 24*time.Hour {
					t.Errorf("what comes after the one that fails is tried after %s", r.at[i])
				}
			case r.at[i] > 0:
				t.Errorf("%s waits for %s", what, r.at[i])
			}
		}
		for i := 1; i < len(tries); i++ {
			gap, most := tries[i]-tries[i-1], 10*time.Minute
			if i <= 10 { // 512 s, the last that is less
				most = min(most, time.Second<<(i-1))
			}
			if gap < most/2 || gap > most {
				t.Errorf("try %d after %s, want %s to %s", i+1, gap, most/2, most)
			}
		}
		if last := tries[len(tries)-1]; last < 24*time.Hour || last > 24*time.Hour+10*time.Minute {
			t.Errorf("the last try after %s", last)
		}
		s := r.queue.Stats()
		if s.Delivered != 101 || s.GivenUp != 1 || s.Open != 0 || s.Failed != uint64(len(tries)) {
			t.Errorf("%+v, want 101 delivered", s)
		}
		for _, e := range r.ended {
			if name(e.Item) == "a.1" && (e.Delivered || e.Attempts != uint32(len(tries)) || e.Problem != "503") {
				t.Errorf("%+v after %d tries", e, len(tries))
			}
		}
	})
}

func TestWhatFailsForEverIsGivenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(item Item, _ int) Result {
			return Result{Final: item.N == 1, Delivered: item.N != 1, Problem: "no such user"}
		}}
		var told []string
		cfg := Config{Failed: func(item Item, attempt uint32, problem string, givenUp bool) {
			told = append(told, fmt.Sprintf("%s %d %s %t", name(item), attempt, problem, givenUp))
		}}
		if err := r.during(t, cfg, time.Minute, item('a', 1), item('a', 2)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.log, told); got != "[a.1 a.2] [a.1 1 no such user true]" {
			t.Errorf("tried %s", got)
		}
	})
}

func TestOneSlowReceiverHasNoMoreThanItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: good, takes: time.Second}
		var items []Item
		for n := range 20 {
			items = append(items, item(byte('a'+n), 1), item(byte('a'+n), 2))
		}
		if err := r.during(t, Config{Parallel: 4}, time.Minute, items...); err != nil {
			t.Fatal(err)
		}
		if last := r.at[len(r.at)-1]; r.most != 4 || last != 9*time.Second {
			t.Errorf("%d at once, the last after %s", r.most, last)
		}
	})
}

func TestAReplayGoesBeforeThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: time.Second}
		r.answer = func(item Item, try int) Result {
			if item.N == 5 && try == 1 {
				r.queue.Add(Item{Line: item.Line, N: 3, OpenedAt: time.Now()}) // while 5 is tried
				return bad(item, 0)
			}
			return good(item, 0)
		}
		if err := r.during(t, Config{}, time.Minute, item('a', 5), item('a', 6)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.log); got != "[a.5 a.3 a.5 a.6]" {
			t.Errorf("tried %s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.answer = func(it Item, try int) Result {
			if it.N == 2 && try == 1 { // by then it is waiting for another attempt
				time.AfterFunc(10*time.Minute, func() { r.queue.Add(item('a', 1)) })
			}
			return Result{Delivered: it.N == 1, Problem: "503"}
		}
		if err := r.during(t, Config{}, 11*time.Minute, item('a', 2)); err != nil {
			t.Fatal(err)
		}
		for i, what := range r.log {
			if what == "a.1" && r.at[i] != 10*time.Minute {
				t.Errorf("the replay came after %s", r.at[i])
			}
		}
		if s := r.queue.Stats(); s.Delivered != 1 || s.Open != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhatIsTriedAtTheStopIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: bad, takes: time.Hour}
		if err := r.during(t, Config{}, time.Minute, item('a', 1)); err != nil {
			t.Fatal(err)
		}
		if len(r.ended) != 0 || r.queue.Stats().Attempts != 0 {
			t.Errorf("%+v, %+v", r.ended, r.queue.Stats())
		}
	})
}

func TestAnEndThatIsNotDurableEndsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: good, endErr: errors.New("the disk is full")}
		if err := r.during(t, Config{}, time.Minute, item('a', 1), item('a', 2)); !errors.Is(err, r.endErr) {
			t.Errorf("%v", err)
		}
		if len(r.log) != 1 {
			t.Errorf("tried %v", r.log)
		}
	})
}

func TestWhereAnItemStandsIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: bad}
		begun := time.Now()
		if err := r.during(t, Config{}, time.Minute, item('a', 1), item('a', 2)); err != nil {
			t.Fatal(err)
		}
		w, ok := r.queue.Waiting([16]byte{'a'}, 1)
		if !ok || w.Attempts != uint32(len(r.log)) || w.Problem != "503" || w.Behind || w.Due.Before(time.Now()) {
			t.Errorf("%+v, %t after %d tries", w, ok, len(r.log))
		}
		if w, ok := r.queue.Waiting([16]byte{'a'}, 2); !ok || !w.Behind {
			t.Errorf("%+v, %t", w, ok)
		}
		for _, unknown := range []byte{'a', 'b'} {
			if _, ok := r.queue.Waiting([16]byte{unknown}, 3); ok {
				t.Errorf("%c.3 is open", unknown)
			}
		}
		if got := r.queue.Oldest(); !got.Equal(begun) {
			t.Errorf("the oldest is of %s, want %s", got, begun)
		}
	})
}

// Whoever sees that a delivery has ended may have it replayed before the queue has noted
// the end.
func TestAReplayThatComesWithTheEndIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: good}
		r.onEnd = func(e Ended) {
			if len(r.ended) == 1 {
				r.queue.Add(item('a', e.N))
			}
		}
		if err := r.during(t, Config{}, time.Minute, item('a', 1), item('a', 2)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.log); got != "[a.1 a.1 a.2]" {
			t.Errorf("%s was tried", got)
		}
		if st := r.queue.Stats(); st.Open != 0 || st.Delivered != 3 || !r.queue.Oldest().IsZero() {
			t.Errorf("%+v, the oldest of %s", st, r.queue.Oldest())
		}
	})
}

// What is added again while it is tried, and fails, is one item all the same.
func TestWhatIsAddedAgainWhileItFailsIsTriedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.answer = func(item Item, try int) Result {
			if try == 1 {
				r.queue.Add(item)
			}
			return Result{Delivered: try == 2}
		}
		if err := r.during(t, Config{}, time.Minute, item('a', 1)); err != nil {
			t.Fatal(err)
		}
		if st := r.queue.Stats(); st.Attempts != 2 || st.Delivered != 1 || st.Open != 0 {
			t.Errorf("%+v", st)
		}
	})
}
