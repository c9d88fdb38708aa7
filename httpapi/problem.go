package httpapi

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// Problem is an error as the client sees it: a problem document (RFC 9457).
type Problem struct {
	Status     int
	Code       string // for programs; the last part of the document's type
	Title      string // the same for every problem of the code
	Detail     string // this problem, for a person
	Field      string // the request's field at fault, "" if none is
	RetryAfter int    // seconds; 0: no header
	Allow      string // methods, with a 405

	Factors account.FactorKinds // with second_factor_required, those that the user has
	RetryAt account.Time        // when the same request is accepted if nothing else changes; 0: unknown
}

func (p *Problem) Error() string {
	if p.Field != "" {
		return p.Code + ": " + p.Field + ": " + p.Detail
	}
	return p.Code + ": " + p.Detail
}

// append writes the document.
func (p *Problem) append(b []byte, requestID string) []byte {
	b = append(b, '{')
	b = appendString(b, "type", "urn:aitbc:problem:"+p.Code)
	b = appendString(b, "title", p.Title)
	b = appendUint(b, "status", uint64(p.Status))
	b = appendString(b, "detail", p.Detail)
	b = appendString(b, "code", p.Code)
	if p.Field != "" {
		b = appendString(b, "field", p.Field)
	}
	if p.Factors != 0 {
		b = appendStrings(b, "factors", p.Factors.Names())
	}
	if p.RetryAt != 0 {
		b = appendTime(b, "retry_at", p.RetryAt)
	}
	b = appendString(b, "request_id", requestID)
	return append(b, '}')
}

