package walletproof

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
)

// recorded is a challenge, and what a wallet made of it.
type recorded struct {
	By        string `json:"by,omitempty"`
	Kind      string `json:"kind"`
	Wallet    string `json:"wallet"`
	Nonce     string `json:"nonce"`
	Message   string `json:"message,omitempty"`
	Signature string `json:"signature,omitempty"`
}

// challenges are those of a new verifier for each kind of wallet.
func challenges(t testing.TB, v *Verifier) []recorded {
	t.Helper()
	var all []recorded
	for _, w := range wallets(t, v.cfg.Bitcoin) {
		c, err := v.Challenge(w.address, origin)
		if err != nil {
			t.Fatalf("%s: %v", w.kind, err)
		}
		if want := noon.Add(5 * time.Minute); !c.ExpiresAt.Equal(want) {
			t.Errorf("%s: expires at %v, want %v", w.kind, c.ExpiresAt, want)
		}
		all = append(all, recorded{Kind: w.kind, Wallet: w.address, Nonce: c.Nonce, Message: c.Message})
	}
	return all
}

func TestChallengesAreAsRecorded(t *testing.T) {
	v, _ := newVerifier(t)
	got := challenges(t, v)
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/challenges.json", append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var want []recorded
	readJSON(t, "challenges.json", &want)
	if len(got) != len(want) {
		t.Fatalf("%d challenges, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("challenge %d is\n%+v\nwant\n%+v", i, got[i], want[i])
		}
	}
}

// The signatures were made by the libraries that users' wallets run.
func TestWhatWalletsSignIsAcceptedOnce(t *testing.T) {
	var proofs []recorded
	readJSON(t, "wallets.json", &proofs)
	kinds := map[string]bool{}
	for _, p := range proofs {
		t.Run(p.Kind+" by "+p.By, func(t *testing.T) {
			v, _ := newVerifier(t)
			proof := Proof{Wallet: p.Wallet, Origin: origin, Nonce: p.Nonce, Signature: p.Signature, Message: p.Message}
			if err := v.Verify(proof); err != nil {
				t.Fatalf("refused: %s", Reason(err))
			}
			mustRefuse(t, v, proof, "used")
		})
		kinds[p.Kind] = true
	}
	if len(kinds) != 6 {
		t.Errorf("signatures of %d kinds of wallet, want all 6", len(kinds))
	}
}

// mustRefuse checks that a proof fails as all do, and for the reason meant.
func mustRefuse(t *testing.T, v *Verifier, p Proof, reason string) {
	t.Helper()
	err := v.Verify(p)
	if !errors.Is(err, ErrRefused) {
		t.Fatalf("%v, want it refused because %s", err, reason)
	}
	if err.Error() != ErrRefused.Error() {
		t.Errorf("the client is told %q", err)
	}
	if !strings.Contains(Reason(err), reason) {
		t.Errorf("refused because %q, want %q", Reason(err), reason)
	}
}

// valid returns a proof by the wallet of that kind that v accepts.
func valid(t *testing.T, v *Verifier, kind string) Proof {
	t.Helper()
	for _, w := range wallets(t, v.cfg.Bitcoin) {
		if w.kind != kind {
			continue
		}
		c, err := v.Challenge(w.address, origin)
		if err != nil {
			t.Fatal(err)
		}
		p := Proof{Wallet: w.address, Origin: origin, Nonce: c.Nonce}
		switch kind {
		case "ethereum":
			p.Signature = signEthereum(c.Message)
		case "p2pkh":
			p.Signature = signLegacy(c.Message, true, 0)
		case "p2pkh uncompressed":
			p.Signature = signLegacy(c.Message, false, 0)
		default:
			p.Signature = signSimple(t, bitcoinAddress(t, w.address), c.Message, sigHash(kind))
		}
		return p
	}
	t.Fatalf("no wallet of kind %q", kind)
	return Proof{}
}

func sigHash(kind string) txscript.SigHashType {
	if kind == "p2tr" {
		return txscript.SigHashDefault
	}
	return txscript.SigHashAll
}

