package delivery

import (
	"cmp"
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Item is one thing to deliver: number N of a Line. Of a Line the lowest number is
// tried first, and nothing else of it until that one has ended.
type Item struct {
	Line [16]byte
	N    uint32
	// OpenedAt is when its time began, at whose end it is given up.
	OpenedAt time.Time
}

// Result is what came of one attempt.
type Result struct {
	Delivered bool
	Final     bool   // it failed, and would for ever
	Problem   string // why it failed
}

// Ended says how an item ended, for its caller to make durable.
type Ended struct {
	Item
	Delivered bool   // otherwise it was given up
	Attempts  uint32 // since the Queue was made
	Problem   string // of the last attempt
}

// Config is what a Queue needs. Every field without a default is required.
type Config struct {
	// Deliver tries an item once. It is called from several goroutines.
	Deliver func(context.Context, Item) Result
	// End makes an item's end durable. It is called from several goroutines, and fails
	// only where the Queue is to stop.
	End func(context.Context, Ended) error
	// Retry is how long it is until a second attempt, doubled for each one after it, up
	// to MaxRetry; each is shortened by up to a half, by chance. Default 1 s and 10 min.
	Retry, MaxRetry time.Duration
	// GiveUp is the age at which an item that fails is given up. Default 72 h.
	GiveUp time.Duration
	// Parallel is how many attempts are under way at once. Default 8.
	Parallel int
	// Failed is told of an attempt that failed, from several goroutines. Optional.
	Failed func(item Item, attempt uint32, problem string, givenUp bool)
}

// Queue delivers items until they have ended. Its methods may be called from any
// goroutine.
type Queue struct {
	cfg  Config
	wake chan struct{} // capacity 1: something may be due earlier than was thought

	mu    sync.Mutex
	lines map[[16]byte]*line // guarded by mu; those with items
	due   lineHeap           // guarded by mu; those with no attempt under way
	ages  ages               // guarded by mu
	stats Stats              // guarded by mu, as all of the lines
}

// Stats are gauges and counters since the Queue was made.
type Stats struct {
	Open             int
	Delivered        uint64
	GivenUp          uint64
	Attempts, Failed uint64
}

// line is the items of one Line.
type line struct {
	items    []Item // that wait, by number
	trying   *Item  // that an attempt is under way for, else nil
	again    *Item  // that one, added anew: a replay, if the attempt ends it
	due      time.Time
	attempts uint32 // of the one that is tried, or else the first that waits
	problem  string // of its last attempt
	place    int    // in the heap, while no attempt is under way
}

// insert puts an item where its number belongs, and reports whether it is the first.
func (l *line) insert(item Item) (first, fresh bool) {
	i, queued := slices.BinarySearchFunc(l.items, item.N, func(other Item, n uint32) int { return cmp.Compare(other.N, n) })
	if queued {
		return false, false
	}
	l.items = slices.Insert(l.items, i, item)
	return i == 0, true
}

// New makes a Queue. Run delivers.
func New(cfg Config) *Queue {
	cfg.Retry = cmp.Or(cfg.Retry, time.Second)
	cfg.MaxRetry = cmp.Or(cfg.MaxRetry, 10*time.Minute)
	cfg.GiveUp = cmp.Or(cfg.GiveUp, 72*time.Hour)
	cfg.Parallel = cmp.Or(cfg.Parallel, 8)
	return &Queue{cfg: cfg, wake: make(chan struct{}, 1), lines: map[[16]byte]*line{}}
}

// Add queues an item. It does not block. One that is queued already stays as it is. One
// whose end is durable, and of which this is all that is left to note, is queued anew.
func (q *Queue) Add(item Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[item.Line]
	if l == nil {
		l = &line{due: time.Now()}
		q.lines[item.Line] = l
		heap.Push(&q.due, l)
	}
	if l.trying != nil && l.trying.N == item.N {
		l.again = &item
		return
	}
	first, fresh := l.insert(item)
	if !fresh {
		return
	}
	if first && l.trying == nil && len(l.items) > 1 { // a replay, which goes before those that wait
		l.attempts, l.problem, l.due = 0, "", time.Now()
		heap.Fix(&q.due, l.place)
	}
	q.stats.Open++
	q.ages.add(item)
	q.look()
}

// look wakes Run.
func (q *Queue) look() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx is done (nil) or End fails. What is tried then is waited
// for, and does not count as tried.
func (q *Queue) Run(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	free := make(chan struct{}, q.cfg.Parallel)
	for range q.cfg.Parallel {
		free <- struct{}{}
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-free:
		}
		for ctx.Err() == nil {
			l, item, wait := q.next()
			if l != nil {
				attempts.Go(func() {
					if err := q.attempt(ctx, l, item); err != nil {
						cancel(err)
					}
					free <- struct{}{}
				})
				break
			}
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-q.wake:
			case <-timer.C:
			}
		}
		if ctx.Err() != nil {
			if err := context.Cause(ctx); err != ctx.Err() {
				return err
			}
			return nil
		}
	}
}

