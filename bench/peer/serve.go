package peer

import (
	"bytes"
	"context"
	"net"

	"github.com/valyala/fasthttp"
)

// Serve answers with a store's work until listening fails.
func Serve(address string, store Store) error {
	return serve(address, func(ctx *fasthttp.RequestCtx) {
		status, body := Answer(context.Background(), store, ctx.IsPost(), ctx.Path(), ctx.Request.Header.Peek("X-Session-Token"), ctx.PostBody())
		for _, h := range Headers {
			ctx.Response.Header.Set(h[0], h[1])
		}
		ctx.Response.Header.SetContentType("application/json")
		ctx.SetStatusCode(status)
		ctx.Response.SetBodyRaw(body)
	})
}

func serve(address string, handler fasthttp.RequestHandler) error {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true, NoDefaultContentType: true}
	return server.Serve(listener)
}

// Sample is the response that the empty handler imitates.
type Sample struct {
	Status  int
	Headers [][2]string // besides Date, Content-Type and Content-Length
	Size    int         // of the body in bytes
}

// Samples are one for each operation.
type Samples struct {
	Deposit, Balance, History, Login Sample
}

// ServeEmpty is the limit: fasthttp answers every request at once with as many
// bytes and headers as the exchange, having looked only at what kind it is.
func ServeEmpty(address string, samples Samples) error {
	type prepared struct {
		Sample
		body []byte
	}
	prepare := func(s Sample) *prepared { return &prepared{s, bytes.Repeat([]byte{'x'}, s.Size)} }
	deposit, balance := prepare(samples.Deposit), prepare(samples.Balance)
	history, login := prepare(samples.History), prepare(samples.Login)
	return serve(address, func(ctx *fasthttp.RequestCtx) {
		path := ctx.Path()
		var p *prepared
		switch post := ctx.IsPost(); {
		case post && path[len(path)-1] == 's':
			p = deposit
		case post:
			p = login
		case path[len(path)-1] == 'e':
			p = balance
		case string(path) == "/metrics" || len(path) == 1:
			status, body := Answer(ctx, nil, false, path, nil, nil)
			ctx.SetStatusCode(status)
			ctx.Response.SetBodyRaw(body)
			return
		default:
			p = history
		}
		for i := range p.Headers {
			ctx.Response.Header.Set(p.Headers[i][0], p.Headers[i][1])
		}
		ctx.Response.Header.SetContentType("application/json")
		ctx.SetStatusCode(p.Status)
		ctx.Response.SetBodyRaw(p.body)
	})
}
