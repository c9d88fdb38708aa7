package httpapi

import (
	"embed"

	"github.com/valyala/fasthttp"
)

//go:embed web/index.html web/openapi.json
var web embed.FS

// pagePolicy lets the page load nothing from anywhere but its own style.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *Server) page(r *request) error {
	h := &r.ctx.Response.Header
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	return r.file("web/index.html", "text/html; charset=utf-8")
}

func (s *Server) openAPI(r *request) error {
	return r.file("web/openapi.json", "application/json")
}

// file answers with an embedded file.
func (r *request) file(name, contentType string) error {
	content, err := web.ReadFile(name)
	if err != nil {
		return err
	}
	r.ctx.Response.Header.SetContentType(contentType)
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	r.ctx.SetBody(content)
	return nil
}
