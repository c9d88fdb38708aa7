package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// command is a subcommand of bench.
type command struct {
	name string
	run  func(args []string) error
	help string
}

func commands() []command {
	return []command{
		{"run", run, "compare the exchange with an empty handler and the peers; what bench does without a command"},
		{"goals", goals, "measure the exchange's own figures: latency at half of peak, hot user, a million users, allocations"},
		{"charts", charts, "measure and draw the charts of the README into bench/charts"},
		{"streams", streams, "open many event streams and tell what they cost in memory"},
		{"fill", fill, "make a data directory of many users and a long history"},
		{"start", startTime, "measure how long a start takes"},
		{"snapshot", snapshotPause, "measure what a snapshot does to latency"},
		{"client", compareClients, "compare the load generator with wrk on the empty handler"},
		{"peer", servePeer, "serve a peer; bench starts these itself"},
	}
}

func main() {
	name, args := "run", os.Args[1:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		if c.name != "peer" {
			// A thread that waits in a system call keeps its place among GOMAXPROCS until
			// the runtime's monitor takes it away. With none to spare that looks for such
			// threads every 20 µs, which took a tenth of the machine.
			runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
		}
		switch err := c.run(args); {
		case errors.Is(err, flag.ErrHelp):
			return
		case err != nil:
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", name, err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintf(os.Stderr, "bench: there is no command %q; these are:\n", name)
	for _, c := range commands() {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", c.name, c.help)
	}
	os.Exit(2)
}
