package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
)

func TestPasswordFileIsReadAgain(t *testing.T) {
	t.Parallel()
	var password atomic.Value
	password.Store("first")
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := r.BasicAuth(); got != password.Load() {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, someIndex)
	})
	file := filepath.Join(t.TempDir(), "password")
	write(t, file, "first\n")
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Username, s.config.PasswordFile = "me", file })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
	write(t, file, "the second one\n")
	password.Store("the second one")
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAuthFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "auth.json")
	write(t, file, `{"auths":{
		"registry.test":{"auth":"aG9zdDpwdw=="},
		"registry.test/org":{"auth":"b3JnOnB3"},
		"registry.test/org/app":{"auth":"YXBwOnB3"},
		"https://index.docker.io/v1/":{"auth":"aHViOnB3"}}}`)
	for repo, want := range map[name.Repository]string{
		nametest.Repository("registry.test/org/app"):        "app",
		nametest.Repository("registry.test/org/other"):      "org",
		nametest.Repository("registry.test/elsewhere/app"):  "host",
		nametest.Repository("docker.io/library/alpine"):     "hub",
		nametest.Repository("other.test/org/app"):           "",
		nametest.Repository("registry.test.evil.com/x/app"): "",
	} {
		got, err := authFile(file).resolve(t.Context(), repo)
		if err != nil || got.Username != want {
			t.Errorf("%s: got user %q, want %q, %v", repo, got.Username, want, err)
		}
	}
}

func TestCredentialsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "broken.json"), `{"auths":{"registry.test":{"auth":"s3cret`)
	for _, config := range []Config{
		{Username: "me", PasswordFile: filepath.Join(dir, "missing")},
		{AuthFile: filepath.Join(dir, "missing")},
		{AuthFile: filepath.Join(dir, "broken.json")},
	} {
		config.URL = r.URL
		c, _ := client(t, "", func(s *setup) { s.config = config })
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if e := wantKind(t, err, NotConfigured); strings.Contains(e.Error(), "s3cret") {
			t.Errorf("leak: %v", e)
		}
	}
	c, _ := client(t, r.URL, func(s *setup) { s.options.Keychain = brokenKeychain{} })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Errorf("a broken login of the user's stops anonymous pulls: %v", err)
	}
}

type brokenKeychain struct{}

func (brokenKeychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return nil, errors.New("broken")
}

// The user's own logins: docker's config.json.
func TestDefaultKeychain(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), `{"auths":{"registry.test":{"auth":"bWU6czNjcmV0"}}}`)
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user != "me" {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, someIndex)
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.options.Keychain = nil })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
}
