package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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

// The user that a server with TLS asks for. One without asks for none.
const (
	User     = "exchange"
	Password = "secret"
)

// Security is how a server is reached.
type Security int

// The ways.
const (
	Clear Security = iota
	StartTLS
	TLS
)

// Server is an SMTP server on loopback. Its methods may be called from any goroutine.
type Server struct {
	Address string         // HOST:PORT
	Port    int            // of it
	Roots   *x509.CertPool // that its certificate is trusted by

	t        testing.TB
	secure   Security
	config   *tls.Config
	mu       sync.Mutex
	smtp     *smtp.Server // guarded by mu; nil while it is down
	messages []string     // guarded by mu, as they came
	to       []string     // guarded by mu: the recipient of each
	refusal  error        // guarded by mu: of every recipient
	tries    int          // guarded by mu: connections that named a recipient
}

// Message is a message as a person reads it.
type Message struct {
	To      string // as the server was told, not as the header says
	Header  netmail.Header
	Subject string
	Text    string
}

// Start runs a server until the test ends.
func Start(t testing.TB, secure Security) *Server {
	t.Helper()
	certificate, roots := certificate(t)
	s := &Server{t: t, secure: secure, Roots: roots, Address: "127.0.0.1:0", config: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// Up brings a server that is down back, at the same address.
func (s *Server) Up() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.Address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Address, s.Port = l.Addr().String(), l.Addr().(*net.TCPAddr).Port
	server := smtp.NewServer(s)
	server.Domain = "localhost"
	switch s.secure {
	case StartTLS:
		server.TLSConfig = s.config
	case TLS:
		l = tls.NewListener(l, s.config)
	}
	s.mu.Lock()
	s.smtp = server
	s.mu.Unlock()
	go func() { _ = server.Serve(l) }()
}

// Down stops the server, if it is up.
func (s *Server) Down() {
	s.mu.Lock()
	server := s.smtp
	s.smtp = nil
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

// Refuse answers every recipient with err from now on; nil takes them.
func (s *Server) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
}

// Tries counts the recipients that were named, refused ones included.
func (s *Server) Tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// Messages returns what has come, in its order.
func (s *Server) Messages() (messages []Message) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, raw := range s.messages {
		m, err := netmail.ReadMessage(strings.NewReader(raw))
		if err != nil {
			s.t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			s.t.Fatal(err)
		}
		messages = append(messages, Message{To: s.to[i], Header: m.Header, Subject: subject, Text: strings.ReplaceAll(string(text), "\r\n", "\n")})
	}
	return messages
}

// Wait returns the messages once there are n of them.
func (s *Server) Wait(n int) []Message {
	s.t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		if messages := s.Messages(); len(messages) >= n {
			return messages
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%d messages have come within 20 s, want %d", len(s.Messages()), n)
		}
	}
}

// NewSession implements smtp.Backend.
func (s *Server) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &session{s: s, authed: s.secure == Clear}, nil
}

// session is one connection.
type session struct {
	s      *Server
	authed bool
	to     string
}

func (c *session) AuthMechanisms() []string {
	if c.s.secure == Clear {
		return nil
	}
	return []string{sasl.Plain}
}

func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != User || password != Password {
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

func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.tries++
	c.to = to
	return c.s.refusal
}

func (c *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.messages, c.s.to = append(c.s.messages, string(b)), append(c.s.to, c.to)
	return nil
}

func (c *session) Reset()        {}
func (c *session) Logout() error { return nil }

// certificate makes one for localhost, and the pool that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
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
