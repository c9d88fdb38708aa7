package httpapi

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

const maxRefundCursor = 200 // characters

// operatorRefunds answers with the refund queue, in the order in which the money came.
func (s *Server) operatorRefunds(r *request) error {
	status, cursor := "open", ""
	limit := defaultPage
	if p := decodeQuery(r.ctx.QueryArgs(),
		enumParam("status", &status, "open", "settled"),
		intParam("limit", &limit, 1, maxPage),
		textParam("cursor", &cursor, 1, maxRefundCursor),
	); p != nil {
		return p
	}
	var after actors.RefundID
	if cursor != "" {
		var err error
		if after, err = actors.ParseRefundID(cursor); err != nil {
			return badField("cursor", "must be the next_cursor of the page before: %v", err)
		}
		if _, ok := s.exchange.Refund(after); !ok {
			return badField("cursor", "must be the next_cursor of the page before: there is no such refund")
		}
	}
	refunds, total, more := s.exchange.Refunds(status == "settled", after, limit)
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "refunds"), '[')
	for i := range refunds {
		b = appendRefund(b, &refunds[i])
	}
	b = append(b, ']')
	b = appendUint(b, "total", uint64(total))
	next := ""
	if more && len(refunds) > 0 {
		next = refunds[len(refunds)-1].RefundID.String()
	}
	r.body = append(appendStringOrNull(b, "next_cursor", next), '}')
	return r.json(fasthttp.StatusOK)
}

// appendRefund writes an entry of the refund queue as one object of a list or as a
// whole response.
func appendRefund(b []byte, f *actors.Refund) []byte {
	if n := len(b); n > 0 && b[n-1] == '}' {
		b = append(b, ',')
	}
	status, amount, place := "open", f.Due, "confirmed"
	if f.Due == 0 {
		status, amount = "settled", f.Output.Refunded
	}
	switch {
	case f.Output.Gone:
		place = "gone"
	case f.Output.Height == 0:
		place = "unconfirmed"
	}
	b = append(b, '{')
	b = appendTransactionID(b, "payment_id", f.Payment)
	b = appendUserID(b, "user_id", f.Payment.User)
	b = appendString(b, "outpoint", f.Out.String())
	b = appendMoney(b, "btc", amount)
	b = appendTime(b, "received_at", f.Output.At)
	b = appendString(b, "output", place)
	b = appendString(b, "status", status)
	b = appendTime(b, "settled_at", f.Last.At)
	b = appendStringOrNull(b, "tx_hash", f.Last.TxHash)
	b = appendStringOrNull(b, "by", f.Last.By)
	b = appendStringOrNull(b, "reason", f.Last.Reason)
	return append(b, '}')
}

// settleRefund says that a refund has been sent back.
func (s *Server) settleRefund(r *request) error {
	id, err := r.transactionID()
	if err != nil {
		return err
	}
	out, err := account.ParseOutpoint(string(r.captures.at(1)))
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
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	refund := actors.RefundID{Payment: id, Out: out}
	receipt, err := s.exchange.SettleRefund(refund, strings.ToLower(txHash), r.operator, reason, idem)
	if err != nil {
		return err
	}
	r.replayed(receipt)
	settled, ok := s.exchange.Refund(refund)
	if !ok {
		return notFound("there is no such refund")
	}
	r.body = appendRefund(r.body[:0], &settled)
	return r.json(fasthttp.StatusOK)
}
