package httpapi

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// terms answers with all that a page must know to quote and to check an amount as
// it is typed: the rates, the limits, whether this is a demo, and how
// a wallet logs in.
func (s *Server) terms(r *request) error {
	t := s.exchange.Terms()
	b := append(r.body[:0], '{')
	b = appendMoney(b, "btc_to_aitbc", t.Rate)
	b = appendRatio(appendKey(b, "fee_percent"), account.Money(t.FeePPM), 10_000, 4)
	b = appendMoney(b, "min_payment", t.MinPayment)
	b = appendMoney(b, "max_payment", t.MaxPayment)
	b = appendMoney(b, "min_payout", actors.DustLimit)
	b = appendMoney(b, "withdrawal_fee", t.WithdrawalFee)
	b = appendUint(b, "confirmations", uint64(t.Confirmations))
	b = appendUint(b, "payment_seconds", uint64(t.PaymentLifetime/time.Second))
	b = appendUint(b, "session_seconds", uint64(t.SessionLifetime/time.Second))
	b = appendUint(b, "session_idle_seconds", uint64(t.SessionIdle/time.Second))
	b = appendUint(b, "address_cooling_off_seconds", uint64(t.AddressCoolingOff/time.Second))
	b = appendMoney(b, "withdrawal_daily_limit", t.DailyLimit)
	b = appendBool(b, "demo", s.exchange.Faucet())
	b = appendString(b, "auth", s.cfg.Logins.name())
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}
