package rates

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

var start = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// fixture is a feed from a file, and its clock.
type fixture struct {
	t    *testing.T
	path string
	now  time.Time
	feed *Feed
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, path: filepath.Join(t.TempDir(), "rate.json"), now: start}
	f.feed = NewFeed(f.config(f.path))
	return f
}

func (f *fixture) config(source string) Config {
	return Config{
		Source: source, MaxAge: time.Minute, Lowest: account.Unit, Highest: 1_000_000 * account.Unit,
		Now: func() time.Time { return f.now },
	}
}

func (f *fixture) write(content string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func content(rate string, at time.Time) string {
	return fmt.Sprintf(`{"aitbc_per_btc":%s,"at":%q,"source":"desk"}`, rate, at.Format(time.RFC3339))
}

func (f *fixture) wantRate(want account.Money) {
	f.t.Helper()
	if got, err := f.feed.Rate(); err != nil || got.AITBC != want {
		f.t.Errorf("rate %v, %v, want %s", got, err, want)
	}
}

func TestFeedGivesTheRateUntilItIsTooOld(t *testing.T) {
	f := newFixture(t)
	if _, err := f.feed.Rate(); !errors.Is(err, ErrStale) {
		t.Errorf("before the first read: %v, want ErrStale", err)
	}
	f.write(content("100000.12345678", start))
	if err := f.feed.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.now = start.Add(time.Minute)
	f.wantRate(100_000*account.Unit + 12_345_678)
	f.now = start.Add(time.Minute + 1)
	if _, err := f.feed.Rate(); !errors.Is(err, ErrStale) {
		t.Errorf("after a minute: %v, want ErrStale", err)
	}
}

func TestFeedKeepsTheRateBeforeAWrongOne(t *testing.T) {
	f := newFixture(t)
	f.write(content("100000", start))
	if err := f.feed.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ given, want string }{
		{"", "EOF|unexpected end"},
		{"{}", "aitbc_per_btc"},
		{`{"aitbc_per_btc":200000}`, "at is missing"},
		{content("0.5", start), "not between"},
		{content("-1", start), "not between"},
		{content("2e6", start), "not between"},
		{content("200000.123456789", start), "8 decimal places"},
		{content("200000", start.Add(ahead+time.Second)), "in the future"},
		{strings.Repeat(" ", maxFeed) + content("200000", start), "more than"},
	} {
		f.write(c.given)
		err := f.feed.Read(t.Context())
		if err == nil || !containsOne(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want an error with %q", c.given, err, c.want)
		}
		f.wantRate(100_000 * account.Unit)
	}
	f.write(content("200000", start.Add(-time.Second)))
	if err := f.feed.Read(t.Context()); err != nil {
		t.Errorf("an older copy: %v", err)
	}
	f.wantRate(100_000 * account.Unit)
	f.write(content("200000", start.Add(time.Second)))
	if err := f.feed.Read(t.Context()); err != nil {
		t.Error(err)
	}
	f.wantRate(200_000 * account.Unit)
}

func containsOne(s, words string) bool {
	for word := range strings.SplitSeq(words, "|") {
		if strings.Contains(s, word) {
			return true
		}
	}
	return false
}

func TestFeedReadsAnAddress(t *testing.T) {
	f := newFixture(t)
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, content("300000", start))
	}))
	defer server.Close()
	f.feed = NewFeed(f.config(server.URL))
	status = http.StatusBadGateway
	if err := f.feed.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("got %v, want an error with the status", err)
	}
	status = http.StatusOK
	if err := f.feed.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wantRate(300_000 * account.Unit)
}
