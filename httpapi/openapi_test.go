package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// contract is the OpenAPI document and a router of its operations.
type contract struct {
	document *openapi3.T
	routes   *router[contractRoute]
}

type contractRoute struct {
	pattern   string
	item      *openapi3.PathItem
	operation *openapi3.Operation
}

// loadContract reads the document once, and closes its objects: a response with a
// member that the document does not name is an error in a test, although a client
// is to ignore it.
var loadContract = sync.OnceValues(func() (*contract, error) {
	text, err := web.ReadFile("web/openapi.json")
	if err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder) // any text will do
	openapi3filter.RegisterBodyDecoder(linesOfJSON, openapi3filter.FileBodyDecoder)
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	if err := document.Validate(context.Background()); err != nil {
		return nil, err
	}
	var table []entry[contractRoute]
	for pattern, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			table = append(table, entry[contractRoute]{method, pattern, contractRoute{pattern, item, operation}})
			for _, response := range operation.Responses.Map() {
				for _, content := range response.Value.Content {
					closeObjects(content.Schema)
				}
			}
		}
	}
	return &contract{document, newRouter(table)}, nil
})

// closeObjects refuses members that the schema does not name, at any depth.
func closeObjects(ref *openapi3.SchemaRef) {
	if ref == nil {
		return
	}
	schema := ref.Value
	if schema.Type.Includes("object") && schema.AdditionalProperties.Schema == nil && schema.AdditionalProperties.Has == nil && len(schema.Properties) > 0 {
		closed := false
		schema.AdditionalProperties.Has = &closed
	}
	closeObjects(schema.Items)
	for _, property := range schema.Properties {
		closeObjects(property)
	}
}

// anywhere are the problems that any request may be answered with, which the
// document gives as its default response.
var anywhere = map[int]bool{
	http.StatusMethodNotAllowed:            true,
	http.StatusRequestTimeout:              true,
	http.StatusRequestHeaderFieldsTooLarge: true,
	http.StatusInternalServerError:         true,
}

// validateResponse fails the test unless the OpenAPI document foresees the
// response: its status, content type, every member and no other. path is that of
// the request; its query does not count. A path or method that the document does
// not have must be answered 404 or 405, with a problem.
func validateResponse(t testing.TB, method, path string, status int, header http.Header, body []byte) {
	t.Helper()
	if err := checkResponse(method, path, status, header, body); err != nil {
		t.Errorf("%s %s is answered %d, not as the OpenAPI document says: %v\n%.2000s", method, path, status, err, body)
	}
}

func checkResponse(method, path string, status int, header http.Header, body []byte) error {
	c, err := loadContract()
	if err != nil {
		return err
	}
	path, _, _ = strings.Cut(path, "?")
	route, _, missed := c.routes.lookup([]byte(method), []byte(path))
	switch {
	case method == http.MethodOptions && status == http.StatusNoContent:
		return nil // every path that there is has it
	case missed != nil && status != missed.Status:
		return fmt.Errorf("it does not have the path or method: want %d", missed.Status)
	case missed != nil:
		return c.checkProblem(header, body)
	case method == http.MethodHead:
		return nil // has no body to look at
	}
	if route.operation.Responses.Status(status) == nil {
		if !anywhere[status] {
			return errors.New("it does not have the status there")
		}
		return c.checkProblem(header, body)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, path, nil)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: request,
			Route: &routers.Route{
				Spec: c.document, Path: route.pattern, PathItem: route.item, Method: method, Operation: route.operation,
			},
		},
		Status: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

// checkProblem checks a problem document that no operation's response names.
func (c *contract) checkProblem(header http.Header, body []byte) error {
	if got := header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Errorf("Content-Type is %q, want a problem document", got)
	}
	var problem any
	if err := json.Unmarshal(body, &problem); err != nil {
		return err
	}
	return c.document.Components.Schemas["Problem"].Value.VisitJSON(problem, openapi3.EnableJSONSchema2020())
}

func TestTheOpenAPIDocumentAndTheServerHaveTheSameRoutes(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, e := range new(Server).table() {
		route := e.method + " " + strings.ReplaceAll(e.pattern, "...}", "}")
		served[route] = true
	}
	documented := map[string]bool{}
	for pattern, item := range c.document.Paths.Map() {
		for method := range item.Operations() {
			documented[method+" "+pattern] = true
			if !served[method+" "+pattern] {
				t.Errorf("%s %s is in the document and not served", method, pattern)
			}
		}
	}
	for route := range served {
		if !documented[route] {
			t.Errorf("%s is served and not in the document", route)
		}
	}
}

func TestEveryRouteDocumentsWhatItsAccessLeadsTo(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range new(Server).table() {
		item := c.document.Paths.Value(strings.ReplaceAll(e.pattern, "...}", "}"))
		if item == nil || item.GetOperation(e.method) == nil {
			continue // the test above tells
		}
		operation := item.GetOperation(e.method)
		want := map[int]bool{}
		if e.value.access.who() > public {
			want[http.StatusUnauthorized] = true
		}
		if who := e.value.access.who(); who == owner || who == ownerOrOperator || who == operatorOnly || e.value.access&guarded != 0 {
			want[http.StatusForbidden] = true
		}
		if e.value.access.who() != probe {
			want[http.StatusTooManyRequests] = true
		}
		if !e.value.always {
			want[http.StatusServiceUnavailable] = true
		}
		for status := range want {
			if operation.Responses.Status(status) == nil {
				t.Errorf("%s %s may answer %d, and the document does not say so", e.method, e.pattern, status)
			}
		}
		if secured := operation.Security != nil && len(*operation.Security) > 0; secured != (e.value.access.who() > public) {
			t.Errorf("%s %s: the document wants credentials: %t", e.method, e.pattern, secured)
		}
	}
}

func TestAResponseThatTheDocumentDoesNotForeseeIsFound(t *testing.T) {
	problem := `{"type":"urn:aitbc:problem:x","title":"t","status":404,"detail":"d","code":"x","request_id":"r"}`
	rates := `{"btc_to_aitbc":100000,"aitbc_to_btc":0.00001,"fee_percent":0.5}`
	for _, c := range []struct {
		name, method, path string
		status             int
		contentType, body  string
		foreseen           bool
	}{
		{"as it is", "GET", "/api/exchange/rates", 200, "application/json", rates, true},
		{"a member missing", "GET", "/api/exchange/rates", 200, "application/json", `{"btc_to_aitbc":1,"aitbc_to_btc":1}`, false},
		{"a member more", "GET", "/api/exchange/rates", 200, "application/json", rates[:len(rates)-1] + `,"x":1}`, false},
		{"a member of another type", "GET", "/api/exchange/rates", 200, "application/json", `{"btc_to_aitbc":"1","aitbc_to_btc":1,"fee_percent":1}`, false},
		{"another content type", "GET", "/api/exchange/rates", 200, "text/plain", rates, false},
		{"another status", "GET", "/api/exchange/rates", 201, "application/json", rates, false},
		{"an unknown path", "GET", "/api/nothing", 404, "application/problem+json", problem, true},
		{"an unknown path with an answer", "GET", "/api/nothing", 200, "application/json", rates, false},
		{"a wrong method", "POST", "/api/exchange/rates", 405, "application/problem+json", problem, true},
	} {
		if err := checkResponse(c.method, c.path, c.status, http.Header{"Content-Type": {c.contentType}}, []byte(c.body)); (err == nil) != c.foreseen {
			t.Errorf("%s: %v, want it foreseen: %t", c.name, err, c.foreseen)
		}
	}
}
