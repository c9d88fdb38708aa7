package httpapi

import (
	"errors"
	"math"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

const maxReason = 500 // characters

func (s *Server) operatorUsers(r *request) error {
	var find, status string
	limit, cursor := defaultPage, 0
	if p := decodeQuery(r.ctx.QueryArgs(),
		intParam("limit", &limit, 1, maxPage),
		intParam("cursor", &cursor, 1, math.MaxInt32),
		textParam("find", &find, 1, maxEmail),
		enumParam("status", &status, "active", "inactive", "suspended"),
	); p != nil {
		return p
	}
	var users []*account.State
	next, more := 0, false
	if find != "" {
		if state, ok := s.exchange.FindUser(find); ok {
			users = append(users, state)
		}
	} else {
		wanted, _ := account.ParseStatus(status)
		users, next, more = s.exchange.Users(cursor, limit, wanted)
	}
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "users"), '[')
	for _, state := range users {
		b = appendUser(b, state)
	}
	b = append(b, ']')
	b = appendUint(b, "total", uint64(s.exchange.Stats().Accounts))
	r.body = append(appendCursor(b, next, more), '}')
	return r.json(fasthttp.StatusOK)
}

// appendCursor writes where the next page begins, as a string, or null.
func appendCursor(b []byte, next int, more bool) []byte {
	if !more {
		return append(appendKey(b, "next_cursor"), "null"...)
	}
	return appendString(b, "next_cursor", itoa(next))
}

// appendUser writes all of a user but the history, as one object of a list or as
// a whole response.
func appendUser(b []byte, state *account.State) []byte {
	if n := len(b); n > 0 && b[n-1] == '}' {
		b = append(b, ',')
	}
	b = append(b, '{')
	b = appendProfile(b, state)
	b = appendBalance(b, state)
	b = appendUint(b, "transactions", uint64(state.History.Size()))
	return append(b, '}')
}

func (r *request) user(state *account.State) error {
	r.body = appendUser(r.body[:0], state)
	return r.json(fasthttp.StatusOK)
}

func (s *Server) operatorUser(r *request) error {
	id, err := r.userID()
	if err != nil {
		return err
	}
	state, ok := s.exchange.State(id)
	if !ok {
		return notFound("there is no such user")
	}
	return r.user(state)
}

func (s *Server) suspend(r *request) error      { return s.setStatus(r, account.Suspended) }
func (s *Server) closeAccount(r *request) error { return s.setStatus(r, account.Inactive) }
func (s *Server) reactivate(r *request) error   { return s.setStatus(r, account.Active) }

func (s *Server) setStatus(r *request, status account.Status) error {
	id, err := r.userID()
	if err != nil {
		return err
	}
	var reason string
	if err := r.decode(text("reason", &reason, 1, maxReason)); err != nil {
		return err
	}
	receipt, err := s.exchange.SetStatus(id, status, r.operator, reason)
	if err != nil {
		return err
	}
	return r.user(receipt.State)
}

func (s *Server) credit(r *request) error { return s.adjust(r, s.exchange.Credit) }
func (s *Server) debit(r *request) error  { return s.adjust(r, s.exchange.Debit) }

