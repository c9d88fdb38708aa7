package httpapi

import (
	"encoding/hex"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
)

// sessions answers with the user's open sessions, oldest first.
func (s *Server) sessions(r *request) error {
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "sessions"), '[')
	for i, session := range s.exchange.Sessions(&r.session) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendString(b, "id", hex.EncodeToString(session.ID[:]))
		b = appendTime(b, "created_at", session.CreatedAt)
		b = appendTime(b, "expires_at", session.ExpiresAt)
		b = appendBool(b, "current", session.Current)
		b = append(b, '}')
	}
	r.body = append(b, ']', '}')
	return r.json(fasthttp.StatusOK)
}

// endOtherSessions logs out everybody but who asks.
func (s *Server) endOtherSessions(r *request) error {
	ended, err := s.exchange.EndOtherSessions(&r.session)
	if err != nil {
		return err
	}
	return r.ended(ended)
}

// endSession logs out one session, which may be the one that asks.
func (s *Server) endSession(r *request) error {
	var id actors.SessionID
	given := r.captures.at(0)
	if len(given) != hex.EncodedLen(len(id)) {
		return notFound("there is no such session")
	}
	if _, err := hex.Decode(id[:], given); err != nil {
		return notFound("there is no such session")
	}
	if err := s.exchange.EndSession(&r.session, id); err != nil {
		return err
	}
	return r.ended(1)
}

func (r *request) ended(n int) error {
	b := append(r.body[:0], '{')
	r.body = append(appendUint(b, "ended", uint64(n)), '}')
	return r.json(fasthttp.StatusOK)
}
