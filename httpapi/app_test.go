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
	"testing"
)

// maxAppBytes is what the pages may weigh without the chart library, compressed.
const maxAppBytes = 150_000

func TestThePagesWeighLittle(t *testing.T) {
	total := 0
	eachAppFile(t, func(name string, content []byte) {
		if strings.HasPrefix(name, "lightweight-charts-") {
			return
		}
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		_, _ = w.Write(content)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		total += packed.Len()
	})
	t.Logf("%d bytes compressed, without the chart", total)
	if total == 0 || total > maxAppBytes {
		t.Errorf("the pages weigh %d bytes compressed, want at most %d", total, maxAppBytes)
	}
}

// TestVendoredFilesAreThoseOfTheirPackages compares with the recorded hashes;
// web/vendor.sh compares the same hashes with the packages themselves.
func TestVendoredFilesAreThoseOfTheirPackages(t *testing.T) {
	list, err := web.ReadFile("web/vendor.txt")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" || strings.HasPrefix(fields[0], "..") {
			continue
		}
		if len(fields) != 4 {
			t.Fatalf("vendor.txt: %q: want FILE PACKAGE@VERSION FILE-IN-PACKAGE SHA-256", line)
		}
		content, err := web.ReadFile("web/" + fields[0])
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != fields[3] {
			t.Errorf("%s is not the file of %s: its SHA-256 is %x", fields[0], fields[1], sum)
		}
		checked++
	}
	if checked == 0 {
		t.Error("vendor.txt names no file of the page")
	}
}

// inline is what the Content-Security-Policy would refuse, or where markup could be
// made of text.
var inline = regexp.MustCompile(`(?i)\sstyle\s*=\s*"|<style|<script(?:\s+type="module")?>|\son[a-z]+\s*=\s*"|javascript:|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function`)

var reference = regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"|from '(\./|/assets/)([^']+)'`)

func TestThePagesHaveNothingInlineAndReferToFilesThatExist(t *testing.T) {
	references := 0
	eachAppFile(t, func(name string, content []byte) {
		if strings.HasPrefix(name, "lightweight-charts-") {
			return
		}
		if found := inline.Find(content); found != nil && (path.Ext(name) == ".html" || path.Ext(name) == ".js") {
			t.Errorf("%s has %q", name, found)
		}
		for _, match := range reference.FindAllStringSubmatch(string(content), -1) {
			file := strings.TrimPrefix(match[1], "/assets/") + match[3]
			if _, err := web.ReadFile("web/app/" + file); err != nil {
				t.Errorf("%s refers to %s: %v", name, file, err)
			}
			references++
		}
		for _, scheme := range []string{"http://", "https://"} {
			for _, after := range strings.Split(string(content), scheme)[1:] {
				if !strings.HasPrefix(after, "www.tradingview.com/") && !strings.HasPrefix(after, "www.w3.org/2000/svg") {
					t.Errorf("%s names an outside address: %s%.40s", name, scheme, after)
				}
			}
		}
	})
	if references < 20 {
		t.Errorf("only %d references were found", references)
	}
}

func eachAppFile(t *testing.T, do func(name string, content []byte)) {
	t.Helper()
	err := fs.WalkDir(web, "web/app", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := web.ReadFile(name)
		if err == nil {
			do(strings.TrimPrefix(name, "web/app/"), content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
