package peer

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Headers are sent with every response, as many as the exchange sends.
var Headers = [][2]string{
	{"X-Request-Id", "000000000000-1"},
	{"X-Content-Type-Options", "nosniff"},
	{"Cache-Control", "no-store"},
}

// Answer does what a request asks for and returns the status and the JSON of the
// response. Neither path nor token nor body is kept.
func Answer(ctx context.Context, store Store, post bool, path, token, body []byte) (int, []byte) {
	status, answer, err := answer(ctx, store, post, path, token, body)
	switch {
	case err == nil:
		return status, answer
	case errors.Is(err, ErrSession):
		return 401, []byte(`{"title":"Unauthorized"}`)
	case status != 0:
		return status, fmt.Appendf(nil, `{"title":%q}`, err.Error())
	}
	return 500, fmt.Appendf(nil, `{"title":%q}`, err.Error())
}

func answer(ctx context.Context, store Store, post bool, path, token, body []byte) (int, []byte, error) {
	switch {
	case string(path) == "/":
		return 200, []byte("{}"), nil
	case string(path) == "/metrics":
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return 200, fmt.Appendf(nil, "go_memstats_mallocs_total %d\n", m.Mallocs), nil
	case post && string(path) == "/api/users/login":
		return logIn(ctx, store, body)
	}
	rest, found := bytes.CutPrefix(path, []byte("/api/users/"))
	id, what, _ := bytes.Cut(rest, []byte{'/'})
	user, err := uuid.ParseBytes(id)
	if !found || err != nil {
		return 404, nil, errors.New("not found")
	}
	session, err := hashOf(token)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case post && string(what) == "deposits":
		amount, err := amountOf(body)
		if err != nil {
			return 400, nil, err
		}
		n, at, err := store.Deposit(ctx, session, user, amount)
		return 201, appendEntry(nil, user, Entry{n, amount, at}), err
	case !post && string(what) == "balance":
		units, at, err := store.Balance(ctx, session, user)
		return 200, appendBalance(nil, user, units, at), err
	case !post && string(what) == "transactions":
		entries, total, err := store.History(ctx, session, user, 20)
		return 200, appendHistory(nil, user, entries, total), err
	}
	return 404, nil, errors.New("not found")
}

func logIn(ctx context.Context, store Store, body []byte) (int, []byte, error) {
	var request struct {
		Wallet string `json:"wallet_address"`
	}
	if err := json.Unmarshal(body, &request); err != nil || len(request.Wallet) < 8 {
		return 400, nil, errors.New("want a wallet_address")
	}
	var secret [48]byte // the exchange's tokens hold a user id too
	if _, err := rand.Read(secret[:]); err != nil {
		return 0, nil, err
	}
	id, created, err := store.Login(ctx, request.Wallet, sha256.Sum256(secret[:]))
	if err != nil {
		return 0, nil, err
	}
	b := append([]byte(`{"user_id":"`), id.String()...)
	b = append(append(b, `","email":"`...), request.Wallet...)
	b = append(append(b, `@aitbc.local","username":"user_`...), request.Wallet[len(request.Wallet)-8:]...)
	b = appendTime(append(b, `","created_at":`...), created)
	b = base64.RawURLEncoding.AppendEncode(append(b, `,"session_token":"`...), secret[:])
	return 200, append(b, `"}`...), nil
}

func hashOf(token []byte) (Session, error) {
	var secret [48]byte
	if len(token) != base64.RawURLEncoding.EncodedLen(len(secret)) {
		return Session{}, ErrSession
	}
	if _, err := base64.RawURLEncoding.Decode(secret[:], token); err != nil {
		return Session{}, ErrSession
	}
	return sha256.Sum256(secret[:]), nil
}

func amountOf(body []byte) (int64, error) {
	var request struct {
		Amount json.Number `json:"amount"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return 0, err
	}
	whole, part, _ := strings.Cut(request.Amount.String(), ".")
	if len(part) > 8 || strings.HasPrefix(whole, "-") {
		return 0, errors.New("want a positive amount with at most 8 decimals")
	}
	units, err := strconv.ParseInt(whole+part+strings.Repeat("0", 8-len(part)), 10, 64)
	if err != nil || units <= 0 {
		return 0, errors.New("want a positive amount with at most 8 decimals")
	}
	return units, nil
}

func appendEntry(b []byte, user uuid.UUID, e Entry) []byte {
	b = hex.AppendEncode(append(b, `{"id":"`...), user[:])
	b = strconv.AppendInt(append(b, '-'), e.N, 10)
	b = appendUnits(append(b, `","type":"deposit","status":"completed","amount":`...), e.Amount)
	b = appendTime(append(b, `,"fee":0,"description":"Deposit","created_at":`...), e.At)
	b = appendTime(append(b, `,"confirmed_at":`...), e.At)
	return append(b, '}')
}

func appendBalance(b []byte, user uuid.UUID, units int64, at time.Time) []byte {
	b = append(append(b, `{"user_id":"`...), user.String()...)
	b = hex.AppendEncode(append(b, `","address":"aitbc_`...), user[:])
	b = appendUnits(append(b, `","balance":`...), units)
	b = appendUnits(append(b, `,"available":`...), units)
	b = appendTime(append(b, `,"held":0,"updated_at":`...), at)
	return append(b, '}')
}

func appendHistory(b []byte, user uuid.UUID, entries []Entry, total int64) []byte {
	b = append(append(b, `{"user_id":"`...), user.String()...)
	b = append(b, `","transactions":[`...)
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEntry(b, user, e)
	}
	b = strconv.AppendInt(append(b, `],"total":`...), total, 10)
	return append(b, `,"next_cursor":null}`...)
}

func appendUnits(b []byte, units int64) []byte {
	b = strconv.AppendInt(b, units/1e8, 10)
	if part := units % 1e8; part != 0 {
		digits := strconv.AppendInt(nil, 1e8+part, 10)
		b = append(append(b, '.'), bytes.TrimRight(digits[1:], "0")...)
	}
	return b
}

func appendTime(b []byte, at time.Time) []byte {
	if at.IsZero() {
		return append(b, "null"...)
	}
	return append(at.UTC().AppendFormat(append(b, '"'), "2006-01-02T15:04:05.000000Z07:00"), '"')
}
