package httpapi

import (
	"math"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// operatorUnassignedOutputs answers with what came to addresses that this log has given
// to nobody, in the order in which it came.
func (s *Server) operatorUnassignedOutputs(r *request) error {
	status := "open"
	limit, cursor := defaultPage, 0
	if p := decodeQuery(r.ctx.QueryArgs(),
		enumParam("status", &status, "open", "settled"),
		intParam("limit", &limit, 1, maxPage),
		intParam("cursor", &cursor, 1, math.MaxInt32),
	); p != nil {
		return p
	}
	outputs, total, next := s.exchange.UnassignedOutputs(status == "settled", cursor, limit)
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "outputs"), '[')
	for i := range outputs {
		b = appendUnassignedOutput(b, &outputs[i])
	}
	b = append(b, ']')
	b = appendUint(b, "total", uint64(total))
	r.body = append(appendCursor(b, next, next != 0), '}')
	return r.json(fasthttp.StatusOK)
}

// appendUnassignedOutput writes one as an object of a list or as a whole response.
func appendUnassignedOutput(b []byte, o *actors.UnassignedOutput) []byte {
	if n := len(b); n > 0 && b[n-1] == '}' {
		b = append(b, ',')
	}
	status, place := "open", "confirmed"
	if o.SettledAt != 0 {
		status = "settled"
	}
	switch {
	case o.Gone:
		place = "gone"
	case o.Height == 0:
		place = "unconfirmed"
	}
	b = append(b, '{')
	b = appendString(b, "outpoint", o.Out.String())
	b = appendString(b, "address", o.Address)
	b = appendUint(b, "index", uint64(o.Index))
	b = appendMoney(b, "btc", o.BTC)
	b = appendTime(b, "received_at", o.At)
	b = appendString(b, "output", place)
	b = appendUint(b, "height", uint64(o.Height))
	b = appendUint(b, "confirmations", uint64(o.Confirmations))
	b = appendString(b, "status", status)
	b = appendTime(b, "settled_at", o.SettledAt)
	b = appendStringOrNull(b, "tx_hash", o.TxHash)
	b = appendStringOrNull(b, "by", o.By)
	b = appendStringOrNull(b, "reason", o.Reason)
	return append(b, '}')
}

// settleUnassignedOutput says that an operator has dealt with one.
func (s *Server) settleUnassignedOutput(r *request) error {
	out, err := account.ParseOutpoint(string(r.captures.at(0)))
	if err != nil {
		return notFound(err.Error())
	}
	var txHash, reason string
	if err := r.decode(text("reason", &reason, 1, maxReason), text("tx_hash", &txHash, 64, 64).optional()); err != nil {
		return err
	}
	if txHash != "" && !isTxHash(txHash) {
		return badField("tx_hash", "must be the 64 hexadecimal digits of a Bitcoin transaction id")
	}
	settled, err := s.exchange.SettleUnassignedOutput(out, strings.ToLower(txHash), r.operator, reason)
	if err != nil {
		return err
	}
	r.body = appendUnassignedOutput(r.body[:0], &settled)
	return r.json(fasthttp.StatusOK)
}
