package mail

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// server is a real SMTP server on loopback.
type server struct {
	*smtp.Server
	port  int
	roots *x509.CertPool

	mu       sync.Mutex
	received []string // messages, as they came
	refusal  error    // of the next recipient
	noAuth   bool
}

// session is one connection to it.
type session struct {
	s      *server
	authed bool
}

func (s *server) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &session{s: s, authed: s.noAuth}, nil
}

func (c *session) AuthMechanisms() []string {
	if c.s.noAuth {
		return nil
	}
	return []string{sasl.Plain}
}

func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "exchange" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		c.authed = true
		return nil
	}), nil
}

func (c *session) Mail(string, *smtp.MailOptions) error {
	if !c.authed {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (c *session) Rcpt(string, *smtp.RcptOptions) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.s.refusal
}

func (c *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.received = append(c.s.received, string(b))
	return nil
}

func (c *session) Reset()        {}
func (c *session) Logout() error { return nil }

// messages are what has come.
func (s *server) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

// serve starts a server, which offers STARTTLS if secure is StartTLS.
func serve(t *testing.T, secure Security) *server {
	t.Helper()
	s := &server{noAuth: secure == Clear}
	s.Server = smtp.NewServer(s)
	s.Domain = "localhost"
	cert, roots := certificate(t)
	s.roots = roots
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	switch secure {
	case StartTLS:
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	case TLS:
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return s
}

// certificate makes one for localhost, and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

func newSender(t *testing.T, s *server, secure Security, change ...func(*SenderConfig)) *Sender {
	t.Helper()
	cfg := SenderConfig{Host: "127.0.0.1", Port: s.port, Security: secure, Username: "exchange", Password: "secret",
		From: "no-reply@exchange.example", Exchange: "AITBC Börse", Site: "https://exchange.example/?a=1&b=2", TLS: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
		Timeout: 20 * time.Second, Now: func() time.Time { return noon }}
	if s.noAuth {
		cfg.Username = ""
	}
	for _, f := range change {
		f(&cfg)
	}
	sender, err := NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

func message(kind Kind) *Message {
	return &Message{ID: "018f6f1e-1", To: "anna@mail.example", Kind: kind, Fields: Fields{
		Username: "Änne", At: noon, Client: "192.0.2.1", What: "withdrawal", Amount: "1.5 AITBC", To: "aitbc_1",
		Code: "7KQ2M-9DXW4", Until: noon.Add(48 * time.Hour)}}
}

func TestAMessageArrivesOverEveryKindOfConnection(t *testing.T) {
	for _, secure := range []Security{StartTLS, TLS, Clear} {
		t.Run(string(secure), func(t *testing.T) {
			s := serve(t, secure)
			if err := newSender(t, s, secure).Send(t.Context(), message(PayoutRequested)); err != nil {
				t.Fatal(err)
			}
			if len(s.messages()) != 1 {
				t.Fatalf("%d messages", len(s.messages()))
			}
			m, err := netmail.ReadMessage(strings.NewReader(s.messages()[0]))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || subject != "AITBC Börse: withdrawal of 1.5 AITBC was asked for" {
				t.Errorf("subject %q, %v", subject, err)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"Hello Änne,", "25 November 2026, 12:00 UTC", "aitbc_1", "https://exchange.example/?a=1&b=2"} {
				if !strings.Contains(string(body), want) {
					t.Errorf("the text lacks %q:\n%s", want, body)
				}
			}
			for name, want := range map[string]string{"Message-Id": "<018f6f1e-1@exchange.example>", "To": "<anna@mail.example>", "Auto-Submitted": "auto-generated"} {
				if got := m.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestTheServersAnswerTellsWhetherToTryAgain(t *testing.T) {
	s := serve(t, StartTLS)
	sender := newSender(t, s, StartTLS)
	for _, test := range []struct {
		refusal  error
		rejected bool
	}{
		{&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}, true},
		{&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "try again later"}, false},
	} {
		s.mu.Lock()
		s.refusal = test.refusal
		s.mu.Unlock()
		if err := sender.Send(t.Context(), message(NewLogin)); err == nil || errors.Is(err, ErrRejected) != test.rejected {
			t.Errorf("%v: %v", test.refusal, err)
		}
	}
	s.Close()
	if err := sender.Send(t.Context(), message(NewLogin)); err == nil || errors.Is(err, ErrRejected) {
		t.Errorf("no server: %v", err)
	}
}

func TestNothingIsSentOverAConnectionThatCantBeTrusted(t *testing.T) {
	clear, secure := serve(t, Clear), serve(t, StartTLS)
	for name, sender := range map[string]*Sender{
		"a server without STARTTLS": newSender(t, clear, StartTLS),
		"an unknown authority":      newSender(t, secure, StartTLS, func(c *SenderConfig) { c.TLS = nil }),
		"a wrong password":          newSender(t, secure, StartTLS, func(c *SenderConfig) { c.Password = "wrong" }),
	} {
		if err := sender.Send(t.Context(), message(NewLogin)); err == nil || errors.Is(err, ErrRejected) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(clear.messages()) + len(secure.messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	if _, err := NewSender(SenderConfig{Host: "mail.example", Port: 25, Security: Clear, From: "a@exchange.example"}); err == nil {
		t.Error("mail to another machine in the clear")
	}
}

func TestAServerThatSaysNothingIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{port: l.Addr().(*net.TCPAddr).Port}
	sender := newSender(t, s, Clear, func(c *SenderConfig) { c.Timeout = 50 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sender.Send(ctx, message(NewLogin)); err == nil || ctx.Err() != nil {
		t.Errorf("%v", err)
	}
}
