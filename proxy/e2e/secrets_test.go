package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strata-oci/strata/proxy/programtest"
)

// The secrets of the test, one for each way in; none of them may come out.
const (
	secretUpstream = "hush-upstream-4f1c9d"
	secretQuery    = "hush-signature-82ab77"
	secretClient   = "hush-client-90ee21"
	secretAdmin    = "hush-admin-token-55d013"
	secretStorage  = "hush-storage-key-1b7a40"
)

// guardedUpstream wants a login and sends clients elsewhere for blobs, by URLs that are secrets. Broken, it repeats in its
// errors what it was sent.
func guardedUpstream(u *upstream, broken func() bool) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if path, ok := strings.CutPrefix(r.URL.Path, "/cdn"); ok {
				if r.URL.Query().Get("X-Amz-Signature") != secretQuery {
					http.Error(w, "no signature", http.StatusForbidden)
					return
				}
				if broken() {
					http.Error(w, "bad request "+r.URL.String(), http.StatusForbidden)
					return
				}
				r.URL.Path, r.URL.RawQuery = path, ""
				next.ServeHTTP(w, r)
				return
			}
			if _, password, _ := r.BasicAuth(); password != secretUpstream {
				w.Header().Set("WWW-Authenticate", `Basic realm="upstream"`)
				http.Error(w, `{"errors":[]}`, http.StatusUnauthorized)
				return
			}
			switch {
			case broken() && strings.Contains(r.URL.Path, "/manifests/"):
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprintf(w, `{"errors":[{"code":"UNKNOWN","message":"login %s, header %s"}]}`, secretUpstream,
					r.Header.Get("Authorization"))
			case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/"):
				http.Redirect(w, r, u.server.URL+"/cdn"+r.URL.Path+"?X-Amz-Signature="+secretQuery,
					http.StatusTemporaryRedirect)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// TestSecrets runs a proxy that knows secrets through success and failure, with everything logged, and looks for them
// wherever the proxy writes.
func TestSecrets(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("os/image:v1", series(true)[0])
	u.push("os/image:v2", series(true)[1])
	failing := make(chan struct{})
	u.setGate(guardedUpstream(u, func() bool {
		select {
		case <-failing:
			return true
		default:
			return false
		}
	}))
	users := htpasswd(t, "alice:"+secretClient)
	p := newProxy(t, u, proxyOptions{
		top: "access: {htpasswd_file: " + users + "}\n",
		env: []string{
			"STRATA_LOG_LEVEL=debug", "STRATA_ADMIN_TOKEN=" + secretAdmin,
			"STRATA_UPSTREAMS_REGISTRY_TEST_USERNAME=robot", "STRATA_UPSTREAMS_REGISTRY_TEST_PASSWORD=" + secretUpstream,
		},
	})
	var told strings.Builder // what clients and operators got to see
	pull := func(tag, password string, ok bool) {
		t.Helper()
		img, err := remote.Image(reference(t, p.image("os/image:"+tag)),
			remote.WithAuth(&authn.Basic{Username: "alice", Password: password}))
		if err == nil {
			_, err = img.ConfigFile()
		}
		if (err == nil) != ok {
			t.Errorf("pull of %s: %v", tag, err)
		}
		fmt.Fprintln(&told, err)
	}
	operators := []string{"STRATA_ADMIN_TOKEN=" + secretAdmin, "STRATA_ADMIN_URL=http://" + p.Operators}
	operate := func(env []string, args ...string) error {
		out, err := try(t, env, program, args...)
		fmt.Fprintln(&told, out, err)
		return err
	}
	pull("v1", secretClient, true)
	pull("v1", secretClient+"-wrong", false)
	if err := operate(operators, "warm", upstreamHost+"/os/image:v1"); err != nil {
		t.Error(err)
	}
	close(failing)
	pull("v2", secretClient, false)
	pull("v1", secretClient, true) // as it was
	if err := operate(operators, "warm", upstreamHost+"/os/image:v2"); err == nil {
		t.Error("warming works while the upstream does not")
	}
	if err := operate(append(operators, "STRATA_ADMIN_TOKEN="+secretAdmin+"-wrong"), "status"); err == nil {
		t.Error("a wrong token is an operator's")
	}
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"status", upstreamHost + "/os/image", "--json"}} {
		if err := operate(operators, args...); err != nil {
			t.Error(err)
		}
	}
	p.breakConfiguration(t)
	if err := operate(operators, "reload"); err == nil {
		t.Error("a broken configuration is taken over")
	}
	for _, path := range []string{"/metrics", "/readyz", "/api/v1/status", "/api/v1/jobs", "/"} {
		fmt.Fprintln(&told, p.operatorGet(t, path))
	}
	_, err := try(t, []string{
		"STRATA_STORAGE_S3_BUCKET=b", "STRATA_STORAGE_S3_REGION=r", "STRATA_STORAGE_S3_ACCESSKEY=a",
		"STRATA_STORAGE_S3_SECRETKEY=" + secretStorage,
		"STRATA_STORAGE_S3_REGIONENDPOINT=http://user:" + secretStorage + "@127.0.0.1:1", "STRATA_WORK_DIR=" + t.TempDir(),
		"STRATA_LISTEN=nowhere",
	}, program, "serve")
	if err == nil {
		t.Error("a proxy without an address runs")
	}
	fmt.Fprintln(&told, err)
	for _, line := range p.Log.Find(func(programtest.Line) bool { return true }) {
		fmt.Fprintln(&told, line)
	}
	for _, secret := range []string{secretUpstream, secretQuery, secretClient, secretAdmin, secretStorage, "$2a$",
		"Basic "} {
		for line := range strings.Lines(told.String()) {
			if strings.Contains(line, secret) {
				t.Errorf("%q comes out: %s", secret, line)
			}
		}
	}
	if !strings.Contains(told.String(), "level:DEBUG") {
		t.Error("nothing was logged in detail")
	}
}

// breakConfiguration leaves the file with a secret in the wrong place.
func (p *proxy) breakConfiguration(t *testing.T) {
	t.Helper()
	text := "admin:\n  token: [" + secretAdmin + "]\nupstreams:\n  registry.test:\n    password: {a: " + secretUpstream +
		"}\n    url: http://robot:" +
		secretUpstream + "@registry.test\n"
	if err := os.WriteFile(filepath.Clean(p.config), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// operatorGet asks the listener for operators for a path.
func (p *proxy) operatorGet(t *testing.T, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Operators+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secretAdmin)
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", path, response.Status)
	}
	b, _ := body(t, response)
	return string(b)
}
