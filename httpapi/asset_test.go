package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

// fetch sends a GET as a browser does, without unpacking what comes.
func (l *liveServer) fetch(path string, header map[string]string) (*http.Response, []byte) {
	l.t.Helper()
	request, err := http.NewRequest("GET", l.url+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "identity")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return response, content
}

func TestAPageHasAPolicyThatLetsNothingInFromElsewhere(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	for _, page := range []string{"/", "/Exchange", "/operator", "/api/docs"} {
		response, _ := l.fetch(page, nil)
		if page == "/operator" && response.StatusCode == 404 {
			continue // there is none yet
		}
		policy := response.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy lacks %s: %s", page, part, policy)
			}
		}
		for _, address := range []string{"http:", "https:", "*", "unsafe-eval", "script-src 'self' 'unsafe-inline'"} {
			if strings.Contains(policy, address) {
				t.Errorf("%s: the policy has %s: %s", page, address, policy)
			}
		}
		for name, want := range map[string]string{
			"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", page, name, got, want)
			}
		}
		if response.Header.Get("Permissions-Policy") == "" {
			t.Errorf("%s has no Permissions-Policy", page)
		}
	}
}

func TestAnAssetIsSentOnceAndCompressedWhereThatIsAccepted(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	plain, content := l.fetch("/assets/docs/swagger-ui.css", nil)
	if plain.StatusCode != 200 || plain.Header.Get("Content-Type") != "text/css; charset=utf-8" || plain.Header.Get("Content-Encoding") != "" {
		t.Fatalf("the answer is %d, %v", plain.StatusCode, plain.Header)
	}
	packed, compressed := l.fetch("/assets/docs/swagger-ui.css", map[string]string{"Accept-Encoding": "br, gzip;q=0.8"})
	if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("Vary") != "Accept-Encoding" || packed.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Errorf("the compressed answer has %v", packed.Header)
	}
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(reader); err != nil || !bytes.Equal(unpacked, content) {
		t.Errorf("unpacked it is not the file: %v", err)
	}
	for _, accept := range []string{"gzip;q=0", "br", "identity", "gzip; q=0.000"} {
		if r, _ := l.fetch("/assets/docs/swagger-ui.css", map[string]string{"Accept-Encoding": accept}); r.Header.Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding: %s gets %s", accept, r.Header.Get("Content-Encoding"))
		}
	}
	for tag, want := range map[string]int{plain.Header.Get("ETag"): 304, `"x", W/` + plain.Header.Get("ETag"): 304, "*": 304, `"x"`: 200, packed.Header.Get("ETag"): 200} {
		r, body := l.fetch("/assets/docs/swagger-ui.css", map[string]string{"If-None-Match": tag})
		if r.StatusCode != want || (want == 304 && len(body) != 0) {
			t.Errorf("If-None-Match: %s is answered %d with %d bytes, want %d", tag, r.StatusCode, len(body), want)
		}
	}
	if got := plain.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control is %q", got)
	}
	_, page := l.fetch("/api/docs", nil)
	references := regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllSubmatch(page, -1)
	if len(references) != 3 {
		t.Fatalf("the page refers to %d files", len(references))
	}
	for _, reference := range references {
		r, _ := l.fetch(string(reference[1]), nil)
		if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s is answered %d, %v", reference[1], r.StatusCode, r.Header)
		}
	}
}

func TestNoPathLeavesTheAssets(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	for _, path := range []string{
		"/assets/", "/assets", "/assets/nothing.js", "/assets/../openapi.json", "/assets/..%2fopenapi.json", "/assets/docs/../openapi.json",
		"/assets/docs", "/assets/docs/", "/assets/openapi.json", "/assets/index.html", "/assets/operator.html", "/assets/docs/index.html", "/assets/docs/LICENSE", "/assets/" + strings.Repeat("a/", 20) + "a",
	} {
		if r, content := l.fetch(path, nil); r.StatusCode != 404 {
			t.Errorf("%s is answered %d: %.100s", path, r.StatusCode, content)
		}
	}
}

// TestTheViewerIsThePackageAsItWasPublished fails when a file of the viewer is not
// the one that "make docs-viewer" fetched and recorded.
func TestTheViewerIsThePackageAsItWasPublished(t *testing.T) {
	text, err := web.ReadFile("web/docs/viewer.json")
	if err != nil {
		t.Fatal(err)
	}
	var viewer struct {
		Package, Version, Integrity string
		Files                       map[string]string
	}
	if err := json.Unmarshal(text, &viewer); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui.css"} {
		content, err := web.ReadFile(path.Join("web/docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != viewer.Files[name] {
			t.Errorf("%s is not what %s %s has; make docs-viewer fetches it", name, viewer.Package, viewer.Version)
		}
	}
}
