package httpapi

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Dashboards and clients know the names of metrics and of the API's operations. What is
// not there any more, or has another name, shows as a line of testdata/*.golden.

var update = flag.Bool("update", false, "write the golden files anew")

// checkGolden compares lines with a golden file, and names those that only one has.
func checkGolden(t *testing.T, name string, got []string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if slices.Equal(got, want) {
		return
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s has this, and it is gone: %s", path, line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s lacks this: %s", path, line)
		}
	}
	t.Error("where that is meant, write the file anew: go test ./httpapi -run Golden -update")
}

var (
	sample  = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? \S+$`)
	label   = regexp.MustCompile(`([a-z]+)="([^"]*)"`)
	ofRoute = regexp.MustCompile(`^exchange_requests_total\{route="([^"]*)"`)
)

// metricNames returns the names and labels of the exchange's own metrics, as /metrics
// shows them. What stands for a range of seconds or for a route is left out; each route
// is a line of its own.
func metricNames(t *testing.T, text string) []string {
	t.Helper()
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "exchange_") {
			continue // of the process and of Go
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("/metrics has the line %q", line)
		}
		var labels []string
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "route" || l[1] == "vmrange" {
				l[2] = "*"
			}
			labels = append(labels, fmt.Sprintf("%s=%q", l[1], l[2]))
		}
		name := m[1]
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ",") + "}"
		}
		names[name] = true
		if m := ofRoute.FindStringSubmatch(line); m != nil {
			names[fmt.Sprintf("route=%q", m[1])] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func TestTheNamesOfMetricsAreTheGoldenOnes(t *testing.T) {
	a := startAPI(t)
	a.server.metrics.other.took.Update(1) // a histogram is shown once it has a value
	checkGolden(t, "metrics", metricNames(t, a.call("GET", "/metrics", "").is(200).body))
}

func TestTheOperationsOfTheAPIAreTheGoldenOnes(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for pattern, item := range c.document.Paths.Map() {
		for method, operation := range item.Operations() {
			statuses := slices.Sorted(maps.Keys(operation.Responses.Map()))
			lines = append(lines, fmt.Sprintf("%s %s %s %s", method, pattern, operation.OperationID, strings.Join(statuses, " ")))
		}
	}
	slices.SortFunc(lines, func(a, b string) int { // by path
		_, a, _ = strings.Cut(a, " ")
		_, b, _ = strings.Cut(b, " ")
		return strings.Compare(a, b)
	})
	checkGolden(t, "operations", lines)
}

func TestTheOpenAPIDocumentIsServedAsItIs(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("web", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got := startAPI(t).call("GET", "/api/openapi.json", "").is(200).body; got != string(document) {
		t.Errorf("%d bytes are served, which are not the document's %d", len(got), len(document))
	}
}
