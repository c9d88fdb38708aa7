package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

var secret = []byte("of the tests")

// outbox is one in memory.
type outbox struct {
	mu         sync.Mutex
	deliveries []Delivery // guarded by mu, as the next four
	attempts   []Attempt
	replayed   map[uint64]int // attempts before the replay, by delivery
	failure    error
	changed    chan struct{} // capacity 1
}

func newOutbox(n int) *outbox {
	o := &outbox{changed: make(chan struct{}, 1)}
	for i := range n {
		o.add(i, time.Now())
	}
	return o
}

func (o *outbox) add(i int, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deliveries = append(o.deliveries, Delivery{ID: uint64(i + 1), Event: "payment.credited", Body: fmt.Appendf(nil, `{"n":%d}`, i+1), At: at})
}

func (o *outbox) Pending(limit int) (pending []Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.deliveries {
		if len(pending) < limit && !o.done(d.ID) {
			pending = append(pending, d)
		}
	}
	return pending
}

// done is called with mu held.
func (o *outbox) done(id uint64) bool {
	for _, a := range o.attempts[o.replayed[id]:] {
		if a.Delivery == id && (a.Delivered || a.GivenUp) {
			return true
		}
	}
	return false
}

// replay makes a delivery pending again.
func (o *outbox) replay(id uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.replayed = map[uint64]int{id: len(o.attempts)}
	o.deliveries[id-1].At = time.Now()
}

func (o *outbox) Record(a Attempt) error {
	o.mu.Lock()
	o.attempts = append(o.attempts, a)
	failure := o.failure
	o.mu.Unlock()
	if failure != nil {
		return failure
	}
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return nil
}

// until waits until enough is true of the attempts.
func (o *outbox) until(t *testing.T, what string, enough func([]Attempt) bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		o.mu.Lock()
		ok := enough(o.attempts)
		o.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-o.changed:
		case <-deadline:
			o.mu.Lock()
			defer o.mu.Unlock()
			t.Fatalf("not %s within 20 s: %+v", what, o.attempts)
		}
	}
}

func delivered(attempts []Attempt) (n int) {
	for _, a := range attempts {
		if a.Delivered {
			n++
		}
	}
	return n
}

// run runs a sender until the test ends.
func run(t *testing.T, cfg Config) *Sender {
	t.Helper()
	cfg.Secret = secret
	s := NewSender(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
	return s
}

// receiver counts what is signed well, by delivery.
type receiver struct {
	mu  sync.Mutex
	got map[string]int // guarded by mu
}

func (r *receiver) take(t *testing.T, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		t.Error(err)
	}
	if err := Verify(secret, body, request.Header.Get(HeaderSignature), time.Now(), time.Minute); err != nil {
		t.Error(err)
	}
	if want := fmt.Sprintf(`{"n":%s}`, request.Header.Get(HeaderDelivery)); string(body) != want {
		t.Errorf("body %s, want %s", body, want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got[request.Header.Get(HeaderDelivery)]++
}

func TestSenderDeliversAllOnce(t *testing.T) {
	r := receiver{got: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { r.take(t, request) }))
	defer server.Close()
	o := newOutbox(50)
	s := run(t, Config{URL: server.URL, Outbox: o, Window: 7})
	o.until(t, "all delivered", func(a []Attempt) bool { return delivered(a) == 50 })
	o.add(50, time.Now())
	s.Wake()
	o.until(t, "the one that came later delivered", func(a []Attempt) bool { return delivered(a) == 51 })
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, n := range r.got {
		if n != 1 {
			t.Errorf("delivery %s arrived %d times", id, n)
		}
	}
	if len(r.got) != 51 {
		t.Errorf("%d deliveries arrived, want 51", len(r.got))
	}
}

func TestSenderTriesAgainUntilTheReceiverIsThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	o := newOutbox(3)
	run(t, Config{URL: "http://" + address, Outbox: o})
	o.until(t, "each tried", func(a []Attempt) bool { return len(a) >= 3 })

	l, err = net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := receiver{got: map[string]int{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { r.take(t, request) }))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	o.until(t, "all delivered", func(a []Attempt) bool { return delivered(a) == 3 })
}

