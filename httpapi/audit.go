package httpapi

import (
	"encoding/hex"
	"math"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// audit answers with a page of the audit log, newest first.
func (s *Server) audit(r *request) error {
	limit, cursor := defaultPage, 0
	if p := decodeQuery(r.ctx.QueryArgs(), intParam("limit", &limit, 1, maxPage), intParam("cursor", &cursor, 1, math.MaxInt)); p != nil {
		return p
	}
	head, _ := s.exchange.AuditHead()
	entries, more := s.exchange.AuditEntries(uint64(cursor), limit)
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "entries"), '[')
	for i := range entries {
		e := &entries[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendUint(b, "n", e.N)
		b = appendTime(b, "at", account.Time(e.At/1000)) // which counts microseconds
		b = appendString(b, "actor", e.Actor)
		b = appendString(b, "action", e.Action)
		b = appendString(b, "target", e.Target)
		b = appendString(b, "note", e.Note)
		b = appendString(b, "hash", hex.EncodeToString(e.Hash[:]))
		b = append(b, '}')
	}
	b = append(b, ']')
	b = appendUint(b, "total", head.N)
	b = appendString(b, "head", head.String())
	b = appendKey(b, "next_cursor")
	if more {
		b = append(strconv.AppendUint(append(b, '"'), entries[len(entries)-1].N, 10), '"')
	} else {
		b = append(b, "null"...)
	}
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}
