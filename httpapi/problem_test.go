package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// document returns the body that p is written as.
func (p *Problem) document(requestID string) []byte {
	var ctx fasthttp.RequestCtx
	p.write(&ctx, requestID)
	return ctx.Response.Body()
}

func TestAProblemIsWrittenAsRFC9457Says(t *testing.T) {
	for _, c := range []struct {
		problem *Problem
		header  map[string]string
		body    string
	}{
		{badField("amount", "want more than %d", 0), nil,
			`{"type":"urn:aitbc:problem:invalid_field","title":"Invalid field","status":400,"detail":"amount: want more than 0","code":"invalid_field","field":"amount","request_id":"r-1"}`},
		{&Problem{Status: 503, Code: "unavailable", Title: "Unavailable", Detail: "a \"b\" <c>\n\xff\u2028", RetryAfter: 7}, map[string]string{"Retry-After": "7"},
			"{\"type\":\"urn:aitbc:problem:unavailable\",\"title\":\"Unavailable\",\"status\":503,\"detail\":\"a \\\"b\\\" <c>\\n\uFFFD\u2028\",\"code\":\"unavailable\",\"request_id\":\"r-1\"}"},
		{methodNotAllowed("GET, HEAD"), map[string]string{"Allow": "GET, HEAD"}, ""},
		{unauthorized(), map[string]string{"WWW-Authenticate": `Bearer realm="exchange"`}, ""},
		{forbidden("no"), nil, ""},
		{notFound("no"), nil, ""},
		{tooLarge(10), nil, ""},
		{unavailable(0, "no"), nil, ""},
	} {
		var ctx fasthttp.RequestCtx
		ctx.Response.SetBodyString("left over")
		c.problem.write(&ctx, "r-1")
		body := string(ctx.Response.Body())
		if c.body != "" && body != c.body {
			t.Errorf("got  %s\nwant %s", body, c.body)
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(body), &document); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if document["type"] != "urn:aitbc:problem:"+c.problem.Code || document["status"] != float64(c.problem.Status) || document["request_id"] != "r-1" {
			t.Errorf("got %s", body)
		}
		if ctx.Response.StatusCode() != c.problem.Status || string(ctx.Response.Header.ContentType()) != "application/problem+json" {
			t.Errorf("%s: status %d, %s", c.problem.Code, ctx.Response.StatusCode(), ctx.Response.Header.ContentType())
		}
		for _, name := range []string{"Retry-After", "Allow", "WWW-Authenticate"} {
			if got := string(ctx.Response.Header.Peek(name)); got != c.header[name] {
				t.Errorf("%s: %s is %q, want %q", c.problem.Code, name, got, c.header[name])
			}
		}
	}
}

func TestAProblemIsFoundAmongErrors(t *testing.T) {
	err := fmt.Errorf("while decoding: %w", error(notFound("there is none")))
	var p *Problem
	if !errors.As(err, &p) || p.Status != fasthttp.StatusNotFound || !strings.Contains(err.Error(), "not_found: there is none") {
		t.Errorf("got %v of %v", p, err)
	}
}

func TestEveryRefusalOfAnAccountHasItsStatus(t *testing.T) {
	want := map[account.Code]int{
		account.CodeInsufficientFunds: 409, account.CodeBalanceLimit: 409, account.CodeSuspended: 403,
		account.CodeInactive: 403, account.CodeNotFound: 404, account.CodeNotPending: 409,
		account.CodeKeyReused: 422, account.CodeTooManyKeys: 429, account.CodeTooManyPayments: 409,
		account.CodeHistoryFull: 409, account.CodeTaken: 409, account.CodeNoChange: 409,
		account.CodeUnauthenticated: 401, account.CodeFactorRequired: 403, account.CodeEnrolmentRequired: 403,
		account.CodeFactorRefused: 403, account.CodeTooManyPasskeys: 409,
	}
	codes := declaredCodes(t)
	if len(codes) != len(want) {
		t.Errorf("%d codes are declared, %d are known here", len(codes), len(want))
	}
	for _, code := range codes {
		p := problemOfAccount(&account.Error{Code: code, Field: "amount", Message: "why"})
		if p.Status != want[code] || p.Code != string(code) || p.Title == "" || p.Detail != "why" || p.Field != "amount" {
			t.Errorf("%s: got %+v, want status %d", code, p, want[code])
		}
	}
}

// declaredCodes reads the constants of type Code from the account's source.
func declaredCodes(t *testing.T) []account.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../actors/account/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []account.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" {
			return true
		}
		for _, value := range spec.Values {
			s, err := strconv.Unquote(value.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, account.Code(s))
		}
		return true
	})
	if len(codes) == 0 {
		t.Fatal("no code found")
	}
	return codes
}
