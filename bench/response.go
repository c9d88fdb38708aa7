package main

import (
	"bytes"
	"errors"
	"fmt"
)

// response is what the load generator reads of an HTTP/1.1 response. Its slices
// point into the connection's buffer.
type response struct {
	status int
	header []byte // the lines after the status line, each ended by CRLF
	body   []byte
}

// maxResponse limits a response, and with it a connection's buffer.
const maxResponse = 4 << 20 // bytes

var errTooLong = errors.New("response of more than 4 MiB")

// parseResponse reads the response at the front of b and returns how many bytes it
// takes, 0 if it is not all there yet. It knows as much HTTP as the servers under
// measurement speak: a status line and a body of Content-Length bytes; so that the
// measuring costs less than the measured.
func parseResponse(b []byte) (response, int, error) {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		if len(b) > maxResponse {
			return response{}, 0, errTooLong
		}
		return response{}, 0, nil
	}
	const line = "HTTP/1.1 200" // what a status line begins with
	if head < len(line) || string(b[:9]) != line[:9] {
		return response{}, 0, fmt.Errorf("status line %q", b[:min(head, 40)])
	}
	status, ok := digits(b[9:12])
	if !ok || status < 200 || status > 599 {
		return response{}, 0, fmt.Errorf("status line %q", b[:min(head, 40)])
	}
	r := response{status: status}
	if end := bytes.IndexByte(b[:head+2], '\n'); end < head {
		r.header = b[end+1 : head+2]
	}
	value, ok := headerValue(r.header, "Content-Length")
	if !ok {
		return response{}, 0, errors.New("response without Content-Length")
	}
	length, ok := digits(value)
	if !ok {
		return response{}, 0, fmt.Errorf("Content-Length %q", value)
	}
	if length > maxResponse {
		return response{}, 0, errTooLong
	}
	total := head + 4 + length
	if len(b) < total {
		return response{}, 0, nil
	}
	r.body = b[head+4 : total]
	return r, total, nil
}

// headerValue finds the first line of header that has the name, in any case.
func headerValue(header []byte, name string) ([]byte, bool) {
	for len(header) > 0 {
		line, rest, _ := bytes.Cut(header, []byte("\r\n"))
		header = rest
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:]), true
		}
	}
	return nil, false
}

// digits reads a number of up to nine digits.
func digits(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// grown returns b with twice the room.
func grown(b []byte) ([]byte, error) {
	if len(b) > maxResponse {
		return nil, errTooLong
	}
	return append(b, make([]byte, len(b))...), nil
}

// member returns the value of a string member of a flat JSON object, which needs
// no unescaping: an id or a token.
func member(body []byte, name string) ([]byte, error) {
	_, rest, found := bytes.Cut(body, []byte(`"`+name+`":"`))
	value, _, ended := bytes.Cut(rest, []byte{'"'})
	if !found || !ended || len(value) == 0 {
		return nil, fmt.Errorf("no %s in %s", name, body)
	}
	return value, nil
}
