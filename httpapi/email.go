package httpapi

import (
	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

const maxEmailCode = 32 // characters, however it is typed

// email answers with where the user is written to.
func (s *Server) email(r *request) error { return r.email(r.session.State) }

func (r *request) email(state *account.State) error {
	verified, at := state.VerifiedEmail() == state.Email, account.Time(0)
	if verified {
		at = state.Contact.VerifiedAt
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "email", state.Email)
	b = appendBool(b, "verified", verified)
	r.body = append(appendTime(b, "verified_at", at), '}')
	return r.json(fasthttp.StatusOK)
}

// verifyEmail sends a code to the user's address.
func (s *Server) verifyEmail(r *request) error {
	if err := r.decode(); err != nil {
		return err
	}
	return r.codeSent(s.exchange.SendEmailCode(&r.session))
}

// codeSent says where a code went, and until when it holds.
func (r *request) codeSent(email string, until account.Time, err error) error {
	if err != nil {
		return err
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "email", email)
	r.body = append(appendTime(b, "expires_at", until), '}')
	return r.json(fasthttp.StatusAccepted)
}

// confirmEmail takes the code back.
func (s *Server) confirmEmail(r *request) error {
	var code string
	if err := r.decode(text("code", &code, 1, maxEmailCode)); err != nil {
		return err
	}
	state, err := s.exchange.ConfirmEmail(&r.session, code)
	if err != nil {
		return err
	}
	return r.email(state)
}
