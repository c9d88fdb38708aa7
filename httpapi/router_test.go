package httpapi

import (
	"testing"

	"github.com/valyala/fasthttp"
)

func newTestRouter() *router[string] {
	return newRouter([]entry[string]{
		{"GET", "/", "root"},
		{"GET", "/api/users/me", "me"},
		{"PATCH", "/api/users/me", "change me"},
		{"GET", "/api/users/{id}", "user"},
		{"DELETE", "/api/users/{id}", "delete user"},
		{"GET", "/api/users/{id}/balance", "balance"},
		{"POST", "/api/users/{id}/deposits", "deposit"},
		{"GET", "/api/users/{id}/keys/{key}", "key"},
	})
}

func TestARouteIsFoundByMethodAndExactPath(t *testing.T) {
	r := newTestRouter()
	for _, c := range []struct {
		method, path string
		want         string // value, or Allow of a 405, or "" for a 404
		captures     [maxCaptures]string
	}{
		{"GET", "/", "root", [maxCaptures]string{}},
		{"HEAD", "/", "root", [maxCaptures]string{}},
		{"GET", "/api/users/me", "me", [maxCaptures]string{}},
		{"PATCH", "/api/users/me", "change me", [maxCaptures]string{}},
		{"GET", "/api/users/7", "user", [maxCaptures]string{"7"}},
		{"DELETE", "/api/users/7", "delete user", [maxCaptures]string{"7"}},
		{"GET", "/api/users/7/balance", "balance", [maxCaptures]string{"7"}},
		{"HEAD", "/api/users/7/balance", "balance", [maxCaptures]string{"7"}},
		{"GET", "/api/users/me/balance", "balance", [maxCaptures]string{"me"}},
		{"GET", "/api/users/7/keys/8", "key", [maxCaptures]string{"7", "8"}},

		{"POST", "/", "GET, HEAD, OPTIONS", [maxCaptures]string{}},
		{"OPTIONS", "/", "GET, HEAD, OPTIONS", [maxCaptures]string{}},
		{"POST", "/api/users/me", "GET, HEAD, OPTIONS, PATCH", [maxCaptures]string{}},
		{"DELETE", "/api/users/me", "GET, HEAD, OPTIONS, PATCH", [maxCaptures]string{}},
		{"POST", "/api/users/7", "DELETE, GET, HEAD, OPTIONS", [maxCaptures]string{}},
		{"GET", "/api/users/7/deposits", "OPTIONS, POST", [maxCaptures]string{}},
		{"HEAD", "/api/users/7/deposits", "OPTIONS, POST", [maxCaptures]string{}},
		{"OPTIONS", "/api/users/7/deposits", "OPTIONS, POST", [maxCaptures]string{}},
		{"get", "/api/users/me", "GET, HEAD, OPTIONS, PATCH", [maxCaptures]string{}},
		{"", "/api/users/me", "GET, HEAD, OPTIONS, PATCH", [maxCaptures]string{}},

		{"GET", "", "", [maxCaptures]string{}},
		{"GET", "*", "", [maxCaptures]string{}},
		{"GET", "//", "", [maxCaptures]string{}},
		{"GET", "/api", "", [maxCaptures]string{}},
		{"GET", "/api/users", "", [maxCaptures]string{}},
		{"GET", "/api/users/", "", [maxCaptures]string{}},
		{"GET", "/api/users/me/", "", [maxCaptures]string{}},
		{"GET", "/api/users/7/", "", [maxCaptures]string{}},
		{"GET", "/api/Users/me", "", [maxCaptures]string{}},
		{"GET", "api/users/me", "", [maxCaptures]string{}},
		{"GET", "//api/users/me", "", [maxCaptures]string{}},
		{"GET", "/api//users/me", "", [maxCaptures]string{}},
		{"GET", "/api/users//balance", "", [maxCaptures]string{}},
		{"GET", "/api/users/7/balance/", "", [maxCaptures]string{}},
		{"GET", "/api/users/7/keys/", "", [maxCaptures]string{}},
		{"GET", "/api/users/7//8", "", [maxCaptures]string{}},
		{"GET", "/api/./users/me", "", [maxCaptures]string{}},
		{"GET", "/x/../api/users/me", "", [maxCaptures]string{}},
		{"GET", "/api%2Fusers/me", "", [maxCaptures]string{}},
		{"GET", "/a/b/c/d/e/f/g/h/i/j", "", [maxCaptures]string{}},
		{"GET", "/////////////", "", [maxCaptures]string{}},
	} {
		value, captured, p := r.lookup([]byte(c.method), []byte(c.path))
		switch {
		case value != nil:
			got := [maxCaptures]string{string(captured.at(0)), string(captured.at(1))}
			if p != nil || *value != c.want || got != c.captures {
				t.Errorf("%s %s: got %s %q, want %s %q", c.method, c.path, *value, got, c.want, c.captures)
			}
		case p == nil:
			t.Errorf("%s %s: neither found nor refused", c.method, c.path)
		case p.Status == fasthttp.StatusMethodNotAllowed:
			if p.Allow != c.want {
				t.Errorf("%s %s: Allow is %q, want %q", c.method, c.path, p.Allow, c.want)
			}
		case p.Status != fasthttp.StatusNotFound || c.want != "":
			t.Errorf("%s %s: got %v, want %q", c.method, c.path, p, c.want)
		}
	}
}

func TestTheOrderOfTheTableDoesNotMatter(t *testing.T) {
	r := newRouter([]entry[string]{{"GET", "/users/{id}", "user"}, {"GET", "/users/me", "me"}})
	if value, _, _ := r.lookup([]byte("GET"), []byte("/users/me")); value == nil || *value != "me" {
		t.Errorf("got %v", value)
	}
}

func TestARouteThatIsThereTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newRouter([]entry[string]{{"GET", "/users/{id}", "a"}, {"GET", "/users/{name}", "b"}})
}

func TestALookupThatMatchesDoesNotAllocate(t *testing.T) {
	r := newTestRouter()
	method := []byte("GET")
	for _, path := range []string{"/", "/api/users/me", "/api/users/7/keys/8"} {
		p := []byte(path)
		if n := testing.AllocsPerRun(100, func() {
			if value, _, _ := r.lookup(method, p); value == nil {
				t.Fatal("not found")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	r := newTestRouter()
	method, path := []byte("GET"), []byte("/api/users/6ba7b810-9dad-11d1-80b4-00c04fd430c8/balance")
	b.ReportAllocs()
	for b.Loop() {
		if value, _, _ := r.lookup(method, path); value == nil {
			b.Fatal("not found")
		}
	}
}
