package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
)

// ask asks for a path and returns the status, and the name of the certificate that answered.
func ask(t *testing.T, url string, c *tls.Config, user string) (status int, common string, err error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.TLS != nil {
		common = response.TLS.PeerCertificates[0].Subject.CommonName
		if response.ProtoMajor != 2 {
			t.Errorf("%s is answered by %s", url, response.Proto)
		}
	}
	return response.StatusCode, common, nil
}

func hash(t *testing.T, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A new certificate is used from the next handshake on; one that does not fit its key is not.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.issue("one")
	c := configuration(t)
	c.TLS.CertFile, c.TLS.KeyFile = put(t, dir, "crt", cert), put(t, dir, "key", key)
	url := "https://" + serve(t, c).Addr().String() + "/v2/"
	want := func(name string) {
		t.Helper()
		for range 200 {
			status, got, err := ask(t, url, a.client(""), "")
			if err != nil || status != 200 {
				t.Fatal(status, err)
			}
			if got == name {
				return
			}
			time.Sleep(20 * time.Millisecond) // files are looked at once a second
		}
		t.Errorf("the certificate of %s is not used", name)
	}
	want("one")
	cert, key = a.issue("two")
	put(t, dir, "crt", cert)
	want("one") // the key is still the first one's
	put(t, dir, "key", key)
	want("two")
	old := &tls.Config{RootCAs: a.pool(), MaxVersion: tls.VersionTLS11} //nolint:gosec // refused
	if _, _, err := ask(t, url, old, ""); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

// A client says who it is by certificate or by password.
func TestCertificateOrPassword(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.issue("proxy")
	c := configuration(t)
	c.TLS = config.TLS{
		CertFile: put(t, dir, "crt", cert), KeyFile: put(t, dir, "key", key), ClientCAFile: put(t, dir, "ca", a.pem()),
		ClientAuth: config.ClientAuthRequest,
	}
	c.Access.HtpasswdFile = put(t, dir, "htpasswd", []byte("alice:"+hash(t, "secret")+"\n"))
	url := "https://" + serve(t, c).Addr().String() + "/v2/"
	stranger := newAuthority(t).client("host1")
	stranger.RootCAs = a.pool()
	for name, tc := range map[string]struct {
		tls    *tls.Config
		user   string
		status int
	}{
		"certificate": {a.client("host1"), "", 200}, "password": {a.client(""), "alice:secret", 200},
		"nothing": {a.client(""), "", 401}, "wrong": {a.client(""), "alice:x", 401},
		"another authority's": {stranger, "", 0},
	} {
		status, _, err := ask(t, url, tc.tls, tc.user)
		if status != tc.status || (err != nil) != (tc.status == 0) {
			t.Errorf("%s: %d, %v", name, status, err)
		}
	}
	c2 := configuration(t)
	c2.TLS, c2.TLS.ClientAuth = c.TLS, config.ClientAuthRequire
	url = "https://" + serve(t, c2).Addr().String() + "/v2/"
	if _, _, err := ask(t, url, a.client(""), ""); err == nil {
		t.Error("a connection without the certificate that is required")
	}
}

// reloadable is a server whose next configuration the test sets.
func reloadable(t *testing.T, first *config.Config) (*server.Server, func(*config.Config, error)) {
	t.Helper()
	var mu sync.Mutex
	next, nextErr := first, error(nil)
	s, err := server.New(t.Context(), server.Options{Config: first, Load: func() (*config.Config, []string, error) {
		mu.Lock()
		defer mu.Unlock()
		return next, []string{"careful"}, nextErr
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the server's end
		if left, err := filepath.Glob(filepath.Join(first.WorkDirectory(), "htpasswd-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return run(t, s), func(c *config.Config, err error) {
		mu.Lock()
		defer mu.Unlock()
		next, nextErr = c, err
	}
}

// Reloading takes over all or nothing, while clients go on asking.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := configuration(t)
	s, set := reloadable(t, first)
	url := "http://" + s.Addr().String() + "/v2/"
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	operator := admin.NewClient("http://"+s.AdminAddr().String(), &http.Client{Transport: transport})

	change := func(f func(*config.Config)) *config.Config {
		c := *first
		f(&c)
		return &c
	}
	want := func(status int, user string) {
		t.Helper()
		if got, _, err := ask(t, url, nil, user); err != nil || got != status {
			t.Errorf("%d, %v; want %d", got, err, status)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var pulls sync.WaitGroup
	for range 4 {
		pulls.Go(func() {
			for ctx.Err() == nil {
				if got, _, err := ask(t, url, nil, "alice:secret"); err != nil || got != 200 {
					t.Errorf("during a reload: %d, %v", got, err)
				}
			}
		})
	}
	defer pulls.Wait()
	defer stop()

	want(200, "")
	closed := change(func(c *config.Config) {
		c.Access.HtpasswdFile = put(t, dir, "htpasswd", []byte("alice:"+hash(t, "secret")+"\n"))
	})
	for range 5 {
		set(closed, nil)
		if warnings, err := operator.Reload(t.Context()); err != nil || len(warnings) != 1 {
			t.Fatal(warnings, err)
		}
		want(401, "")
	}
	for name, tc := range map[string]struct {
		cfg  *config.Config
		err  error
		says string
	}{
		"broken file": {nil, errors.New("c.yml:1:1: no such key"), "no such key"},
		"needs restart": {change(func(c *config.Config) { c.Listen, c.Jobs = "127.0.0.1:1", 2 }), nil,
			"jobs: a change needs a restart\nlisten: a change needs a restart"},
		"missing file": {change(func(c *config.Config) { c.Access.HtpasswdFile = filepath.Join(dir, "none") }), nil,
			"access.htpasswd_file"},
		"bad upstream": {change(func(c *config.Config) {
			c.Upstreams = map[string]config.Upstream{"ghcr.io": {CAFile: filepath.Join(dir, "none")}}
		}), nil, "upstream ghcr.io"},
		"bad token file": {change(func(c *config.Config) { c.Admin.TokenFile = filepath.Join(dir, "none") }), nil,
			"admin.token_file"},
	} {
		set(tc.cfg, tc.err)
		if _, err := operator.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		want(401, "")
		want(200, "alice:secret")
	}
	token := change(func(c *config.Config) { c.Admin.Token = config.NewSecret("0123456789abcdef") })
	set(token, nil)
	if _, err := operator.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(200, "")
	if _, err := operator.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("an operator without the new login: %v", err)
	}
}
