package httpapi

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
)

// serverTLS has a certificate of its own for 127.0.0.1.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
}

// clientTLS trusts the server's certificate and no other.
func clientTLS(t *testing.T, server *tls.Config) *tls.Config {
	t.Helper()
	certificate, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &tls.Config{RootCAs: roots}
}

func TestTheServiceIsTheSameThroughTLS(t *testing.T) {
	l := startLive(t, t.TempDir(), func(c *Config, _ *actors.Config) { c.TLS = serverTLS(t) })
	id, token := l.login("aitbc1wallet_secure")
	stream := l.open(id, token, "")
	if e := stream.next(); e.name != "position" {
		t.Errorf("the stream begins with %+v", e)
	}
	l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1}`, 201)
	if e := stream.next(); e.name != "transaction" {
		t.Errorf("the stream goes on with %+v", e)
	}
	if h, _ := l.do("GET", "/", "", "", 200); !strings.HasPrefix(h.Get("Strict-Transport-Security"), "max-age=") {
		t.Error("the page does not ask for TLS the next time")
	}
	if h, _ := startLive(t, t.TempDir(), nil).do("GET", "/", "", "", 200); h.Get("Strict-Transport-Security") != "" {
		t.Error("the page asks for TLS where there is none")
	}
}

func TestASlowClientIsEndedThroughTLSToo(t *testing.T) {
	config := serverTLS(t)
	l := startLive(t, t.TempDir(), func(c *Config, _ *actors.Config) {
		c.TLS, c.ReadTimeout, c.IdleTimeout = config, 300*time.Millisecond, 300*time.Millisecond
	})
	address := strings.TrimPrefix(l.url, "https://")
	within := func(conn net.Conn) {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err := io.Copy(io.Discard, conn)
		if late, ok := err.(net.Error); ok && late.Timeout() {
			t.Error("the connection is still open")
		}
		conn.Close()
	}
	plain := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	within(plain()) // says nothing
	half := plain()
	if _, err := half.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil { // the beginning of a handshake
		t.Fatal(err)
	}
	within(half)
	secure := func(send string) *tls.Conn {
		t.Helper()
		c := clientTLS(t, config)
		c.ServerName = "127.0.0.1"
		conn := tls.Client(plain(), c)
		if _, err := io.WriteString(conn, send); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	slow := secure("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if response, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("half a request is answered %v, %v", response, err)
	}
	within(slow)
	within(secure("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) // idle afterwards
	l.do("GET", "/healthz", "", "", 200)
}