func TestAProofHoldsForItsWalletOriginAndTimeOnly(t *testing.T) {
	for _, w := range wallets(t, &chaincfg.MainNetParams) {
		t.Run(w.kind, func(t *testing.T) {
			for _, attack := range []struct {
				name   string
				change func(*Proof, *clock)
				reason string
			}{
				{"another wallet", func(p *Proof, _ *clock) { p.Wallet = "0x52908400098527886E0F7030069857D2E4169EE7" }, "nonce is not one of ours"},
				{"another origin", func(p *Proof, _ *clock) { p.Origin = "https://other.example:8443" }, "nonce is not one of ours"},
				{"an unknown origin", func(p *Proof, _ *clock) { p.Origin = "https://evil.example" }, "nonce is not one of ours"},
				{"expired", func(_ *Proof, c *clock) { c.now = noon.Add(5 * time.Minute) }, "expired"},
				{"forged nonce", func(p *Proof, _ *clock) { p.Nonce = strings.Repeat("0", nonceLength) }, "nonce is not one of ours"},
				{"postdated nonce", func(p *Proof, _ *clock) { p.Nonce = "v" + p.Nonce[1:] }, "nonce is not one of ours"},
				{"nonce in capitals", func(p *Proof, _ *clock) { p.Nonce = strings.ToUpper(p.Nonce) }, "base32"},
				{"nonce with a line end", func(p *Proof, _ *clock) { p.Nonce = p.Nonce[:47] + "\n" }, "base32"},
				{"no nonce", func(p *Proof, _ *clock) { p.Nonce = "" }, "nonce of 0"},
				{"no signature", func(p *Proof, _ *clock) { p.Signature = "" }, ""},
				{"truncated", func(p *Proof, _ *clock) { p.Signature = p.Signature[:len(p.Signature)-4] }, ""},
				{"longer", func(p *Proof, _ *clock) { p.Signature += "AAAA" }, ""},
				{"much longer", func(p *Proof, _ *clock) { p.Signature += strings.Repeat("A", 1<<20) }, "characters"},
				{"one bit changed", func(p *Proof, _ *clock) {
					b := []byte(p.Signature)
					b[40] ^= 1
					p.Signature = string(b)
				}, ""},
				{"not our text", func(p *Proof, _ *clock) { p.Message = "Hello" }, "does not begin"},
			} {
				t.Run(attack.name, func(t *testing.T) {
					v, c := newVerifier(t)
					p := valid(t, v, w.kind)
					bad := p
					attack.change(&bad, c)
					mustRefuse(t, v, bad, attack.reason)
					c.now = noon
					if attack.name == "expired" {
						mustRefuse(t, v, p, "expired") // a clock set back revives nothing
					} else if err := v.Verify(p); err != nil {
						t.Errorf("the attack spoilt the owner's proof: %s", Reason(err))
					}
				})
			}
		})
	}
}

func TestAClientsOwnTextMustSayWhatTheChallengeSays(t *testing.T) {
	var address string
	v, c := newVerifier(t)
	address = wallets(t, v.cfg.Bitcoin)[0].address
	for _, attack := range []struct {
		name   string
		change func(*Message)
		reason string
	}{
		{"", func(*Message) {}, ""},
		{"", func(m *Message) { m.Statement = ""; m.Scheme = "https"; m.URI += "/login?x#y" }, ""},
		{"", func(m *Message) { m.Expires = ""; m.IssuedAt = "2026-11-25T12:00:59.123+00:00" }, ""},
		{"", func(m *Message) { m.HasID, m.Resources, m.NotBefore = true, []string{}, "2026-11-25T13:00:00+01:00" }, ""},
		{"other domain", func(m *Message) { m.Domain = "evil.example" }, "domain"},
		{"domain that begins alike", func(m *Message) { m.Domain += ".evil.example" }, "domain"},
		{"other scheme", func(m *Message) { m.Scheme = "http" }, "scheme"},
		{"URI elsewhere", func(m *Message) { m.URI = "https://evil.example" }, "URI"},
		{"URI that begins alike", func(m *Message) { m.URI += ".evil.example" }, "URI"},
		{"URI with a user", func(m *Message) { m.URI += "@evil.example" }, "URI"},
		{"other chain id", func(m *Message) { m.ChainID = "5" }, "chain id"},
		{"chain id with a zero", func(m *Message) { m.ChainID = "01" }, "chain id"},
		{"other account kind", func(m *Message) { m.Chain = Bitcoin }, "account"},
		{"address without its capitals", func(m *Message) { m.Address = strings.ToLower(m.Address) }, "address"},
		{"other nonce", func(m *Message) { m.Nonce = "aaaaaaaa" }, "nonce"},
		{"expired", func(m *Message) { m.Expires = "2026-11-25T12:00:00Z" }, "expired"},
		{"expiry that is no time", func(m *Message) { m.Expires = "never" }, "expired"},
		{"not valid yet", func(m *Message) { m.NotBefore = "2026-11-25T12:00:01Z" }, "not valid before"},
		{"issued in the future", func(m *Message) { m.IssuedAt = "2026-11-25T12:01:01Z" }, "to come"},
		{"issued long ago", func(m *Message) { m.IssuedAt = "2026-11-25T11:54:00Z" }, "too long ago"},
		{"issued at no time", func(m *Message) { m.IssuedAt = "now" }, "RFC 3339"},
	} {
		c.now = noon
		ch, err := v.Challenge(address, origin)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseMessage(ch.Message)
		if err != nil {
			t.Fatal(err)
		}
		attack.change(m)
		p := Proof{Wallet: address, Origin: origin, Nonce: ch.Nonce, Message: m.String(), Signature: signEthereum(m.String())}
		if attack.name != "" {
			t.Run(attack.name, func(t *testing.T) { mustRefuse(t, v, p, attack.reason) })
		} else if err := v.Verify(p); err != nil {
			t.Errorf("refused because %s:\n%s", Reason(err), m)
		}
	}
}

