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
	dir, err := os.MkdirTemp("", "exchange-pause-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := build(dir)
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
	exchange, err := start(binary, "/readyz", func(address string) []string {
		return []string{"serve", "--listen", address, "--data", data, "--demo", "--log-level", "error", "--snapshot-bytes", "0", "--operator-key-file", keys}
	})
	if err != nil {
		return err
	}
	defer exchange.stop()
	deposits, _, err := logIn(exchange.address, *users)
	if err != nil {
		return err
	}
	snapshot := []byte("POST /api/operator/snapshot HTTP/1.1\r\nHost: bench\r\nX-Session-Token: " + key[len("bench:"):] + "\r\nContent-Length: 0\r\n\r\n")

	quiet, busy := hdrhistogram.New(1, 60_000_000, 3), hdrhistogram.New(1, 60_000_000, 3)
	taken := 0
	for round := -1; round < *rounds; round++ { // the first warms up
		h, err := paced(exchange.address, *connections, *rate, *duration, deposits)
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
		during, err := paced(exchange.address, *connections, *rate, *duration, deposits)
		close(stop)
		snapshots.Wait()
		if err != nil {
			return err
		}
		if failure != nil {
			return failure
		}
		if round >= 0 {
			quiet.Merge(h)
			busy.Merge(during)
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
	defer c.conn.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		switch status, body, err := c.do(request); {
		case err != nil:
			return begun, err
		case status == 202:
			begun++
		case status != 409:
			return begun, fmt.Errorf("snapshot: status %d: %s", status, body)
		}
		select {
		case <-stop:
			return begun, nil
		case <-tick.C:
		}
	}
}

// paced sends requests at a fixed rate, spread over connections, and returns the
// latencies in microseconds from when each was due.
func paced(address string, connections, rate int, duration time.Duration, requests [][]byte) (*hdrhistogram.Histogram, error) {
	histograms := make([]*hdrhistogram.Histogram, connections)
	failures := make(chan error, connections)
	interval := time.Second * time.Duration(connections) / time.Duration(rate)
	begin := time.Now().Add(10 * time.Millisecond)
	var wg sync.WaitGroup
	for i := range connections {
		c, err := dial(address)
		if err != nil {
			return nil, err
		}
		histograms[i] = hdrhistogram.New(1, 60_000_000, 3)
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer c.conn.Close()
			due := begin.Add(interval * time.Duration(i) / time.Duration(connections))
			for n := i; due.Before(begin.Add(duration)); n += connections {
				time.Sleep(time.Until(due))
				status, body, err := c.do(requests[n%len(requests)])
				if err == nil && status != 201 {
					err = fmt.Errorf("deposit: status %d: %s", status, body)
				}
				if err != nil {
					failures <- err
					return
				}
				_ = histograms[i].RecordValue(time.Since(due).Microseconds())
				due = due.Add(interval)
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-failures:
		return nil, err
	default:
	}
	for _, h := range histograms[1:] {
		histograms[0].Merge(h)
	}
	return histograms[0], nil
}
