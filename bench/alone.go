package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// alone is what a single client sees, and what the disk takes of it.
type alone struct {
	deposit, sync float64 // medians, in microseconds
}

// newAlone measures, in turns, a deposit and a bare write and sync of 200 bytes in
// the same directory.
func newAlone(dir string, exchange *subject, times int) (alone, error) {
	c, err := dial(exchange.server.address)
	if err != nil {
		return alone{}, err
	}
	defer c.close()
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return alone{}, err
	}
	defer file.Close()
	request := exchange.users.appendRequest(nil, call{operation: deposit})
	record := make([]byte, 200)
	var deposits, syncs []float64
	for range times {
		start := time.Now()
		r, err := c.do(request)
		if err != nil {
			return alone{}, err
		}
		if r.status != deposit.status() {
			return alone{}, fmt.Errorf("deposit: status %d: %s", r.status, r.body)
		}
		deposits = append(deposits, float64(time.Since(start).Nanoseconds())/1e3)
		exchange.acknowledged++
		start = time.Now()
		if _, err := file.Write(record); err != nil {
			return alone{}, err
		}
		if err := file.Sync(); err != nil {
			return alone{}, err
		}
		syncs = append(syncs, float64(time.Since(start).Nanoseconds())/1e3)
	}
	return alone{median(deposits), median(syncs)}, nil
}
