package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits of a Sender.
const (
	minBackoff  = time.Second
	maxBackoff  = 10 * time.Minute
	maxResponse = 64 << 10 // bytes of an answer that are read, so that its connection is used again
)

// Delivery is one event for the receiver.
type Delivery struct {
	ID    uint64
	Event string // such as payment.credited
	Body  []byte // JSON
	// Attempts and At say how often it was tried, and when it was added.
	Attempts int
	At       time.Time
}

// Attempt is one line of the delivery log.
type Attempt struct {
	Delivery uint64
	Number   int // from 1
	At       time.Time
	Took     time.Duration
	Status   int    // of the answer, 0 without one
	Error    string // why it failed; "" where it was delivered
	// Delivered: the receiver has it. GivenUp: it is older than Config.GiveUp, and stays
	// in the outbox for the operator to replay.
	Delivered, GivenUp bool
}

// Outbox is the durable list of what is to be delivered.
type Outbox interface {
	// Pending returns the first deliveries, by id and at most limit, that are neither
	// delivered nor given up. One that is replayed is pending again, with a new At.
	Pending(limit int) []Delivery
	// Record makes an attempt durable. It is called from one goroutine.
	Record(Attempt) error
}

// Config is what a Sender needs. Every field without a default is required.
type Config struct {
	URL    string
	Secret []byte
	Outbox Outbox
	// Timeout is how long the receiver may take. Default 10 s.
	Timeout time.Duration
	// GiveUp is the age after which a delivery that fails is given up. Default 72 h.
	GiveUp time.Duration
	// Window is how many deliveries are open at once, tried or waiting; one that the
	// receiver never takes holds up no more than its place. Default 100.
	Window int
	// Parallel is how many attempts are under way at once. Default 4.
	Parallel int
	Logger   *slog.Logger // default: discard
}

// Sender delivers what is in its Outbox. Run is its goroutine.
type Sender struct {
	cfg    Config
	client http.Client
	wake   chan struct{} // capacity 1: the outbox has more
}

// NewSender prepares a Sender.
func NewSender(cfg Config) *Sender {
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.GiveUp == 0 {
		cfg.GiveUp = 72 * time.Hour
	}
	if cfg.Window == 0 {
		cfg.Window = 100
	}
	if cfg.Parallel == 0 {
		cfg.Parallel = 4
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sender{cfg: cfg, wake: make(chan struct{}, 1), client: http.Client{
		Timeout: cfg.Timeout,
		// What is signed for one address is not for another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Wake says that more is pending in the outbox, from any goroutine; it does not block.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// open is a delivery in the window.
type open struct {
	Delivery
	due     time.Time
	running bool
}

// Run delivers until ctx is done (nil) or the outbox fails.
func (s *Sender) Run(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	window := map[uint64]*open{}
	results := make(chan Attempt, s.cfg.Parallel)
	running, wrong := 0, false
	for {
		if len(window) < s.cfg.Window {
			for _, d := range s.cfg.Outbox.Pending(s.cfg.Window) {
				if window[d.ID] == nil && len(window) < s.cfg.Window {
					window[d.ID] = &open{Delivery: d, due: time.Now()}
				}
			}
		}
		wait := time.Hour
		for _, o := range window {
			if o.running {
				continue
			}
			until := time.Until(o.due)
			if until <= 0 && running < s.cfg.Parallel {
				o.running = true
				running++
				d := o.Delivery
				attempts.Go(func() { results <- s.attempt(ctx, d) })
			} else if until > 0 {
				wait = min(wait, until)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.wake:
		case <-timer.C:
		case a := <-results:
			running--
			if ctx.Err() != nil {
				return nil // not the receiver's fault, and not counted
			}
			o := window[a.Delivery]
			o.running, o.Attempts = false, a.Number
			a.GivenUp = !a.Delivered && a.At.Sub(o.At) > s.cfg.GiveUp
			if err := s.cfg.Outbox.Record(a); err != nil {
				return fmt.Errorf("webhook delivery %d: %w", a.Delivery, err)
			}
			if a.Delivered || a.GivenUp {
				delete(window, a.Delivery)
			} else {
				o.due = time.Now().Add(backoff(a.Number))
			}
			if !a.Delivered && (!wrong || a.GivenUp) {
				s.cfg.Logger.Warn("webhook delivery failed", slog.Uint64("delivery", a.Delivery),
					slog.Int("attempt", a.Number), slog.Bool("given_up", a.GivenUp), slog.String("error", a.Error))
			}
			wrong = !a.Delivered
		}
		timer.Stop()
	}
}

// backoff is the time after an attempt, doubled each time, and between half and all
// of that.
func backoff(number int) time.Duration {
	d := maxBackoff
	if number < 20 {
		d = min(maxBackoff, minBackoff<<(number-1))
	}
	return d/2 + rand.N(d/2) // #nosec G404 -- it spreads retries, and keeps nothing secret
}

// attempt posts a delivery once. Only a status of 2xx is an acknowledgement.
func (s *Sender) attempt(ctx context.Context, d Delivery) (a Attempt) {
	a = Attempt{Delivery: d.ID, Number: d.Attempts + 1, At: time.Now()}
	defer func() { a.Took = time.Since(a.At) }()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(d.Body))
	if err != nil {
		a.Error = err.Error()
		return a
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(HeaderDelivery, strconv.FormatUint(d.ID, 10))
	request.Header.Set(HeaderEvent, d.Event)
	request.Header.Set(HeaderSignature, Sign(s.cfg.Secret, d.Body, a.At))
	response, err := s.client.Do(request)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxResponse))
	a.Status = response.StatusCode
	if a.Delivered = a.Status/100 == 2; !a.Delivered {
		a.Error = response.Status
	}
	return a
}
