package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// goal is a figure that the exchange has to reach by itself.
type goal struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Goal   float64 `json:"goal"`
	AtMost bool    `json:"at_most"` // else at least
	Detail string  `json:"detail"`
}

func (g goal) met() bool {
	if g.AtMost {
		return g.Value <= g.Goal
	}
	return g.Value >= g.Goal
}

// goalOptions of the figures that need no peer.
type goalOptions struct {
	connections int
	rounds      int
	duration    time.Duration
	few, many   int // users
	dir         string
}

func goals(args []string) error {
	var o goalOptions
	flags := flag.NewFlagSet("goals", flag.ContinueOnError)
	flags.IntVar(&o.connections, "connections", 256, "connections")
	flags.IntVar(&o.rounds, "rounds", 5, "interleaved rounds")
	flags.DurationVar(&o.duration, "duration", 2*time.Second, "length of one measurement")
	flags.IntVar(&o.few, "users", 10_000, "users")
	flags.IntVar(&o.many, "many", 1_000_000, "users of a second exchange, to compare the cost")
	flags.StringVar(&o.dir, "dir", "", "where to make the temporary directory; default the system's")
	jsonFile := flags.String("json", "", "write the figures to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	found, err := o.measure(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %s\n%d connections, %d interleaved rounds of %s\n\n", time.Now().UTC().Format(time.DateOnly), machine(), o.connections, o.rounds, o.duration)
	fmt.Printf("%-58s %10s %10s  %-3s\n", "figure", "goal", "measured", "met")
	for _, g := range found {
		bound, met := "≥", "no"
		if g.AtMost {
			bound = "≤"
		}
		if g.met() {
			met = "yes"
		}
		fmt.Printf("%-58s %10s %10.2f  %-3s  %s\n", g.Name, fmt.Sprintf("%s %g", bound, g.Goal), g.Value, met, g.Detail)
	}
	if *jsonFile != "" {
		return save(*jsonFile, found)
	}
	return nil
}

func (o *goalOptions) measure(ctx context.Context) ([]goal, error) {
	s, err := newSite(o.dir)
	if err != nil {
		return nil, err
	}
	defer s.close()
	few, err := s.add(ctx, exchangeName, o.few, false)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "making %d users\n", o.many)
	many, err := s.add(ctx, exchangeName, o.many, false)
	if err != nil {
		return nil, err
	}
	deposits, hot, balances, batches := mixes[0], mixes[5], mixes[1], mixes[6]
	rows := map[string]*row{}
	take := func(name string, x *subject, m mix, rate float64) error {
		got, err := x.measure(ctx, m, load{connections: o.connections, duration: o.duration, rate: rate})
		if err != nil {
			return err
		}
		rows[name] = cmp.Or(rows[name], &row{Mix: m.name, Subject: name})
		rows[name].Rounds = append(rows[name].Rounds, got)
		return nil
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		if err := take("spread", few, deposits, 0); err != nil {
			return nil, err
		}
		half := rows["spread"].Rounds[round].Rate / 2
		for _, x := range []struct {
			name    string
			subject *subject
			mix     mix
			rate    float64
		}{
			{"hot", few, hot, 0}, {"many", many, deposits, 0}, {"half", few, deposits, half}, {"batch", few, batches, 0},
			{"balance", few, balances, 0}, {"many balance", many, balances, 0},
		} {
			if err := take(x.name, x.subject, x.mix, x.rate); err != nil {
				return nil, err
			}
		}
	}
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	for _, r := range rows {
		r.summarize()
	}
	over := func(a, b string, figure func(sample) float64) float64 {
		ratios := make([]float64, o.rounds)
		for i := range ratios {
			ratios[i] = figure(rows[a].Rounds[i]) / figure(rows[b].Rounds[i])
		}
		return median(ratios)
	}
	rate := func(s sample) float64 { return s.Rate }
	cost := func(s sample) float64 { return s.CPU }
	half := rows["half"].Median
	return []goal{
		{Name: "p99 of a deposit at half of peak, open loop, ms", Value: half.P99 / 1e3, Goal: 3, AtMost: true,
			Detail: fmt.Sprintf("at %.0f/s: p50 %.2f ms, p99.9 %.2f ms", half.Rate, half.P50/1e3, half.P999/1e3)},
		{Name: "deposits/s with 90 % on one account, over spread", Value: over("hot", "spread", rate), Goal: 0.9,
			Detail: fmt.Sprintf("%.0f/s over %.0f/s", rows["hot"].Median.Rate, rows["spread"].Median.Rate)},
		{Name: fmt.Sprintf("CPU of a deposit, %d users over %d", o.many, o.few), Value: over("many", "spread", cost), Goal: 1.15, AtMost: true,
			Detail: fmt.Sprintf("%.1f µs over %.1f µs; %.0f/s over %.0f/s", rows["many"].Median.CPU, rows["spread"].Median.CPU, rows["many"].Median.Rate, rows["spread"].Median.Rate)},
		{Name: fmt.Sprintf("CPU of a balance read, %d users over %d", o.many, o.few), Value: over("many balance", "balance", cost), Goal: 1.15, AtMost: true,
			Detail: fmt.Sprintf("%.1f µs over %.1f µs", rows["many balance"].Median.CPU, rows["balance"].Median.CPU)},
		{Name: fmt.Sprintf("deposits/s in requests of %d, over one a request", batchSize), Value: batchSize * over("batch", "spread", rate), Goal: 1,
			Detail: fmt.Sprintf("%.0f/s, %.2f µs of CPU each", batchSize*rows["batch"].Median.Rate, rows["batch"].Median.CPU/batchSize)},
		{Name: "allocations of a deposit, whole process", Value: rows["spread"].Median.Allocs, Goal: 4, AtMost: true},
		// Scraping the counter itself allocates, and what runs in the background: a
		// few thousandths a request.
		{Name: "allocations of a balance read, whole process", Value: rows["balance"].Median.Allocs, Goal: 0.05, AtMost: true},
	}, nil
}

// users of the cost chart.
func usersUpTo(most int) (counts []int) {
	for n := 1000; n <= most; n *= 10 {
		counts = append(counts, n)
	}
	return slices.Clip(counts)
}
