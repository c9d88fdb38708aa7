package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aitbc/exchange/bench/peer"
)

// compareClients proves that the load generator is not what limits: on the same
// empty handler and with as many connections and threads it asks no slower than
// wrk, in turns with it.
func compareClients(args []string) error {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	connections := flags.Int("connections", 256, "connections")
	threads := flags.Int("threads", 2, "threads, of wrk too")
	rounds := flags.Int("rounds", 5, "interleaved rounds")
	duration := flags.Duration("duration", 2*time.Second, "length of one measurement, in whole seconds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return &errMissing{"wrk", "wrk"}
	}
	ctx, stop := interruptible()
	defer stop()
	s, err := newSite("")
	if err != nil {
		return err
	}
	defer s.close()
	empty := &subject{name: emptyName}
	form := peer.Sample{Status: 200, Headers: peer.Headers, Size: 183}
	if err := s.startEmpty(ctx, empty, peer.Samples{Balance: form}); err != nil {
		return err
	}
	const path = "/api/users/00000000-0000-4000-8000-000000000000/balance"
	token := strings.Repeat("t", 64)
	request := message("GET", path, token, "")
	var ours, theirs, ratios, ourCPU, theirCPU []float64 // CPU in microseconds a request
	for range *rounds {
		l := load{address: empty.server.address, connections: *connections, threads: *threads, duration: *duration}
		l.source = func(b []byte, _ int64, _ *rand.Rand) ([]byte, call) {
			return append(b, request...), call{operation: balance}
		}
		began := processCPU()
		got, err := l.run(ctx)
		if err != nil {
			return err
		}
		ourCPU = append(ourCPU, float64((processCPU()-began).Microseconds())/float64(got.total()))
		command := exec.CommandContext(ctx, wrk, "-t", strconv.Itoa(*threads), "-c", strconv.Itoa(*connections),
			"-d", fmt.Sprintf("%.0fs", duration.Seconds()), "-H", "X-Session-Token: "+token, "http://"+empty.server.address+path)
		out, err := command.CombinedOutput()
		if err != nil {
			return fmt.Errorf("wrk: %w: %s", err, out)
		}
		rate, err := wrkRate(string(out))
		if err != nil {
			return err
		}
		used := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
		theirCPU = append(theirCPU, float64(used.Microseconds())/(rate*duration.Seconds()))
		ours, theirs, ratios = append(ours, got.rate()), append(theirs, rate), append(ratios, got.rate()/rate)
	}
	fmt.Printf("%s\n%d connections, %d threads, the empty handler, %d interleaved rounds of %s\n\n", machine(), *connections, *threads, *rounds, *duration)
	fmt.Printf("%-6s %12s %22s %14s\n", "", "requests/s", "min to max", "its own CPU")
	fmt.Printf("%-6s %12.0f %22s %11.1f µs\n", "bench", median(ours), fmt.Sprintf("%.0f to %.0f", slices.Min(ours), slices.Max(ours)), median(ourCPU))
	fmt.Printf("%-6s %12.0f %22s %11.1f µs\n", "wrk", median(theirs), fmt.Sprintf("%.0f to %.0f", slices.Min(theirs), slices.Max(theirs)), median(theirCPU))
	fmt.Printf("\nbench over wrk: %.3f (median of the rounds' ratios)\n", median(ratios))
	return nil
}

// processCPU is what this process has used, user and system.
func processCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // it fails for a wrong argument only
	}
	return time.Duration(unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime))
}

func wrkRate(output string) (float64, error) {
	_, after, found := strings.Cut(output, "Requests/sec:")
	fields := strings.Fields(after)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("wrk printed no rate: %s", output)
	}
	return strconv.ParseFloat(fields[0], 64)
}
