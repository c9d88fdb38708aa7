package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// chartData is what the charts show. Each point is the median of the rounds.
type chartData struct {
	Date       string   `json:"date"`
	Machine    string   `json:"machine"`
	Throughput []series `json:"throughput"` // requests/s against connections
	Latency    []series `json:"latency"`    // ms against requests/s
	Cost       []series `json:"cost"`       // CPU in µs a request against users
}

// series is one line of a chart.
type series struct {
	Name   string  `json:"name"`
	Points []point `json:"points"`
	Dashed bool    `json:"dashed"`
	Color  int     `json:"color"` // index into palette
}

type point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// chartOptions of a measurement for the charts.
type chartOptions struct {
	rounds   int
	duration time.Duration
	users    int
	most     int
	dir      string
}

func charts(args []string) error {
	var o chartOptions
	flags := flag.NewFlagSet("charts", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "interleaved rounds of which the medians are drawn")
	flags.DurationVar(&o.duration, "duration", time.Second, "length of one measurement")
	flags.IntVar(&o.users, "users", 10_000, "users of each subject")
	flags.IntVar(&o.most, "most", 1_000_000, "most users of the chart of costs")
	flags.StringVar(&o.dir, "dir", "", "where to make the temporary directory; default the system's")
	out := flags.String("out", filepath.Join("bench", "charts"), "directory of the charts and of data.json, from which they are drawn")
	from := flags.String("from", "", "measure nothing and draw this data.json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	var data *chartData
	var err error
	if *from != "" {
		data = &chartData{}
		var content []byte
		if content, err = os.ReadFile(*from); err == nil {
			err = json.Unmarshal(content, data)
		}
	} else {
		data, err = o.measure(ctx)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	if err := save(filepath.Join(*out, "data.json"), data); err != nil {
		return err
	}
	return data.draw(*out)
}

func (o *chartOptions) measure(ctx context.Context) (*chartData, error) {
	data := &chartData{Date: time.Now().UTC().Format(time.DateOnly), Machine: machine()}
	if err := o.compare(ctx, data); err != nil {
		return nil, err
	}
	return data, o.cost(ctx, data)
}

// track is a line while it is measured: the samples of each point.
type track struct {
	series
	subject *subject
	mix     mix
	samples [][]sample
}

// sample measures the next round of a point.
func (t *track) sample(ctx context.Context, i int, l load) error {
	got, err := t.subject.measure(ctx, t.mix, l)
	if err != nil {
		return err
	}
	for len(t.samples) <= i {
		t.samples = append(t.samples, nil)
	}
	t.samples[i] = append(t.samples[i], got)
	return nil
}

// middle is the median of a point's figure.
func (t *track) middle(i int, figure func(sample) float64) float64 {
	values := make([]float64, len(t.samples[i]))
	for n, s := range t.samples[i] {
		values[n] = figure(s)
	}
	return median(values)
}

// compare measures throughput and latency on the exchange and the fast peers.
func (o *chartOptions) compare(ctx context.Context, data *chartData) error {
	s, err := newSite(o.dir)
	if err != nil {
		return err
	}
	defer s.close()
	var subjects [4]*subject
	for i, name := range []string{exchangeName, emptyName, postgresName, redisName} {
		if subjects[i], err = s.add(ctx, name, o.users, false); err != nil {
			return err
		}
	}
	deposits, balances := mixes[deposit], mixes[balance]
	tracks := []*track{
		{series: series{Name: "empty handler", Color: 3, Dashed: true}, subject: subjects[1], mix: deposits},
		{series: series{Name: "exchange, balance", Color: 0, Dashed: true}, subject: subjects[0], mix: balances},
		{series: series{Name: "exchange, deposit", Color: 0}, subject: subjects[0], mix: deposits},
		{series: series{Name: "Redis, deposit", Color: 1}, subject: subjects[3], mix: deposits},
		{series: series{Name: "PostgreSQL, deposit", Color: 2}, subject: subjects[2], mix: deposits},
	}
	connections := []int{1, 4, 16, 64, 256, 1024}
	const peak = 4 // index of 256 connections
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "throughput, round %d of %d\n", round+1, o.rounds)
		for i, n := range connections {
			for _, t := range tracks {
				if err := t.sample(ctx, i, load{connections: n, duration: o.duration}); err != nil {
					return err
				}
			}
		}
	}
	for _, t := range tracks {
		for i, n := range connections {
			t.Points = append(t.Points, point{float64(n), t.middle(i, func(s sample) float64 { return s.Rate })})
		}
		data.Throughput = append(data.Throughput, t.series)
	}
	// Each subject's load is a share of its own peak.
	offered := func(t *track, share float64) float64 { return share * t.Points[peak].Y }
	shares := []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
	var latency []*track
	for _, t := range tracks[2:] {
		latency = append(latency, &track{series: series{Name: t.Name, Color: t.Color}, subject: t.subject, mix: t.mix})
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "latency, round %d of %d\n", round+1, o.rounds)
		for i, share := range shares {
			for n, t := range latency {
				if err := t.sample(ctx, i, load{connections: connections[peak], duration: o.duration, rate: offered(tracks[2+n], share)}); err != nil {
					return err
				}
			}
		}
	}
	for n, t := range latency {
		p99, p50 := t.series, t.series
		p99.Name, p50.Name, p50.Dashed = t.Name+", p99", t.Name+", p50", true
		for i, share := range shares {
			rate := offered(tracks[2+n], share)
			p99.Points = append(p99.Points, point{rate, t.middle(i, func(s sample) float64 { return s.P99 }) / 1e3})
			p50.Points = append(p50.Points, point{rate, t.middle(i, func(s sample) float64 { return s.P50 }) / 1e3})
		}
		data.Latency = append(data.Latency, p99, p50)
	}
	return s.check(ctx)
}

// cost measures the exchange with more and more users.
func (o *chartOptions) cost(ctx context.Context, data *chartData) error {
	s, err := newSite(o.dir)
	if err != nil {
		return err
	}
	defer s.close()
	counts := usersUpTo(o.most)
	tracks := []*track{
		{series: series{Name: "deposit", Color: 0}, mix: mixes[deposit]},
		{series: series{Name: "balance", Color: 0, Dashed: true}, mix: mixes[balance]},
	}
	for _, n := range counts {
		fmt.Fprintf(os.Stderr, "making %d users\n", n)
		if _, err := s.add(ctx, exchangeName, n, false); err != nil {
			return err
		}
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "cost, round %d of %d\n", round+1, o.rounds)
		for i := range counts {
			for _, t := range tracks {
				t.subject = s.subjects[i]
				if err := t.sample(ctx, i, load{connections: 256, duration: o.duration}); err != nil {
					return err
				}
			}
		}
	}
	for _, t := range tracks {
		for i, n := range counts {
			t.Points = append(t.Points, point{float64(n), t.middle(i, func(s sample) float64 { return s.CPU })})
		}
		data.Cost = append(data.Cost, t.series)
	}
	return s.check(ctx)
}
