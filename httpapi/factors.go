package httpapi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/secondfactor"
)

// Limits of what comes with a second factor, in characters.
const (
	codeDigits      = 6
	maxCode         = 16 // with the spaces that people type
	maxRecoveryCode = 64
	maxPasskeyName  = 64
)

// factors answers with what the user has beside the wallet.
func (s *Server) factors(r *request) error {
	v := s.exchange.Factors(&r.session)
	b := append(r.body[:0], '{')
	b = appendBool(b, "totp", v.TOTP)
	b = append(appendKey(b, "passkeys"), '[')
	for i, p := range v.Passkeys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendString(b, "id", hex.EncodeToString(p.ID[:]))
		b = appendString(b, "name", p.Name)
		b = appendTime(b, "created_at", p.CreatedAt)
		b = appendTime(b, "last_used_at", p.UsedAt)
		b = append(b, '}')
	}
	b = append(b, ']')
	b = appendUint(b, "recovery_codes_left", uint64(v.RecoveryCodes))
	b = appendTime(b, "elevated_until", v.ElevatedUntil)
	b = appendBool(b, "required", v.Required)
	b = appendStrings(b, "passkey_origins", v.Origins)
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// rotated answers with the session's new token.
func (r *request) rotated(status int, rotated *actors.Rotated) error {
	b := append(r.body[:0], '{')
	if len(rotated.RecoveryCodes) > 0 {
		b = appendStrings(b, "recovery_codes", rotated.RecoveryCodes)
	}
	b = appendString(b, "session_token", rotated.Token)
	b = appendTime(b, "expires_at", rotated.ExpiresAt)
	b = appendTime(b, "elevated_until", rotated.ElevatedUntil)
	r.body = append(b, '}')
	return r.json(status)
}

