package main

import (
	"fmt"
	"net"
	"strconv"
)

// client is one blocking connection, for all that is not measured by the
// thousand: probes, metrics, and the single client.
type client struct {
	conn net.Conn
	in   []byte
	have int // bytes of in that hold what was read
	last int // bytes of in that the last response took
}

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: make([]byte, 16<<10)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// do sends request, a whole HTTP/1.1 message, and returns the response, which is
// valid until the next call.
func (c *client) do(request []byte) (response, error) {
	if _, err := c.conn.Write(request); err != nil {
		return response{}, err
	}
	c.have = copy(c.in, c.in[c.last:c.have])
	c.last = 0
	for {
		r, n, err := parseResponse(c.in[:c.have])
		if err != nil {
			return response{}, err
		}
		if n > 0 {
			c.last = n
			return r, nil
		}
		if c.have == len(c.in) {
			if c.in, err = grown(c.in); err != nil {
				return response{}, err
			}
		}
		n, err = c.conn.Read(c.in[c.have:])
		if err != nil {
			return response{}, err
		}
		c.have += n
	}
}

// get fetches path from address over a connection of its own. Any status but 200
// is an error.
func get(address, path string) ([]byte, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r, err := c.do(message("GET", path, "", ""))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if r.status != 200 {
		return nil, fmt.Errorf("GET %s: status %d: %s", path, r.status, r.body)
	}
	return r.body, nil
}

// message builds an HTTP/1.1 request.
func message(method, path, token, body string) []byte {
	return appendMessage(nil, method, []byte(path), []byte(token), body)
}

func appendMessage(b []byte, method string, path, token []byte, body string) []byte {
	return appendTyped(b, method, path, token, "application/json", body)
}

func appendTyped(b []byte, method string, path, token []byte, contentType, body string) []byte {
	b = append(append(append(b, method...), ' '), path...)
	b = append(b, " HTTP/1.1\r\nHost: bench\r\n"...)
	if len(token) > 0 {
		b = append(append(append(b, "X-Session-Token: "...), token...), "\r\n"...)
	}
	if body != "" {
		b = append(append(append(b, "Content-Type: "...), contentType...), "\r\nContent-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	}
	return append(append(b, "\r\n"...), body...)
}
