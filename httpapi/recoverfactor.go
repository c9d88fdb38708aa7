package httpapi

import (
	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// recovery answers with when the user's factors go, if a recovery is under way.
func (s *Server) recovery(r *request) error {
	return r.recovery(fasthttp.StatusOK, r.session.Recovery())
}

func (r *request) recovery(status int, under *account.Recovery) error {
	var requested, until account.Time
	if under != nil {
		requested, until = under.RequestedAt, under.Until
	}
	b := append(r.body[:0], '{')
	b = appendTime(b, "requested_at", requested)
	r.body = append(appendTime(b, "removed_at", until), '}')
	return r.json(status)
}

// startRecovery sends a code to a user who has lost their second factor.
func (s *Server) startRecovery(r *request) error {
	if err := r.decode(); err != nil {
		return err
	}
	return r.codeSent(s.exchange.StartRecovery(&r.session))
}

// confirmRecovery takes the code back, and begins the delay.
func (s *Server) confirmRecovery(r *request) error {
	var code string
	if err := r.decode(text("code", &code, 1, maxEmailCode)); err != nil {
		return err
	}
	under, err := s.exchange.ConfirmRecovery(&r.session, code)
	if err != nil {
		return err
	}
	return r.recovery(fasthttp.StatusAccepted, under)
}

// cancelRecovery stops it, by the code of a mail or by a session that has shown a factor.
func (s *Server) cancelRecovery(r *request) error {
	var code string
	if err := r.decode(text("code", &code, 1, maxEmailCode).optional()); err != nil {
		return err
	}
	if err := s.exchange.CancelRecovery(&r.session, code); err != nil {
		return err
	}
	return r.recovery(fasthttp.StatusOK, nil)
}

// operatorCancelRecovery stops a user's.
func (s *Server) operatorCancelRecovery(r *request) error {
	id, err := r.userID()
	if err != nil {
		return err
	}
	if err := r.decode(); err != nil {
		return err
	}
	receipt, err := s.exchange.OperatorCancelRecovery(id, r.operator)
	if err != nil {
		return err
	}
	return r.user(receipt.State)
}
