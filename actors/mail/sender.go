package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// ErrRejected means that the server refused a message for good: trying again would
// have the same answer.
var ErrRejected = errors.New("the mail server rejects the message")

// Security is how the connection to the server is protected.
type Security string

// The ways.
const (
	StartTLS Security = "starttls" // port 587: TLS or nothing, never in the clear
	TLS      Security = "tls"      // port 465
	Clear    Security = "none"     // to this machine only
)

// SenderConfig is what a Sender needs. Fields without a default are required.
type SenderConfig struct {
	Host     string
	Port     int
	Security Security // default StartTLS
	Username string   // "" where the server asks for none
	Password string
	From     string        // our address
	Exchange string        // our name
	Site     string        // where users reach us
	TLS      *tls.Config   // default: the system's authorities, TLS 1.2 or later
	Timeout  time.Duration // of a message, from the connection on; default 30 s
	Now      func() time.Time
}

// Sender sends messages, each on a connection of its own: they are few. Its methods may
// be called from any goroutine.
type Sender struct {
	cfg    SenderConfig
	client *gomail.Client
}

// NewSender returns a Sender. It does not connect.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if cfg.Security == "" {
		cfg.Security = StartTLS
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if err := CheckAddress(cfg.From); err != nil {
		return nil, fmt.Errorf("mail: sender: %w", err)
	}
	secure := cfg.TLS
	if secure == nil {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	secure = secure.Clone()
	secure.ServerName = cfg.Host
	options := []gomail.Option{gomail.WithPort(cfg.Port), gomail.WithTimeout(cfg.Timeout), gomail.WithTLSConfig(secure)}
	switch cfg.Security {
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLS:
		options = append(options, gomail.WithSSL())
	case Clear:
		if ip := net.ParseIP(cfg.Host); cfg.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("mail: %s is another machine: a connection to it must have TLS", cfg.Host)
		}
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		return nil, fmt.Errorf("mail: security %q: want %s, %s or %s", cfg.Security, StartTLS, TLS, Clear)
	}
	if cfg.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(cfg.Username), gomail.WithPassword(cfg.Password))
	}
	client, err := gomail.NewClient(cfg.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return &Sender{cfg: cfg, client: client}, nil
}

// Send sends one message. What can never succeed is an ErrRejected or ErrMessage; any
// other error may go away.
func (s *Sender) Send(ctx context.Context, m *Message) error {
	subject, text, err := m.Render(s.cfg.Exchange, s.cfg.Site)
	if err != nil {
		return err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.FromFormat(s.cfg.Exchange, s.cfg.From), msg.To(m.To)); err != nil {
		return fmt.Errorf("%w: %v", ErrMessage, err)
	}
	msg.Subject(subject)
	msg.SetMessageIDWithValue(m.ID + "@" + s.cfg.From[lastAt(s.cfg.From)+1:])
	msg.SetDateWithValue(s.cfg.Now())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no holiday replies
	msg.SetBodyString(gomail.TypeTextPlain, text)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err = s.client.DialAndSendWithContext(ctx, msg)
	var send *gomail.SendError
	if errors.As(err, &send) && !send.IsTemp() && send.ErrorCode() >= 500 {
		return fmt.Errorf("%w: %v", ErrRejected, err)
	}
	if err != nil {
		return fmt.Errorf("mail to %s:%d: %w", s.cfg.Host, s.cfg.Port, err)
	}
	return nil
}

func lastAt(address string) int {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == '@' {
			return i
		}
	}
	return -1
}
