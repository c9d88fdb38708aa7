package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTime measures how the real binary starts on a data directory: until /readyz
// answers 200, and what memory it has then and at most had. The directory is left
// as a start leaves it: a few records longer.
func startTime(args []string) error {
	flags := flag.NewFlagSet("start", flag.ExitOnError)
	data := flags.String("data", "", "data directory, such as fill makes")
	rounds := flags.Int("rounds", 3, "starts of which the median counts")
	binary := flags.String("binary", "", "binary to start; default: build it")
	_ = flags.Parse(args)
	if *data == "" || *rounds < 1 {
		return fmt.Errorf("want --data, and --rounds of at least 1")
	}
	if *binary == "" {
		dir, err := os.MkdirTemp("", "exchange-start-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if *binary, err = build(context.Background(), dir, "exchange", "./cmd/exchange"); err != nil {
			return err
		}
	}
	var all []started
	for range *rounds {
		s, err := startOnce(*binary, *data)
		if err != nil {
			return err
		}
		fmt.Printf("ready after %6.2f s: recovery %6.2f s, %d events (%.2f M/s), RSS %d MiB now, %d MiB at most\n",
			s.Seconds, s.Recovery, s.Events, s.rate()/1e6, s.RSS>>20, s.PeakRSS>>20)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b started) int { return int((a.Seconds - b.Seconds) * 1e6) })
	m := all[len(all)/2]
	fmt.Printf("\n%d accounts with %d transactions: %.0f bytes of heap an account, its transactions and some garbage included\n",
		m.Accounts, m.Transactions, float64(m.Heap)/float64(max(m.Accounts, 1)))
	return json.NewEncoder(os.Stdout).Encode(m)
}

// started is one start. Sizes are bytes.
type started struct {
	Seconds      float64 `json:"seconds"`
	Recovery     float64 `json:"recovery_seconds"`
	Records      uint64  `json:"records"`
	Events       uint64  `json:"events"`
	Accounts     uint64  `json:"accounts"`
	Transactions uint64  `json:"transactions"`
	RSS          uint64  `json:"rss"`
	PeakRSS      uint64  `json:"peak_rss"`
	Heap         uint64  `json:"heap"`
}

func (s started) rate() float64 { return float64(s.Events) / max(s.Recovery, 1e-9) }

func startOnce(binary, data string) (s started, err error) {
	address, err := freeAddress()
	if err != nil {
		return s, err
	}
	begin := time.Now()
	p, err := launch(exec.Command(binary, "serve", "--listen", address, "--data", data, "--log-format", "json", "--snapshot-bytes", "0"), syscall.SIGTERM)
	if err != nil {
		return s, err
	}
	defer p.stop()
	command := p.command
	client := http.Client{Timeout: time.Second}
	for deadline := begin.Add(10 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if response, err := client.Get("http://" + address + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) || syscall.Kill(command.Process.Pid, 0) != nil {
			return s, fmt.Errorf("%s did not become ready: %s", filepath.Base(binary), &p.log)
		}
	}
	s.Seconds = time.Since(begin).Seconds()
	if s.RSS, s.PeakRSS, err = memoryOf(command.Process.Pid); err != nil {
		return s, err
	}
	metrics, err := metricsOf(&client, address)
	if err != nil {
		return s, err
	}
	s.Accounts = uint64(metrics["exchange_accounts"])
	s.Transactions = uint64(metrics["exchange_transactions"])
	s.Heap = uint64(metrics["go_memstats_heap_alloc_bytes"])
	s.Recovery = metrics["exchange_recovery_seconds"]
	s.Records, s.Events = uint64(metrics["exchange_recovered_records"]), uint64(metrics["exchange_recovered_events"])
	return s, nil
}

// memoryOf returns a process's resident memory, now and the most it ever was.
func memoryOf(pid int) (now, most uint64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			most = kib << 10
		}
	}
	return now, most, nil
}

// metricsOf reads /metrics.
func metricsOf(client *http.Client, address string) (map[string]float64, error) {
	response, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return values, lines.Err()
}
