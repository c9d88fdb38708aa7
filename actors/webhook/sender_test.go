package webhook

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var secrets = [][]byte{[]byte("the new one of the tests"), []byte("the old one of the tests")}

var delivery = Delivery{ID: "0e519a01-n7", Event: "payment.credited", Body: `{"n":7}`}

func newSender(t *testing.T, url string) *Sender {
	t.Helper()
	s, err := NewSender(Config{URL: url, Secrets: secrets, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestADeliveryArrivesSignedWithEverySecret(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != delivery.Body || r.Method != http.MethodPost {
			t.Errorf("%s with the body %q, %v", r.Method, body, err)
		}
		for _, secret := range secrets {
			if err := Verify(secret, string(body), r.Header.Get(HeaderSignature), time.Now(), time.Minute); err != nil {
				t.Errorf("signature %s: %v", r.Header.Get(HeaderSignature), err)
			}
		}
		for name, want := range map[string]string{HeaderDelivery: delivery.ID, HeaderEvent: delivery.Event, "Content-Type": "application/json"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}))
	defer server.Close()
	if err := newSender(t, server.URL).Send(t.Context(), delivery); err != nil {
		t.Error(err)
	}
}

func TestOnlySuccessIsAnAnswer(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect is followed: %s", r.Header.Get(HeaderSignature))
	}))
	defer elsewhere.Close()
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500 Internal Server Error"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "307 Temporary Redirect"},
		{"no answer in time", func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, "Client.Timeout"},
		{"a header without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Filler", strings.Repeat("x", 2*maxResponseHeader))
		}, "exceeded"},
		{"no HTTP", func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				io.WriteString(c, "hello\r\n\r\n")
				c.Close()
			}
		}, "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			if err := newSender(t, server.URL).Send(t.Context(), delivery); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestOfAHugeAnswerLittleIsRead(t *testing.T) {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 64<<10)
		for {
			n, err := w.Write(block)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	if err := newSender(t, server.URL).Send(t.Context(), delivery); err != nil {
		t.Error(err)
	}
	server.CloseClientConnections()
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestWhereNothingMayBeSentIsRefused(t *testing.T) {
	for _, url := range []string{"", "hooks.example", "ftp://hooks.example/", "http://hooks.example/", "http://192.0.2.1/", "http://127.0.0.1.hooks.example/",
		"https://user:secret@hooks.example/", "https://hooks.example/#part", "https://", ":", "http://"} {
		if _, err := NewSender(Config{URL: url, Secrets: secrets}); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{"https://hooks.example/a?b=c", "http://localhost:81/", "http://127.0.0.1/", "http://[::1]:81/x"} {
		if _, err := NewSender(Config{URL: url, Secrets: secrets}); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := NewSender(Config{URL: "https://hooks.example"}); err == nil {
		t.Error("a sender without a secret")
	}
}
