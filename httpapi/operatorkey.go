package httpapi

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"
)

// OperatorKey lets its holder act as the operator of that name. Only the key's
// hash is kept.
type OperatorKey struct {
	Name string
	hash [sha256.Size]byte
}

// Limits of an operator's key file.
const (
	minOperatorKey  = 16 // characters
	maxOperatorKey  = 256
	maxOperatorName = 64
	maxOperatorKeys = 100
)

// ReadOperatorKeys reads a key file: one key a line, as NAME:KEY, or as KEY alone
// for the name "operator". Empty lines and those that begin with # do not count.
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
		switch {
		case !isOperatorName(name):
			return nil, fmt.Errorf("line %d: the name before the colon must be 1 to %d letters, digits, '-', '_' or '.'", n, maxOperatorName)
		case names[name]:
			return nil, fmt.Errorf("line %d: there is a key for %q already", n, name)
		case len(key) < minOperatorKey || len(key) > maxOperatorKey || strings.ContainsAny(key, " \t"):
			return nil, fmt.Errorf("line %d: a key must be %d to %d characters without spaces; 'openssl rand -hex 32' makes a good one", n, minOperatorKey, maxOperatorKey)
		case len(keys) == maxOperatorKeys:
			return nil, fmt.Errorf("line %d: more than %d keys", n, maxOperatorKeys)
		}
		names[name] = true
		keys = append(keys, OperatorKey{Name: name, hash: sha256.Sum256([]byte(key))})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key in it: want a line NAME:KEY")
	}
	return keys, nil
}

func isOperatorName(name string) bool {
	return len(name) <= maxOperatorName && isRequestID([]byte(name))
}

// findOperator returns the name that token is the key of. Its time depends on the
// number of keys only.
func findOperator(keys []OperatorKey, token []byte) (string, bool) {
	hash := sha256.Sum256(token)
	found := -1
	for i := range keys {
		if subtle.ConstantTimeCompare(keys[i].hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return "", false
	}
	return keys[found].Name, true
}
