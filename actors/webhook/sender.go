package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of an answer.
const (
	maxResponse       = 64 << 10 // bytes that are read, so that its connection is used again
	maxResponseHeader = 64 << 10
)

// Delivery is one event for the receiver.
type Delivery struct {
	ID    string
	Event string // such as payment.credited
	Body  string // JSON
}

// Config is what a Sender needs. Fields without a default are required.
type Config struct {
	URL string
	// Secrets sign each delivery, each with a signature of its own: while they are
	// rotated a receiver may know the old one or the new one.
	Secrets [][]byte
	// Timeout is how long the receiver may take. Default 10 s.
	Timeout time.Duration
}

// Sender posts deliveries to one receiver. Its methods may be called from any
// goroutine.
type Sender struct {
	cfg    Config
	client http.Client
}

// NewSender returns a Sender. It does not connect.
func NewSender(cfg Config) (*Sender, error) {
	if err := checkURL(cfg.URL); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if len(cfg.Secrets) == 0 {
		return nil, errors.New("webhook: there is no secret to sign with")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxResponseHeader
	return &Sender{cfg: cfg, client: http.Client{
		Transport: transport,
		Timeout:   cfg.Timeout,
		// What is signed for one address is not for another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// checkURL refuses what users' affairs must not be sent to.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return errors.New("want an address such as https://hooks.example/exchange")
	case u.User != nil || u.Fragment != "":
		return errors.New("want an address without a user and without a fragment: the signature says who calls")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return fmt.Errorf("%s is another machine: want https://", u.Hostname())
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Send posts a delivery once. Only a status of 2xx is an acknowledgement; everything
// else, a redirect too, is an error, which may go away.
func (s *Sender) Send(ctx context.Context, d Delivery) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, strings.NewReader(d.Body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "exchange-webhook/1")
	request.Header.Set(HeaderDelivery, d.ID)
	request.Header.Set(HeaderEvent, d.Event)
	request.Header.Set(HeaderSignature, Sign(s.cfg.Secrets, d.Body, time.Now()))
	response, err := s.client.Do(request)
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err // without the address, which may be a secret
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxResponse))
	if response.StatusCode/100 != 2 {
		return errors.New(response.Status)
	}
	return nil
}

// Close gives idle connections back.
func (s *Sender) Close() { s.client.CloseIdleConnections() }
