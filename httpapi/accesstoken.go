package httpapi

import (
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/httpapi/accesstoken"
)

const maxAudience = 255 // characters

// AccessTokens are what a user shows to other services, which have no session of ours.
type AccessTokens struct {
	Issuer    *accesstoken.Issuer // nil: there are none
	Audiences []string            // the services that there are tokens for
}

func (a *AccessTokens) off() error {
	if a.Issuer == nil {
		return notFound("this exchange issues no access tokens")
	}
	return nil
}

// issueAccessToken answers with a token for one other service.
func (s *Server) issueAccessToken(r *request) error {
	var audience string
	if err := r.decode(text("audience", &audience, 1, maxAudience)); err != nil {
		return err
	}
	if err := s.cfg.AccessTokens.off(); err != nil {
		return err
	}
	if refused := r.session.State.MayChange(); refused != nil { // elsewhere no more than here
		return refused
	}
	if !slices.Contains(s.cfg.AccessTokens.Audiences, audience) {
		return badField("audience", "must be one of %s", strings.Join(s.cfg.AccessTokens.Audiences, ", "))
	}
	signed, token, err := s.cfg.AccessTokens.Issuer.Issue(r.session.UserID().String(), audience)
	if err != nil {
		return err
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "access_token", signed)
	b = appendString(b, "token_type", "Bearer")
	b = appendString(b, "audience", audience)
	b = appendTime(b, "expires_at", account.TimeOf(token.ExpiresAt))
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// keySet answers with the keys that other services check access tokens by.
func (s *Server) keySet(r *request) error {
	if err := s.cfg.AccessTokens.off(); err != nil {
		return err
	}
	r.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "public, max-age=300")
	r.body = append(r.body[:0], s.cfg.AccessTokens.Issuer.KeySet()...)
	return r.json(fasthttp.StatusOK)
}
