package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeCertificate puts a new certificate for 127.0.0.1 and its key into two files.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
}

// serial shakes hands and returns which certificate was shown, 0 if none was.
func serial(address string) int64 {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // its serial number is looked at
	if err != nil {
		return 0
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestSIGHUPTakesANewCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	data := filepath.Join(dir, "data")
	runExchange(t, nil, "serve", "--data", data, "--listen", freeAddress(t), "--tls-cert", certFile, "--tls-key", keyFile).failed(t, 1, `tls-cert.*no such file`)
	writeCertificate(t, certFile, keyFile, 1)
	s := launch(t, data, "--tls-cert", certFile, "--tls-key", keyFile)
	address := strings.TrimPrefix(s.url, "http://")
	waitFor := func(want int64) {
		t.Helper()
		deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
		defer tick.Stop()
		for serial(address) != want {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("the certificate is number %d, want %d\n%s", serial(address), want, s.log)
			}
		}
	}
	waitFor(1)
	writeCertificate(t, certFile, keyFile, 2)
	if err := s.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(2)
	if code, _ := s.stop(); code != 0 {
		t.Errorf("exit %d\n%s", code, s.log)
	}
}
