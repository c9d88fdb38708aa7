package walletproof

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxMessage is the longest text that is parsed, in bytes.
const maxMessage = 4096

// Message is the text that a wallet signs to log in, as EIP-4361 (Sign-In with
// Ethereum) defines it, and CAIP-122 for accounts of other chains.
type Message struct {
	Scheme    string // of the origin; "" where the text names none
	Domain    string // host and, where it is not the scheme's own, port
	Chain     Chain
	Address   string
	Statement string // one line; "" for none
	URI       string
	ChainID   string // EIP-155 number, or the first half of the genesis block's hash
	Nonce     string
	IssuedAt  string // RFC 3339, kept as it was written because it is signed
	Expires   string // RFC 3339, or ""
	NotBefore string // RFC 3339, or ""
	RequestID string
	HasID     bool // a request id may be empty
	Resources []string
}

// Chain is the kind of wallet.
type Chain string

// The chains, as they stand in the text.
const (
	Ethereum Chain = "Ethereum"
	Bitcoin  Chain = "Bitcoin"
)

// The parts of the text.
const (
	wants          = " wants you to sign in with your "
	accountEnd     = " account:"
	messageVersion = "1"
)

// String is the text to sign.
func (m *Message) String() string {
	var b strings.Builder
	if m.Scheme != "" {
		b.WriteString(m.Scheme + "://")
	}
	b.WriteString(m.Domain + wants + string(m.Chain) + accountEnd + "\n" + m.Address + "\n\n")
	if m.Statement != "" {
		b.WriteString(m.Statement + "\n")
	}
	b.WriteString("\nURI: " + m.URI + "\nVersion: " + messageVersion + "\nChain ID: " + m.ChainID +
		"\nNonce: " + m.Nonce + "\nIssued At: " + m.IssuedAt)
	for _, f := range []struct{ name, value string }{{"Expiration Time", m.Expires}, {"Not Before", m.NotBefore}} {
		if f.value != "" {
			b.WriteString("\n" + f.name + ": " + f.value)
		}
	}
	if m.HasID {
		b.WriteString("\nRequest ID: " + m.RequestID)
	}
	if m.Resources != nil {
		b.WriteString("\nResources:")
		for _, r := range m.Resources {
			b.WriteString("\n- " + r)
		}
	}
	return b.String()
}

// ParseMessage reads what String writes and nothing else: a text that is parsed is
// the text that String gives back, to the byte.
func ParseMessage(text string) (*Message, error) {
	if len(text) > maxMessage {
		return nil, fmt.Errorf("message is longer than %d bytes", maxMessage)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("message is not UTF-8")
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\n' || c == 0x7F {
			return nil, fmt.Errorf("message has a control character at byte %d", i)
		}
	}
	p := lines{rest: strings.Split(text, "\n")}
	m := new(Message)
	head := p.next()
	head, ok := strings.CutSuffix(head, accountEnd)
	domain, chain, found := strings.Cut(head, wants)
	if !ok || !found {
		return nil, fmt.Errorf("message does not begin with DOMAIN%sCHAIN%s", wants, accountEnd)
	}
	m.Chain = Chain(chain)
	if scheme, rest, has := strings.Cut(domain, "://"); has {
		if scheme == "" {
			return nil, fmt.Errorf("message has an empty scheme")
		}
		m.Scheme, domain = scheme, rest
	}
	m.Domain = domain
	m.Address = p.next()
	if p.next() != "" {
		return nil, fmt.Errorf("message has no empty line after the address")
	}
	if m.Statement = p.next(); m.Statement != "" && p.next() != "" {
		return nil, fmt.Errorf("message has a statement of more than one line")
	}
	var version string
	for _, f := range []struct {
		name string
		to   *string
	}{{"URI", &m.URI}, {"Version", &version}, {"Chain ID", &m.ChainID}, {"Nonce", &m.Nonce}, {"Issued At", &m.IssuedAt}} {
		if *f.to, ok = p.field(f.name); !ok || *f.to == "" {
			return nil, fmt.Errorf("message lacks its line %q", f.name)
		}
	}
	if version != messageVersion {
		return nil, fmt.Errorf("message is of version %q, want %s", version, messageVersion)
	}
	m.Expires, _ = p.field("Expiration Time")
	m.NotBefore, _ = p.field("Not Before")
	m.RequestID, m.HasID = p.field("Request ID")
	if len(p.rest) > 0 && p.rest[0] == "Resources:" {
		p.next()
		m.Resources = []string{}
		for len(p.rest) > 0 && strings.HasPrefix(p.rest[0], "- ") {
			m.Resources = append(m.Resources, p.next()[2:])
		}
	}
	if len(p.rest) > 0 || m.String() != text {
		return nil, fmt.Errorf("message has lines that EIP-4361 does not know, or not in its order")
	}
	return m, nil
}

// lines are what is left to read.
type lines struct{ rest []string }

func (p *lines) next() string {
	if len(p.rest) == 0 {
		return ""
	}
	line := p.rest[0]
	p.rest = p.rest[1:]
	return line
}

// field takes the next line if it is that of name.
func (p *lines) field(name string) (string, bool) {
	if len(p.rest) == 0 {
		return "", false
	}
	value, ok := strings.CutPrefix(p.rest[0], name+": ")
	if !ok {
		return "", false
	}
	p.next()
	return value, true
}

// window checks that the text is valid at now. skew is how far ahead a client's
// clock may be, who writes the text itself.
func (m *Message) window(now time.Time, skew, lifetime time.Duration) error {
	issued, err := time.Parse(time.RFC3339, m.IssuedAt)
	switch {
	case err != nil:
		return fmt.Errorf("issued at %q is no RFC 3339 time", m.IssuedAt)
	case issued.After(now.Add(skew)):
		return fmt.Errorf("issued at %s, which is to come", m.IssuedAt)
	case !now.Before(issued.Add(lifetime + skew)):
		return fmt.Errorf("issued at %s, which is too long ago", m.IssuedAt)
	}
	if m.Expires != "" {
		expires, err := time.Parse(time.RFC3339, m.Expires)
		if err != nil || !now.Before(expires) {
			return fmt.Errorf("expired at %q", m.Expires)
		}
	}
	if m.NotBefore != "" {
		from, err := time.Parse(time.RFC3339, m.NotBefore)
		if err != nil || now.Before(from) {
			return fmt.Errorf("not valid before %q", m.NotBefore)
		}
	}
	return nil
}
