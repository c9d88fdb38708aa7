package httpapi

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"
)

// role is what an operator's key is good for. Each can do what the one before can.
type role uint8

const (
	noRole   role = iota
	reads         // sees everything
	operates      // and ends what is pending, registers deposits, suspends users
	admin         // and moves value by hand, closes accounts

	numRoles
)

var roleNames = [numRoles]string{"", "read", "operate", "admin"}

func (r role) String() string { return roleNames[r] }

func parseRole(s string) (role, bool) {
	for r := reads; r < numRoles; r++ {
		if roleNames[r] == s {
			return r, true
		}
	}
	return noRole, false
}

// OperatorKey lets its holder act as the operator of that name. Only the key's
// hash is kept.
type OperatorKey struct {
	Name string
	role role
	hash [sha256.Size]byte
}

// Limits of an operator's key file.
const (
	minOperatorKey  = 16 // characters
	maxOperatorKey  = 256
	maxOperatorName = 64
	maxOperatorKeys = 100
)

// ReadOperatorKeys reads a key file: one key a line, as NAME:ROLE:KEY, where ROLE is
// read, operate or admin. NAME:KEY is an admin's, as is KEY alone, whose name is
// "operator". Empty lines and those that begin with # do not count.
// An error names the line and never shows the key.
func ReadOperatorKeys(file io.Reader) ([]OperatorKey, error) {
	var keys []OperatorKey
	names := map[string]bool{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, key, named := strings.Cut(line, ":")
		if !named {
			name, key = "operator", line
		}
		role, rest, wrong := cutRole(key)
		key = rest
		switch {
		case wrong:
			return nil, fmt.Errorf("line %d: the word before the second colon must be a role: read, operate or admin", n)
		case !isOperatorName(name):
			return nil, fmt.Errorf("line %d: the name before the colon must be 1 to %d letters, digits, '-', '_' or '.'", n, maxOperatorName)
		case name == "chain" || name == "clock":
			return nil, fmt.Errorf("line %d: nobody can be called %q: in the log that is not an operator", n, name)
		case names[name]:
			return nil, fmt.Errorf("line %d: there is a key for %q already", n, name)
		case len(key) < minOperatorKey || len(key) > maxOperatorKey || strings.ContainsAny(key, " \t"):
			return nil, fmt.Errorf("line %d: a key must be %d to %d characters without spaces; 'openssl rand -hex 32' makes a good one", n, minOperatorKey, maxOperatorKey)
		case len(keys) == maxOperatorKeys:
			return nil, fmt.Errorf("line %d: more than %d keys", n, maxOperatorKeys)
		}
		names[name] = true
		keys = append(keys, OperatorKey{Name: name, role: role, hash: sha256.Sum256([]byte(key))})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key in it: want a line NAME:ROLE:KEY")
	}
	return keys, nil
}

// OperatorKeyOf returns the key of a line of the key file, to be sent.
func OperatorKeyOf(line string) string {
	name, key, named := strings.Cut(line, ":")
	if !named || !isOperatorName(name) {
		return line
	}
	_, key, _ = cutRole(key)
	return key
}

// cutRole splits ROLE:KEY. A key alone is an admin's. A short word before a colon is
// no key: it is a role with a typing error, which must not become an admin's key.
func cutRole(given string) (r role, key string, wrong bool) {
	word, key, found := strings.Cut(given, ":")
	if !found || len(word) >= minOperatorKey || strings.ContainsFunc(word, func(c rune) bool { return c < 'a' || c > 'z' }) {
		return admin, given, false
	}
	r, known := parseRole(word)
	return r, key, !known
}

func isOperatorName(name string) bool {
	return len(name) <= maxOperatorName && isRequestID([]byte(name))
}

// findOperator returns the key that token is, nil if it is none. Its time depends on
// the number of keys only.
func findOperator(keys []OperatorKey, token []byte) *OperatorKey {
	if len(keys) == 0 { // as on every deposit of a service without operators
		return nil
	}
	hash := sha256.Sum256(token)
	var found *OperatorKey
	for i := range keys {
		if subtle.ConstantTimeCompare(keys[i].hash[:], hash[:]) == 1 {
			found = &keys[i]
		}
	}
	return found
}
