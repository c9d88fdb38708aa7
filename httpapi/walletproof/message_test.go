package walletproof

import (
	"reflect"
	"strings"
	"testing"
)

// The examples of EIP-4361, with the values of its fields as we read them.
func TestTheExamplesOfEIP4361AreRead(t *testing.T) {
	for _, example := range []struct {
		text string
		want Message
	}{
		{"example.com wants you to sign in with your Ethereum account:\n0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\nI accept the ExampleOrg Terms of Service: https://example.com/tos\n\nURI: https://example.com/login\nVersion: 1\nChain ID: 1\nNonce: 32891756\nIssued At: 2021-09-30T16:25:24Z\nResources:\n- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n- https://example.com/my-web2-claim.json",
			Message{Domain: "example.com", Chain: Ethereum, Address: "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", Statement: "I accept the ExampleOrg Terms of Service: https://example.com/tos",
				URI: "https://example.com/login", ChainID: "1", Nonce: "32891756", IssuedAt: "2021-09-30T16:25:24Z",
				Resources: []string{"ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/", "https://example.com/my-web2-claim.json"}}},
		{"https://example.com:3388 wants you to sign in with your Ethereum account:\n0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\n\nURI: https://example.com/login\nVersion: 1\nChain ID: 1\nNonce: 32891756\nIssued At: 2021-09-30T16:25:24Z\nExpiration Time: 2021-10-01T16:25:24Z\nNot Before: 2021-09-30T16:25:24Z\nRequest ID: ",
			Message{Scheme: "https", Domain: "example.com:3388", Chain: Ethereum, Address: "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2",
				URI: "https://example.com/login", ChainID: "1", Nonce: "32891756", IssuedAt: "2021-09-30T16:25:24Z",
				Expires: "2021-10-01T16:25:24Z", NotBefore: "2021-09-30T16:25:24Z", HasID: true}},
	} {
		got, err := ParseMessage(example.text)
		if err != nil {
			t.Errorf("%v:\n%s", err, example.text)
		} else if !reflect.DeepEqual(*got, example.want) {
			t.Errorf("read as\n%+v\nwant\n%+v", *got, example.want)
		}
	}
}

func TestATextThatIsNotEIP4361IsNotRead(t *testing.T) {
	const good = "example.com wants you to sign in with your Ethereum account:\n0xC0\n\nHello\n\nURI: https://example.com\nVersion: 1\nChain ID: 1\nNonce: 32891756\nIssued At: 2021-09-30T16:25:24Z"
	if _, err := ParseMessage(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":                  "",
		"carriage return":        strings.ReplaceAll(good, "\n", "\r\n"),
		"null byte":              strings.Replace(good, "Hello", "Hel\x00lo", 1),
		"not UTF-8":              strings.Replace(good, "Hello", "Hel\xFFlo", 1),
		"line end at the end":    good + "\n",
		"a line more":            good + "\nMore: 1",
		"statement of two lines": strings.Replace(good, "Hello", "Hello\nYou", 1),
		"fields swapped":         strings.Replace(good, "Version: 1\nChain ID: 1", "Chain ID: 1\nVersion: 1", 1),
		"a field twice":          strings.Replace(good, "Nonce: 32891756", "Nonce: 32891756\nNonce: 1", 1),
		"no nonce":               strings.Replace(good, "Nonce: 32891756\n", "", 1),
		"empty nonce":            strings.Replace(good, "32891756", "", 1),
		"version 2":              strings.Replace(good, "Version: 1", "Version: 2", 1),
		"empty scheme":           "://" + good,
		"no empty line":          strings.Replace(good, "0xC0\n\n", "0xC0\n", 1),
		"too long":               strings.Replace(good, "Hello", strings.Repeat("x", maxMessage), 1),
	} {
		if m, err := ParseMessage(text); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
}

// FuzzParseMessage: what is read is written as it was, so that no two texts are
// taken for one, and nothing panics.
func FuzzParseMessage(f *testing.F) {
	var recorded []recorded
	readJSON(f, "challenges.json", &recorded)
	for _, r := range recorded {
		f.Add(r.Message)
	}
	f.Add("https://a wants you to sign in with your Bitcoin account:\n1\n\n\nURI: u\nVersion: 1\nChain ID: 1\nNonce: 1\nIssued At: t\nRequest ID: \nResources:\n- a")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMessage(text)
		if err == nil && m.String() != text {
			t.Errorf("%q is read as %q", text, m.String())
		}
	})
}
