package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options of a run.
type options struct {
	connections int
	threads     int
	users       int
	rounds      int
	duration    time.Duration
	rate        float64
	subjects    string
	mixes       string
	dir         string
	jsonFile    string
	quick       bool
}

// quickLimit is when a quick run begins no further round: it has to be over 45 s
// after it began.
const quickLimit = 30 * time.Second

func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.IntVar(&o.connections, "connections", 256, "connections, each with at most one request under way")
	flags.IntVar(&o.threads, "threads", 2, "threads of the load generator")
	flags.IntVar(&o.users, "users", 10_000, "users of each subject")
	flags.IntVar(&o.rounds, "rounds", 5, "interleaved rounds, of which the medians count")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "length of one measurement")
	flags.Float64Var(&o.rate, "rate", 0, "open loop: requests due a second, whatever the server does; 0: closed loop")
	flags.StringVar(&o.subjects, "subjects", "exchange,empty handler,PostgreSQL,Redis,SQLite", "what to measure")
	flags.StringVar(&o.mixes, "mixes", "deposit,balance,history,login,realistic,hot user,batch of 100", "what the users do")
	flags.StringVar(&o.dir, "dir", "", "where to make the temporary directory; default the system's")
	flags.StringVar(&o.jsonFile, "json", "", "write every figure of every round to this file")
	flags.BoolVar(&o.quick, "quick", false, "at most 45 s: deposits on the exchange, the empty handler, PostgreSQL and Redis; balances on the first two")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	r, err := o.run(ctx, args)
	if err != nil {
		return err
	}
	if o.jsonFile != "" {
		if err := save(o.jsonFile, r); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r.Ratios)
}

// interruptible ends with SIGINT or SIGTERM, so that what runs is stopped and
// removed.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// plan is which mixes are measured on which subjects.
type plan []struct {
	mix      mix
	subjects []string
}

func (o *options) plan() (p plan, subjects []string, err error) {
	if o.quick {
		deposits, err := mixNamed("deposit")
		if err != nil {
			return nil, nil, err
		}
		balances, err := mixNamed("balance")
		all := []string{exchangeName, emptyName, postgresName, redisName}
		return plan{{deposits, all}, {balances, all[:2]}}, all, err
	}
	subjects = strings.Split(o.subjects, ",")
	if subjects[0] != exchangeName {
		return nil, nil, errors.New("-subjects begins with exchange")
	}
	for name := range strings.SplitSeq(o.mixes, ",") {
		m, err := mixNamed(name)
		if err != nil {
			return nil, nil, err
		}
		if m.ours {
			p = append(p, plan{{m, subjects[:1]}}...)
		} else {
			p = append(p, plan{{m, subjects}}...)
		}
	}
	return p, subjects, nil
}

// full says whether the plan needs histories and members.
func (p plan) full() bool {
	for _, x := range p {
		if x.mix.shares[history] > 0 || x.mix.shares[login] > 0 {
			return true
		}
	}
	return false
}

func (o *options) run(ctx context.Context, args []string) (r *report, err error) {
	began := time.Now()
	if o.quick {
		o.rounds, o.duration = 5, 500*time.Millisecond
	}
	p, names, err := o.plan()
	if err != nil {
		return nil, err
	}
	if slices.Contains(names, postgresName) { // before a minute is spent
		if _, err := postgresBinaries(); err != nil {
			return nil, err
		}
	}
	s, err := newSite(o.dir)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if inMemory(s.dir) {
		return nil, fmt.Errorf("%s is in memory, where a sync costs nothing: choose a directory on a disk with -dir", filepath.Dir(s.dir))
	}
	r = newReport(args, o.connections, o.users)
	r.Written = "what the disk took, which is right where nothing else writes to it"
	if s.disk == nil {
		r.Written = "write_bytes of the server with its database"
	}
	subjects := map[string]*subject{}
	for _, name := range names {
		x, err := s.add(ctx, name, o.users, p.full())
		if err != nil {
			return nil, err
		}
		subjects[name], r.Settings[name] = x, x.settings
		fmt.Fprintf(os.Stderr, "%5.1f s  %s is ready\n", time.Since(began).Seconds(), name)
	}
	for round := range o.rounds {
		if o.quick && round > 0 && time.Since(began) > quickLimit {
			break
		}
		for _, x := range p {
			// Each round begins with another subject, so that none has always the same
			// one before it.
			for i := range x.subjects {
				name := x.subjects[(i+round)%len(x.subjects)]
				got, err := subjects[name].measure(ctx, x.mix, load{connections: o.connections, threads: o.threads, duration: o.duration, rate: o.rate})
				if err != nil {
					return nil, err
				}
				r.add(x.mix.name, name, got)
			}
		}
		fmt.Fprintf(os.Stderr, "%5.1f s  round %d of %d\n", time.Since(began).Seconds(), round+1, o.rounds)
	}
	r.finish()
	r.write(os.Stdout)
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	fmt.Println("checked: the balances of every subject add up to the deposits that it acknowledged")
	a, err := newAlone(s.dir, subjects[exchangeName], 200*o.rounds)
	if err != nil {
		return nil, err
	}
	fmt.Printf("one client: deposit %.0f µs, a write and sync on the same disk %.0f µs (medians)\n", a.deposit, a.sync)
	return r, nil
}
