// Package eventloop serves TCP connections from a few goroutines instead of one each. A
// loop reads from all of its connections and gives each message to a Handler, which answers
// it at once, later, or has the connection detached: then the connection comes out of
// Accept, as a net.Conn for a goroutine of its own. At message boundaries the loops serve a
// detached connection too, so a detach is for one message, not for good.
//
// It owns the sockets and decides which goroutine may touch one. It knows nothing of HTTP,
// keeps no time (timeouts are deadlines that others set), and never blocks a loop. Package
// httpapi calls it: Listen once, then Accept from fasthttp's server, and implements Handler.
//
// # Invariants
//
//  1. A connection has one owner at a time, or none while it waits. Only the owner calls the
//     Handler for it and touches the fields of Conn that are neither atomic nor guarded.
//  2. Responses leave in the order of the messages: the next message is given to the Handler
//     only after the response to the one before has been written (Handler.Sent).
//  3. A message that the Handler took gets its response: a Close meanwhile, a client that
//     has closed its side, and Listener.Close wait for it. Conn.answering is set before
//     Handler.Message, so that no Close comes between the two. An expired write deadline or a
//     broken connection ends the wait.
//  4. No event is lost: epoll reports edges, so one that comes while the connection has an
//     owner makes state again, and release fails until the owner has looked once more.
//  5. After the last response (Conn.Last, or a Close while it was due) no other message is
//     given to the Handler, even if its bytes have been read.
//  6. What is read and not taken stays in Conn.in, in order, and whoever reads next, a loop
//     or the connection's own goroutine, begins there.
//
// # Who owns a socket when
//
// Conn.state is idle, busy or again. Whoever changes it from idle to busy is the owner.
//
//	accepted, not yet adopted       Listener.adopt, until the loop's epoll watches the socket
//	nothing to do                   nobody: state is idle
//	an event, an expired deadline   who called Conn.notify: a loop, the phase timer, a Close;
//	                                or the goroutine that waits in Conn.block, which it wakes
//	Message answered: Answered      the loop, until turn.end has sent the response
//	Message answered: Pending       nobody from Handler.Start on, but state stays busy: events
//	                                only make it again; Conn.Answer gives the connection to a
//	                                goroutine of the sender
//	Message answered: Detach        the connection's own goroutine, from Accept or from its
//	                                Read on, until that Read is at a message boundary again:
//	                                then advance, as for a loop, while the goroutine waits
//	the client does not read        a goroutine of sendOrWait, which waits for the socket
//	hijacked                        whoever called Conn.Hijack; the loops forget the socket
//
// Conn.mu is not ownership: it is held for one system call, so that a Close by another
// goroutine never closes a file descriptor that somebody uses, or that is another socket's
// by then.
//
// # The life of a deposit
//
// A POST whose outcome takes a sync of the journal, from epoll to the response. Names with
// a package are elsewhere; everything else is of this package.
//
//	loop.run: epoll has an event of the socket
//	    Conn.notify: idle -> busy, this loop is the owner
//	        Conn.advance: read the bytes; answering = true
//	            httpapi.fastHandler.Message: one route lookup, parse, call the handler
//	                httpapi.Server.deposit: decode, then
//	                    httpapi.request.await: errPending, since a loop may not wait
//	            Pending, with the bytes of the request taken; keep the rest
//	            httpapi.fastHandler.Start: send the command; this is the last touch
//	                actors.Exchange.BeginDeposit: the user's actor decides and appends
//	    next connection
//	the journal's committer: the record is durable
//	    httpapi.request.Outcome: note the receipt
//	        Conn.Answer: queue the connection for the sender; does not block
//	a goroutine of the sender
//	    Conn.respond
//	        httpapi.fastHandler.Response: receipt -> JSON
//	        sendOrWait: write; answering = false; Handler.Sent
//	        Conn.advance: the next message, if its bytes are here, or release
//
// # Rejected, and why
//
//   - An own blocking epoll_wait per loop: a loop with nothing to do would keep a thread. The
//     epoll's descriptor is watched by the poller of Go's scheduler instead (type loop).
//   - Writing each response where it was made: a client with several connections would be
//     woken for each. The responses of one turn leave one right after the other (type turn).
//   - A read until EAGAIN: by epoll(7) a short read of a stream has left nothing, so the
//     second system call is only made if the end of the stream may follow (Conn.recv).
//   - A buffer per connection: most of them wait, and hold none (Conn.keep, workspaces).
//   - Deadlines with a timer each: the caller's timer interrupts a connection by a deadline
//     that is over already, so a deadline in the future is refused (Conn.SetReadDeadline).
package eventloop