func TestSenderTakesOnlySuccessForAnAnswer(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500 Internal Server Error"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "307 Temporary Redirect"},
		{"no answer in time", func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, "Client.Timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			o := newOutbox(0)
			o.add(0, time.Now().Add(-time.Hour))
			run(t, Config{URL: server.URL, Outbox: o, Timeout: 100 * time.Millisecond, GiveUp: time.Minute})
			o.until(t, "given up", func(a []Attempt) bool { return len(a) == 1 })
			a := o.attempts[0]
			if a.Delivered || !a.GivenUp || !strings.Contains(a.Error, c.want) {
				t.Errorf("%+v, want one that is given up for %q", a, c.want)
			}
		})
	}
}

func TestSenderLetsOneBadDeliveryHoldUpNoOther(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(HeaderDelivery) == "1" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer server.Close()
	o := newOutbox(20)
	run(t, Config{URL: server.URL, Outbox: o, Window: 2, Parallel: 1})
	o.until(t, "all others delivered", func(a []Attempt) bool { return delivered(a) == 19 })
}

func TestSenderDeliversAReplayAgain(t *testing.T) {
	r := receiver{got: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { r.take(t, request) }))
	defer server.Close()
	o := newOutbox(5)
	s := run(t, Config{URL: server.URL, Outbox: o})
	o.until(t, "all delivered", func(a []Attempt) bool { return delivered(a) == 5 })
	o.replay(2)
	s.Wake()
	o.until(t, "one delivered again", func(a []Attempt) bool { return delivered(a) == 6 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.got["2"] != 2 {
		t.Errorf("arrived %v, want delivery 2 twice", r.got)
	}
}

func TestSenderEndsWithItsOutbox(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	o := newOutbox(1)
	o.failure = errors.New("the disk is full")
	s := NewSender(Config{URL: server.URL, Secret: secret, Outbox: o})
	if err := s.Run(t.Context()); !errors.Is(err, o.failure) {
		t.Errorf("got %v, want %v", err, o.failure)
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for number := 1; number < 100; number++ {
		want := maxBackoff
		if number <= 10 {
			want = min(maxBackoff, time.Second<<(number-1))
		}
		if got := backoff(number); got < want/2 || got > want {
			t.Errorf("after attempt %d: %s, want %s to %s", number, got, want/2, want)
		}
	}
}

func TestVerify(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	body := []byte(`{"n":1}`)
	good := Sign(secret, body, at)
	// As openssl dgst -sha256 -hmac "of the tests" has it of 1700000000.{"n":1}
	if want := "t=1700000000,v1=b4d3c88eb991e85c80419d1a4c5f8c159cab84bb0f9a29dc0d7099fd69abad6d"; good != want {
		t.Errorf("signature %s, want %s", good, want)
	}
	for _, c := range []struct {
		name   string
		secret string
		body   string
		header string
		now    time.Time
		want   error
	}{
		{"good", string(secret), string(body), good, at.Add(time.Minute), nil},
		{"of another body", string(secret), `{"n":2}`, good, at, ErrSignature},
		{"of another secret", "other", string(body), good, at, ErrSignature},
		{"with another time", string(secret), string(body), strings.Replace(good, "t=17", "t=18", 1), at, ErrSignature},
		{"recorded", string(secret), string(body), good, at.Add(time.Hour), ErrTooOld},
		{"of the future", string(secret), string(body), good, at.Add(-time.Hour), ErrTooOld},
		{"none", string(secret), string(body), "", at, ErrSignature},
		{"cut", string(secret), string(body), good[:40], at, ErrSignature},
	} {
		if err := Verify([]byte(c.secret), []byte(c.body), c.header, c.now, 5*time.Minute); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}
