package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// snapshotPause shows what a snapshot costs the requests beside it: deposits at a
// fixed rate, without a snapshot and while snapshots are taken one after another,
// in turns on one server. A latency counts from when the request was due, so that
// a pause is seen in every request that it holds up.
func snapshotPause(args []string) error {
	flags := flag.NewFlagSet("snapshot", flag.ExitOnError)
	accounts := flags.Int("accounts", 200_000, "accounts that are there, with 10 transactions each")
	users := flags.Int("users", 1000, "users who deposit")
	connections := flags.Int("connections", 32, "connections")
	rate := flags.Int("rate", 2000, "deposits a second")
	rounds := flags.Int("rounds", 4, "interleaved rounds")
	duration := flags.Duration("duration", 4*time.Second, "length of one measurement")
	_ = flags.Parse(args)
	ctx, cancel := interruptible()
	defer cancel()
	s, err := newSite("")
	if err != nil {
		return err
	}
	defer s.close()
	dir := s.dir
	binary, err := build(ctx, dir, "exchange", "./cmd/exchange")
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := fill([]string{"--accounts", strconv.Itoa(*accounts), "--data", data, "--snapshot"}); err != nil {
		return err
	}
	const key = "bench:0123456789abcdef0123456789abcdef"
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte(key+"\n"), 0o600); err != nil {
		return err
	}
	exchange, err := startServer(ctx, binary, "/readyz", func(address string) []string {
		return []string{"serve", "--listen", address, "--data", data, "--demo", "--log-level", "error", "--snapshot-bytes", "0", "--operator-key-file", keys}
	})
	if err != nil {
		return err
	}
	defer exchange.stop()
	population, err := populate(ctx, exchange.address, *users, false)
	if err != nil {
		return err
	}
	snapshot := []byte("POST /api/operator/snapshot HTTP/1.1\r\nHost: bench\r\nX-Session-Token: " + key[len("bench:"):] + "\r\nContent-Length: 0\r\n\r\n")

	deposits := load{address: exchange.address, connections: *connections, rate: float64(*rate), duration: *duration, source: mixes[deposit].source(population)}
	quiet, busy := newHistogram(), newHistogram()
	taken := 0
	for round := -1; round < *rounds; round++ { // the first warms up
		before, err := deposits.run(ctx)
		if err != nil {
			return err
		}
		stop := make(chan struct{})
		var begun int
		var failure error
		var snapshots sync.WaitGroup
		snapshots.Add(1)
		go func() {
			defer snapshots.Done()
			begun, failure = snapshotsUntil(stop, exchange.address, snapshot)
		}()
		during, err := deposits.run(ctx)
		close(stop)
		snapshots.Wait()
		if err != nil {
			return err
		}
		if failure != nil {
			return failure
		}
		if round >= 0 {
			quiet.Merge(before.latency)
			busy.Merge(during.latency)
			taken += begun
		}
	}
	fmt.Printf("%d accounts, %d deposits/s on %d connections, %d rounds of %s, %d snapshots\n\n%-18s %9s %9s %9s %9s\n",
		*accounts, *rate, *connections, *rounds, *duration, taken, "", "p50", "p99", "p99.9", "max")
	for _, row := range []struct {
		name string
		h    *hdrhistogram.Histogram
	}{{"without snapshot", quiet}, {"during snapshots", busy}} {
		fmt.Printf("%-18s", row.name)
		for _, q := range []float64{50, 99, 99.9, 100} {
			fmt.Printf(" %6.2f ms", float64(row.h.ValueAtQuantile(q))/1000)
		}
		fmt.Println()
	}
	fmt.Printf("\np99 grows by %.2f ms\n", float64(busy.ValueAtQuantile(99)-quiet.ValueAtQuantile(99))/1000)
	return nil
}

// snapshotsUntil takes snapshots one after another, and returns how many it began.
func snapshotsUntil(stop <-chan struct{}, address string, request []byte) (begun int, err error) {
	c, err := dial(address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		switch r, err := c.do(request); {
		case err != nil:
			return begun, err
		case r.status == 202:
			begun++
		case r.status != 409:
			return begun, fmt.Errorf("snapshot: status %d: %s", r.status, r.body)
		}
		select {
		case <-stop:
			return begun, nil
		case <-tick.C:
		}
	}
}
