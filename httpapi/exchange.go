package httpapi

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"rsc.io/qr"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

const (
	maxNotes   = 500 // characters
	ratePlaces = 16  // decimals of a quotient such as a price
)

func (s *Server) createPayment(r *request) error {
	var amount, btc account.Money
	var userID, notes string
	if err := r.decode(
		money("aitbc_amount", &amount),
		money("btc_amount", &btc).optional(),
		text("user_id", &userID, 36, 36).optional(),
		text("notes", &notes, 0, maxNotes).optional(),
	); err != nil {
		return err
	}
	if userID != "" && !strings.EqualFold(userID, r.session.UserID().String()) {
		return forbidden("user_id is another user's; leave it out, or give your own")
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	receipt, err := s.exchange.CreatePayment(&r.session, amount, btc, notes, idem)
	if err != nil {
		return err
	}
	t, _ := receipt.State.History.At(receipt.N)
	t = t.AsCreated()
	uri := "bitcoin:" + t.Detail.To + "?amount=" + t.Detail.BTC.String()
	code, err := qrCode(uri)
	if err != nil {
		return err
	}
	r.replayed(receipt)
	b := append(r.body[:0], '{')
	b = appendTransactionID(b, "payment_id", receipt.ID())
	b = appendUserID(b, "user_id", receipt.State.ID)
	b = appendMoney(b, "aitbc_amount", t.Amount)
	b = appendMoney(b, "btc_amount", t.Detail.BTC)
	b = appendMoney(b, "fee", t.Detail.BTCFee)
	b = appendString(b, "payment_address", t.Detail.To)
	b = appendString(b, "payment_uri", uri)
	b = appendString(b, "qr_code", code)
	b = appendString(b, "status", string(bitcoin.PaymentPending)) // the first answer, also to a retry
	b = appendTime(b, "created_at", t.CreatedAt)
	b = appendTime(b, "expires_at", t.Detail.ExpiresAt)
	r.body = append(b, '}')
	return r.json(fasthttp.StatusCreated)
}

// qrCode returns a PNG of uri (BIP-21) as a data URI.
func qrCode(uri string) (string, error) {
	code, err := qr.Encode(uri, qr.M)
	if err != nil {
		return "", err
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG()), nil
}

func (s *Server) paymentStatus(r *request) error {
	id, err := r.transactionID()
	if err != nil {
		return err
	}
	if id.User != r.session.UserID() {
		return forbidden("this payment belongs to another user")
	}
	t, ok := r.session.State.History.At(id.N)
	if !ok || t.Type != account.TypeBuy {
		return notFound("there is no such payment")
	}
	return r.payment(id, &t)
}

func (r *request) payment(id account.TransactionID, t *account.Transaction) error {
	r.body = appendPayment(r.body[:0], id, t, r.server.exchange.Payment(t))
	return r.json(fasthttp.StatusOK)
}

// appendPayment writes where a payment stands as one object.
func appendPayment(b []byte, id account.TransactionID, t *account.Transaction, v actors.PaymentView) []byte {
	b = append(b, '{')
	b = appendTransactionID(b, "payment_id", id)
	b = appendString(b, "status", string(v.State))
	b = appendUint(b, "confirmations", uint64(v.Confirmations))
	b = appendUint(b, "confirmations_required", uint64(v.Required))
	b = appendStringOrNull(b, "tx_hash", v.TxHash)
	b = appendMoney(b, "aitbc_amount", t.Amount)
	b = appendMoney(b, "btc_amount", t.Detail.BTC)
	b = appendMoney(b, "fee", t.Detail.BTCFee)
	b = appendMoney(b, "btc_received", v.Received)
	b = appendMoney(b, "btc_missing", v.Missing)
	b = appendMoney(b, "btc_refund", v.Refund)
	b = appendMoney(b, "aitbc_credited", v.Credited)
	b = appendString(b, "payment_address", t.Detail.To)
	b = appendTime(b, "created_at", t.CreatedAt)
	b = appendTime(b, "expires_at", t.Detail.ExpiresAt)
	b = appendTime(b, "credited_at", t.ConfirmedAt)
	return append(b, '}')
}

// confirmPayment is the operator's, or in demo mode the payer's.
func (s *Server) confirmPayment(r *request) error {
	id, err := r.transactionID()
	if err != nil {
		return err
	}
	if r.operator == "" {
		if id.User != r.session.UserID() {
			return forbidden("this payment belongs to another user")
		}
		if !s.exchange.Faucet() {
			return forbidden("only an operator confirms payments")
		}
	}
	var txHash string
	if err := r.decode(text("tx_hash", &txHash, 64, 64)); err != nil {
		return err
	}
	if !isTxHash(txHash) {
		return badField("tx_hash", "must be the 64 hexadecimal digits of a Bitcoin transaction id")
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	receipt, err := s.exchange.ConfirmPayment(id, strings.ToLower(txHash), r.operator, idem)
	if err != nil {
		return err
	}
	r.replayed(receipt)
	t, _ := receipt.State.History.At(receipt.N)
	return r.payment(receipt.ID(), &t)
}

func isTxHash(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; (s[i] < '0' || s[i] > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 64
}

func (s *Server) rates(r *request) error {
	terms := s.exchange.Terms()
	b := append(r.body[:0], '{')
	b = appendMoney(b, "btc_to_aitbc", terms.Rate)
	b = appendRatio(appendKey(b, "aitbc_to_btc"), account.Unit, terms.Rate, ratePlaces)
	b = appendRatio(appendKey(b, "fee_percent"), account.Money(terms.FeePPM), 10_000, 4)
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

func (s *Server) marketStats(r *request) error {
	m := s.exchange.Market()
	last := m.Last
	if last.AITBC == 0 { // no trade yet: the price at which the exchange sells
		last = actors.Trade{AITBC: s.exchange.Terms().Rate, BTC: account.Unit}
	}
	b := append(r.body[:0], '{')
	b = appendRatio(appendKey(b, "price"), last.BTC, last.AITBC, ratePlaces)
	b = append(appendKey(b, "price_change_24h"), m.Change()...)
	b = appendMoney(b, "daily_volume", m.Volume)
	b = appendMoney(b, "daily_volume_btc", m.VolumeBTC)
	b = appendUint(b, "total_payments", m.TotalPayments)
	b = appendUint(b, "pending_payments", uint64(m.OpenPayments))
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// candleLengths are the candles that there are.
var candleLengths = map[string]time.Duration{
	"1m": time.Minute, "5m": 5 * time.Minute, "15m": 15 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour,
}

// Numbers of candles in a response.
const (
	defaultCandles = 200
	maxCandles     = 1500
)

func (s *Server) candles(r *request) error {
	interval, limit := "1h", defaultCandles
	if p := decodeQuery(r.ctx.QueryArgs(),
		enumParam("interval", &interval, "1m", "5m", "15m", "1h", "1d"),
		intParam("limit", &limit, 1, maxCandles),
	); p != nil {
		return p
	}
	b := append(r.body[:0], '{')
	b = appendString(b, "interval", interval)
	b = append(appendKey(b, "candles"), '[')
	price := func(b []byte, name string, t actors.Trade) []byte {
		return appendRatio(appendKey(b, name), t.BTC, t.AITBC, ratePlaces)
	}
	for i, c := range s.exchange.Candles(candleLengths[interval], limit) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendTime(b, "time", c.Start)
		b = price(b, "open", c.Open)
		b = price(b, "high", c.High)
		b = price(b, "low", c.Low)
		b = price(b, "close", c.Close)
		b = appendMoney(b, "volume", c.Volume)
		b = appendMoney(b, "volume_btc", c.VolumeBTC)
		b = append(b, '}')
	}
	r.body = append(b, ']', '}')
	return r.json(fasthttp.StatusOK)
}
