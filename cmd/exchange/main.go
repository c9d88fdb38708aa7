// Command exchange runs the account and trading service of the AITBC Trade
// Exchange, and looks after its data. Each subcommand has a file of its own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// command is one subcommand. run returns an error to print in one line, after
// which the process exits with 1.
type command struct {
	name    string
	summary string
	run     func(args []string, env func(string) string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "run the service", serve},
		{"verify", "check the log of a stopped service and prove that value is conserved", verify},
		{"dump", "print the events or the accounts of a stopped service as JSON lines", dump},
		{"backup", "copy the data of a running service, and verify the copy", backup},
		{"restored", "say that a stopped service's data are a copy made by other means", restored},
		{"repair", "cut off the end of a damaged log, after showing what would be lost", repair},
		{"key", "list the extended public keys of a stopped service, or move to the next one", key},
		{"payouts", "make, take back signed, cancel and list the payouts of a running service", payouts},
		{"reconcile", "compare the log of a running service with the chain", reconcile},
		{"version", "print the version", version},
	}
}

// exitStatus ends the process with a code of its own. Without an error there is nothing
// to print.
type exitStatus struct {
	code int
	error
}

func main() {
	// A file at its size limit is an error of the write, as a full disk is.
	signal.Ignore(syscall.SIGXFSZ)
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

func run(args []string, env func(string) string, stdout, stderr io.Writer) int {
	name := "help"
	if len(args) > 0 {
		name = args[0]
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		err := c.run(args[1:], env, stdout, stderr)
		var usage *usageError
		var status *exitStatus
		switch {
		case errors.As(err, &status):
			if status.error != nil {
				fmt.Fprintf(stderr, "exchange %s: %v\n", name, err)
			}
			return status.code
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.As(err, &usage):
			fmt.Fprintf(stderr, "exchange %s: %v\nRun 'exchange %s --help' for the options.\n", name, err, name)
			return 2
		default:
			fmt.Fprintf(stderr, "exchange %s: %v\n", name, err)
			return 1
		}
	}
	switch name {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return 0
	}
	fmt.Fprintf(stderr, "exchange: there is no command %q\n", name)
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: exchange COMMAND [OPTIONS]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nRun 'exchange COMMAND --help' for the options of a command.\n")
}
