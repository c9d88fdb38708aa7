package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
)

// asset is an embedded file, ready to be sent.
type asset struct {
	contentType string
	plain, gzip []byte // gzip is nil where it saves too little
	tag         string // ETag of plain
	gzipTag     string
	version     string // ?v= with it asks for this very content, for ever
}

// assetSet is every embedded file by its path below web. It is immutable.
type assetSet map[string]*asset

func (s assetSet) at(path string) *asset { return s[path] }

// contentTypes are the kinds of file that are served; any other is not.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".json": "application/json",
	".svg":  "image/svg+xml",
	".png":  "image/png",
	".ico":  "image/x-icon",
	".txt":  "text/plain; charset=utf-8",

	".woff2":       "font/woff2",
	".webmanifest": "application/manifest+json",
}

// assets reads and compresses the embedded files, once.
var assets = sync.OnceValue(func() assetSet {
	set := assetSet{}
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contentType := contentTypes[path.Ext(name)]
		if contentType == "" {
			return nil
		}
		content, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		set[strings.TrimPrefix(name, "web/")] = newAsset(contentType, content)
		return nil
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	if docs := set["docs/index.html"]; docs != nil {
		set["docs/index.html"] = newAsset(docs.contentType, set.versioned(docs.plain))
	}
	return set
})

func newAsset(contentType string, content []byte) *asset {
	sum := sha256.Sum256(content)
	version := hex.EncodeToString(sum[:12])
	a := &asset{contentType: contentType, plain: content, version: version, tag: `"` + version + `"`, gzipTag: `"` + version + `-gzip"`}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is a valid one
	_, _ = w.Write(content)                                    // a buffer takes everything
	_ = w.Close()
	if packed.Len() < len(content)*9/10 {
		a.gzip = packed.Bytes()
	}
	return a
}

var docsReference = regexp.MustCompile(`"/assets/(docs/[a-z.-]+)"`)

// versioned adds to each reference of a page to a file of the documentation the
// file's version, so that a browser need never ask for it again.
func (s assetSet) versioned(page []byte) []byte {
	return docsReference.ReplaceAllFunc(page, func(reference []byte) []byte {
		name := string(docsReference.FindSubmatch(reference)[1])
		if a := s[name]; a != nil {
			return []byte(`"/assets/` + name + `?v=` + a.version + `"`)
		}
		return reference
	})
}

// acceptsGzip reads an Accept-Encoding header (RFC 9110, section 12.5.3).
func acceptsGzip(header []byte) bool {
	for _, coding := range strings.Split(string(header), ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		if name = strings.ToLower(strings.TrimSpace(name)); name != "gzip" && name != "*" {
			continue
		}
		weight := strings.ReplaceAll(strings.ToLower(parameters), " ", "")
		return weight != "q=0" && weight != "q=0.0" && weight != "q=0.00" && weight != "q=0.000"
	}
	return false
}

// matchesTag reads an If-None-Match header (RFC 9110, section 13.1.2).
func matchesTag(header []byte, tag string) bool {
	for _, candidate := range strings.Split(string(header), ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}
