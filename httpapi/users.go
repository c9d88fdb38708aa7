package httpapi

import (
	"net/mail"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

func (s *Server) logout(r *request) error {
	if err := r.decode(); err != nil {
		return err
	}
	if err := s.exchange.Logout(&r.session); err != nil {
		return err
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "message", "Logged out")
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

func (s *Server) profile(r *request) error { return r.profile(r.session.State) }

// Limits of what a user may be called.
const (
	minUsername = 3
	maxUsername = 64
	maxEmail    = 254 // RFC 5321, section 4.5.3.1.3
)

func (s *Server) changeProfile(r *request) error {
	var email, username string
	if err := r.decode(
		text("email", &email, 3, maxEmail).optional(),
		text("username", &username, minUsername, maxUsername).optional(),
	); err != nil {
		return err
	}
	if email == "" && username == "" {
		return badField("email", "is missing; give an email, a username or both")
	}
	if email != "" && !isEmail(email) {
		return badField("email", "must be an address such as name@example.com")
	}
	if username != "" && !isUsername(username) {
		return badField("username", "must have letters, digits, '-', '_' and '.' only")
	}
	state, err := s.exchange.ChangeProfile(&r.session, email, username)
	if err != nil {
		return err
	}
	return r.profile(state)
}

// isEmail accepts a bare address of ASCII characters, with a dot in its domain.
func isEmail(s string) bool {
	address, err := mail.ParseAddress(s)
	if err != nil || address.Address != s || address.Name != "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '"' {
			return false
		}
	}
	domain := s[strings.LastIndexByte(s, '@')+1:]
	return strings.Contains(domain, ".")
}

func isUsername(s string) bool { return isRequestID([]byte(s)) }

func (r *request) profile(state *account.State) error {
	b := append(r.body[:0], '{')
	b = appendProfile(b, state)
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

func appendProfile(b []byte, state *account.State) []byte {
	b = appendUserID(b, "user_id", state.ID)
	b = appendString(b, "wallet_address", state.Wallet)
	b = appendString(b, "email", state.Email)
	b = appendString(b, "username", state.Username)
	b = appendString(b, "status", state.Status.String())
	b = appendTime(b, "created_at", state.CreatedAt)
	return appendTime(b, "last_login", state.LastLogin)
}

func (s *Server) balance(r *request) error {
	r.body = appendWholeBalance(r.body[:0], r.session.State)
	return r.json(fasthttp.StatusOK)
}

// appendWholeBalance writes the balance as one object.
func appendWholeBalance(b []byte, state *account.State) []byte {
	b = append(b, '{')
	b = appendUserID(b, "user_id", state.ID)
	return append(appendBalance(b, state), '}')
}

func appendBalance(b []byte, state *account.State) []byte {
	b = appendAddress(b, "address", state.ID)
	b = appendMoney(b, "balance", state.Balance)
	b = appendMoney(b, "available", state.Spendable())
	b = appendMoney(b, "held", state.Held)
	b = appendMoney(b, "frozen", state.Frozen)
	return appendTime(b, "updated_at", state.BalanceAt)
}
