package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/exchangetest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// files are a certificate's two files, and time enough between two writes that their
// stamps differ.
type files struct {
	t         *testing.T
	cert, key string
	written   time.Time
}

func newFiles(t *testing.T) *files {
	t.Helper()
	dir := t.TempDir()
	return &files{t: t, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), written: noon}
}

// pair makes a self-signed certificate for localhost.
func pair(t *testing.T, serial int64, from, until time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: from, NotAfter: until, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// write replaces a file as a renewing tool does, with a later time.
func (f *files) write(path string, content []byte) {
	f.t.Helper()
	f.written = f.written.Add(time.Second)
	temp := path + ".new"
	if err := errors.Join(os.WriteFile(temp, content, 0o600), os.Chtimes(temp, f.written, f.written), os.Rename(temp, path)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *files) renew(serial int64) {
	f.t.Helper()
	cert, key := pair(f.t, serial, noon.Add(-time.Hour), noon.Add(90*24*time.Hour))
	f.write(f.cert, cert)
	f.write(f.key, key)
}

func newReloader(t *testing.T, f *files) (*Reloader, *exchangetest.Buffer) {
	t.Helper()
	log := new(exchangetest.Buffer)
	r, err := New(Config{CertFile: f.cert, KeyFile: f.key, Logger: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return r, log
}

// listen serves TLS that says nothing but its certificate.
func listen(t *testing.T, r *Reloader) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", r.TLS())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// serial is that of the certificate which a new connection is shown.
func serial(t *testing.T, address string) int64 {
	t.Helper()
	// The certificate is its own authority; the test is about which one it is.
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestNewFilesAreServedToNewConnections(t *testing.T) {
	f := newFiles(t)
	f.renew(1)
	r, log := newReloader(t, f)
	address := listen(t, r)
	if got := serial(t, address); got != 1 {
		t.Fatalf("certificate %d, want 1", got)
	}
	r.Check(false)
	if log.String() != "" {
		t.Errorf("files that did not change: %s", log)
	}
	f.renew(2)
	r.Check(false)
	if got := serial(t, address); got != 2 {
		t.Errorf("certificate %d, want 2", got)
	}
	if !strings.Contains(log.String(), "serial=2") {
		t.Errorf("log: %s", log)
	}
}

func TestFilesThatCantBeUsedKeepTheOldCertificate(t *testing.T) {
	expired, expiredKey := pair(t, 3, noon.Add(-2*time.Hour), noon)
	early, earlyKey := pair(t, 4, noon.Add(time.Hour), noon.Add(2*time.Hour))
	other, _ := pair(t, 5, noon.Add(-time.Hour), noon.Add(time.Hour))
	for _, bad := range []struct {
		name   string
		do     func(f *files)
		reason string
	}{
		{"not PEM", func(f *files) { f.write(f.cert, []byte("nothing")) }, "PEM"},
		{"another key's", func(f *files) { f.write(f.cert, other) }, "match"},
		{"cut off", func(f *files) { f.write(f.cert, other[:len(other)/2]) }, "PEM"},
		{"empty key", func(f *files) { f.write(f.key, nil) }, "key"},
		{"no key", func(f *files) { os.Remove(f.key) }, "no such file"},
		{"expired", func(f *files) { f.write(f.cert, expired); f.write(f.key, expiredKey) }, "expired"},
		{"not valid yet", func(f *files) { f.write(f.cert, early); f.write(f.key, earlyKey) }, "not valid before"},
		{"a key for everybody", func(f *files) { f.renew(6); os.Chmod(f.key, 0o644) }, "0644"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			f := newFiles(t)
			f.renew(1)
			r, log := newReloader(t, f)
			address := listen(t, r)
			bad.do(f)
			for range 3 {
				r.Check(false)
			}
			if got := serial(t, address); got != 1 {
				t.Errorf("certificate %d, want 1", got)
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), bad.reason) {
				t.Errorf("%d errors, want one that says %q: %s", n, bad.reason, log)
			}
			f.renew(7)
			r.Check(false)
			if got := serial(t, address); got != 7 {
				t.Errorf("after the files came right: certificate %d, want 7", got)
			}
			if _, err := New(Config{CertFile: f.cert, KeyFile: f.key, Logger: slog.Default(), Now: func() time.Time { return noon.Add(365 * 24 * time.Hour) }}); err == nil {
				t.Error("a start with an expired certificate")
			}
		})
	}
}

// Between the two renames of a renewal the files do not belong together.
func TestAPairThatIsHalfWrittenComesRight(t *testing.T) {
	f := newFiles(t)
	f.renew(1)
	r, _ := newReloader(t, f)
	cert, key := pair(t, 2, noon.Add(-time.Hour), noon.Add(time.Hour))
	f.write(f.cert, cert)
	r.Check(false)
	f.write(f.key, key)
	r.Check(false)
	if got := r.cert.Load().Leaf.SerialNumber.Int64(); got != 2 {
		t.Errorf("certificate %d, want 2", got)
	}
}

func TestRunLooksOnATickAndOnASignal(t *testing.T) {
	for name, interval := range map[string]time.Duration{"tick": time.Millisecond, "signal": time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t)
			f.renew(1)
			r, _ := newReloader(t, f)
			address := listen(t, r)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			signals, done := make(chan os.Signal), make(chan struct{})
			go func() {
				defer close(done)
				r.Run(ctx, interval, signals)
			}()
			f.renew(2)
			if name == "signal" {
				signals <- syscall.SIGHUP
			}
			for serial(t, address) != 2 {
				if ctx.Err() != nil {
					t.Fatal("the new certificate is not served")
				}
			}
			cancel()
			<-done
		})
	}
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	f := newFiles(t)
	f.renew(1)
	r, _ := newReloader(t, f)
	address := listen(t, r)
	for version, accepted := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}}
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if accepted != (err == nil) {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
	weak := &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}
	if conn, err := tls.Dial("tcp", address, weak); err == nil {
		conn.Close()
		t.Error("a cipher suite without an AEAD is accepted")
	}
}
