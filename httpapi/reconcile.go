package httpapi

import (
	"math"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
)

// reconcile answers with the differences between log and chain in some blocks: without
// to, up to the newest, or as many as are compared at once.
func (s *Server) reconcile(r *request) error {
	from, to := 0, 0
	if p := decodeQuery(r.ctx.QueryArgs(),
		intParam("from", &from, 1, math.MaxInt32),
		intParam("to", &to, 1, math.MaxInt32),
	); p != nil {
		return p
	}
	if from == 0 {
		return badField("from", "is missing; give the height of the first block")
	}
	chain, ok := s.exchange.Chain()
	if !ok {
		return actors.ErrPayoutsOff
	}
	if to == 0 {
		to = min(int(chain.Height), from+actors.MaxReconcile-1)
	}
	differences, err := s.exchange.Reconcile(r.ctx, int32(from), int32(to))
	if err != nil {
		return err
	}
	b := append(r.body[:0], '{')
	b = appendUint(b, "from", uint64(from))
	b = appendUint(b, "to", uint64(to))
	b = appendUint(b, "tip", uint64(chain.Height))
	b = append(appendKey(b, "differences"), '[')
	for i := range differences {
		d := &differences[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendString(b, "kind", string(d.Kind))
		b = appendUint(b, "height", uint64(d.Height))
		b = appendString(b, "what", d.What)
		b = appendStringOrNull(b, "out", d.Out)
		b = appendStringOrNull(b, "log", d.Log)
		b = append(appendStringOrNull(b, "chain", d.Chain), '}')
	}
	r.body = append(b, "]}"...)
	return r.json(fasthttp.StatusOK)
}
