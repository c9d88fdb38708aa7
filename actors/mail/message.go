package mail

import (
	"embed"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// Kind is what a message tells.
type Kind string

// The kinds of message. Each has a file in templates: its subject, an empty line and
// its text.
const (
	VerifyAddress     Kind = "verify-address"     // Code, Until
	AddressChanged    Kind = "address-changed"    // to the address before
	NewLogin          Kind = "new-login"          // Client
	PayoutRequested   Kind = "payout-requested"   // What, Amount, To
	PayoutCompleted   Kind = "payout-completed"   // What, Amount, To
	AddressAdded      Kind = "address-added"      // To, Until
	AddressRemoved    Kind = "address-removed"    // To
	FactorChanged     Kind = "factor-changed"     // What
	RecoveryCode      Kind = "recovery-code"      // Code, Until
	RecoveryRequested Kind = "recovery-requested" // Until, Code
)

// Fields are what a message's text is filled in with.
type Fields struct {
	Username string
	At       time.Time
	Client   string    // the address of who did it, "" if it is not known
	What     string    // what happened, such as "withdrawal" or "a passkey was added"
	Amount   string    // with its unit
	To       string    // where money goes
	Code     string    // to confirm or stop it
	Until    time.Time // when it takes effect, or ends
}

// Message is one message to one user.
type Message struct {
	ID     string // unique for all time; becomes the Message-ID
	To     string // an address alone, without a name
	Kind   Kind
	Fields Fields
}

// Limits of a message.
const (
	maxAddress = 254 // bytes, by RFC 5321
	maxField   = 512
)

//go:embed templates/*.txt
var files embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").Funcs(template.FuncMap{
	"time": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
}).ParseFS(files, "templates/*.txt"))

// ErrMessage is what an error of Render wraps: the message can never be sent.
var ErrMessage = errors.New("not a message that can be sent")

// Render returns the subject and the text. exchange is the exchange's name, and site
// where its users reach it.
func (m *Message) Render(exchange, site string) (subject, text string, err error) {
	if err := CheckAddress(m.To); err != nil {
		return "", "", fmt.Errorf("%w: %v", ErrMessage, err)
	}
	for _, s := range []string{exchange, site, m.ID, m.Fields.Username, m.Fields.Client, m.Fields.What, m.Fields.Amount, m.Fields.To, m.Fields.Code} {
		if len(s) > maxField || !isLine(s) {
			return "", "", fmt.Errorf("%w: a field is over %d bytes, or not one line of UTF-8", ErrMessage, maxField)
		}
	}
	var b strings.Builder
	err = templates.ExecuteTemplate(&b, string(m.Kind)+".txt", struct {
		Fields
		Exchange, Site string
	}{m.Fields, exchange, site})
	if err != nil {
		return "", "", fmt.Errorf("%w: %v", ErrMessage, err)
	}
	subject, text, ok := strings.Cut(b.String(), "\n\n")
	if !ok || !isLine(subject) {
		return "", "", fmt.Errorf("%w: the template %q has no subject of one line", ErrMessage, m.Kind)
	}
	return subject, text, nil
}

// CheckAddress reports what keeps address from being written to: an address alone, as
// people have them.
func CheckAddress(address string) error {
	if len(address) > maxAddress || !isLine(address) {
		return fmt.Errorf("an e-mail address has at most %d bytes and is one line", maxAddress)
	}
	parsed, err := netmail.ParseAddress(address)
	if err != nil || parsed.Address != address || strings.ContainsAny(address, "\"<> ,;") {
		return fmt.Errorf("%q is not an e-mail address alone", address)
	}
	return nil
}

// isLine reports whether s is UTF-8 without a line end or other control character,
// with which a value could become a header of its own.
func isLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F || r == 0x2028 || r == 0x2029 })
}