// write answers ctx with the document.
func (p *Problem) write(ctx *fasthttp.RequestCtx, requestID string) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(p.Status)
	h := &ctx.Response.Header
	h.SetContentType("application/problem+json")
	if p.RetryAfter > 0 {
		h.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(p.RetryAfter))
	}
	if p.Allow != "" {
		h.Set(fasthttp.HeaderAllow, p.Allow)
	}
	if p.Status == fasthttp.StatusUnauthorized {
		h.Set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="exchange"`)
	}
	ctx.SetBody(p.append(nil, requestID))
}

func badRequest(format string, args ...any) *Problem {
	return &Problem{Status: fasthttp.StatusBadRequest, Code: "bad_request", Title: "Bad request", Detail: fmt.Sprintf(format, args...)}
}

// badField refuses a field; its detail begins with the field's name.
func badField(field, format string, args ...any) *Problem {
	return &Problem{Status: fasthttp.StatusBadRequest, Code: "invalid_field", Title: "Invalid field",
		Detail: field + ": " + fmt.Sprintf(format, args...), Field: field}
}

func unauthorized() *Problem {
	return &Problem{Status: fasthttp.StatusUnauthorized, Code: "unauthenticated", Title: "Not logged in",
		Detail: "give the token of a live session in X-Session-Token; the one given may have expired or been logged out"}
}

func forbidden(detail string) *Problem {
	return &Problem{Status: fasthttp.StatusForbidden, Code: "forbidden", Title: "Forbidden", Detail: detail}
}

// roleRequired refuses a key that is good for less.
func roleRequired(least role) *Problem {
	return &Problem{Status: fasthttp.StatusForbidden, Code: "role_required", Title: "Role required",
		Detail: "this takes an operator's key with the role " + least.String() + ", or a higher one"}
}

func notFound(detail string) *Problem {
	return &Problem{Status: fasthttp.StatusNotFound, Code: "not_found", Title: "Not found", Detail: detail}
}

func methodNotAllowed(allow string) *Problem {
	return &Problem{Status: fasthttp.StatusMethodNotAllowed, Code: "method_not_allowed", Title: "Method not allowed",
		Detail: "this path takes " + allow, Allow: allow}
}

func tooLarge(limit int) *Problem {
	return &Problem{Status: fasthttp.StatusRequestEntityTooLarge, Code: "too_large", Title: "Body too large",
		Detail: "the body is more than " + strconv.Itoa(limit) + " bytes"}
}

func unavailable(retryAfter int, detail string) *Problem {
	return &Problem{Status: fasthttp.StatusServiceUnavailable, Code: "unavailable", Title: "Unavailable", Detail: detail, RetryAfter: retryAfter}
}

// statuses is how each refusal of an account is answered.
var statuses = map[account.Code]struct {
	status int
	title  string
}{
	account.CodeInsufficientFunds: {fasthttp.StatusConflict, "Insufficient funds"},
	account.CodeBalanceLimit:      {fasthttp.StatusConflict, "Balance limit"},
	account.CodeSuspended:         {fasthttp.StatusForbidden, "Account suspended"},
	account.CodeInactive:          {fasthttp.StatusForbidden, "Account closed"},
	account.CodeNotFound:          {fasthttp.StatusNotFound, "Not found"},
	account.CodeNotPending:        {fasthttp.StatusConflict, "Not pending"},
	account.CodeKeyReused:         {fasthttp.StatusUnprocessableEntity, "Idempotency-Key reused"},
	account.CodeTooManyKeys:       {fasthttp.StatusTooManyRequests, "Too many idempotency keys"},
	account.CodeTooManyPayments:   {fasthttp.StatusConflict, "Too many open payments"},
	account.CodeHistoryFull:       {fasthttp.StatusConflict, "History full"},
	account.CodeTaken:             {fasthttp.StatusConflict, "Taken"},
	account.CodeNoChange:          {fasthttp.StatusConflict, "No change"},
	account.CodeTooManyOutputs:    {fasthttp.StatusConflict, "Too many outputs"},
	account.CodeNoEmail:           {fasthttp.StatusConflict, "No e-mail address"},
	account.CodeTooManyEmails:     {fasthttp.StatusTooManyRequests, "Too many codes"},
	account.CodeWrongCode:         {fasthttp.StatusBadRequest, "Wrong code"},
	account.CodeTooManyNotices:    {fasthttp.StatusConflict, "Too many notices"},
	account.CodeInPayout:          {fasthttp.StatusConflict, "In a payout"},
	account.CodePayoutState:       {fasthttp.StatusConflict, "Not possible for this payout"},
	account.CodeUnauthenticated:   {fasthttp.StatusUnauthorized, "Not logged in"},
	account.CodeFactorRequired:    {fasthttp.StatusForbidden, "Second factor required"},
	account.CodeEnrolmentRequired: {fasthttp.StatusForbidden, "Second factor to be enrolled"},
	account.CodeFactorRefused:     {fasthttp.StatusForbidden, "Second factor refused"},
	account.CodeTooManyPasskeys:   {fasthttp.StatusConflict, "Too many passkeys"},
	account.CodeAddressNotUsable:  {fasthttp.StatusForbidden, "Address not usable"},
	account.CodeAddressBookFull:   {fasthttp.StatusConflict, "Address book full"},
	account.CodeDailyLimit:        {fasthttp.StatusConflict, "Daily limit"},
	account.CodeApprovalRequired:  {fasthttp.StatusConflict, "Approval required"},
	account.CodeSameOperator:      {fasthttp.StatusConflict, "Same operator"},
	actors.CodeBadRange:           {fasthttp.StatusBadRequest, "Not these blocks"},
	actors.CodeNothingToPay:       {fasthttp.StatusConflict, "Nothing to pay"},
	actors.CodeNoCoins:            {fasthttp.StatusConflict, "Not enough coins"},
	actors.CodeBadPayout:          {fasthttp.StatusBadRequest, "Not the payout"},
	actors.CodeBadAmount:          {fasthttp.StatusBadRequest, "Invalid amount"},
	actors.CodeBadAddress:         {fasthttp.StatusBadRequest, "Invalid address"},
}

// problemOfAccount turns a refusal of an account into a problem.
func problemOfAccount(e *account.Error) *Problem {
	s, ok := statuses[e.Code]
	if !ok {
		panic("httpapi: no status for the code " + string(e.Code))
	}
	p := &Problem{Status: s.status, Code: string(e.Code), Title: s.title, Detail: e.Message, Field: e.Field, Factors: e.Factors, RetryAt: e.RetryAt}
	if s.status == fasthttp.StatusTooManyRequests {
		p.RetryAfter = 60
	}
	return p
}
