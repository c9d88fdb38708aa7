package httpapi

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/httpapi/walletproof"
)

// Limits of what comes with a signed login, in characters.
const (
	maxNonce        = 64
	maxSignature    = 512 // BIP-322 of a native SegWit address takes 144
	maxSignedText   = 4096
	maxLoggedReason = 400
)

// Logins is how a login is proved to be of the wallet's owner.
type Logins struct {
	Verifier *walletproof.Verifier // nil: a wallet's address is all that it takes
	Origins  []string              // the Verifier's; the first is the one that is announced
}

func (l *Logins) signed() bool { return l.Verifier != nil }

// name is what a page is told.
func (l *Logins) name() string {
	if l.signed() {
		return "signed"
	}
	return "open"
}

// origin is the one that a request came to, by its Host; the first if it names none
// of them. The list is the operator's, so a Host that somebody made up selects
// nothing of theirs.
func (l *Logins) origin(host []byte) string {
	for _, origin := range l.Origins {
		if _, name, _ := strings.Cut(origin, "://"); strings.EqualFold(name, string(host)) {
			return origin
		}
	}
	return l.Origins[0]
}

// nonce answers with what the wallet has to sign to log in.
func (s *Server) nonce(r *request) error {
	if p := r.takeAddress(s.limits.login); p != nil {
		return p
	}
	var given string
	if err := r.decode(text("wallet_address", &given, 1, actors.MaxWallet)); err != nil {
		return err
	}
	if !s.cfg.Logins.signed() {
		return notFound("this exchange takes no signatures: log in with the wallet_address alone")
	}
	if _, err := actors.CanonicalWallet(given); err != nil {
		return badField("wallet_address", "%v", err)
	}
	challenge, err := s.cfg.Logins.Verifier.Challenge(given, s.cfg.Logins.origin(r.ctx.Host()))
	switch {
	case errors.Is(err, walletproof.ErrUnprovable):
		return badField("wallet_address", "%v", err)
	case err != nil:
		return err
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "wallet_address", given)
	b = appendString(b, "nonce", challenge.Nonce)
	b = appendString(b, "message", challenge.Message)
	b = appendTime(b, "expires_at", account.TimeOf(challenge.ExpiresAt))
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// login opens a session of the wallet's user.
func (s *Server) login(r *request) error {
	if p := r.takeAddress(s.limits.login); p != nil {
		return p
	}
	var proof walletproof.Proof
	fields := []field{text("wallet_address", &proof.Wallet, 1, actors.MaxWallet)}
	if s.cfg.Logins.signed() {
		fields = append(fields,
			text("nonce", &proof.Nonce, 1, maxNonce).optional(),
			text("signature", &proof.Signature, 1, maxSignature).optional(),
			text("message", &proof.Message, 1, maxSignedText).lines().optional())
	}
	if err := r.decode(fields...); err != nil {
		return err
	}
	wallet, err := actors.CanonicalWallet(proof.Wallet)
	if err != nil {
		return badField("wallet_address", "%v", err)
	}
	if s.cfg.Logins.signed() {
		if err := s.prove(r, &proof); err != nil {
			return err
		}
	}
	// Only now that the proof is good: a stranger can't use up a user's logins.
	if p := r.take(s.limits.login, walletKey(wallet)); p != nil {
		return p
	}
	r.giveLogin()
	state, token, err := s.exchange.LoginFrom(wallet, clientText(r.client()))
	if err != nil {
		return err
	}
	b := append(r.body[:0], '{')
	b = appendUserID(b, "user_id", state.ID)
	b = appendString(b, "email", state.Email)
	b = appendString(b, "username", state.Username)
	b = appendTime(b, "created_at", state.CreatedAt)
	b = appendString(b, "session_token", token)
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// prove checks the proof that came with a login. Whoever fails learns no more than
// that; our own log tells why.
func (s *Server) prove(r *request, proof *walletproof.Proof) error {
	switch {
	case proof.Nonce == "" && proof.Signature == "" && proof.Message == "":
		return &Problem{Status: fasthttp.StatusUnauthorized, Code: "signature_required", Title: "Signature required",
			Detail: "a login needs the wallet's signature: POST the wallet_address to /api/auth/nonce, have the wallet sign the message in the answer, and send nonce and signature with the login"}
	case proof.Nonce == "":
		return badField("nonce", "is missing; give the one of /api/auth/nonce")
	case proof.Signature == "":
		return badField("signature", "is missing; give the wallet's signature of the message of /api/auth/nonce")
	}
	proof.Origin = s.cfg.Logins.origin(r.ctx.Host())
	err := s.cfg.Logins.Verifier.Verify(*proof)
	switch {
	case errors.Is(err, walletproof.ErrBusy):
		return unavailable(5, "too many logins at once; your nonce is still valid, try again")
	case errors.Is(err, walletproof.ErrRefused):
		reason := walletproof.Reason(err)
		s.log.Info("login refused", slog.String("request_id", string(r.id)), slog.String("wallet", proof.Wallet),
			slog.String("client", r.client().String()), slog.String("reason", reason[:min(len(reason), maxLoggedReason)]))
		return &Problem{Status: fasthttp.StatusUnauthorized, Code: "login_refused", Title: "Login refused", Detail: walletproof.ErrRefused.Error()}
	}
	return err
}