// next takes the item that is due first, or says how long it is until one is.
func (q *Queue) next() (*line, Item, time.Duration) {
	const longest = time.Hour
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.due) == 0 {
		return nil, Item{}, longest
	}
	if wait := time.Until(q.due[0].due); wait > 0 {
		return nil, Item{}, min(wait, longest)
	}
	l := heap.Pop(&q.due).(*line)
	item := l.items[0]
	l.items, l.trying = slices.Delete(l.items, 0, 1), &item
	return l, item, 0
}

// attempt tries the item of a line that next took.
func (q *Queue) attempt(ctx context.Context, l *line, item Item) error {
	result := q.cfg.Deliver(ctx, item)
	if ctx.Err() != nil && !result.Delivered {
		return nil // the stop came before the answer: the next start tries it
	}
	attempt := l.attempts + 1 // only this goroutine changes it while the line is taken
	givenUp := !result.Delivered && (result.Final || time.Since(item.OpenedAt) > q.cfg.GiveUp)
	if !result.Delivered && q.cfg.Failed != nil {
		q.cfg.Failed(item, attempt, result.Problem, givenUp)
	}
	if result.Delivered || givenUp {
		err := q.cfg.End(ctx, Ended{Item: item, Delivered: result.Delivered, Attempts: attempt, Problem: result.Problem})
		if err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Attempts++
	if !result.Delivered {
		q.stats.Failed++
	}
	l.trying, l.attempts, l.problem, l.due = nil, 0, "", time.Now()
	switch {
	case result.Delivered:
		q.stats.Open--
		q.ages.end(item)
		q.stats.Delivered++
	case givenUp:
		q.stats.Open--
		q.ages.end(item)
		q.stats.GivenUp++
	default:
		// Unless a replay has come with a lower number meanwhile, it is the first again.
		if first, _ := l.insert(item); first {
			l.attempts, l.problem, l.due = attempt, result.Problem, l.due.Add(q.backoff(attempt))
		}
	}
	if again := l.again; again != nil && (result.Delivered || givenUp) {
		l.insert(*again)
		q.stats.Open++
		q.ages.add(*again)
	}
	l.again = nil
	if len(l.items) == 0 {
		delete(q.lines, item.Line)
		return nil
	}
	heap.Push(&q.due, l)
	q.look()
	return nil
}

// backoff is the time from an attempt to the next.
func (q *Queue) backoff(attempt uint32) time.Duration {
	d := q.cfg.MaxRetry
	if attempt < 32 && q.cfg.Retry<<(attempt-1) > 0 {
		d = min(d, q.cfg.Retry<<(attempt-1))
	}
	return d - rand.N(d/2+1) // #nosec G404 -- it spreads retries, and keeps nothing secret
}

// Stats returns the gauges and counters of this moment.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats
}

// Oldest returns when the time of the oldest open item began, the zero time if there
// is none.
func (q *Queue) Oldest() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ages.oldest()
}

// Waiting is where an open item stands.
type Waiting struct {
	Attempts uint32 // so far, since the Queue was made
	Problem  string // of the last one
	Due      time.Time
	Behind   bool // another of its line comes first
}

// Waiting returns where an item stands, and false if it is not open.
func (q *Queue) Waiting(id [16]byte, n uint32) (Waiting, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[id]
	if l == nil {
		return Waiting{}, false
	}
	first := Waiting{Attempts: l.attempts, Problem: l.problem, Due: l.due}
	if l.trying != nil && l.trying.N == n {
		return first, true
	}
	i := slices.IndexFunc(l.items, func(item Item) bool { return item.N == n })
	if i == 0 && l.trying == nil {
		return first, true
	}
	return Waiting{Behind: true}, i >= 0
}

// lineHeap has the line first that is due first.
type lineHeap []*line

func (h lineHeap) Len() int           { return len(h) }
func (h lineHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h lineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *lineHeap) Push(x any) {
	l := x.(*line)
	l.place = len(*h)
	*h = append(*h, l)
}
func (h *lineHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	l.place = -1
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}
