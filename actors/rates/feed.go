package rates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// ErrStale: there is no rate that is young enough, so nothing can be quoted.
var ErrStale = errors.New("the rate is too old")

const (
	maxFeed = 64 << 10        // bytes
	ahead   = 2 * time.Minute // that the feed's clock may be
)

// Rate is the AITBC for one whole BTC, and when it was made.
type Rate struct {
	AITBC account.Money
	At    time.Time
}

// Config is what a Feed needs. Every field without a default is required.
type Config struct {
	// Source is a file's path, or the address of a file, http:// or https://. It holds
	// {"aitbc_per_btc": 100000, "at": "2026-01-02T15:04:05Z"}; other members are ignored.
	Source string
	// MaxAge is how old a rate may be to be quoted, counted from its at.
	MaxAge time.Duration
	// Lowest and Highest bound a rate: what is outside of them is taken for a mistake,
	// and the rate before stays until it is too old. Lowest is positive.
	Lowest, Highest account.Money
	Every           time.Duration // between two reads. Default 10 s
	Timeout         time.Duration // of a read. Default 5 s
	Logger          *slog.Logger  // default: discard
	Now             func() time.Time
}

// Feed reads the rate again and again. Run is its goroutine.
type Feed struct {
	cfg    Config
	client http.Client
	rate   atomic.Pointer[Rate]
}

// NewFeed prepares a Feed.
func NewFeed(cfg Config) *Feed {
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Feed{cfg: cfg, client: http.Client{Timeout: cfg.Timeout}}
}

// Rate returns the rate of this moment, from any goroutine, or ErrStale.
func (f *Feed) Rate() (Rate, error) {
	rate := f.rate.Load()
	if rate == nil {
		return Rate{}, fmt.Errorf("%w: %s has given none yet", ErrStale, f.cfg.Source)
	}
	if age := f.cfg.Now().Sub(rate.At); age > f.cfg.MaxAge {
		return Rate{}, fmt.Errorf("%w: %s is of %s ago, at most %s is allowed", ErrStale, f.cfg.Source, age.Round(time.Second), f.cfg.MaxAge)
	}
	return *rate, nil
}

// Run reads the feed until ctx is done.
func (f *Feed) Run(ctx context.Context) {
	wasWrong := false
	for {
		err := f.Read(ctx)
		if err != nil && !wasWrong && ctx.Err() == nil {
			f.cfg.Logger.Warn("the rate feed cannot be used", slog.Any("error", err))
		}
		wasWrong = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.cfg.Every):
		}
	}
}

// Read reads the feed once. An error keeps the rate from before.
func (f *Feed) Read(ctx context.Context) error {
	content, err := f.content(ctx)
	if err != nil {
		return fmt.Errorf("rate feed: %w", err)
	}
	rate, err := f.parse(content)
	if err != nil {
		return fmt.Errorf("rate feed %s: %w", f.cfg.Source, err)
	}
	// A feed that goes back in time is an old copy.
	if before := f.rate.Load(); before == nil || rate.At.After(before.At) {
		f.rate.Store(&rate)
	}
	return nil
}

func (f *Feed) content(ctx context.Context) ([]byte, error) {
	if !strings.HasPrefix(f.cfg.Source, "http://") && !strings.HasPrefix(f.cfg.Source, "https://") {
		file, err := os.Open(f.cfg.Source)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return limited(file)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.cfg.Source, nil)
	if err != nil {
		return nil, err
	}
	response, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", f.cfg.Source, response.StatusCode)
	}
	return limited(response.Body)
}

func limited(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxFeed+1))
	if err == nil && len(content) > maxFeed {
		err = fmt.Errorf("more than %d bytes", maxFeed)
	}
	return content, err
}

func (f *Feed) parse(content []byte) (Rate, error) {
	var members struct {
		Rate json.Number `json:"aitbc_per_btc"` // exact: never a float
		At   time.Time   `json:"at"`
	}
	if err := json.Unmarshal(content, &members); err != nil {
		return Rate{}, err
	}
	aitbc, err := account.ParseMoney(members.Rate.String())
	switch {
	case err != nil:
		return Rate{}, fmt.Errorf("aitbc_per_btc %q: %w", members.Rate, err)
	case aitbc < f.cfg.Lowest || aitbc > f.cfg.Highest:
		return Rate{}, fmt.Errorf("aitbc_per_btc %s is not between %s and %s", aitbc, f.cfg.Lowest, f.cfg.Highest)
	case members.At.IsZero():
		return Rate{}, errors.New("at is missing")
	case members.At.Sub(f.cfg.Now()) > ahead:
		return Rate{}, fmt.Errorf("at %s is in the future", members.At.Format(time.RFC3339))
	}
	return Rate{AITBC: aitbc, At: members.At}, nil
}
