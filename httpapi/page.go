package httpapi

import (
	"embed"
	"strings"

	"github.com/valyala/fasthttp"
)

//go:embed web
var web embed.FS

// Policies of what a page may load. Nothing comes from another address, and no
// script or style stands in the page itself. The viewer of the documentation sets
// style attributes, and so may.
const (
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// page answers with the trade page.
func (s *Server) page(r *request) error {
	return r.page(assets().at("app/index.html"), pagePolicy)
}

// operatorPage answers with the operators' page, or where there are none, with how to
// become one.
func (s *Server) operatorPage(r *request) error {
	if len(s.cfg.Keys) == 0 {
		return r.page(assets().at("app/operator-none.html"), pagePolicy)
	}
	return r.page(assets().at("app/operator.html"), pagePolicy)
}

func (s *Server) docs(r *request) error { return r.page(assets().at("docs/index.html"), docsPolicy) }

func (s *Server) openAPI(r *request) error { return r.asset(assets().at("openapi.json")) }

// asset answers with a file that a page is made of: /assets/docs/... is the
// documentation's, everything else the trade page's.
func (s *Server) asset(r *request) error {
	path := string(r.captures.at(0))
	found := assets().at("app/" + path)
	if found == nil && len(path) > len("docs/") && path[:len("docs/")] == "docs/" {
		found = assets().at(path)
	}
	if strings.HasSuffix(path, ".html") { // a page is served at its own path, with its policy
		found = nil
	}
	return r.asset(found)
}

// page answers with an HTML page, under a policy.
func (r *request) page(page *asset, policy string) error {
	h := &r.ctx.Response.Header
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if r.server.cfg.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	return r.asset(page)
}

// asset answers with a file, compressed where that is accepted and pays, or 304
// where the client has it.
func (r *request) asset(a *asset) error {
	if a == nil {
		return notFound("there is nothing at this path")
	}
	h := &r.ctx.Response.Header
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.SetContentType(a.contentType)
	body, tag := a.plain, a.tag
	if a.gzip != nil {
		h.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
		if acceptsGzip(r.ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)) {
			h.Set(fasthttp.HeaderContentEncoding, "gzip")
			body, tag = a.gzip, a.gzipTag
		}
	}
	h.Set(fasthttp.HeaderETag, tag)
	if string(r.ctx.QueryArgs().Peek("v")) == a.version {
		h.Set(fasthttp.HeaderCacheControl, "public, max-age=31536000, immutable")
	} else {
		h.Set(fasthttp.HeaderCacheControl, "no-cache") // ask each time, and mostly get a 304
	}
	if matchesTag(r.ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), tag) {
		r.ctx.SetStatusCode(fasthttp.StatusNotModified)
		h.Del(fasthttp.HeaderContentEncoding)
		return nil
	}
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	r.ctx.Response.SetBodyRaw(body) // shared and never written
	return nil
}
