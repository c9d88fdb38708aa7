package httpapi

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// ambiguous reports whether a proxy before us may have read a request's header in
// another way than we do, so that it took what follows for another request (request
// smuggling): a line that ends in a bare LF or goes on in the next (RFC 9112, sections
// 2.2 and 5.2, let both be read or refused), and a body with two lengths (section
// 6.1). What has only one reading in the standard, the parser refuses by itself.
//
// Fields behind a chunked body (trailers) are refused too: the parser takes them for
// header fields, so with one a client could speak after the proxy, as in
// X-Forwarded-For, whose last line is the proxy's word.
func ambiguous(h *fasthttp.RequestHeader) bool {
	if len(h.PeekTrailerKeys()) > 0 {
		return true
	}
	length, encoding := false, false
	for rest := h.RawHeaders(); len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		if i == 0 || rest[i-1] != '\r' || rest[0] == ' ' || rest[0] == '\t' {
			return true
		}
		length = length || isField(rest, fasthttp.HeaderContentLength)
		encoding = encoding || isField(rest, fasthttp.HeaderTransferEncoding)
		rest = rest[i+1:]
	}
	return length && encoding
}

// isField reports whether a line of a header, which ends in CR LF, begins with a
// field's name.
func isField(line []byte, name string) bool {
	return line[0]|0x20 == name[0]|0x20 && len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name))
}

func malformedRequest() *Problem {
	return &Problem{Status: fasthttp.StatusBadRequest, Code: "malformed", Title: "Malformed request", Detail: "this is not a valid HTTP/1.1 request"}
}
