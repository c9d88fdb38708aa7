package httpapi

import (
	"bytes"
	"cmp"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/httpapi/throttle"
)

// maxOperations is how many changes one request may ask for.
const maxOperations = 500

const linesOfJSON = "application/x-ndjson"

// operations makes many changes of the session's user: for who trades a lot, as all of
// them wait for the disk at once. The body has a JSON object a line, and so has the
// response, in the same order: each is accepted or refused by itself.
func (s *Server) operations(r *request) error {
	if len(r.ctx.Request.Header.Peek("Idempotency-Key")) > 0 {
		return badField("Idempotency-Key", "give each operation an idempotency_key of its own")
	}
	if p := checkMediaType(r.ctx, linesOfJSON); p != nil {
		return p
	}
	lines := bytes.Split(bytes.TrimRight(r.ctx.PostBody(), "\r\n"), []byte{'\n'})
	if len(lines) > maxOperations {
		return badRequest("%d operations are too many: one request has at most %d", len(lines), maxOperations)
	}
	if p := r.takeMore(len(lines) - 1); p != nil {
		return p
	}
	changes := make([]actors.Change, 0, len(lines))
	problems := make([]*Problem, len(lines))
	for i, line := range lines {
		change, err := r.operation(bytes.TrimSuffix(line, []byte{'\r'}))
		if err != nil {
			problems[i] = s.problemOf(r, err)
			continue
		}
		changes = append(changes, change)
	}
	outcomes := s.exchange.MakeAll(changes)
	b := r.body[:0]
	for i := range lines {
		p := problems[i]
		if p == nil {
			o := &outcomes[0]
			outcomes = outcomes[1:]
			if o.Err == nil {
				b = appendOutcome(b, &o.Receipt)
				continue
			}
			p = s.problemOf(r, o.Err)
			p.Field = cmp.Or(operationFields[p.Field], p.Field)
		}
		b = appendUint(append(b, '{'), "status", uint64(p.Status))
		b = append(p.append(appendKey(b, "problem"), string(r.id)), '}', '\n')
	}
	r.failure = nil // what single operations were refused for is no failure of the request
	r.body = b
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	r.ctx.Response.Header.SetContentType(linesOfJSON)
	r.ctx.SetBody(b)
	return nil
}

func appendOutcome(b []byte, receipt *actors.Receipt) []byte {
	t, _ := receipt.State.History.At(receipt.N)
	t = t.AsCreated()
	b = appendUint(append(b, '{'), "status", fasthttp.StatusCreated)
	b = appendBool(b, "replayed", receipt.Replayed)
	return append(appendTransaction(appendKey(b, "transaction"), receipt.ID(), &t), '}', '\n')
}

// operation reads one line. Its members are those of a transaction in a response.
func (r *request) operation(line []byte) (actors.Change, error) {
	var kind, to, key string
	var amount account.Money
	if p := decodeObject(line,
		text("type", &kind, 1, 16), money("amount", &amount),
		text("to_address", &to, 1, actors.MaxWallet).optional(),
		text("idempotency_key", &key, 1, maxIdempotencyKey).optional(),
	); p != nil {
		return actors.Change{}, p
	}
	var idem *account.Idempotency
	if key != "" {
		var err error
		if idem, err = r.idempotencyOf("idempotency_key", []byte(key), line); err != nil {
			return actors.Change{}, err
		}
	}
	x := r.server.exchange
	switch kind {
	case "deposit":
		if to != "" {
			return actors.Change{}, badField("to_address", "must be left out of a deposit")
		}
		if !x.Faucet() {
			return actors.Change{}, forbidden("only an operator makes deposits")
		}
		return x.DepositOf(&r.session, amount, idem), nil
	case "withdrawal":
		to, err := actors.CanonicalWallet(to)
		if err != nil {
			return actors.Change{}, badField("to_address", "%v", err)
		}
		return x.WithdrawalOf(&r.session, amount, to, idem), nil
	case "sell":
		if to == "" {
			return actors.Change{}, badField("to_address", "is missing; give a Bitcoin address")
		}
		return x.SaleOf(&r.session, amount, to, idem), nil
	}
	return actors.Change{}, badField("type", "must be deposit, withdrawal or sell")
}

// takeMore counts what a request asks for beyond the first operation.
func (r *request) takeMore(more int) *Problem {
	limiter := r.server.limits.account
	if limiter == nil || more <= 0 {
		return nil
	}
	if most := limiter.Burst(); more >= most {
		return badRequest("%d operations are too many: an account may ask for at most %d at once", more+1, most)
	}
	r.limit, r.policy = withoutLast(r.limit), withoutLast(r.policy)
	return r.takeCost(limiter, throttle.Key(r.session.UserID()), more)
}

// withoutLast takes the last of some list's members away: the account's, which is
// counted anew.
func withoutLast(list []byte) []byte { return list[:max(0, bytes.LastIndex(list, []byte(", ")))] }

// operationFields is what an operation calls a field that a request for one change
// calls otherwise.
var operationFields = map[string]string{"aitbc_amount": "amount", "btc_address": "to_address"}
