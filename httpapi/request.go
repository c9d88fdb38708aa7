package httpapi

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/httpapi/eventloop"
)

// request is one request while it is answered. It is pooled; nothing of it, nor
// of its fasthttp context, may be kept when the handler has returned.
type request struct {
	server   *Server
	ctx      *fasthttp.RequestCtx
	id       []byte // X-Request-Id
	route    *route // nil if no route matched
	captures captures
	session  actors.Session // State is nil where there is none
	operator string         // name of the operator whose key came with it, or ""
	role     role           // of that key
	body     []byte         // of the response, kept for its capacity
	amount   account.Money  // of a deposit: decoded into here, it needs no allocation
	failure  error          // what was answered with a problem, for the log
	start    time.Time      // of the answer
	policy   []byte         // of the header RateLimit-Policy; empty where nothing limits
	limit    []byte         // of the header RateLimit
	idem     *account.Idempotency

	conn   *eventloop.Conn // nil where the request has a goroutine of its own
	done   chan struct{}   // capacity 1: for that goroutine, that there is an outcome
	begins func(*request)  // see await
	then   func(*request, actors.Receipt) error
	got    actors.Receipt // the outcome
	gotErr error
}

func (r *request) begin(ctx *fasthttp.RequestCtx) {
	r.ctx = ctx
	r.id = r.id[:0]
	if given := ctx.Request.Header.Peek("X-Request-Id"); isRequestID(given) {
		r.id = append(r.id, given...)
		return
	}
	r.id = append(r.id, r.server.idPrefix...)
	r.id = strconv.AppendUint(r.id, r.server.idNext.Add(1), 10)
}

func (r *request) end() {
	r.ctx, r.route, r.captures = nil, nil, captures{}
	r.session, r.operator, r.role, r.failure = actors.Session{}, "", noRole, nil
	r.policy, r.limit = r.policy[:0], r.limit[:0]
	r.idem, r.conn, r.begins, r.then, r.got, r.gotErr = nil, nil, nil, nil, actors.Receipt{}, nil
}

