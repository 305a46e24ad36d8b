package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/auth"
)

// tokenRegistry is a registry with a token service on its own host.
type tokenRegistry struct {
	*httptest.Server
	exchanges atomic.Int32
	valid     atomic.Value // string: the token that is accepted
	grant     http.HandlerFunc
	challenge string // with %s for the server's URL
	hold      chan struct{}
}

func newTokenRegistry(t *testing.T) *tokenRegistry {
	r := &tokenRegistry{challenge: `Bearer realm="%s/token",service="reg",scope="repository:org/app:pull"`}
	r.valid.Store("token-1")
	r.grant = func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"token": r.valid.Load(), "expires_in": 300})
	}
	r.Server = serve(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			r.exchanges.Add(1)
			if r.hold != nil {
				<-r.hold
			}
			r.grant(w, req)
			return
		}
		if req.Header.Get("Authorization") != "Bearer "+r.valid.Load().(string) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(r.challenge, r.URL))
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		}
		fmt.Fprint(w, someIndex)
	})
	return r
}

func TestAnonymousBearerToken(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	grant := r.grant
	r.grant = func(w http.ResponseWriter, req *http.Request) {
		want := map[string][]string{"service": {"reg"}, "scope": {"repository:org/app:pull"}}
		if diff := cmp.Diff(want, map[string][]string(req.URL.Query())); diff != "" {
			t.Error(diff)
		}
		if h := req.Header.Get("Authorization"); h != "" {
			t.Errorf("anonymous exchange sent %q", h)
		}
		grant(w, req)
	}
	c, _ := client(t, r.URL)
	for range 3 {
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.exchanges.Load(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

func TestBearerTokenWithPassword(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	grant := r.grant
	r.grant = func(w http.ResponseWriter, req *http.Request) {
		if user, password, ok := req.BasicAuth(); !ok || user != "me" || password != "s3cret" {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "no")
			return
		}
		grant(w, req)
	}
	c, _ := client(t, r.URL, func(s *setup) { s.config.Username, s.config.Password = "me", "s3cret" })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
	c, _ = client(t, r.URL, func(s *setup) { s.config.Username, s.config.Password = "me", "wrong" })
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	if e := wantKind(t, err, upstream.Unauthorized); e.Op != auth.Op || e.Transient() {
		t.Errorf("got %+v", e)
	}
}

func TestIdentityTokenUsesOAuth(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	r.grant = func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost || req.FormValue("refresh_token") != "identity" {
			t.Errorf("%s with refresh token %q", req.Method, req.FormValue("refresh_token"))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": r.valid.Load()})
	}
	c, _ := client(t, r.URL, func(s *setup) { s.options.Keychain = keychain{IdentityToken: "identity"} })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
}

type keychain authn.AuthConfig

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig(k)), nil
}

func TestRegistryTokenIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	c, _ := client(t, r.URL, func(s *setup) { s.options.Keychain = keychain{RegistryToken: "token-1"} })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil || r.exchanges.Load() != 0 {
		t.Errorf("%d exchanges, %v", r.exchanges.Load(), err)
	}
}

func TestTokenIsRenewedOn401(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	c, _ := client(t, r.URL)
	for _, token := range []string{"token-1", "token-2", "token-3"} {
		r.valid.Store(token)
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.exchanges.Load(); n != 3 {
		t.Errorf("%d exchanges", n)
	}
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	c, clock := client(t, r.URL)
	for range 2 {
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
			t.Fatal(err)
		}
		_ = clock.sleep(t.Context(), 295*time.Second)
	}
	if n := r.exchanges.Load(); n != 2 {
		t.Errorf("%d exchanges", n)
	}
}

// A token that is granted and not accepted ends the matter: no loop.
func TestTokenThatIsNotAccepted(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	r.grant = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"token":"useless"}`) }
	c, _ := client(t, r.URL)
	for range 2 {
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if e := wantKind(t, err, upstream.Unauthorized); e.Code != "UNAUTHORIZED" {
			t.Errorf("got %+v", e)
		}
	}
	if n := r.exchanges.Load(); n != 2 {
		t.Errorf("%d exchanges", n)
	}
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "s3cret" {
			w.Header().Add("WWW-Authenticate", `Negotiate`)
			w.Header().Add("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, someIndex)
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Username, s.config.Password = "me", "s3cret" })
	for range 2 {
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want one refused and two served", n)
	}
	c, _ = client(t, srv.URL)
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	wantKind(t, err, upstream.Unauthorized)
}

func TestRealmMustBeHTTPSOrTheHostItself(t *testing.T) {
	t.Parallel()
	for _, realm := range []string{
		"http://auth.example/token", "ftp://auth.example/", "//auth.example/token", "https://", "::",
		"https://user:pw@auth.example/",
		"http://127.0.0.1:1/token", "file:///etc/passwd",
	} {
		r := newTokenRegistry(t)
		r.challenge = `Bearer realm="` + strings.ReplaceAll(realm, "%", "%%") + `",service="%s"`
		c, _ := client(t, r.URL)
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if e := wantKind(t, err, upstream.Protocol); !errors.Is(err, upstream.ErrRefused) ||
			strings.Contains(e.Error(), "pw") {
			t.Errorf("%s: got %v", realm, err)
		}
	}
}

func TestTokenServiceMustNotRedirectCredentialsAway(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	for _, k := range []keychain{{Username: "me", Password: "s3cret"}, {IdentityToken: "identity"}} {
		r := newTokenRegistry(t)
		r.grant = func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL+"/token?secret=1", http.StatusTemporaryRedirect)
		}
		c, _ := client(t, r.URL, func(s *setup) { s.options.Keychain = k })
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if wantKind(t, err, upstream.Protocol); !errors.Is(err, upstream.ErrRefused) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	}
}

func TestTokenServiceFailures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		grant http.HandlerFunc
		kind  upstream.Kind
		code  string
		calls int32
	}{
		// GHCR, for repositories that do not exist or are private.
		{"denied", func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		}, upstream.Denied, "DENIED", 1},
		{"outage", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
			upstream.Unavailable, "", 4},
		{"no token, but something secret", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"x":"s3cret"}`) },
			upstream.Protocol, "", 1},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `s3cret`) }, upstream.Protocol, "", 1},
		{"endless", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 1<<20)) },
			upstream.Protocol, "", 1},
		{"rate limit", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
		}, upstream.RateLimited, "TOOMANYREQUESTS", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newTokenRegistry(t)
			r.grant = tc.grant
			c, _ := client(t, r.URL)
			_, err := c.Manifest(t.Context(), testRepo, "latest")
			e := wantKind(t, err, tc.kind)
			if e.Code != tc.code || e.Op != auth.Op || r.exchanges.Load() != tc.calls ||
				strings.Contains(e.Error(), "s3cret") {
				t.Errorf("after %d exchanges: %v", r.exchanges.Load(), e)
			}
			if tc.kind == upstream.RateLimited && e.RetryAfter != time.Hour {
				t.Errorf("retry after %s", e.RetryAfter)
			}
		})
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	c, _ := client(t, r.URL, func(s *setup) { s.options.Sessions = 3 })
	for i := range 10 {
		if _, err := c.Manifest(t.Context(), nametest.Repository(testRepo.Host()+"/"+fmt.Sprintf("org/app%d", i)),
			"latest"); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.sessions.Len(); n != 3 {
		t.Errorf("%d sessions are kept", n)
	}
}
