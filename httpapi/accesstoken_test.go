package httpapi

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/aitbc/exchange/httpapi/accesstoken"
)

// accessTokens issues tokens for one service.
func accessTokens(t testing.TB) func(*apiConfig) {
	t.Helper()
	issuer, err := accesstoken.Open(accesstoken.Config{
		File: filepath.Join(t.TempDir(), "keys.json"), Issuer: "https://exchange.example", Random: rand.Reader, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *apiConfig) {
		c.http.AccessTokens = AccessTokens{Issuer: issuer, Audiences: []string{"https://pool.example"}}
	}
}

func TestAnotherServiceKnowsAUserByAnAccessToken(t *testing.T) {
	a := startAPI(t, accessTokens(t))
	u := a.login("aitbc1wallet_holder")
	r := u.as("POST", "/api/auth/access-token", `{"audience":"https://pool.example"}`).is(200)
	token := r.text("access_token")

	// The other service has nothing of ours but the address of the keys.
	var set struct{ Keys []struct{ Kid, X string } }
	keys := a.call("GET", "/.well-known/jwks.json", "").is(200)
	if err := json.Unmarshal([]byte(keys.body), &set); err != nil {
		t.Fatal(err)
	}
	if keys.header.Get("Cache-Control") == "no-store" {
		t.Error("the keys may not be kept")
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		for _, key := range set.Keys {
			if key.Kid == t.Header["kid"] {
				raw, err := base64.RawURLEncoding.DecodeString(key.X)
				return ed25519.PublicKey(raw), err
			}
		}
		return nil, jwt.ErrTokenUnverifiable
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("https://exchange.example"), jwt.WithAudience("https://pool.example"), jwt.WithExpirationRequired())
	if err != nil || claims.Subject != u.id {
		t.Errorf("the token is of %q: %v", claims.Subject, err)
	}

	// Here it opens nothing.
	a.call("GET", "/api/users/me", "", "Authorization", "Bearer "+token).refused(401, "unauthenticated", "")
	a.call("GET", "/api/operator/health", "", "Authorization", "Bearer "+token).refused(401, "unauthenticated", "")
	u.as("POST", "/api/auth/access-token", `{"audience":"https://elsewhere.example"}`).refused(400, "invalid_field", "audience")
	u.as("POST", "/api/auth/access-token", `{}`).refused(400, "invalid_field", "audience")
	a.operator("POST", "/api/operator/users/"+u.id+"/suspend", `{"reason":"x"}`).is(200)
	u.as("POST", "/api/auth/access-token", `{"audience":"https://pool.example"}`).refused(403, "account_suspended", "")

	off := startAPI(t)
	off.login("aitbc1wallet_holder").as("POST", "/api/auth/access-token", `{"audience":"https://pool.example"}`).refused(404, "not_found", "")
	off.call("GET", "/.well-known/jwks.json", "").refused(404, "not_found", "")
}
