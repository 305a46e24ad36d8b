package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // distribution's packages log there
	goleak.VerifyTestMain(m)
}

// entry is a line of a password file.
func entry(t *testing.T, user, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return user + ":" + string(hash) + "\n"
}

func put(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newGate makes a gate of the default configuration, changed.
func newGate(t *testing.T, change func(*config.Config)) *Gate {
	t.Helper()
	c := config.Default()
	change(c)
	g, err := NewGate(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func withPasswords(t *testing.T) func(*config.Config) {
	file := put(t, "htpasswd", entry(t, "alice", "wonder", bcrypt.MinCost)+entry(t, "bob", "build:er", bcrypt.MinCost))
	return func(c *config.Config) { c.Access.HtpasswdFile = file }
}

// wantRepository is a request for a repository under its full name.
func wantRepository(host, path string) registry.Want {
	r := nametest.Repository(host + "/" + path)
	return registry.Want{Repository: r, Asked: r.String()}
}

// request is one for the API; change sets what it sends.
func request(change func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	if change != nil {
		change(r)
	}
	return r
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// certified lets a request come with a verified certificate.
func certified(c *x509.Certificate) func(*http.Request) {
	return func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
	}
}

func subject(name string, organizations ...string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: organizations}}
}

// tokenServer signs tokens.
type tokenServer struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &tokenServer{t, key}
}

// config makes a proxy take the server's tokens.
func (s *tokenServer) config(c *config.Config) {
	s.t.Helper()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &s.key.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}
	b, err := json.Marshal(set)
	if err != nil {
		s.t.Fatal(err)
	}
	c.Access.Token = config.Token{
		Realm: "https://auth.example/token", Service: "strata.example", Issuer: "auth.example",
		JWKSFile: put(s.t, "jwks", string(b)),
	}
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// token grants a user to pull from repositories. change may spoil the claims.
func (s *tokenServer) token(user string, change func(map[string]any), repositories ...string) string {
	s.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key},
		(&jose.SignerOptions{}).WithHeader("kid", "k1"))
	if err != nil {
		s.t.Fatal(err)
	}
	grants := []*access{}
	for _, r := range repositories {
		grants = append(grants, &access{"repository", r, []string{"pull"}})
	}
	claims := map[string]any{
		"iss": "auth.example", "sub": user, "aud": "strata.example", "exp": time.Now().Add(time.Hour).Unix(),
		"nbf": time.Now().Add(-time.Minute).Unix(), "access": grants,
	}
	if change != nil {
		change(claims)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// uri is a subject of certificates that have no common name.
func uri(t *testing.T, text string) []*url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return []*url.URL{u}
}
