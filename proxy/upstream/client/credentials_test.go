package client

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

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/auth"
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

func TestCredentialsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "broken.json"), `{"auths":{"registry.test":{"auth":"s3cret`)
	for _, login := range []auth.Login{
		{Username: "me", PasswordFile: filepath.Join(dir, "missing")},
		{AuthFile: filepath.Join(dir, "missing")},
		{AuthFile: filepath.Join(dir, "broken.json")},
	} {
		c, _ := client(t, r.URL, func(s *setup) { s.config.Login = login })
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if e := wantKind(t, err, upstream.NotConfigured); strings.Contains(e.Error(), "s3cret") {
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