func TestOnlyProvableWalletsOfTheNetworkGetAChallenge(t *testing.T) {
	networks := map[string]*chaincfg.Params{"mainnet": &chaincfg.MainNetParams, "testnet": &chaincfg.TestNet3Params, "regtest": &chaincfg.RegressionNetParams}
	for _, test := range []struct{ wallet, networks string }{
		{"0x52908400098527886E0F7030069857D2E4169EE7", "mainnet testnet regtest"},
		{"0X52908400098527886E0F7030069857D2E4169EE7", "mainnet testnet regtest"},
		{"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "mainnet testnet regtest"},
		{"0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", ""}, // a capital too many
		{"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae", ""},
		{"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaedd", ""},
		{"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg", ""},
		{"aitbc1wallet_k3j4h5k3jh5", ""},
		{"", ""},
		{"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "mainnet"},
		{"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "testnet"},
		{"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "regtest"},
		{"bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3", ""}, // P2WSH
		{"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "mainnet"},
		{"3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "mainnet"},
		{"mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "testnet regtest"}, // both have this version byte
		{"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", ""},                // a digit wrong
		{"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", ""},
	} {
		for name, network := range networks {
			v, _ := newVerifier(t, func(c *Config) { c.Bitcoin = network })
			_, err := v.Challenge(test.wallet, origin)
			if accepted := strings.Contains(test.networks, name); accepted != (err == nil) {
				t.Errorf("%q on %s: %v", test.wallet, name, err)
			} else if err != nil && !errors.Is(err, ErrUnprovable) {
				t.Errorf("%q: %v, want ErrUnprovable", test.wallet, err)
			}
		}
	}
}

func TestOfManyReplaysAtOnceOneSucceeds(t *testing.T) {
	v, _ := newVerifier(t)
	p := valid(t, v, "ethereum")
	var wins, losses int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := v.Verify(p)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins++
			} else if errors.Is(err, ErrRefused) {
				losses++
			}
		})
	}
	wg.Wait()
	if wins != 1 || losses != 49 {
		t.Errorf("%d succeeded and %d were refused, want 1 and 49", wins, losses)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Origins = nil },
		func(c *Config) { c.Origins = []string{"exchange.example"} },
		func(c *Config) { c.Origins = []string{"https://exchange.example/"} },
		func(c *Config) { c.Statement = "two\nlines" },
	} {
		cfg := Config{Origins: []string{origin}, Bitcoin: &chaincfg.MainNetParams, Random: new(counter), Now: time.Now}
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("New accepts %+v", cfg)
		}
	}
}

// A BIP-322 proof costs most: two transactions and a script engine.
func BenchmarkVerify(b *testing.B) {
	var proofs []recorded
	readJSON(b, "wallets.json", &proofs)
	for _, p := range proofs {
		b.Run(fmt.Sprintf("%s by %s", p.Kind, p.By), func(b *testing.B) {
			v, _ := newVerifier(b)
			b.ReportAllocs()
			for b.Loop() {
				v.nonces.used = map[[nonceMAC]byte]struct{}{}
				if err := v.Verify(Proof{Wallet: p.Wallet, Origin: origin, Nonce: p.Nonce, Signature: p.Signature, Message: p.Message}); err != nil {
					b.Fatal(Reason(err))
				}
			}
		})
	}
}
