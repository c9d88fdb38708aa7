package mail

import (
	"errors"
	"strings"
	"testing"
)

func TestEveryKindHasASubjectAndAText(t *testing.T) {
	for _, kind := range []Kind{VerifyAddress, AddressChanged, NewLogin, PayoutRequested, PayoutCompleted, AddressAdded, AddressRemoved, FactorChanged, RecoveryCode, RecoveryRequested} {
		subject, text, err := message(kind).Render("AITBC", "https://exchange.example")
		if err != nil || !strings.HasPrefix(subject, "AITBC: ") || !strings.Contains(text, "Änne") || !strings.Contains(text, "https://exchange.example") || strings.Contains(text, "<no value>") {
			t.Errorf("%s: %q, %v\n%s", kind, subject, err, text)
		}
		for line := range strings.Lines(text) {
			if len(line) > 100 {
				t.Errorf("%s has a long line: %s", kind, line)
			}
		}
	}
}

func TestAValueCantBecomeAHeaderOrAnotherRecipient(t *testing.T) {
	for name, change := range map[string]func(*Message){
		"no address":            func(m *Message) { m.To = "" },
		"header in the address": func(m *Message) { m.To = "anna@mail.example\r\nBcc: eve@evil.example" },
		"two addresses":         func(m *Message) { m.To = "anna@mail.example, eve@evil.example" },
		"a name":                func(m *Message) { m.To = "Anna <anna@mail.example>" },
		"a long address":        func(m *Message) { m.To = strings.Repeat("a", 300) + "@mail.example" },
		"header in the subject": func(m *Message) { m.Fields.What = "x\nBcc: eve@evil.example" },
		"header in the name":    func(m *Message) { m.Fields.Username = "x\r\n\r\n.\r\nMAIL FROM:<eve@evil.example>" },
		"header in the id":      func(m *Message) { m.ID = "x\nBcc: eve@evil.example" },
		"not UTF-8":             func(m *Message) { m.Fields.Client = "\xFF" },
		"a long field":          func(m *Message) { m.Fields.To = strings.Repeat("x", maxField+1) },
		"an unknown kind":       func(m *Message) { m.Kind = "../secret" },
	} {
		m := message(FactorChanged)
		change(m)
		if subject, _, err := m.Render("AITBC", "https://exchange.example"); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %q, %v", name, subject, err)
		}
	}
}

// FuzzCheckAddress: an address that is taken is one, alone, without a line end.
func FuzzCheckAddress(f *testing.F) {
	f.Add("anna@mail.example")
	f.Add("\"a b\"@x")
	f.Fuzz(func(t *testing.T, address string) {
		if CheckAddress(address) == nil && (strings.ContainsAny(address, "\r\n<>,; \x00") || strings.Count(address, "@") != 1) {
			t.Errorf("%q is taken", address)
		}
	})
}
