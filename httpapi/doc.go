// Package httpapi is the HTTP front of the exchange, and nothing else: routes,
// decoding, sessions, problem documents, metrics and the embedded page.
//
// It turns a request into one call of the actors package and the outcome into
// JSON. It keeps no account, decides no rule of the exchange, and is the only
// place that knows a status code. cmd/exchange makes one Server and runs it. Requests
// come on the event loops of package eventloop, or on fasthttp's server: see fastHandler.
package httpapi
