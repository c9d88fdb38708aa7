// Package throttle limits how often a client or an account may do something, and
// tells which address a request came from.
//
// It owns token buckets in bounded memory, the RateLimit header fields, and the rule
// by which a proxy's word for an address is taken. It starts no goroutine, reads no
// clock and answers no request. httpapi asks it before a route's handler runs.
package throttle
