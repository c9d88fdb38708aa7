package httpapi

import (
	"strings"
	"testing"
)

func TestALineOfTheKeyFileGivesARoleOrMakesAnAdmin(t *testing.T) {
	const key = "0123456789abcdef"
	for _, c := range []struct {
		line, name, key string
		role            role
	}{
		{"rita:read:" + key, "rita", key, reads},
		{"otto:operate:" + key, "otto", key, operates},
		{"anna:admin:" + key, "anna", key, admin},
		{"olga:" + key, "olga", key, admin}, // as it was before there were roles
		{key, "operator", key, admin},
		{"read:" + key, "read", key, admin},                            // a name, not a role
		{"olga:0123:456789abcdef", "olga", "0123:456789abcdef", admin}, // a key with a colon
		{"olga:read:a:b:" + key, "olga", "a:b:" + key, reads},
	} {
		keys, err := ReadOperatorKeys(strings.NewReader(c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		found := findOperator(keys, []byte(c.key))
		if found == nil || found.Name != c.name || found.role != c.role {
			t.Errorf("%s: %+v, want %s with the role %s", c.line, found, c.name, c.role)
		}
	}
	for line, wanted := range map[string]string{
		"rita:raed:" + key: "read, operate or admin", "rita:root:" + key: "read, operate or admin", "rita::" + key: "read, operate or admin",
		"rita:read:short": "16 to 256",
	} {
		if keys, err := ReadOperatorKeys(strings.NewReader(line)); err == nil || !strings.Contains(err.Error(), wanted) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %+v, %v; want an error with %q that does not show the key", line, keys, err, wanted)
		}
	}
}
