package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "streams":
			exit(streams(os.Args[2:]))
		case "fill":
			exit(fill(os.Args[2:]))
		case "start":
			exit(startTime(os.Args[2:]))
		case "snapshot":
			exit(snapshotPause(os.Args[2:]))
		}
	}
	connections := flag.Int("connections", 256, "connections, each with one request under way")
	users := flag.Int("users", 10_000, "users, spread over the connections")
	rounds := flag.Int("rounds", 5, "interleaved rounds of which the median counts")
	duration := flag.Duration("duration", 3*time.Second, "length of one measurement")
	empty := flag.String("empty", "", "serve the empty handler on this address (used by bench itself)")
	size := flag.Int("size", 0, "body size of the empty handler in bytes")
	flag.Parse()
	if *empty != "" {
		exit(serveEmpty(*empty, *size))
	}
	exit(run(*connections, *users, *rounds, *duration))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// subject is one thing that is measured: a server and the requests it gets.
type subject struct {
	name    string
	address string
	want    int // status
	request func(connection, n int) []byte
	rates   []float64
	p50     []int64 // microseconds
	p99     []int64
}

func run(connections, users, rounds int, duration time.Duration) error {
	dir, err := os.MkdirTemp("", "exchange-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := build(dir)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	exchange, err := start(binary, "/readyz", func(address string) []string {
		return []string{"serve", "--listen", address, "--data", data, "--demo", "--log-level", "error"}
	})
	if err != nil {
		return err
	}
	defer exchange.stop()

	deposits, balances, err := logIn(exchange.address, users)
	if err != nil {
		return err
	}
	depositSize, err := responseSize(exchange.address, deposits[0])
	if err != nil {
		return err
	}
	balanceSize, err := responseSize(exchange.address, balances[0])
	if err != nil {
		return err
	}
	emptyDeposit, err := startEmpty(depositSize)
	if err != nil {
		return err
	}
	defer emptyDeposit.stop()
	emptyBalance, err := startEmpty(balanceSize)
	if err != nil {
		return err
	}
	defer emptyBalance.stop()

	pick := func(requests [][]byte) func(int, int) []byte {
		return func(connection, n int) []byte { return requests[(connection+n*connections)%len(requests)] }
	}
	subjects := []*subject{
		{name: "empty handler, deposit's size", address: emptyDeposit.address, want: 200, request: pick(deposits)},
		{name: "deposit", address: exchange.address, want: 201, request: pick(deposits)},
		{name: "empty handler, balance's size", address: emptyBalance.address, want: 200, request: pick(balances)},
		{name: "balance", address: exchange.address, want: 200, request: pick(balances)},
	}
	fmt.Printf("%s, %d cores, %s; %d connections, %d users, %d rounds of %s\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), connections, users, rounds, duration)
	for round := -1; round < rounds; round++ { // the first warms up
		for _, s := range subjects {
			length := duration
			if round < 0 {
				length = time.Second
			}
			r, err := load(s.address, connections, length, s.want, s.request)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round >= 0 {
				s.rates = append(s.rates, r.rate)
				s.p50 = append(s.p50, r.latency.ValueAtQuantile(50))
				s.p99 = append(s.p99, r.latency.ValueAtQuantile(99))
			}
		}
	}
	fmt.Printf("%-30s %12s %25s %10s %10s\n", "", "requests/s", "min to max", "p50", "p99")
	for _, s := range subjects {
		fmt.Printf("%-30s %12.0f %12.0f to %9.0f %8d µs %7d µs\n", s.name, median(s.rates),
			slices.Min(s.rates), slices.Max(s.rates), median(s.p50), median(s.p99))
	}
	single, sync, err := alone(exchange.address, dir, deposits[0], rounds)
	if err != nil {
		return err
	}
	fmt.Printf("\none client: deposit %d µs, a write and sync of the same disk %d µs (medians)\n\n", single, sync)
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"deposit_vs_empty": ratio(subjects[1], subjects[0]),
		"balance_vs_empty": ratio(subjects[3], subjects[2]),
	})
}

func startEmpty(size int) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(self, "/", func(address string) []string { return []string{"-empty", address, "-size", strconv.Itoa(size)} })
}

// logIn makes users, and returns the deposit and the balance request of each.
func logIn(address string, users int) (deposits, balances [][]byte, err error) {
	c, err := dial(address)
	if err != nil {
		return nil, nil, err
	}
	defer c.conn.Close()
	for i := range users {
		status, body, err := c.do(message("POST", "/api/users/login", "", fmt.Sprintf(`{"wallet_address":"aitbc1wallet_bench%08d"}`, i)))
		if err != nil || status != 200 {
			return nil, nil, fmt.Errorf("login: status %d, %s: %w", status, body, err)
		}
		var login struct {
			UserID string `json:"user_id"`
			Token  string `json:"session_token"`
		}
		if err := json.Unmarshal(body, &login); err != nil {
			return nil, nil, err
		}
		deposits = append(deposits, message("POST", "/api/users/"+login.UserID+"/deposits", login.Token, `{"amount":1.5}`))
		balances = append(balances, message("GET", "/api/users/"+login.UserID+"/balance", login.Token, ""))
	}
	return deposits, balances, nil
}

func responseSize(address string, request []byte) (int, error) {
	c, err := dial(address)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	_, body, err := c.do(request)
	return len(body), err
}

// alone measures, in turns, a deposit by a single client and a bare write and
// sync of 200 bytes in the same directory, in microseconds.
func alone(address, dir string, deposit []byte, rounds int) (single, sync int64, err error) {
	c, err := dial(address)
	if err != nil {
		return 0, 0, err
	}
	defer c.conn.Close()
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	var singles, syncs []int64
	record := make([]byte, 200)
	for range rounds * 200 {
		start := time.Now()
		if _, _, err := c.do(deposit); err != nil {
			return 0, 0, err
		}
		singles = append(singles, time.Since(start).Microseconds())
		start = time.Now()
		if _, err := file.Write(record); err != nil {
			return 0, 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, 0, err
		}
		syncs = append(syncs, time.Since(start).Microseconds())
	}
	return median(singles), median(syncs), nil
}

func median[T int64 | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// ratio is the median of the rounds' ratios, to four places.
func ratio(a, b *subject) float64 {
	ratios := make([]float64, len(a.rates))
	for i := range ratios {
		ratios[i] = a.rates[i] / b.rates[i]
	}
	return float64(int(median(ratios)*1e4)) / 1e4
}
