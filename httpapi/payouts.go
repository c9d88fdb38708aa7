package httpapi

import (
	"math"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// maxPSBT is what a signed payout of the most coins and sales needs, with some room.
const maxPSBT = 60_000 // characters

// operatorPayouts answers with the payouts, newest first.
func (s *Server) operatorPayouts(r *request) error {
	limit, cursor := defaultPage, 0
	if p := decodeQuery(r.ctx.QueryArgs(),
		intParam("limit", &limit, 1, maxPage),
		intParam("cursor", &cursor, 1, math.MaxInt32),
	); p != nil {
		return p
	}
	payouts, total, next := s.exchange.Payouts(uint32(cursor), limit)
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "payouts"), '[')
	for i := range payouts {
		b = append(appendPayout(b, &payouts[i]), '}')
	}
	b = append(b, ']')
	b = appendUint(b, "total", uint64(total))
	r.body = append(appendCursor(b, int(next), next != 0), '}')
	return r.json(fasthttp.StatusOK)
}

// appendPayout writes a payout as one object of a list or as a whole response, but for
// the brace that ends it.
func appendPayout(b []byte, p *actors.PayoutView) []byte {
	if n := len(b); n > 0 && b[n-1] == '}' {
		b = append(b, ',')
	}
	b = append(b, '{')
	b = appendUint(b, "payout", uint64(p.Number))
	b = appendString(b, "status", string(p.Status()))
	b = appendString(b, "tx_hash", p.TxHash.String())
	b = appendMoney(b, "btc_paid", p.Paid)
	b = appendMoney(b, "btc_fee", p.Fee)
	b = appendMoney(b, "btc_change", p.Change)
	b = appendUint(b, "change_index", uint64(p.ChangeIndex))
	b = append(appendKey(b, "sales"), '[')
	for i, sale := range p.Sales {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(sale.Append(append(b, '"')), '"')
	}
	b = append(b, ']')
	b = append(appendKey(b, "inputs"), '[')
	for i := range p.Coins {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, p.Coins[i].Out.String())
	}
	b = append(b, ']')
	b = appendUint(b, "confirmations", uint64(p.Confirmations))
	b = appendTime(b, "exported_at", p.ExportedAt)
	b = appendTime(b, "changed_at", p.ChangedAt)
	b = appendString(b, "by", p.By)
	return appendStringOrNull(b, "reason", p.Reason)
}

func (s *Server) exportPayout(r *request) error {
	var rate account.Money
	if err := r.decode(money("fee_rate", &rate)); err != nil {
		return err
	}
	if rate%account.Unit != 0 || rate > bitcoin.MaxFeeRate*account.Unit {
		return badField("fee_rate", "must be a whole number of satoshi per virtual byte from 1 to %d", bitcoin.MaxFeeRate)
	}
	view, leftOut, err := s.exchange.ExportPayout(r.ctx, int64(rate/account.Unit), r.operator)
	if err != nil {
		return err
	}
	psbt, err := s.exchange.PSBT(view.Number)
	if err != nil {
		return err
	}
	b := appendString(appendPayout(r.body[:0], &view), "psbt", psbt)
	b = append(appendKey(b, "left_out"), '[')
	for i, l := range leftOut {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(appendTransactionID(append(b, '{'), "id", l.Sale), "why", l.Why), '}')
	}
	r.body = append(b, "]}"...)
	return r.json(fasthttp.StatusCreated)
}

// operatorPayout answers with one payout, and with its PSBT while it has one.
func (s *Server) operatorPayout(r *request) error {
	n, err := r.payout()
	if err != nil {
		return err
	}
	view, ok := s.exchange.Payout(n)
	if !ok {
		return notFound("there is no such payout")
	}
	psbt := ""
	if view.Unsigned != nil && !view.Adopted {
		if psbt, err = s.exchange.PSBT(n); err != nil {
			return err
		}
	}
	r.body = append(appendStringOrNull(appendPayout(r.body[:0], &view), "psbt", psbt), '}')
	return r.json(fasthttp.StatusOK)
}

func (r *request) payout() (uint32, error) {
	n, err := strconv.ParseUint(string(r.captures.at(0)), 10, 32)
	if err != nil || n == 0 {
		return 0, notFound("there is no such payout: its id is a number")
	}
	return uint32(n), nil
}

func (s *Server) importPayout(r *request) error {
	n, err := r.payout()
	if err != nil {
		return err
	}
	var psbt string
	if err := r.decode(text("psbt", &psbt, 1, maxPSBT).lines()); err != nil {
		return err
	}
	view, sendErr, err := s.exchange.SignPayout(r.ctx, n, psbt, r.operator)
	if err != nil {
		return err
	}
	why := ""
	if sendErr != nil {
		why = sendErr.Error()
	}
	r.body = append(appendStringOrNull(appendPayout(r.body[:0], &view), "send_error", why), '}')
	return r.json(fasthttp.StatusOK)
}

func (s *Server) cancelPayout(r *request) error {
	n, err := r.payout()
	if err != nil {
		return err
	}
	var reason, hash string
	if err := r.decode(text("reason", &reason, 1, maxReason), text("spent_by", &hash, 64, 64).optional()); err != nil {
		return err
	}
	var spentBy account.ChainHash
	if hash != "" {
		if spentBy, err = account.ParseChainHash(hash); err != nil {
			return badField("spent_by", "%v", err)
		}
	}
	view, err := s.exchange.CancelPayout(r.ctx, n, spentBy, r.operator, reason)
	if err != nil {
		return err
	}
	r.body = append(appendPayout(r.body[:0], &view), '}')
	return r.json(fasthttp.StatusOK)
}
