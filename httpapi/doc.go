// Package httpapi is the HTTP front of the exchange: routes, decoding, sessions, problem
// documents, limits, metrics and the embedded pages. It turns a request into one call of
// package actors, and the outcome into JSON.
//
// It owns the routes and their names, the wire format (write.go, decode.go, query.go), the
// mapping of errors to statuses (problem.go, the only place that knows one), the limits of
// requests, and what a connection may take of time and memory. It keeps no account, decides
// no rule of the exchange, and knows nothing of how records are stored. cmd/exchange makes
// one Server, runs it, and tells it when recovery is over.
//
// # How a request flows
//
// A connection is on the event loops of package eventloop first. Each message takes one of
// two paths, which answer the same to the byte (TestTheLoopsAnswerAsFasthttpDoes):
//
//	fast path: on the loop's goroutine, which may not wait
//	    fastHandler.Message    fastRoute finds the route by the request line
//	                           readFast reads the request with fasthttp's parser
//	    Server.begin           a pooled request; its id, its phase
//	    Server.handle
//	    fastHandler.respond    or, after await, Start and later Response
//
//	every other message, every connection with TLS: on a goroutine of fasthttp's server
//	    the connection is detached, and comes out of Listener.Accept
//	    Server.serve
//	    Server.begin
//	    Server.handle
//	        Server.findRoute   refuses ambiguous framing, and finds the route
//
//	on both, the same handlers
//	    Server.handle
//	        Server.answer      recovery over? address's limit, authorize, account's limit
//	            route.handle   one file for each resource; decodes, calls the Exchange
//	                await      where the outcome takes a sync of the journal (await.go)
//	        Server.problemOf   an error becomes a problem document
//	    Server.finish          headers of every response, metrics, log line
//
// The table of routes (routes.go) marks those of the fast path: their handlers never wait,
// or wait by await only. fastHandler says which form a message must have besides.
//
// # What must hold
//
//   - Nothing of a request outlives its handler: fasthttp's slices, the pooled request and
//     the bytes of a connection are reused. What goes to an actor is copied.
//   - A response is written after the outcome is known: what it shows is durable.
//   - Ownership of a path is compared, never looked up, so that a stranger learns nothing
//     about which users exist (request.authorize).
//   - A secret is in no log line: quiet drops what fasthttp quotes of a malformed request.
//   - A panic in a handler is a 500 and a log line: handlers change no state themselves.
package httpapi
