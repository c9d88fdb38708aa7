package httpapi

import (
	"log/slog"
	"runtime/debug"

	"github.com/aitbc/exchange/actors"
)

// The request protocol: how a handler has a command carried out whose outcome takes a
// sync of the journal. The same handler runs on both paths:
//
//	a goroutine of fasthttp's server   await begins the command and waits on r.done
//	an event loop, which may not wait  await notes what to do and returns errPending; the
//	                                   loop calls begin (fastHandler.Start), and Outcome has
//	                                   the response sent (Conn.Answer, fastHandler.Response)

// errPending is what await returns on an event loop, and a handler with it.
var errPending error = pending{}

type pending struct{}

func (pending) Error() string { return "the answer comes later" }

// await has begin called, which must begin a command with r as its Requester, and then
// has then called with the command's receipt, which answers r. A handler returns await's
// error at once, without touching r again: on an event loop the request may be over.
func (r *request) await(begin func(*request), then func(*request, actors.Receipt) error) error {
	r.begins, r.then = begin, then
	if r.conn != nil {
		return errPending
	}
	begin(r)
	<-r.done
	return r.outcome()
}

// Outcome implements actors.Requester. The journal's committer calls it, so it does not
// block: r.done has room for the one outcome.
func (r *request) Outcome(receipt actors.Receipt, err error) {
	r.got, r.gotErr = receipt, err
	if r.conn != nil {
		r.conn.Answer()
		return
	}
	r.done <- struct{}{}
}

// outcome answers r from the receipt or error that Outcome got.
func (r *request) outcome() error {
	if r.gotErr != nil {
		return r.gotErr
	}
	return r.then(r, r.got)
}

// conclude answers a request of an event loop from its outcome.
func (s *Server) conclude(r *request) {
	defer s.recovered(r)
	if err := r.outcome(); err != nil {
		r.refuse(s.problemOf(r, err))
	}
}

// recovered answers 500 after a panic.
func (s *Server) recovered(r *request) {
	if reason := recover(); reason != nil {
		s.log.Error("panic in a request handler", slog.String("request_id", string(r.id)),
			slog.Any("reason", reason), slog.String("stack", string(debug.Stack())))
		r.refuse(&Problem{Status: 500, Code: "internal", Title: "Internal error", Detail: "this request failed; the operator's log says why"})
	}
}
