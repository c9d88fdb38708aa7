package throttle

import (
	"net/netip"
	"strings"
	"testing"
)

func mustProxies(t testing.TB, field Field, list string) Proxies {
	t.Helper()
	p, err := ParseProxies(field, list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheClientIsTheFirstWhoIsNotTrusted(t *testing.T) {
	const trusted = "10.0.0.0/8, 192.0.2.1, fd00::/8"
	for _, test := range []struct {
		name   string
		field  Field
		remote string
		lines  []string
		want   string
	}{
		{"no header", XForwardedFor, "198.51.100.7", nil, "198.51.100.7"},
		{"forged by a stranger", XForwardedFor, "198.51.100.7", []string{"203.0.113.9"}, "198.51.100.7"},
		{"forged address of a proxy", XForwardedFor, "198.51.100.7", []string{"10.0.0.1"}, "198.51.100.7"},
		{"through a proxy", XForwardedFor, "10.0.0.1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"forged through a proxy", XForwardedFor, "10.0.0.1", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"forged as if through two", XForwardedFor, "10.0.0.1", []string{"203.0.113.9, 10.0.0.2, 198.51.100.7"}, "198.51.100.7"},
		{"through two proxies", XForwardedFor, "10.0.0.1", []string{"203.0.113.9, 198.51.100.7, 192.0.2.1"}, "198.51.100.7"},
		{"through two on two lines", XForwardedFor, "10.0.0.1", []string{"203.0.113.9,198.51.100.7", "192.0.2.1"}, "198.51.100.7"},
		{"a proxy itself", XForwardedFor, "10.0.0.1", []string{"10.0.0.2"}, "10.0.0.2"},
		{"a proxy that says nothing", XForwardedFor, "10.0.0.1", nil, "10.0.0.1"},
		{"with a port", XForwardedFor, "10.0.0.1", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"IPv6", XForwardedFor, "fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", XForwardedFor, "fd00::1", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"IPv4 in IPv6", XForwardedFor, "::ffff:10.0.0.1", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"garbage", XForwardedFor, "10.0.0.1", []string{"198.51.100.7, unknown"}, "10.0.0.1"},
		{"garbage further back", XForwardedFor, "10.0.0.1", []string{"unknown, 192.0.2.1"}, "192.0.2.1"},
		{"empty", XForwardedFor, "10.0.0.1", []string{""}, "10.0.0.1"},
		{"a zone", XForwardedFor, "10.0.0.1", []string{"fe80::1%eth0"}, "10.0.0.1"},
		{"a quote of the client's", XForwardedFor, "10.0.0.1", []string{`", 198.51.100.7`}, "198.51.100.7"},
		{"Forwarded", Forwarded, "10.0.0.1", []string{`for=203.0.113.9, For="[2001:db8::1]:80";proto=https;by=10.0.0.1`}, "2001:db8::1"},
		{"Forwarded with an open quote", Forwarded, "10.0.0.1", []string{`for="203.0.113.9, for=198.51.100.7`}, "198.51.100.7"},
		{"Forwarded with a quoted comma", Forwarded, "10.0.0.1", []string{`for=203.0.113.9, for=198.51.100.7;x="a, b"`}, "198.51.100.7"},
		{"Forwarded twice in one", Forwarded, "10.0.0.1", []string{"for=203.0.113.9;for=198.51.100.7"}, "10.0.0.1"},
		{"Forwarded for nobody", Forwarded, "10.0.0.1", []string{"for=_hidden"}, "10.0.0.1"},
		{"Forwarded without for", Forwarded, "10.0.0.1", []string{"proto=https"}, "10.0.0.1"},
	} {
		lines := make([][]byte, len(test.lines))
		for i, line := range test.lines {
			lines[i] = []byte(line)
		}
		got := mustProxies(t, test.field, trusted).Client(netip.MustParseAddr(test.remote), lines...)
		if got.String() != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestALongHeaderIsReadToItsLimit(t *testing.T) {
	p := mustProxies(t, XForwardedFor, "10.0.0.0/8")
	line := "198.51.100.7" + strings.Repeat(",10.0.0.2", 1000)
	if got := p.Client(netip.MustParseAddr("10.0.0.1"), []byte(line)); got.String() != "10.0.0.2" {
		t.Errorf("%s", got)
	}
}

func TestProxiesThatAreNoNetworksAreRefused(t *testing.T) {
	for _, list := range []string{"10.0.0.0/33", "proxy", "10.0.0.1:80", "fe80::1%eth0", "::ffff:10.0.0.0/104", "10.0.0.0/8;::1"} {
		if _, err := ParseProxies(XForwardedFor, list); err == nil {
			t.Errorf("%q is taken", list)
		}
	}
	if _, err := ParseProxies("X-Real-IP", ""); err == nil {
		t.Error("an unknown field is taken")
	}
}

func TestAnIPv6ClientCountsByItsNetwork(t *testing.T) {
	k := func(s string) Key { return AddressKey(netip.MustParseAddr(s)) }
	if k("2001:db8:0:1::1") != k("2001:db8:0:1:ffff::2") {
		t.Error("two addresses of a /64 are two clients")
	}
	if k("2001:db8:0:1::1") == k("2001:db8:0:2::1") {
		t.Error("two /64 are one client")
	}
	if k("192.0.2.1") != k("::ffff:192.0.2.1") || k("192.0.2.1") == k("192.0.2.2") {
		t.Error("IPv4 addresses are mixed up")
	}
	if k("fe80::1%eth0") != k("fe80::1") {
		t.Error("a zone makes another client")
	}
}

// FuzzClient: whatever a client writes, a proxy that appends the client's address is
// believed, and nothing else is.
func FuzzClient(f *testing.F) {
	f.Add("203.0.113.9", false)
	f.Add(`for="203.0.113.9`, true)
	f.Add(`for=1.2.3.4;x="`, true)
	f.Add("10.0.0.1,,\"", false)
	f.Fuzz(func(t *testing.T, forged string, forwarded bool) {
		field, appended := XForwardedFor, "198.51.100.7"
		if forwarded {
			field, appended = Forwarded, `for="198.51.100.7:80";by=10.0.0.1`
		}
		p, err := ParseProxies(field, "10.0.0.0/8")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Client(netip.MustParseAddr("10.0.0.1"), []byte(forged+", "+appended)); got.String() != "198.51.100.7" {
			t.Errorf("%q makes the client %s", forged, got)
		}
		if got := p.Client(netip.MustParseAddr("10.0.0.1"), []byte(forged), []byte(appended)); got.String() != "198.51.100.7" {
			t.Errorf("%q on a line of its own makes the client %s", forged, got)
		}
		if got := p.Client(netip.MustParseAddr("198.51.100.7"), []byte(forged)); got.String() != "198.51.100.7" {
			t.Errorf("%q from a stranger makes the client %s", forged, got)
		}
	})
}
