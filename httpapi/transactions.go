package httpapi

import (
	"fmt"
	"math"
	"runtime/debug"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// Page sizes of lists.
const (
	defaultPage = 50
	maxPage     = 500
)

// historyFilter selects transactions; a zero field selects all.
type historyFilter struct {
	kind     account.Type
	status   account.TransactionStatus
	from, to account.Time // created at or after, and before
}

// decodeFilter reads a filter, and the other parameters that a query may have.
func decodeFilter(args *fasthttp.Args, others ...param) (f historyFilter, p *Problem) {
	var kind, status string
	p = decodeQuery(args, append(others,
		enumParam("type", &kind, "buy", "sell", "deposit", "withdrawal", "credit", "debit"),
		enumParam("status", &status, "pending", "completed", "failed"),
		timeParam("from", &f.from),
		timeParam("to", &f.to))...)
	f.kind, _ = account.ParseType(kind)
	f.status, _ = account.ParseTransactionStatus(status)
	return f, p
}

// transactions answers with a page of a user's history, newest first: of the
// session's own, or for an operator of the user in the path.
func (s *Server) transactions(r *request) error {
	state := r.session.State
	if state == nil {
		id, err := r.userID()
		if err != nil {
			return err
		}
		found, ok := s.exchange.State(id)
		if !ok {
			return notFound("there is no such user")
		}
		state = found
	}
	limit, cursor := defaultPage, 0
	f, p := decodeFilter(r.ctx.QueryArgs(),
		intParam("limit", &limit, 1, maxPage), intParam("cursor", &cursor, 1, math.MaxUint32))
	if p != nil {
		return p
	}

	oldest, newest := window(&state.History, f.from, f.to)
	total := uint64(0)
	if f.from == 0 && f.to == 0 {
		total = uint64(state.Counts.Of(f.kind, f.status))
	} else {
		total = uint64(state.History.Count(oldest, newest, f.kind, f.status))
	}

	b := append(r.body[:0], '{')
	b = appendUserID(b, "user_id", state.ID)
	b = append(appendKey(b, "transactions"), '[')
	if cursor != 0 {
		newest = min(newest, uint32(cursor)-1)
	}
	listed, next := 0, uint32(0)
	for n, t := range state.History.Backward(oldest, newest, f.kind, f.status) {
		if listed == limit {
			next = n + 1
			break
		}
		b = appendTransaction(b, account.TransactionID{User: state.ID, N: n}, &t)
		listed++
	}
	b = append(b, ']')
	b = appendUint(b, "total", total)
	b = appendKey(b, "next_cursor")
	if next == 0 {
		b = append(b, "null"...)
	} else {
		b = append(strconv.AppendUint(append(b, '"'), uint64(next), 10), '"')
	}
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

// window returns the numbers of the oldest and the newest of the transactions that
// were created from and before to.
func window(h *account.History, from, to account.Time) (oldest, newest uint32) {
	oldest, newest = 1, h.Last()
	if from != 0 {
		oldest = h.Since(from)
	}
	if to != 0 {
		newest = h.Since(to) - 1
	}
	return oldest, newest
}

// appendTransaction writes t as one object of a list or as a whole response.
func appendTransaction(b []byte, id account.TransactionID, t *account.Transaction) []byte {
	if n := len(b); n > 0 && b[n-1] == '}' {
		b = append(b, ',')
	}
	b = append(b, '{')
	b = appendTransactionID(b, "id", id)
	b = appendString(b, "type", t.Type.String())
	b = appendString(b, "status", t.Status.String())
	b = appendMoney(b, "amount", t.Amount)
	b = appendMoney(b, "fee", t.Fee)
	b = appendString(b, "description", t.Description())
	b = appendTime(b, "created_at", t.CreatedAt)
	b = appendTime(b, "confirmed_at", t.ConfirmedAt)
	if d := t.Detail; d != nil {
		if d.BTC != 0 {
			b = appendMoney(b, "btc_amount", d.BTC)
			b = appendMoney(b, "btc_fee", d.BTCFee)
		}
		for _, member := range [...]struct{ name, value string }{
			{"to_address", d.To}, {"notes", d.Notes}, {"tx_hash", d.TxHash}, {"reason", d.Reason},
		} {
			if member.value != "" {
				b = appendString(b, member.name, member.value)
			}
		}
	}
	return append(b, '}')
}

// receipt answers with the transaction of an accepted command. What a retry gets
// is what the first request got.
func (r *request) receipt(status int, receipt actors.Receipt) error {
	t, _ := receipt.State.History.At(receipt.N)
	if status == fasthttp.StatusCreated {
		t = t.AsCreated()
	}
	r.replayed(receipt)
	r.body = appendTransaction(r.body[:0], receipt.ID(), &t)
	return r.json(status)
}

func (r *request) replayed(receipt actors.Receipt) {
	if receipt.Replayed {
		r.ctx.Response.Header.Set("Idempotent-Replayed", "true")
	}
}

func (s *Server) deposit(r *request) error {
	if r.operator == "" && !s.exchange.Faucet() {
		return forbidden("only an operator makes deposits")
	}
	if err := r.decode(money("amount", &r.amount)); err != nil {
		return err
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	r.idem = idem
	if r.operator == "" {
		return r.await((*request).beginDeposit, (*request).created)
	}
	if _, err := r.userID(); err != nil {
		return err
	}
	return r.await((*request).beginOperatorDeposit, (*request).created)
}

func (r *request) beginDeposit() { r.server.exchange.BeginDeposit(&r.session, r.amount, r.idem, r) }

// beginOperatorDeposit waits on a goroutine of its own: the audit log comes first. A panic
// there is answered as one of a handler is.
func (r *request) beginOperatorDeposit() {
	go func() {
		defer func() {
			if reason := recover(); reason != nil {
				r.Outcome(actors.Receipt{}, fmt.Errorf("panic: %v\n%s", reason, debug.Stack()))
			}
		}()
		id, _ := r.userID()
		r.Outcome(r.server.exchange.OperatorDeposit(id, r.amount, r.operator, r.idem))
	}()
}

func (r *request) created(receipt actors.Receipt) error {
	return r.receipt(fasthttp.StatusCreated, receipt)
}

func (s *Server) withdraw(r *request) error {
	var amount account.Money
	var to string
	if err := r.decode(money("amount", &amount), text("to_address", &to, 1, actors.MaxWallet)); err != nil {
		return err
	}
	to, err := actors.CanonicalWallet(to)
	if err != nil {
		return badField("to_address", "%v", err)
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	receipt, err := s.exchange.Withdraw(&r.session, amount, to, idem)
	if err != nil {
		return err
	}
	return r.receipt(fasthttp.StatusCreated, receipt)
}

func (s *Server) sell(r *request) error {
	var amount account.Money
	var address string
	if err := r.decode(money("aitbc_amount", &amount), text("btc_address", &address, 1, actors.MaxWallet)); err != nil {
		return err
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	receipt, err := s.exchange.Sell(&r.session, amount, address, idem)
	if err != nil {
		return err
	}
	return r.receipt(fasthttp.StatusCreated, receipt)
}