func (s *Server) adjust(r *request, do func(account.UserID, account.Money, string, string, *account.Idempotency) (actors.Receipt, error)) error {
	id, err := r.userID()
	if err != nil {
		return err
	}
	var amount account.Money
	var reason string
	if err := r.decode(money("amount", &amount), text("reason", &reason, 1, maxReason)); err != nil {
		return err
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	receipt, err := do(id, amount, r.operator, reason, idem)
	if err != nil {
		return err
	}
	return r.receipt(fasthttp.StatusCreated, receipt)
}

// openTransactions answers with what waits for the operator, oldest first.
func (s *Server) openTransactions(r *request) error {
	kind, cursor := "withdrawal", ""
	limit := defaultPage
	if p := decodeQuery(r.ctx.QueryArgs(),
		enumParam("type", &kind, "withdrawal", "sell", "buy"),
		intParam("limit", &limit, 1, maxPage),
		textParam("cursor", &cursor, 1, maxCursor),
	); p != nil {
		return p
	}
	var after account.TransactionID
	if cursor != "" {
		var err error
		if after, err = account.ParseTransactionID(cursor); err == nil {
			_, _, ok := s.exchange.Transaction(after)
			if !ok {
				err = errors.New("there is no such transaction")
			}
		}
		if err != nil {
			return badField("cursor", "must be the next_cursor of the page before: %v", err)
		}
	}
	wanted, _ := account.ParseType(kind)
	ids, total, more := s.exchange.OpenTransactions(wanted, after, limit)
	b := append(r.body[:0], '{')
	b = append(appendKey(b, "transactions"), '[')
	for _, id := range ids {
		if t, _, ok := s.exchange.Transaction(id); ok {
			b = s.appendApproval(appendTransaction(b, id, &t), &t)
		}
	}
	b = append(b, ']')
	b = appendUint(b, "total", uint64(total))
	if b = appendKey(b, "next_cursor"); more {
		b = append(ids[len(ids)-1].Append(append(b, '"')), '"')
	} else {
		b = append(b, "null"...)
	}
	r.body = append(b, '}')
	return r.json(fasthttp.StatusOK)
}

const maxCursor = 64 // characters

// appendApproval adds to the object of a transaction, which b ends with, what only
// operators are to know.
func (s *Server) appendApproval(b []byte, t *account.Transaction) []byte {
	b = b[:len(b)-1]
	b = appendBool(b, "awaits_approval", t.AwaitsApproval(s.exchange.Terms().FourEyesAbove))
	if d := t.Detail; d != nil && d.ApprovedBy != "" {
		b = appendString(b, "approved_by", d.ApprovedBy)
		b = appendString(b, "approval", d.Approval)
	}
	return append(b, '}')
}

// approveTransaction is the first of two operators' word for a withdrawal or sale.
func (s *Server) approveTransaction(r *request) error {
	if err := r.settle(s.exchange.ApproveWithdrawal); err != nil {
		return err
	}
	id, err := r.transactionID()
	if err != nil {
		return err
	}
	t, _, _ := s.exchange.Transaction(id)
	r.body = s.appendApproval(r.body, &t)
	return r.json(fasthttp.StatusOK)
}

func (s *Server) completeTransaction(r *request) error {
	id, err := r.transactionID()
	if err != nil {
		return err
	}
	var txHash, reason string
	if err := r.decode(
		text("reason", &reason, 1, maxReason).optional(),
		text("tx_hash", &txHash, 64, 64).optional(),
	); err != nil {
		return err
	}
	if txHash != "" && !isTxHash(txHash) {
		return badField("tx_hash", "must be the 64 hexadecimal digits of a Bitcoin transaction id")
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	receipt, err := s.exchange.CompleteTransaction(id, txHash, r.operator, reason, idem)
	if err != nil {
		return err
	}
	return r.receipt(fasthttp.StatusOK, receipt)
}

func (s *Server) failTransaction(r *request) error {
	return r.settle(s.exchange.FailTransaction)
}

// liftFreeze frees what a reorganisation froze: the operator answers for it.
func (s *Server) liftFreeze(r *request) error { return r.settle(s.exchange.LiftFreeze) }

// settle does to the transaction in the path what an operator must give a reason for.
func (r *request) settle(do func(id account.TransactionID, by, reason string, idem *account.Idempotency) (actors.Receipt, error)) error {
	id, err := r.transactionID()
	if err != nil {
		return err
	}
	var reason string
	if err := r.decode(text("reason", &reason, 1, maxReason)); err != nil {
		return err
	}
	idem, err := r.idempotency()
	if err != nil {
		return err
	}
	receipt, err := do(id, r.operator, reason, idem)
	if err != nil {
		return err
	}
	return r.receipt(fasthttp.StatusOK, receipt)
}

// takeSnapshot begins a snapshot. Its end is told by the metrics and the log.
func (s *Server) takeSnapshot(r *request) error {
	if err := r.decode(); err != nil {
		return err
	}
	switch err := s.exchange.OperatorSnapshot(r.operator); {
	case errors.Is(err, actors.ErrSnapshotRunning):
		return &Problem{Status: fasthttp.StatusConflict, Code: "snapshot_running", Title: "Snapshot running", Detail: "a snapshot is being taken; there is one at a time"}
	case errors.Is(err, actors.ErrNotReady):
		return unavailable(1, "the service is starting or stopping")
	case err != nil:
		return err
	}
	r.body = append(appendString(append(r.body[:0], '{'), "status", "started"), '}')
	return r.json(fasthttp.StatusAccepted)
}
