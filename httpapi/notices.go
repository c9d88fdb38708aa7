package httpapi

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// notices answers with what others are still to be told, or were told last.
func (s *Server) notices(r *request) error {
	state, cursor := "open", ""
	limit := defaultPage
	if p := decodeQuery(r.ctx.QueryArgs(),
		enumParam("state", &state, "open", "settled"),
		intParam("limit", &limit, 1, maxPage),
		textParam("cursor", &cursor, 1, maxCursor),
	); p != nil {
		return p
	}
	from, err := parseNoticePlace(cursor)
	if err != nil {
		return err
	}
	entries, next, more := s.exchange.Notices(state == "open", from, limit)
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "notices"), '[')
	for i := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNotice(b, &entries[i])
	}
	b = append(b, ']')
	r.body = append(appendNoticePlace(b, next, more), '}')
	return r.json(fasthttp.StatusOK)
}

// appendNotice writes a notice as one object.
func appendNotice(b []byte, e *actors.NoticeEntry) []byte {
	n := e.Notice
	attempts, problem, next := n.Attempts, n.Problem, account.Time(0)
	if n.State == account.NoticeOpen {
		attempts, problem = e.Waiting.Attempts, e.Waiting.Problem
		if !e.Waiting.Due.IsZero() {
			next = account.TimeOf(e.Waiting.Due)
		}
	}
	b = append(b, '{')
	b = appendString(b, "id", e.ID.String())
	b = appendUserID(b, "user_id", e.ID.User)
	b = appendString(b, "channel", n.Channel.String())
	b = appendString(b, "event", n.Name)
	b = appendString(b, "state", n.State.String())
	b = appendTime(b, "happened_at", n.At)
	b = appendTime(b, "opened_at", n.OpenedAt)
	b = appendTime(b, "settled_at", n.SettledAt)
	b = appendUint(b, "attempts", uint64(attempts))
	b = appendStringOrNull(b, "problem", problem)
	b = appendTime(b, "next_attempt_at", next)
	b = append(appendKey(b, "body"), n.Body...)
	return append(b, '}')
}

// A cursor is how many users have been looked at, a hyphen, and the last notice of the
// next.
func appendNoticePlace(b []byte, next actors.NoticePlace, more bool) []byte {
	if !more {
		return append(appendKey(b, "next_cursor"), "null"...)
	}
	return appendString(b, "next_cursor", fmt.Sprintf("%d-%d", next.Users, next.N))
}

func parseNoticePlace(cursor string) (place actors.NoticePlace, err error) {
	if cursor == "" {
		return place, nil
	}
	users, n, _ := strings.Cut(cursor, "-")
	skipped, wrongUsers := strconv.ParseUint(users, 10, 31)
	number, wrongN := strconv.ParseUint(n, 10, 32)
	if wrongUsers != nil || wrongN != nil {
		return place, badField("cursor", "must be the next_cursor of the page before")
	}
	return actors.NoticePlace{Users: int(min(skipped, math.MaxInt32)), N: uint32(number)}, nil
}

// replayNotice has one notice delivered once more.
func (s *Server) replayNotice(r *request) error {
	if err := r.decode(); err != nil {
		return err
	}
	id, err := account.ParseNoticeID(string(r.captures.at(0)))
	if err != nil {
		return notFound("there is no such notice")
	}
	if err := s.exchange.ReplayNotice(id, r.operator); err != nil {
		return err
	}
	e, ok := s.exchange.Notice(id)
	if !ok {
		return notFound("there is no such notice, or it is no longer kept")
	}
	r.body = appendNotice(r.body[:0], &e)
	return r.json(fasthttp.StatusAccepted)
}

// maxReplay is how many notices one request has delivered once more.
const maxReplay = 1000

// replayNotices has the settled notices from a time on delivered once more, so many a
// request.
func (s *Server) replayNotices(r *request) error {
	var since, state, cursor string
	if err := r.decode(
		text("from", &since, 1, maxTimeText),
		text("state", &state, 1, maxCursor).optional(),
		text("cursor", &cursor, 1, maxCursor).optional(),
	); err != nil {
		return err
	}
	var from account.Time
	if wanted, ok := timeParam("from", &from).set(since); !ok {
		return badField("from", "must be %s", wanted)
	}
	if state != "" && state != "failed" && state != "settled" {
		return badField("state", "must be failed, for the notices that were given up, or settled, for the delivered ones too")
	}
	place, err := parseNoticePlace(cursor)
	if err != nil {
		return err
	}
	replayed, next, more, err := s.exchange.ReplayNotices(from, state == "failed", place, maxReplay, r.operator)
	if err != nil {
		return err
	}
	b := appendUint(append(r.body[:0], '{'), "replayed", uint64(replayed))
	r.body = append(appendNoticePlace(b, next, more), '}')
	return r.json(fasthttp.StatusAccepted)
}

const maxTimeText = 40 // characters
