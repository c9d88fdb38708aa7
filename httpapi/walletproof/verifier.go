package walletproof

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

// clockSkew is how far ahead of ours the clock may be of a client who writes the
// text itself.
const clockSkew = time.Minute

// Config is what a Verifier needs. Fields without a default are required.
type Config struct {
	Origins   []string         // where the service is reached, such as https://exchange.example
	Statement string           // what the wallet shows of what is signed; one line
	ChainID   uint64           // EIP-155; default 1, Ethereum's main network
	Bitcoin   *chaincfg.Params // whose addresses are accepted
	Lifetime  time.Duration    // of a nonce; default 5 min
	MaxUsed   int              // logins within that time; default 1,000,000, which takes 25 MB
	Random    io.Reader
	Now       func() time.Time
}

// Verifier makes challenges and checks their proofs. Its methods may be called from
// any goroutine.
type Verifier struct {
	cfg    Config
	nonces *Nonces
}

// Challenge is what a wallet has to sign.
type Challenge struct {
	Nonce     string
	Message   string
	ExpiresAt time.Time
}

// Proof is what a client brings to log in.
type Proof struct {
	Wallet    string
	Origin    string // one of Config.Origins
	Nonce     string
	Signature string // Ethereum: 0x and 130 hexadecimal digits; Bitcoin: base64
	Message   string // the text that was signed, where the client wrote its own; "" for the challenge's
}

// New returns a Verifier.
func New(cfg Config) (*Verifier, error) {
	if cfg.ChainID == 0 {
		cfg.ChainID = 1
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = 5 * time.Minute
	}
	if cfg.MaxUsed == 0 {
		cfg.MaxUsed = 1_000_000
	}
	if len(cfg.Origins) == 0 {
		return nil, errors.New("walletproof: no origin")
	}
	for _, origin := range cfg.Origins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return nil, fmt.Errorf("walletproof: origin %q: want a scheme and a host, such as https://exchange.example", origin)
		}
	}
	if strings.ContainsFunc(cfg.Statement, func(r rune) bool { return r < ' ' || r == 0x7F }) {
		return nil, errors.New("walletproof: the statement must be one line")
	}
	nonces, err := NewNonces(cfg.Lifetime, cfg.MaxUsed, cfg.Random)
	if err != nil {
		return nil, err
	}
	return &Verifier{cfg: cfg, nonces: nonces}, nil
}

// identity is a wallet whose owner can be proved.
type identity struct {
	chain   Chain
	address string // as it stands in the text
	bitcoin btcaddress.Address
}

func (v *Verifier) identify(wallet string) (identity, error) {
	if len(wallet) > 2 && (wallet[:2] == "0x" || wallet[:2] == "0X") {
		address, err := ChecksumAddress(wallet)
		if err != nil {
			return identity{}, fmt.Errorf("%w: Ethereum address: %v", ErrUnprovable, err)
		}
		return identity{chain: Ethereum, address: address}, nil
	}
	address, err := parseBitcoin(wallet, v.cfg.Bitcoin)
	if err != nil {
		return identity{}, fmt.Errorf("%w: neither an Ethereum nor a Bitcoin address: %v", ErrUnprovable, err)
	}
	return identity{chain: Bitcoin, address: address.EncodeAddress(), bitcoin: address}, nil
}

// message is the challenge's text.
func (v *Verifier) message(id identity, origin, nonce string, issued time.Time) *Message {
	_, domain, _ := strings.Cut(origin, "://")
	return &Message{
		Domain: domain, Chain: id.chain, Address: id.address, Statement: v.cfg.Statement,
		URI: origin, ChainID: v.chainID(id.chain), Nonce: nonce,
		IssuedAt: issued.Format(time.RFC3339), Expires: issued.Add(v.cfg.Lifetime).Format(time.RFC3339),
	}
}

// chainID names the chain as CAIP-2 does, without its namespace.
func (v *Verifier) chainID(chain Chain) string {
	if chain == Ethereum {
		return strconv.FormatUint(v.cfg.ChainID, 10)
	}
	return v.cfg.Bitcoin.GenesisHash.String()[:32]
}

// Challenge makes a nonce and its text for a wallet. origin is one of
// Config.Origins. A wallet that can't be proved is an ErrUnprovable, which says why.
func (v *Verifier) Challenge(wallet, origin string) (Challenge, error) {
	id, err := v.identify(wallet)
	if err != nil {
		return Challenge{}, err
	}
	now := v.cfg.Now()
	nonce, err := v.nonces.New(id.address, origin, now)
	if err != nil {
		return Challenge{}, err
	}
	issued := now.UTC().Truncate(time.Second)
	return Challenge{
		Nonce:     nonce,
		Message:   v.message(id, origin, nonce, issued).String(),
		ExpiresAt: issued.Add(v.cfg.Lifetime),
	}, nil
}

// Verify checks a proof and uses up its nonce. Every proof that fails is an
// ErrRefused, and Reason tells why; the one other error is ErrBusy. A failed proof
// leaves the nonce, so that nobody can spoil another's login.
func (v *Verifier) Verify(p Proof) error {
	now := v.cfg.Now()
	id, err := v.identify(p.Wallet)
	if err != nil {
		return refuse("%v", err)
	}
	issued, err := v.nonces.Check(p.Nonce, id.address, p.Origin, now)
	if err != nil {
		return refuse("%v", err)
	}
	text := p.Message
	want := v.message(id, p.Origin, p.Nonce, issued)
	if text == "" {
		text = want.String()
	} else if err := v.checkText(text, want, now); err != nil {
		return refuse("%v", err)
	}
	if id.chain == Ethereum {
		err = verifyEthereum(id.address, text, p.Signature)
	} else {
		err = verifyBitcoin(id.bitcoin, v.cfg.Bitcoin, text, p.Signature)
	}
	if err != nil {
		return refuse("%s: %v", id.address, err)
	}
	switch err := v.nonces.Use(p.Nonce, now); {
	case errors.Is(err, ErrBusy):
		return err
	case err != nil:
		return refuse("%v", err)
	}
	return nil
}

// checkText checks a text that the client wrote, as libraries for Sign-In with
// Ethereum do with the server's nonce. What it says for a person is the client's;
// what binds it is what the challenge says.
func (v *Verifier) checkText(text string, want *Message, now time.Time) error {
	got, err := ParseMessage(text)
	if err != nil {
		return err
	}
	scheme, _, _ := strings.Cut(want.URI, "://")
	for _, f := range []struct{ name, got, want string }{
		{"domain", got.Domain, want.Domain},
		{"account", string(got.Chain), string(want.Chain)},
		{"address", got.Address, want.Address},
		{"chain id", got.ChainID, want.ChainID},
		{"nonce", got.Nonce, want.Nonce},
	} {
		if f.got != f.want {
			return fmt.Errorf("message has %s %q, want %q", f.name, f.got, f.want)
		}
	}
	if got.Scheme != "" && got.Scheme != scheme {
		return fmt.Errorf("message has scheme %q, want %q", got.Scheme, scheme)
	}
	if rest, ok := strings.CutPrefix(got.URI, want.URI); !ok || (rest != "" && rest[0] != '/' && rest[0] != '?' && rest[0] != '#') {
		return fmt.Errorf("message has URI %q, which is not of %s", got.URI, want.URI)
	}
	return got.window(now, clockSkew, v.cfg.Lifetime)
}
