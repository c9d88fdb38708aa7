package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Bounds of what the garbage collector lets grow: as much garbage as there is live
// data, which is Go's own rule, but at least minGarbage, because a collection beside
// the requests makes the slowest of them slow, and at most maxGarbage. Accounts are
// data that stays, and a process of a million of them must not take twice their size.
const (
	maxGarbage    = 512 << 20
	minGarbage    = 256 << 20
	minLive       = 4 << 20 // Go's own
	minGCPercent  = 20
	recoveringGC  = 40 // percent, while there is a lot of garbage and no request waits
	collectorLook = 10 * time.Second
)

// tuneCollector keeps the garbage within its bounds until ctx is done. It returns
// at once; recovered is to be called when recovery is over, and gives the memory
// that it took back to the system, beside the first requests. An operator who has
// set GOGC or GOMEMLIMIT is obeyed instead.
func tuneCollector(ctx context.Context) (recovered func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	debug.SetGCPercent(recoveringGC)
	return func() {
		go func() {
			debug.FreeOSMemory()
			tick := time.NewTicker(collectorLook)
			defer tick.Stop()
			for {
				debug.SetGCPercent(gcPercent(liveBytes()))
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
}

// gcPercent is how much garbage may come about for so much live data.
func gcPercent(live uint64) int {
	garbage := min(maxGarbage, max(minGarbage, live))
	return int(max(minGCPercent, 100*garbage/max(minLive, live)))
}

// liveBytes is what the last collection has left.
func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
