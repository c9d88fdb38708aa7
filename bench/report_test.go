package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

// disturbed is a report of three rounds, in the second of which the machine was
// busy with something else.
func disturbed() *report {
	r := newReport([]string{"-quick"}, 256, 10_000)
	r.Settings[emptyName] = "as it is"
	for _, machine := range []float64{1, 0.5, 1} {
		for subject, rate := range map[string]float64{exchangeName: 30_000, emptyName: 40_000, postgresName: 3000, redisName: 15_000} {
			r.add("deposit", subject, sample{Rate: rate * machine, P50: 1000, P99: 2000, P999: 3000, CPU: 20 / machine, Allocs: 4})
		}
	}
	r.add("balance", exchangeName, sample{Rate: 39_000})
	r.add("balance", emptyName, sample{Rate: 40_000})
	r.finish()
	return r
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	for name, want := range map[string]float64{
		"deposit_vs_empty": 0.75, "balance_vs_empty": 0.975, "deposit_vs_postgres": 10, "deposit_vs_redis": 2,
	} {
		if got := disturbed().Ratios[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if _, found := disturbed().Ratios["deposit_vs_sqlite"]; found {
		t.Error("a ratio to a peer that was not measured")
	}
}

func TestTableHasMedianMinAndMax(t *testing.T) {
	var b bytes.Buffer
	disturbed().write(&b)
	for _, want := range []string{
		"deposit      exchange            30000      15000 to 30000     1.00     2.00     3.00     20.0        0      4.0     0.75",
		"256 connections, 10000 users", "go run ./bench -quick", "empty handler: as it is",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &b)
		}
	}
}

func TestSavedReportHasEveryRound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	if err := save(file, disturbed()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	if w := r.row("deposit", exchangeName); w == nil || len(w.Rounds) != 3 || w.Rounds[1].Rate != 15_000 || w.Min.Rate != 15_000 || w.Max.CPU != 40 {
		t.Errorf("read back as %s", content)
	}
}

func TestParseStatReadsPastTheName(t *testing.T) {
	s, err := parseStat([]byte("42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0 100 1 1"))
	if err != nil || s.parent != 7 || s.cpu != 1750*time.Millisecond {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := parseStat([]byte("42 (short) S 7")); err == nil {
		t.Error("a cut line is read without an error")
	}
}

func TestUsageIsOfAllDescendants(t *testing.T) {
	parents := map[int]int{1: 0, 10: 1, 11: 10, 12: 11, 20: 1}
	for pid, want := range map[int]bool{10: true, 11: true, 12: true, 20: false, 1: false} {
		if got := descends(pid, []int{10}, parents); got != want {
			t.Errorf("process %d: %v, want %v", pid, got, want)
		}
	}
	u, err := usageOf(os.Getpid())
	if err != nil || u.cpu <= 0 {
		t.Errorf("this process: %+v, %v", u, err)
	}
}

func TestGoalsAreMetOnTheirSide(t *testing.T) {
	for _, c := range []struct {
		goal goal
		want bool
	}{
		{goal{Value: 3, Goal: 3, AtMost: true}, true}, {goal{Value: 3.1, Goal: 3, AtMost: true}, false},
		{goal{Value: 0.9, Goal: 0.9}, true}, {goal{Value: 0.89, Goal: 0.9}, false},
	} {
		if got := c.goal.met(); got != c.want {
			t.Errorf("%+v: %v", c.goal, got)
		}
	}
}

func TestChartsAreDrawnFromData(t *testing.T) {
	line := func(name string, points ...point) []series { return []series{{Name: name, Points: points}} }
	data := chartData{
		Date: "2026-01-02", Machine: "a machine",
		Throughput: line("exchange <&>", point{1, 1000}, point{4, 4000}, point{1024, 30_000}),
		Latency:    line("p99", point{1000, 0.4}, point{20_000, 12}),
		Cost:       line("deposit", point{1000, 20}, point{1_000_000, 22}),
	}
	dir := t.TempDir()
	if err := data.draw(dir); err != nil {
		t.Fatal(err)
	}
	for file, texts := range map[string][]string{
		"throughput.svg": {"exchange &lt;&amp;&gt;", "1,024", "requests/s", "a machine, 2026-01-02"},
		"latency.svg":    {"milliseconds", ">10<", "20,000"},
		"cost.svg":       {"1,000,000", "CPU of the server"},
	} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(string(content), text) {
				t.Errorf("%s lacks %q", file, text)
			}
		}
	}
}

func TestGrouped(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1_000_000: "1,000,000", 2.5: "2.5"} {
		if got := grouped(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}
