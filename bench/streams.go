package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// streams opens many event streams on one exchange, tells what they cost in
// memory, and that a change of every account reaches its streams. It is the
// subcommand "streams".
func streams(args []string) error {
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	count := flags.Int("streams", 10_000, "open streams")
	each := flags.Int("each", 4, "streams of one user, at most 8")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *count < 1 || *each < 1 || *each > 8 || *count%*each != 0 {
		return errors.New("want a number of streams that is a multiple of -each, which is 1 to 8")
	}
	ctx, stop := interruptible()
	defer stop()
	s, err := newSite("")
	if err != nil {
		return err
	}
	defer s.close()
	exchange, err := s.add(ctx, exchangeName, *count / *each, false)
	if err != nil {
		return err
	}
	users, server := exchange.users, exchange.server
	before, err := residentBytes(server.command.Process.Pid)
	if err != nil {
		return err
	}

	begun := time.Now()
	open := make([]*bufio.Reader, *count)
	for i := range open {
		user := int32(i / *each)
		path := fmt.Appendf(nil, "/api/users/%s/events", users.id(user))
		request := appendMessage(nil, "GET", path, users.token(user), "")
		conn, in, err := openStream(server.address, request)
		if err != nil {
			return fmt.Errorf("stream %d: %w", i+1, err)
		}
		defer conn.Close()
		open[i] = in
	}
	opened := time.Since(begun)
	after, err := residentBytes(server.command.Process.Pid)
	if err != nil {
		return err
	}

	begun = time.Now()
	reached := make([]error, *count)
	var waiting sync.WaitGroup
	for i, in := range open {
		waiting.Go(func() { reached[i] = waitFor(in, "event: balance\n") })
	}
	c, err := dial(server.address)
	if err != nil {
		return err
	}
	defer c.close()
	for user := range users.size {
		r, err := c.do(users.appendRequest(nil, call{operation: deposit, user: int32(user)}))
		if err != nil {
			return fmt.Errorf("deposit: %w", err)
		}
		if r.status != deposit.status() {
			return fmt.Errorf("deposit: status %d: %s", r.status, r.body)
		}
	}
	waiting.Wait()
	if err := errors.Join(reached...); err != nil {
		return err
	}
	fmt.Printf("%d streams of %d users: opened in %v; resident memory %.1f MB before, %.1f MB with them: %.1f kB a stream; a change of every account reached every stream in %v\n",
		*count, *count / *each, opened.Round(time.Millisecond), float64(before)/1e6, float64(after)/1e6,
		float64(after-before)/1e3/float64(*count), time.Since(begun).Round(time.Millisecond))
	return nil
}

// openStream sends the request and reads up to the first event.
func openStream(address string, request []byte) (net.Conn, *bufio.Reader, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return nil, nil, err
	}
	if _, err := conn.Write(request); err != nil {
		return nil, nil, err
	}
	in := bufio.NewReaderSize(conn, 1024)
	return conn, in, waitFor(in, "event: position\n")
}

// waitFor reads lines until one is the wanted.
func waitFor(in *bufio.Reader, wanted string) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("waiting for %q: %w", strings.TrimSpace(wanted), err)
		}
		if line == wanted {
			return nil
		}
	}
}

// residentBytes is the memory that a process occupies (Linux, proc(5)).
func residentBytes(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d does not tell its memory", pid)
}
