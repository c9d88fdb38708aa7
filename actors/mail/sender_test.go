package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/aitbc/exchange/actors/mail/mailtest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// servers are the ways to reach a server, as the server has them.
var servers = map[Security]mailtest.Security{StartTLS: mailtest.StartTLS, TLS: mailtest.TLS, Clear: mailtest.Clear}

func newSender(t *testing.T, s *mailtest.Server, secure Security, change ...func(*SenderConfig)) *Sender {
	t.Helper()
	cfg := SenderConfig{Host: "127.0.0.1", Port: s.Port, Security: secure, Username: mailtest.User, Password: mailtest.Password,
		From: "no-reply@exchange.example", Exchange: "AITBC Börse", Site: "https://exchange.example/?a=1&b=2", TLS: &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12},
		Timeout: 20 * time.Second, Now: func() time.Time { return noon }}
	if secure == Clear {
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
			s := mailtest.Start(t, servers[secure])
			if err := newSender(t, s, secure).Send(t.Context(), message(PayoutRequested)); err != nil {
				t.Fatal(err)
			}
			if len(s.Messages()) != 1 {
				t.Fatalf("%d messages", len(s.Messages()))
			}
			m := s.Messages()[0]
			if m.Subject != "AITBC Börse: withdrawal of 1.5 AITBC was asked for" || m.To != "anna@mail.example" {
				t.Errorf("%q to %s", m.Subject, m.To)
			}
			for _, want := range []string{"Hello Änne,", "25 November 2026, 12:00 UTC", "aitbc_1", "https://exchange.example/?a=1&b=2"} {
				if !strings.Contains(m.Text, want) {
					t.Errorf("the text lacks %q:\n%s", want, m.Text)
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
	s := mailtest.Start(t, mailtest.StartTLS)
	sender := newSender(t, s, StartTLS)
	for _, test := range []struct {
		refusal  error
		rejected bool
	}{
		{&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}, true},
		{&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "try again later"}, false},
	} {
		s.Refuse(test.refusal)
		if err := sender.Send(t.Context(), message(NewLogin)); err == nil || errors.Is(err, ErrRejected) != test.rejected {
			t.Errorf("%v: %v", test.refusal, err)
		}
	}
	s.Down()
	if err := sender.Send(t.Context(), message(NewLogin)); err == nil || errors.Is(err, ErrRejected) {
		t.Errorf("no server: %v", err)
	}
}

func TestNothingIsSentOverAConnectionThatCantBeTrusted(t *testing.T) {
	clear, secure := mailtest.Start(t, mailtest.Clear), mailtest.Start(t, mailtest.StartTLS)
	for name, sender := range map[string]*Sender{
		"a server without STARTTLS": newSender(t, clear, StartTLS),
		"an unknown authority":      newSender(t, secure, StartTLS, func(c *SenderConfig) { c.TLS = nil }),
		"a wrong password":          newSender(t, secure, StartTLS, func(c *SenderConfig) { c.Password = "wrong" }),
	} {
		if err := sender.Send(t.Context(), message(NewLogin)); err == nil || errors.Is(err, ErrRejected) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(clear.Messages()) + len(secure.Messages()); n != 0 {
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
	s := &mailtest.Server{Port: l.Addr().(*net.TCPAddr).Port}
	sender := newSender(t, s, Clear, func(c *SenderConfig) { c.Timeout = 50 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sender.Send(ctx, message(NewLogin)); err == nil || ctx.Err() != nil {
		t.Errorf("%v", err)
	}
}
