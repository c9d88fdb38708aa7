package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

func TestParseResponseReadsStatusHeaderAndBody(t *testing.T) {
	message := "HTTP/1.1 201 Created\r\nDate: now\r\ncontent-length:  4\r\nX-A: b\r\n\r\nbodyHTTP/1.1 200"
	r, n, err := parseResponse([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	if want := len(message) - len("HTTP/1.1 200"); n != want {
		t.Errorf("took %d bytes, want %d", n, want)
	}
	if r.status != 201 || string(r.body) != "body" || string(r.header) != "Date: now\r\ncontent-length:  4\r\nX-A: b\r\n" {
		t.Errorf("status %d, header %q, body %q", r.status, r.header, r.body)
	}
}

func TestParseResponseWaitsForTheRest(t *testing.T) {
	message := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	for n := range message {
		if _, taken, err := parseResponse(message[:n]); taken != 0 || err != nil {
			t.Fatalf("the first %d bytes: took %d, %v; want 0 and no error", n, taken, err)
		}
	}
	if _, taken, err := parseResponse(message); taken != len(message) || err != nil {
		t.Fatalf("all: took %d, %v", taken, err)
	}
}

func TestParseResponseRefusesWhatItCannotRead(t *testing.T) {
	for name, message := range map[string]string{
		"another protocol":     "ICY 200 OK, and so on\r\nContent-Length: 0\r\n\r\n",
		"no status":            "HTTP/1.1 OK and well\r\nContent-Length: 0\r\n\r\n",
		"no length":            "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n",
		"no headers":           "HTTP/1.1 200 OK\r\n\r\n",
		"a negative length":    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"a length of letters":  "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
		"a length of 100 MB":   "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
		"an overflowing one":   "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"a header without end": strings.Repeat("x", maxResponse+1),
	} {
		if _, n, err := parseResponse([]byte(message)); err == nil {
			t.Errorf("%s: took %d bytes without an error", name, n)
		}
	}
}

// A response is read the same whatever follows it, and never beyond what is there.
func FuzzParseResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 201\r\nContent-Length: 0\r\n\r\n",
		"\r\n\r\n", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 503 X\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := parseResponse(b)
		if n < 0 || n > len(b) || (err != nil && n != 0) {
			t.Fatalf("took %d of %d bytes, %v", n, len(b), err)
		}
		if n == 0 {
			return
		}
		if r.status < 200 || r.status > 599 || !bytes.HasSuffix(b[:n], r.body) {
			t.Fatalf("status %d, body %q of %q", r.status, r.body, b[:n])
		}
		if again, m, err := parseResponse(append(bytes.Clone(b[:n]), "HTTP/1.1"...)); m != n || err != nil || !bytes.Equal(again.body, r.body) {
			t.Fatalf("with more behind it: took %d and not %d, %v", m, n, err)
		}
		if _, m, err := parseResponse(b[:n-1]); m != 0 || err != nil {
			t.Fatalf("without its last byte: took %d, %v", m, err)
		}
	})
}

func TestClientReadsResponsesThatComeInPieces(t *testing.T) {
	ours, theirs := net.Pipe()
	c := &client{conn: ours, in: make([]byte, 8)}
	go func() {
		defer theirs.Close()
		_, _ = theirs.Read(make([]byte, 100))
		for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none") {
			_, _ = theirs.Write([]byte{b})
		}
		_, _ = theirs.Read(make([]byte, 100))
		_, _ = theirs.Write([]byte("HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\ntwo"))
	}()
	for _, want := range []struct {
		status int
		body   string
	}{{200, "one"}, {404, "two"}} {
		r, err := c.do(message("GET", "/", "", ""))
		if err != nil || r.status != want.status || string(r.body) != want.body {
			t.Fatalf("%d %q, %v; want %v", r.status, r.body, err, want)
		}
	}
	if _, err := c.do(message("GET", "/", "", "")); err == nil {
		t.Error("no error from a closed connection")
	}
}

func TestBalanceOfIsExact(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1.5": 150_000_000, "0.00000001": 1, "20999999.99999999": 2_099_999_999_999_999, "7": 700_000_000,
	} {
		for _, end := range []string{",", "}"} {
			if got, err := balanceOf([]byte(`{"address":"a","balance":` + text + end)); got != want || err != nil {
				t.Errorf("%s: %d, %v; want %d", text, got, err, want)
			}
		}
	}
	for _, text := range []string{"-1", "1e3", "1.123456789", "", "99999999999999999999"} {
		if got, err := balanceOf([]byte(`{"balance":` + text + `}`)); err == nil && text != "" {
			t.Errorf("%s: read as %d", text, got)
		}
	}
}
