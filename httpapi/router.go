package httpapi

import (
	"bytes"
	"slices"
	"strings"
)

// entry is one line of a router's table. A segment of the pattern in braces, as in
// /api/users/{id}/balance, captures any segment that is not empty; a last one such as
// {path...} captures all that is left, slashes included.
type entry[V any] struct {
	method  string
	pattern string
	value   V
}

// router finds what a table says of a method and path. Paths are compared as they
// came, byte by byte, without decoding or cleaning. It is immutable.
type router[V any] struct {
	bySegments [maxSegments + 1][]*resource[V]
	open       []*resource[V] // with a last segment that captures the rest; tried after the others
}

// resource is a pattern and its methods.
type resource[V any] struct {
	segments []string // "" captures; of an open one all but the last
	open     bool
	methods  []string
	values   []*V
	allow    string
}

// Limits of a path. A longer one is unknown.
const (
	maxSegments = 8
	maxCaptures = 2
)

// captures are the captured segments, in order, as parts of path.
type captures struct {
	path   []byte
	bounds [maxCaptures]struct{ begin, end int }
}

func (c *captures) at(i int) []byte { return c.path[c.bounds[i].begin:c.bounds[i].end] }

// moveTo makes c parts of another copy of its path, or reports that path is another.
func (c *captures) moveTo(path []byte) bool {
	if !bytes.Equal(c.path, path) {
		return false
	}
	c.path = path
	return true
}

func newRouter[V any](table []entry[V]) *router[V] {
	r := &router[V]{}
	for i := range table {
		e := &table[i]
		segments := strings.Split(e.pattern[1:], "/")
		open := strings.HasSuffix(e.pattern, "...}")
		if open {
			segments = segments[:len(segments)-1]
		}
		for n, s := range segments {
			if strings.HasPrefix(s, "{") {
				segments[n] = ""
			}
		}
		found := r.resource(segments, e.pattern == "/", open)
		if slices.Contains(found.methods, e.method) {
			panic("httpapi: " + e.method + " " + e.pattern + " is in the table twice")
		}
		found.methods = append(found.methods, e.method)
		found.values = append(found.values, &e.value)
		allow := append([]string{"OPTIONS"}, found.methods...)
		if slices.Contains(allow, "GET") {
			allow = append(allow, "HEAD")
		}
		slices.Sort(allow)
		found.allow = strings.Join(allow, ", ")
	}
	return r
}

// resource returns the one with the segments, adding it if need be. Those with
// fewer captures come first.
func (r *router[V]) resource(segments []string, root, open bool) *resource[V] {
	if root {
		segments = nil
	}
	list := &r.bySegments[len(segments)]
	if open {
		list = &r.open
	}
	for _, known := range *list {
		if slices.Equal(known.segments, segments) {
			return known
		}
	}
	added := &resource[V]{segments: segments, open: open}
	*list = append(*list, added)
	slices.SortStableFunc(*list, func(a, b *resource[V]) int { return a.captures() - b.captures() })
	return added
}

func (r *resource[V]) captures() int {
	n := 0
	for _, s := range r.segments {
		if s == "" {
			n++
		}
	}
	return n
}

// lookup returns what the table has for the method and path, or a 404 or 405.
// HEAD is looked up as GET. It does not allocate where there is a match.
func (r *router[V]) lookup(method, path []byte) (*V, captures, *Problem) {
	var split [maxSegments][]byte
	segments, ok := splitPath(path, &split)
	if !ok {
		return nil, captures{}, notFound("there is nothing at this path")
	}
	candidates := r.bySegments[len(segments)]
	for i := range len(candidates) + len(r.open) {
		var candidate *resource[V]
		if i < len(candidates) {
			candidate = candidates[i]
		} else {
			candidate = r.open[i-len(candidates)]
		}
		captured, matches := candidate.match(segments, path)
		if !matches {
			continue
		}
		wanted := method
		if string(method) == "HEAD" {
			wanted = []byte("GET")
		}
		for i, m := range candidate.methods {
			if m == string(wanted) {
				return candidate.values[i], captured, nil
			}
		}
		return nil, captures{}, methodNotAllowed(candidate.allow)
	}
	return nil, captures{}, notFound("there is nothing at this path")
}

// splitPath cuts a path at its slashes. The root has no segments.
func splitPath(path []byte, into *[maxSegments][]byte) (segments [][]byte, ok bool) {
	if len(path) == 0 || path[0] != '/' {
		return nil, false
	}
	rest := path[1:]
	if len(rest) == 0 {
		return nil, true
	}
	for n := 0; n < maxSegments; n++ {
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			into[n] = rest
			return into[:n+1], true
		}
		into[n], rest = rest[:i], rest[i+1:]
	}
	return nil, false
}

// match compares from the end, where most patterns differ.
func (r *resource[V]) match(segments [][]byte, path []byte) (c captures, ok bool) {
	if r.open && len(segments) <= len(r.segments) {
		return c, false
	}
	for i := len(r.segments) - 1; i >= 0; i-- {
		want := r.segments[i]
		if want != "" && want != string(segments[i]) || len(segments[i]) == 0 {
			return c, false
		}
	}
	c.path = path
	n, begin := 0, len("/")
	for i, want := range r.segments {
		end := begin + len(segments[i])
		if want == "" {
			c.bounds[n].begin, c.bounds[n].end = begin, end
			n++
		}
		begin = end + len("/")
	}
	if r.open {
		if begin == len(path) {
			return c, false
		}
		c.bounds[n].begin, c.bounds[n].end = begin, len(path)
	}
	return c, true
}