// isRequestID accepts a caller's id if it can do no harm in a log line.
func isRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range id {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// refuse answers with a problem document.
func (r *request) refuse(p *Problem) {
	if r.failure == nil {
		r.failure = p
	}
	p.write(r.ctx, string(r.id))
}

// json answers with status and the JSON in r.body.
func (r *request) json(status int) error {
	r.ctx.SetStatusCode(status)
	r.ctx.Response.Header.SetContentType("application/json")
	r.ctx.SetBody(r.body)
	return nil
}

// decode reads the JSON body. Everything it fills in is copied out of it.
func (r *request) decode(fields ...field) error {
	body := r.ctx.PostBody()
	if p := checkContentType(r.ctx, body); p != nil {
		return p
	}
	if p := decodeObject(body, fields...); p != nil {
		return p
	}
	return nil
}

// authorize checks that whoever sent the request may call the route, and sets
// r.session or r.operator.
func (r *request) authorize() error {
	access := r.route.access.who()
	if access == public || access == probe {
		return nil
	}
	token := r.token()
	if access == operatorOnly || access == ownerOrOperator || access == sessionOrOperator {
		if key := findOperator(r.server.cfg.Keys, token); key != nil {
			r.operator, r.role = key.Name, key.role
			if key.role < r.route.role {
				return roleRequired(r.route.role)
			}
			return nil
		}
	}
	session, ok := r.server.exchange.Authenticate(token)
	if !ok {
		return unauthorized()
	}
	r.session = session
	switch access {
	case operatorOnly:
		return forbidden("this takes an operator's key")
	case owner, ownerOrOperator:
		// Whose a path is is compared, not looked up: a user who does not exist and
		// one who is somebody else look the same.
		id, err := r.userID()
		if err != nil {
			return err
		}
		if id != session.UserID() {
			return forbidden("this belongs to another user")
		}
	}
	return nil
}

// token returns the session token or operator key, from X-Session-Token or else
// Authorization: Bearer.
func (r *request) token() []byte {
	h := &r.ctx.Request.Header
	if token := h.Peek("X-Session-Token"); len(token) > 0 {
		return token
	}
	const scheme = "Bearer "
	value := h.Peek(fasthttp.HeaderAuthorization)
	if len(value) > len(scheme) && bytes.EqualFold(value[:len(scheme)], []byte(scheme)) {
		return value[len(scheme):]
	}
	return nil
}

// userID reads the user id in the path.
func (r *request) userID() (account.UserID, error) {
	id, err := account.ParseUserID(r.captures.at(0))
	if err != nil {
		return id, notFound("there is no such user: " + err.Error())
	}
	return id, nil
}

// transactionID reads the transaction or payment id in the path.
func (r *request) transactionID() (account.TransactionID, error) {
	id, err := account.ParseTransactionID(string(r.captures.at(0)))
	if err != nil {
		return id, notFound(err.Error())
	}
	return id, nil
}

const maxIdempotencyKey = 255 // characters

// idempotency reads the Idempotency-Key header, nil if there is none. A key counts
// for one account and one principal; its fingerprint covers method, path and body.
func (r *request) idempotency() (*account.Idempotency, error) {
	const field = "Idempotency-Key"
	key := r.ctx.Request.Header.Peek(field)
	if key == nil {
		return nil, nil
	}
	return r.idempotencyOf(field, key, r.ctx.PostBody())
}

// idempotencyOf is for a key that came in a field and is for one content.
func (r *request) idempotencyOf(field string, key, content []byte) (*account.Idempotency, error) {
	if len(key) == 0 || len(key) > maxIdempotencyKey {
		return nil, badField(field, "must be 1 to %d characters, such as a UUID", maxIdempotencyKey)
	}
	for _, c := range key {
		if c < 0x21 || c > 0x7e {
			return nil, badField(field, "must have visible ASCII characters only, such as a UUID")
		}
	}
	var idem account.Idempotency
	scope := append([]byte(r.operator), 0)
	sum := sha256.Sum256(append(scope, key...))
	copy(idem.Key[:], sum[:])

	h := sha256.New()
	h.Write(r.ctx.Method())
	h.Write([]byte{0})
	h.Write(r.ctx.URI().PathOriginal())
	h.Write([]byte{0})
	h.Write(content)
	copy(idem.Fingerprint[:], h.Sum(nil))
	return &idem, nil
}

// problemOf turns any error of a handler into what is answered.
func (s *Server) problemOf(r *request, err error) *Problem {
	r.failure = err
	var problem *Problem
	var refused *account.Error
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &refused):
		return problemOfAccount(refused)
	case errors.Is(err, actors.ErrOverloaded):
		return unavailable(1, "too many changes are waiting to be written; nothing was changed, try again")
	case errors.Is(err, actors.ErrOutcomeUnknown):
		p := unavailable(1, "the outcome is unknown: the change may or may not have been made. Send the request again with the same Idempotency-Key, or look at the history first")
		p.Code = "outcome_unknown"
		return p
	case errors.Is(err, actors.ErrMailOff):
		return notFound("this exchange sends no e-mail")
	case errors.Is(err, actors.ErrMailDown):
		p := unavailable(60, "the message could not be sent; check the address, or try again later")
		p.Code = "mail_down"
		return p
	case errors.Is(err, actors.ErrAuditFailed):
		p := unavailable(1, actors.ErrAuditFailed.Error()+", so nothing was done")
		p.Code = "audit_failed"
		return p
	case errors.Is(err, actors.ErrPaymentsOff):
		p := unavailable(0, "this exchange takes no payments: "+err.Error())
		p.Code = "payments_off"
		return p
	case errors.Is(err, actors.ErrChainDown):
		p := unavailable(30, "nobody can buy at the moment: "+actors.ErrChainDown.Error())
		p.Code = "chain_down"
		return p
	case errors.Is(err, actors.ErrChainBehind):
		p := unavailable(10, actors.ErrChainBehind.Error())
		p.Code = "chain_behind"
		return p
	case errors.Is(err, actors.ErrPayoutsOff):
		p := unavailable(0, actors.ErrPayoutsOff.Error())
		p.Code = "payouts_off"
		return p
	case errors.Is(err, actors.ErrNodeDown): // why is in the operator's log
		p := unavailable(10, actors.ErrNodeDown.Error())
		p.Code = "node_down"
		return p
	case errors.Is(err, actors.ErrNoRate): // why is the operator's business
		p := unavailable(10, "nobody can trade at the moment: "+actors.ErrNoRate.Error())
		p.Code = "no_rate"
		return p
	}
	if p := problemOfFactor(err); p != nil {
		return p
	}
	return &Problem{Status: 500, Code: "internal", Title: "Internal error", Detail: "this request failed; the operator's log says why"}
}
