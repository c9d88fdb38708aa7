package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// options is a flag set in which every flag can be given by an environment
// variable as well: --payment-timeout by EXCHANGE_PAYMENT_TIMEOUT. The command
// line wins.
type options struct {
	*flag.FlagSet
}

// usageError is a wrong option; it names the option and what is allowed.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func newOptions(command, synopsis string) *options {
	o := &options{flag.NewFlagSet(command, flag.ContinueOnError)}
	o.SetOutput(io.Discard)
	o.Usage = func() {
		w := o.Output()
		fmt.Fprintf(w, "Usage: exchange %s [OPTIONS]\n\n%s\n\nOptions (and environment variables):\n", command, synopsis)
		o.VisitAll(func(f *flag.Flag) {
			fmt.Fprintf(w, "  --%s (%s)\n      %s", f.Name, envName(f.Name), f.Usage)
			if f.DefValue != "" {
				fmt.Fprintf(w, "; default %s", f.DefValue)
			}
			fmt.Fprintln(w)
		})
	}
	return o
}

func envName(flagName string) string {
	return "EXCHANGE_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parse reads the environment, then the command line. Help goes to stdout.
func (o *options) parse(args []string, env func(string) string, stdout io.Writer) error {
	var wrong error
	o.VisitAll(func(f *flag.Flag) {
		value := env(envName(f.Name))
		if value == "" || wrong != nil {
			return
		}
		if err := o.Set(f.Name, value); err != nil {
			wrong = &usageError{fmt.Sprintf("environment variable %s=%q: %v", envName(f.Name), value, err)}
		}
	})
	err := o.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		o.SetOutput(stdout)
		o.Usage()
		return err
	case err != nil:
		return &usageError{err.Error()}
	case o.NArg() > 0:
		return &usageError{fmt.Sprintf("unexpected argument %q; options come as --name value", o.Arg(0))}
	}
	return wrong
}

// value adapts a parser and a printer to flag.Value.
type value[T any] struct {
	target *T
	parse  func(string) (T, error)
	print  func(T) string
}

func (v value[T]) String() string {
	if v.target == nil {
		return ""
	}
	return v.print(*v.target)
}

func (v value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err != nil {
		return err
	}
	*v.target = parsed
	return nil
}

func (v value[T]) IsBoolFlag() bool {
	_, isBool := any(v.target).(*bool)
	return isBool
}

// money is an amount of at least low and at most high.
func (o *options) money(target *account.Money, name string, low, high account.Money, usage string) {
	o.Var(value[account.Money]{target, func(s string) (account.Money, error) {
		m, err := account.ParseMoney(s)
		if err != nil || m < low || m > high {
			return 0, fmt.Errorf("want an amount from %s to %s with at most 8 decimals", low, high)
		}
		return m, nil
	}, account.Money.String}, name, usage)
}

// percent is a share from 0 to 100 with at most 4 decimals, kept in millionths.
func (o *options) percent(target *int64, name, usage string) {
	const partsOfPercent = account.Unit / 10_000 // base units in a ten-thousandth of one
	o.Var(value[int64]{target, func(s string) (int64, error) {
		m, err := account.ParseMoney(s)
		if err != nil || m < 0 || m > 100*account.Unit || m%partsOfPercent != 0 {
			return 0, errors.New("want a percentage from 0 to 100 with at most 4 decimals")
		}
		return int64(m / partsOfPercent), nil
	}, func(ppm int64) string { return (account.Money(ppm) * partsOfPercent).String() }}, name, usage)
}

func (o *options) duration(target *time.Duration, name string, low, high time.Duration, usage string) {
	o.Var(value[time.Duration]{target, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < low || d > high {
			return 0, fmt.Errorf("want a duration from %s to %s, such as 90s or 1h30m", low, high)
		}
		return d, nil
	}, time.Duration.String}, name, usage)
}

func (o *options) integer(target *int, name string, low, high int, usage string) {
	o.Var(value[int]{target, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("want a whole number from %d to %d", low, high)
		}
		return n, nil
	}, strconv.Itoa}, name, usage)
}

// choice is one of a few words.
func (o *options) choice(target *string, name string, words []string, usage string) {
	o.Var(value[string]{target, func(s string) (string, error) {
		for _, word := range words {
			if s == word {
				return s, nil
			}
		}
		return "", fmt.Errorf("want one of %s", strings.Join(words, ", "))
	}, func(s string) string { return s }}, name, usage+" ("+strings.Join(words, ", ")+")")
}

// text is a string that must not be empty.
func (o *options) text(target *string, name, usage string) {
	o.Var(value[string]{target, func(s string) (string, error) {
		if s == "" {
			return "", errors.New("want a value that is not empty")
		}
		return s, nil
	}, func(s string) string { return s }}, name, usage)
}