// beginTOTP answers with a secret for the user's authenticator app.
func (s *Server) beginTOTP(r *request) error {
	if err := r.decode(); err != nil {
		return err
	}
	secret, uri, err := s.exchange.BeginTOTP(&r.session)
	if err != nil {
		return err
	}
	image, err := qrCode(uri)
	if err != nil {
		return err
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "secret", secret)
	b = appendString(b, "uri", uri)
	b = appendString(b, "qr_code", image)
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// confirmTOTP enrols the app that shows the code.
func (s *Server) confirmTOTP(r *request) error {
	var code string
	if err := r.decode(text("code", &code, 1, maxCode)); err != nil {
		return err
	}
	code, err := plainCode(code)
	if err != nil {
		return err
	}
	rotated, err := s.tryFactor(r, account.FactorTOTP, func() (actors.Rotated, error) { return s.exchange.ConfirmTOTP(&r.session, code) })
	if err != nil {
		return err
	}
	return r.rotated(fasthttp.StatusCreated, &rotated)
}

// plainCode takes the spaces out of a code, as apps show them. What is no code is
// refused without counting as a guess.
func plainCode(code string) (string, error) {
	code = strings.ReplaceAll(code, " ", "")
	if len(code) != codeDigits || strings.Trim(code, "0123456789") != "" {
		return "", badField("code", "must be the %d digits that your authenticator app shows", codeDigits)
	}
	return code, nil
}

func (s *Server) removeTOTP(r *request) error {
	rotated, err := s.exchange.RemoveTOTP(&r.session)
	if err != nil {
		return err
	}
	return r.rotated(fasthttp.StatusOK, &rotated)
}

// newRecoveryCodes answers with recovery codes in place of those that there were.
func (s *Server) newRecoveryCodes(r *request) error {
	if err := r.decode(); err != nil {
		return err
	}
	codes, err := s.exchange.NewRecoveryCodes(&r.session)
	if err != nil {
		return err
	}
	r.body = append(appendStrings(append(r.body[:0], '{'), "recovery_codes", codes), '}')
	return r.json(fasthttp.StatusOK)
}

func (s *Server) beginPasskey(r *request) error { return s.options(r, s.exchange.BeginPasskey) }
func (s *Server) beginStepUp(r *request) error  { return s.options(r, s.exchange.BeginStepUp) }

// options answers with what the browser's function wants, as it wants it.
func (s *Server) options(r *request, begin func(*actors.Session) ([]byte, error)) error {
	if err := r.decode(); err != nil {
		return err
	}
	options, err := begin(&r.session)
	if err != nil {
		return err
	}
	r.body = append(r.body[:0], options...)
	return r.json(fasthttp.StatusOK)
}

// addPasskey enrols the passkey that the browser made.
func (s *Server) addPasskey(r *request) error {
	var name string
	var credential []byte
	if err := r.decode(text("name", &name, 1, maxPasskeyName), object("credential", &credential)); err != nil {
		return err
	}
	rotated, err := s.tryFactor(r, account.FactorPasskey, func() (actors.Rotated, error) { return s.exchange.AddPasskey(&r.session, name, credential) })
	if err != nil {
		return err
	}
	return r.rotated(fasthttp.StatusCreated, &rotated)
}

func (s *Server) removePasskey(r *request) error {
	var id actors.PasskeyID
	given := r.captures.at(0)
	if len(given) != hex.EncodedLen(len(id)) {
		return notFound("there is no such passkey")
	}
	if _, err := hex.Decode(id[:], given); err != nil {
		return notFound("there is no such passkey")
	}
	rotated, err := s.exchange.RemovePasskey(&r.session, id)
	if err != nil {
		return err
	}
	return r.rotated(fasthttp.StatusOK, &rotated)
}

// stepUp elevates the session by the one factor that is shown.
func (s *Server) stepUp(r *request) error {
	var code, recovery string
	var passkey []byte
	if err := r.decode(
		text("code", &code, 1, maxCode).optional(),
		text("recovery_code", &recovery, 1, maxRecoveryCode).optional(),
		object("passkey", &passkey).optional(),
	); err != nil {
		return err
	}
	var kind account.FactorKinds
	var try func() (actors.Rotated, error)
	switch {
	case code != "" && recovery == "" && passkey == nil:
		plain, err := plainCode(code)
		if err != nil {
			return err
		}
		kind, try = account.FactorTOTP, func() (actors.Rotated, error) { return s.exchange.StepUpByTOTP(&r.session, plain) }
	case code == "" && recovery != "" && passkey == nil:
		kind, try = account.FactorRecovery, func() (actors.Rotated, error) { return s.exchange.StepUpByRecovery(&r.session, recovery) }
	case code == "" && recovery == "" && passkey != nil:
		kind, try = account.FactorPasskey, func() (actors.Rotated, error) { return s.exchange.StepUpByPasskey(&r.session, passkey) }
	default:
		return badRequest("give exactly one of code, recovery_code and passkey")
	}
	rotated, err := s.tryFactor(r, kind, try)
	if err != nil {
		return err
	}
	return r.rotated(fasthttp.StatusOK, &rotated)
}

// resetFactors is the operator's, for a user who has lost every factor.
func (s *Server) resetFactors(r *request) error {
	id, err := r.userID()
	if err != nil {
		return err
	}
	var reason string
	if err := r.decode(text("reason", &reason, 1, maxReason)); err != nil {
		return err
	}
	receipt, err := s.exchange.ResetFactors(id, r.operator, reason)
	if err != nil {
		return err
	}
	return r.user(receipt.State)
}

// problemOfFactor returns the problem of an error about second factors, nil for others.
func problemOfFactor(err error) *Problem {
	switch {
	case errors.Is(err, secondfactor.ErrRefused):
		return factorRefused()
	case errors.Is(err, secondfactor.ErrBusy):
		return unavailable(60, "too many second factors are being enrolled or shown at once; try again")
	case errors.Is(err, secondfactor.ErrNoEnrolment):
		return notFound(fmt.Sprintf("%v: begin again at /api/users/me/factors/totp", secondfactor.ErrNoEnrolment))
	case errors.Is(err, actors.ErrFactorsOff):
		return notFound("this exchange has no second factors of this kind; passkeys take a domain name in --public-origin")
	}
	return nil
}

// factorRefused tells no more than that: our own log tells why.
func factorRefused() *Problem {
	return &Problem{Status: fasthttp.StatusForbidden, Code: "second_factor_refused", Title: "Second factor refused",
		Detail: "wrong code or passkey, or one that has been used before"}
}
