package secondfactor

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func openSecrets(t *testing.T, path string) *Secrets {
	t.Helper()
	s, err := OpenSecrets(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Make(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASealedSecretIsOpenedByItsKeyForItsUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.key")
	s := openSecrets(t, path)
	secret, user := TOTPSecret([]byte("12345678901234567890")), [16]byte{1}
	sealed, err := s.Seal(user, secret)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Seal(user, secret); err != nil || bytes.Equal(again, sealed) {
		t.Errorf("sealed twice it is the same, %v", err)
	}
	if bytes.Contains(sealed, secret[:4]) {
		t.Errorf("the secret is in %x", sealed)
	}
	// The next process reads the key that this one made, and makes no other.
	for range 2 {
		if got, err := openSecrets(t, path).Open(user, sealed); err != nil || got != secret {
			t.Errorf("%x, %v", got, err)
		}
	}
	refused := func(what string, s *Secrets, user [16]byte, sealed []byte) {
		t.Helper()
		if got, err := s.Open(user, sealed); !errors.Is(err, ErrSecrets) || got != (TOTPSecret{}) {
			t.Errorf("%s: %x, %v", what, got, err)
		}
	}
	refused("another user", s, [16]byte{2}, sealed)
	refused("another key", openSecrets(t, filepath.Join(t.TempDir(), "key")), user, sealed)
	for n := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[n] ^= 1
		refused("a flipped bit", s, user, flipped)
		refused("cut short", s, user, sealed[:n])
	}
	longer, err := s.Seal(user, secret)
	refused("a byte more", s, user, append(longer, 0))
	if err != nil {
		t.Error(err)
	}
}

func TestAKeyOfSecretsThatIsNotOneIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.key")
	missing, err := OpenSecrets(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := missing.Seal([16]byte{}, TOTPSecret{}); !errors.Is(err, ErrSecrets) {
		t.Errorf("sealed without a key: %v", err)
	}
	if _, err := missing.Open([16]byte{}, make([]byte, 61)); !errors.Is(err, ErrSecrets) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened without a key: %v", err)
	}
	for _, content := range []string{"", "zz", strings.Repeat("a", 63), strings.Repeat("a", 66), strings.Repeat("g", 64)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenSecrets(path, rand.Reader)
		if !errors.Is(err, ErrSecrets) || !strings.Contains(err.Error(), path) || len(content) > 2 && strings.Contains(err.Error(), content) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("a", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSecrets(path, rand.Reader); (err == nil) != want {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestAKeyThatCanNotBeMadeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSecrets(filepath.Join(dir, "key"), iotest.ErrReader(errors.New("no entropy")))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Make(); !errors.Is(err, ErrSecrets) {
		t.Errorf("%v", err)
	}
	s, err = OpenSecrets(filepath.Join(dir, "nowhere", "key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Make(); !errors.Is(err, ErrSecrets) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
