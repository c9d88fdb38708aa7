// Package eventloop serves TCP connections from a few goroutines instead of one
// each. A loop reads what has come on any of its connections and offers it to a
// Handler, which answers at once, answers later, or passes the message on. The first
// that is passed on makes the connection come out of Accept, as a net.Conn for a
// goroutine of its own; between messages it is offered again what comes.
//
// It owns sockets and who may touch them, and knows nothing of HTTP. Package httpapi
// calls it.
package eventloop
