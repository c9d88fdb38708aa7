package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// statuses sends bytes on a connection of its own and returns the status of each
// response to them, and whether the server closed the connection after.
func (a *api) statuses(request string) (statuses string, closed bool) {
	a.t.Helper()
	conn := a.dial()
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }() // the server may close before it has read all
	reader := bufio.NewReader(conn)
	for {
		wait := 30 * time.Second
		if strings.HasSuffix(statuses, lastStatus) { // that was the end of the request
			wait = 50 * time.Millisecond
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			a.t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			var late net.Error
			return strings.TrimSpace(statuses), !errors.As(err, &late) || !late.Timeout()
		}
		statuses += fmt.Sprintf(" %d", response.StatusCode)
		_, _ = io.Copy(io.Discard, response.Body)
		if response.Close {
			_, err := reader.ReadByte()
			return strings.TrimSpace(statuses), err == io.EOF
		}
	}
}

// following is what an attacker would have answered as a request of its own, and
// lastStatus what it is answered with.
const (
	following  = "DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	lastStatus = " 405"
)

func TestARequestHasOneReadingOrNone(t *testing.T) {
	a := startAPI(t)
	const (
		body   = `{"wallet_address":"aitbc1wallet_smuggler"}`
		post   = "POST /api/users/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		chunks = "2a\r\n" + body + "\r\n0\r\n\r\n"
		get    = "GET /healthz HTTP/1.1\r\nHost: x\r\n"
	)
	if len(body) != 0x2a {
		t.Fatalf("the body has %d bytes", len(body))
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for name, request := range map[string]string{
		"two lengths, chunked longer":    post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
		"two lengths, chunked first":     post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunks,
		"two lengths that agree":         post + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n", len(chunks)) + chunks,
		"a length given twice":           post + length + length + "\r\n" + body,
		"two different lengths":          post + length + "Content-Length: 0\r\n\r\n" + body,
		"a list of lengths":              post + "Content-Length: 42, 42\r\n\r\n" + body,
		"a length with a sign":           post + "Content-Length: +42\r\n\r\n" + body,
		"a length in hexadecimal":        post + "Content-Length: 0x2a\r\n\r\n" + body,
		"a space before the colon":       post + "Content-Length : 42\r\n\r\n" + body,
		"a space before TE's colon":      post + "Transfer-Encoding : chunked\r\n\r\n" + chunks,
		"an encoding of no meaning":      post + "Transfer-Encoding: identity\r\n" + length + "\r\n" + body,
		"an unknown encoding":            post + "Transfer-Encoding: xchunked\r\n\r\n" + chunks,
		"an encoding after chunked":      post + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunks,
		"an encoding given twice":        post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunks,
		"an encoding behind a control":   post + "Transfer-Encoding: \x0bchunked\r\n\r\n" + chunks,
		"an encoding on the next line":   post + "Transfer-Encoding:\r\n chunked\r\n\r\n" + chunks,
		"chunked in HTTP/1.0":            strings.Replace(post, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n" + chunks,
		"a folded line":                  get + "X-A: b\r\n c\r\n\r\n",
		"a folded line by a tab":         get + "X-A: b\r\n\tc\r\n\r\n",
		"a fold at once":                 "GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n",
		"a bare LF":                      get + "X-A: b\nX-B: c\r\n\r\n",
		"a bare LF before TE":            post + "X-A: b\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
		"bare LFs alone":                 "GET /healthz HTTP/1.1\nHost: x\n\n",
		"a bare CR":                      get + "X-A: b\rX-B: c\r\n\r\n",
		"a NUL":                          get + "X-A: b\x00c\r\n\r\n",
		"two hosts":                      get + "Host: y\r\n\r\n",
		"no host":                        "GET /healthz HTTP/1.1\r\n\r\n",
		"a line without a name":          get + ": b\r\n\r\n",
		"a chunk's line that ends early": post + "Transfer-Encoding: chunked\r\n\r\n2a\n" + body + "\r\n0\r\n\r\n",
		"a chunk's size with a prefix":   post + "Transfer-Encoding: chunked\r\n\r\n0x2a\r\n" + body + "\r\n0\r\n\r\n",
		"a chunk's size over 64 bits":    post + "Transfer-Encoding: chunked\r\n\r\n1000000000000002a\r\n" + body + "\r\n0\r\n\r\n",
		"spaces in the first line":       "GET  /healthz  HTTP/1.1\r\nHost: x\r\n\r\n",
		"more in the first line":         "GET /healthz HTTP/1.1 x\r\nHost: x\r\n\r\n",
		"no version":                     "GET /healthz\r\n\r\n",
		"a tab in the method":            "GE\tT /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if statuses, closed := a.statuses(request + following); statuses != "400" || !closed {
			t.Errorf("%s: answered %q, closed: %v; want one 400 and the end", name, statuses, closed)
		}
	}
	for name, c := range map[string]struct{ request, want string }{
		"a length":            {post + length + "\r\n" + body, "200 405"},
		"chunks":              {post + "Transfer-Encoding: chunked\r\n\r\n" + chunks, "200 405"},
		"a chunk's extension": {post + "Transfer-Encoding: chunked\r\n\r\n2a;a=b\r\n" + body + "\r\n0\r\n\r\n", "200 405"},
		"a body of a GET":     {get + "Content-Length: 40\r\n\r\nDELETE / HTTP/1.1\r\nX-Session-Token: abc\r\n", "200 405"},
		"an absolute path":    {"GET http://evil.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n", "200 405"},
		"an upgrade":          {get + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "200 405"},
		"a tunnel":            {"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", "404 405"},
	} {
		if statuses, _ := a.statuses(c.request + following); statuses != c.want {
			t.Errorf("%s: answered %q, want %q", name, statuses, c.want)
		}
	}
	// A token behind the body would be taken for the header's.
	u := a.login("aitbc1wallet_trailer")
	logout := "POST /api/users/logout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
	for _, request := range []string{logout + "\r\n0\r\n", logout + "Trailer: X-Session-Token\r\n\r\n0\r\n"} {
		if statuses, closed := a.statuses(request + "X-Session-Token: " + u.token + "\r\n\r\n" + following); statuses != "400" || !closed {
			t.Errorf("a token in a trailer: answered %q, closed: %v", statuses, closed)
		}
	}
	u.as("GET", "/api/users/me", "").is(200)
}

func TestNestedOrBrokenTextIsRefusedUnread(t *testing.T) {
	a := startAPI(t)
	login := "/api/users/login"
	deep := strings.Repeat("[", 30_000)
	for name, c := range map[string]struct{ body, field string }{
		"deep arrays":                 {`{"wallet_address":` + deep, "wallet_address"},
		"deep objects":                {`{"wallet_address":` + strings.Repeat(`{"a":`, 12_000), "wallet_address"},
		"deep arrays in a name of no": {`{"x":` + deep, "x"},
		"a lone surrogate":            {`{"wallet_address":"aitbc1wallet_\ud800"}`, ""},
		"an overlong form":            {"{\"wallet_address\":\"aitbc1wallet_\xc0\xaf\"}", ""},
		"a byte order mark":           {"\xef\xbb\xbf" + `{"wallet_address":"aitbc1wallet_bom"}`, ""},
		"UTF-16":                      {"{\x00}\x00", ""},
		"a NUL in a text":             {`{"wallet_address":"aitbc1wallet_\u0000"}`, "wallet_address"},
		"a right-to-left override":    {`{"wallet_address":"aitbc1wallet_\u202e"}`, "wallet_address"},
		"a thousand members":          {`{` + strings.Repeat(`"a":1,`, 1000) + `"b":1}`, "a"},
		"a comment":                   {`{"wallet_address":"aitbc1wallet_x"/**/}`, ""},
	} {
		r := a.call("POST", login, c.body)
		code := "bad_request"
		if c.field != "" {
			code = "invalid_field"
		}
		if r.status != 400 {
			t.Errorf("%s: status %d", name, r.status)
		}
		r.refused(400, code, c.field)
	}
}

func TestNothingOfARequestBecomesAHeaderOrALineOfTheLog(t *testing.T) {
	a := startAPI(t)
	u := a.login("aitbc1wallet_injector")
	for name, r := range map[string]reply{
		"request id":      a.call("GET", "/healthz", "", "X-Request-Id", "a b;c"),
		"path":            a.raw("GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: x\r\n\r\n"),
		"query":           u.as("GET", "/api/users/"+u.id+"/transactions?type=%0d%0aSet-Cookie:%20a=b", ""),
		"username":        u.as("PATCH", "/api/users/me", `{"username":"a\r\nSet-Cookie: a=b"}`),
		"wallet":          a.call("POST", "/api/users/login", `{"wallet_address":"a\r\nSet-Cookie: a=b"}`),
		"idempotency key": u.as("POST", "/api/users/"+u.id+"/deposits", `{"amount":1}`, "Idempotency-Key", "a b"),
		"csv":             u.as("GET", "/api/users/"+u.id+"/transactions.csv?from=%0d%0aSet-Cookie:%20a=b", ""),
	} {
		if r.header.Get("Set-Cookie") != "" || strings.Contains(r.header.Get("X-Request-Id"), " ") {
			t.Errorf("%s: %v", name, r.header)
		}
	}
}
