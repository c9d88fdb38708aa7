package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// load is one measurement: many connections, each with at most one request under
// way, for a time or a number of requests.
//
// Without a rate the loop is closed: a connection sends its next request when it
// has its response, so that the server sets the pace. With a rate the loop is open:
// requests are due at fixed times whatever the server does, one that finds no free
// connection waits, and latency counts from when it was due. A closed loop measures
// throughput; only an open one measures the latency that a user sees, because it
// does not stop asking while the server is stuck (coordinated omission; Gil Tene,
// "How NOT to Measure Latency").
type load struct {
	address     string
	connections int
	threads     int           // default 2
	duration    time.Duration // no request is due after it; 0: no limit
	requests    int64         // sent in all; 0: no limit
	rate        float64       // requests a second; 0: closed loop
	source      source
	sink        func(c call, r response) error // optional; called by all threads at once
}

// call is what is remembered of a request until its response comes.
type call struct {
	operation operation
	user      int32
}

// source appends the n-th request of a load to b. All threads call it at once.
type source func(b []byte, n int64, random *rand.Rand) ([]byte, call)

// measured is what a load came to.
type measured struct {
	responses [operations]int64
	took      time.Duration           // until the last response
	latency   *hdrhistogram.Histogram // in microseconds
}

func (m *measured) total() (n int64) {
	for _, of := range m.responses {
		n += of
	}
	return n
}

// deposits is how many were acknowledged.
func (m *measured) deposits() (n int64) {
	for op, of := range m.responses {
		n += of * operation(op).deposits()
	}
	return n
}

// rate is in responses a second.
func (m *measured) rate() float64 { return float64(m.total()) / m.took.Seconds() }

// quantile is in microseconds.
func (m *measured) quantile(q float64) int64 { return m.latency.ValueAtQuantile(q) }

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
}

// maxOverrun is how long responses, and in an open loop requests that are due, may
// take after the end.
const maxOverrun = 10 * time.Second

// run generates the load. Any status but the operation's own ends it with an error,
// as does ctx.
func (l load) run(ctx context.Context) (*measured, error) {
	if l.threads == 0 {
		l.threads = 2
	}
	l.threads = min(l.threads, l.connections)
	if l.connections < 1 || (l.duration == 0 && l.requests == 0) {
		return nil, errors.New("a load needs connections, and a duration or a number of requests")
	}
	var sent atomic.Int64
	loops := make([]*loop, l.threads)
	defer func() {
		for _, lp := range loops {
			if lp != nil {
				lp.close()
			}
		}
	}()
	for i := range loops {
		connections := l.connections/l.threads + btoi(i < l.connections%l.threads)
		lp, err := newLoop(l, connections, &sent)
		if err != nil {
			return nil, err
		}
		loops[i] = lp
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	failures := make([]error, len(loops))
	var wg sync.WaitGroup
	for i, lp := range loops {
		wg.Go(func() {
			if l.rate > 0 {
				// The threads take turns, so that together they keep to the rate evenly.
				lp.schedule = newSchedule(l.rate, i, len(loops))
			}
			if failures[i] = lp.run(ctx, start); failures[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	if err := firstFailure(failures); err != nil {
		return nil, err
	}
	sum := &measured{latency: newHistogram(), took: time.Since(start)}
	for _, lp := range loops {
		sum.latency.Merge(lp.latency)
		for op, n := range lp.responses {
			sum.responses[op] += n
		}
	}
	if sum.total() == 0 {
		return nil, fmt.Errorf("no response in %s", l.duration)
	}
	return sum, nil
}

// firstFailure prefers what went wrong to the cancellation that it caused.
func firstFailure(failures []error) error {
	var first error
	for _, err := range failures {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// schedule says when the requests of one thread of an open loop are due, in
// nanoseconds since the start of the load.
type schedule struct {
	interval float64 // between two of this thread
	first    float64
	n        int64 // taken so far
}

// newSchedule spreads rate over threads and returns the schedule of one of them.
func newSchedule(rate float64, thread, threads int) *schedule {
	gap := float64(time.Second) / rate
	return &schedule{interval: gap * float64(threads), first: gap * float64(thread)}
}

// due is when the next request is due. It is computed from the count and not added
// up, so that no error adds up either.
func (s *schedule) due() int64 { return int64(s.first + float64(s.n)*s.interval) }

// take counts the next request as sent.
func (s *schedule) take() { s.n++ }
