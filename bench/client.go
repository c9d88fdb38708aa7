package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// client is one connection that sends a request, waits for the response, and
// sends the next. It reads only as much HTTP as it needs, so that the measuring
// costs less than the measured.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 4096)}, nil
}

// do sends request, a whole HTTP/1.1 message, and returns the status and the body
// of the response, which is valid until the next call.
func (c *client) do(request []byte) (status int, body []byte, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("status line %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, fmt.Errorf("status line %q", line)
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		const name = "Content-Length: "
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(line[len(name):])); err != nil {
				return 0, nil, fmt.Errorf("header %q", line)
			}
		}
	}
	if length < 0 {
		return 0, nil, errors.New("response without Content-Length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.in, c.body)
	return status, c.body, err
}

// message builds an HTTP/1.1 request.
func message(method, path, token, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path)
	if token != "" {
		fmt.Fprintf(&b, "X-Session-Token: %s\r\n", token)
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	fmt.Fprintf(&b, "\r\n%s", body)
	return b.Bytes()
}

// result is what one round of load came to.
type result struct {
	rate    float64 // responses a second
	latency *hdrhistogram.Histogram
}

// load keeps connections busy for the duration: connection i sends request(i, 0),
// request(i, 1), ... Any status but want ends it with an error.
func load(address string, connections int, duration time.Duration, want int, request func(connection, n int) []byte) (result, error) {
	histograms := make([]*hdrhistogram.Histogram, connections)
	failures := make(chan error, connections)
	clients := make([]*client, connections)
	for i := range clients {
		c, err := dial(address)
		if err != nil {
			return result{}, err
		}
		defer c.conn.Close()
		clients[i] = c
	}
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(duration)
	for i, c := range clients {
		histograms[i] = hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
		wg.Add(1)
		go func() {
			defer wg.Done()
			sent := time.Now()
			for n := 0; sent.Before(end); n++ {
				status, body, err := c.do(request(i, n))
				if err == nil && status != want {
					err = fmt.Errorf("status %d, want %d: %s", status, want, body)
				}
				if err != nil {
					failures <- err
					return
				}
				now := time.Now()
				_ = histograms[i].RecordValue(now.Sub(sent).Microseconds())
				sent = now
			}
		}()
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-failures:
		return result{}, err
	default:
	}
	sum := histograms[0]
	for _, h := range histograms[1:] {
		sum.Merge(h)
	}
	return result{rate: float64(sum.TotalCount()) / took.Seconds(), latency: sum}, nil
}
