package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sample is what one round came to. Latencies are in microseconds; CPU is of the
// server and its database, in microseconds a request.
type sample struct {
	Rate   float64 `json:"requests_per_second"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	P999   float64 `json:"p99_9_us"`
	CPU    float64 `json:"cpu_us_per_request"`
	Bytes  float64 `json:"bytes_written_per_request"`
	Allocs float64 `json:"allocs_per_request"`
}

func newSample(m *measured, used usage) sample {
	n := float64(m.total())
	return sample{
		Rate: m.rate(),
		P50:  float64(m.quantile(50)), P99: float64(m.quantile(99)), P999: float64(m.quantile(99.9)),
		CPU:   float64(used.cpu.Microseconds()) / n,
		Bytes: float64(used.written) / n, Allocs: float64(used.allocs) / n,
	}
}

// row is one line of the table: a mix on a subject, with a sample for each round.
type row struct {
	Mix     string   `json:"mix"`
	Subject string   `json:"subject"`
	Rounds  []sample `json:"rounds"`
	Median  sample   `json:"median"`
	Min     sample   `json:"min"`
	Max     sample   `json:"max"`
}

// summarize fills in the median, the least and the most of each figure by itself.
func (r *row) summarize() {
	for _, figure := range []func(*sample) *float64{
		func(s *sample) *float64 { return &s.Rate },
		func(s *sample) *float64 { return &s.P50 },
		func(s *sample) *float64 { return &s.P99 },
		func(s *sample) *float64 { return &s.P999 },
		func(s *sample) *float64 { return &s.CPU },
		func(s *sample) *float64 { return &s.Bytes },
		func(s *sample) *float64 { return &s.Allocs },
	} {
		values := make([]float64, len(r.Rounds))
		for i := range r.Rounds {
			values[i] = *figure(&r.Rounds[i])
		}
		*figure(&r.Median) = median(values)
		*figure(&r.Min), *figure(&r.Max) = slices.Min(values), slices.Max(values)
	}
}

// median is the mean of the middle two where there is no middle one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// report is all that a run found.
type report struct {
	Date        string             `json:"date"`
	Machine     string             `json:"machine"`
	Command     string             `json:"command"`
	Connections int                `json:"connections"`
	Users       int                `json:"users"`
	Written     string             `json:"written"` // where the bytes were counted
	Settings    map[string]string  `json:"settings"`
	Rows        []*row             `json:"rows"`
	Ratios      map[string]float64 `json:"ratios"`
}

func newReport(arguments []string, connections, users int) *report {
	return &report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(),
		Command:     strings.TrimSpace("go run ./bench " + strings.Join(arguments, " ")),
		Connections: connections, Users: users, Settings: map[string]string{},
	}
}

// machine describes where the run was.
func machine() string {
	model := "unknown processor"
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, found := bytes.Cut(content, []byte("model name")); found {
			line, _, _ := bytes.Cut(after, []byte{'\n'})
			model = strings.Trim(string(line), "\t :")
		}
	}
	var name unix.Utsname
	_ = unix.Uname(&name)
	return fmt.Sprintf("%s, %d cores, Linux %s, %s", model, runtime.NumCPU(), unix.ByteSliceToString(name.Release[:]), runtime.Version())
}

// row finds the row of a mix on a subject, nil if it was not measured.
func (r *report) row(mix, subject string) *row {
	for _, w := range r.Rows {
		if w.Mix == mix && w.Subject == subject {
			return w
		}
	}
	return nil
}

// add keeps the sample of a round.
func (r *report) add(mix, subject string, s sample) {
	w := r.row(mix, subject)
	if w == nil {
		w = &row{Mix: mix, Subject: subject}
		r.Rows = append(r.Rows, w)
	}
	w.Rounds = append(w.Rounds, s)
}

// finish computes the summaries and ratios.
func (r *report) finish() {
	for _, w := range r.Rows {
		w.summarize()
	}
	r.Ratios = map[string]float64{}
	for name, of := range map[string][2]string{
		"deposit_vs_empty":    {"deposit", emptyName},
		"balance_vs_empty":    {"balance", emptyName},
		"deposit_vs_postgres": {"deposit", postgresName},
		"deposit_vs_redis":    {"deposit", redisName},
		"deposit_vs_sqlite":   {"deposit", sqliteName},
	} {
		if a, b := r.row(of[0], exchangeName), r.row(of[0], of[1]); a != nil && b != nil {
			r.Ratios[name] = ratio(a, b)
		}
	}
}

// ratio is the median of the rounds' ratios of rates: what disturbs the machine
// disturbs neighbours alike.
func ratio(a, b *row) float64 {
	ratios := make([]float64, min(len(a.Rounds), len(b.Rounds)))
	for i := range ratios {
		ratios[i] = a.Rounds[i].Rate / b.Rounds[i].Rate
	}
	return math.Round(median(ratios)*1e4) / 1e4
}

// write prints the table.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "%s, %s\n%s\n%d connections, %d users; medians of %d interleaved rounds\n",
		r.Date, r.Machine, r.Command, r.Connections, r.Users, len(r.Rows[0].Rounds))
	fmt.Fprintf(w, "\n%-12s %-14s %10s %19s %8s %8s %8s %8s %8s %8s %8s\n", "", "", "requests/s", "min to max", "p50", "p99", "p99.9", "CPU", "written", "allocs", "of")
	fmt.Fprintf(w, "%-12s %-14s %10s %19s %8s %8s %8s %8s %8s %8s %8s\n", "mix", "subject", "", "", "ms", "ms", "ms", "µs/req", "B/req", "/req", "empty")
	last := ""
	for _, x := range r.Rows {
		if x.Mix != last {
			fmt.Fprintln(w)
		}
		last = x.Mix
		share := ""
		if limit := r.row(x.Mix, emptyName); limit != nil && limit != x {
			share = fmt.Sprintf("%.2f", ratio(x, limit))
		}
		m := x.Median
		fmt.Fprintf(w, "%-12s %-14s %10.0f %19s %8.2f %8.2f %8.2f %8.1f %8.0f %8.1f %8s\n", x.Mix, x.Subject, m.Rate,
			fmt.Sprintf("%.0f to %.0f", x.Min.Rate, x.Max.Rate), m.P50/1e3, m.P99/1e3, m.P999/1e3, m.CPU, m.Bytes, m.Allocs, share)
	}
	fmt.Fprintf(w, "\nCPU is of the server with its database; allocs of the HTTP server; written is %s.\n", r.Written)
	for _, name := range []string{exchangeName, emptyName, postgresName, redisName, sqliteName} {
		if settings, ok := r.Settings[name]; ok {
			fmt.Fprintf(w, "%s: %s\n", name, settings)
		}
	}
}

// save writes v as JSON to file.
func save(file string, v any) error {
	content, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o644)
}
