package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"
)

// htpasswd writes a password file, "user:password" each.
func htpasswd(tb testing.TB, users ...string) string {
	tb.Helper()
	var text strings.Builder
	for _, user := range users {
		name, password, _ := strings.Cut(user, ":")
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			tb.Fatal(err)
		}
		text.WriteString(name + ":" + string(hash) + "\n")
	}
	path := filepath.Join(tb.TempDir(), "htpasswd")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// newGuarded is a proxy at which alice may pull os/image, whoever is let in os/open, and nobody os/shut.
func newGuarded(t *testing.T, u *upstream, anonymous string) *proxy {
	t.Helper()
	return newProxy(t, u, proxyOptions{top: `
access:
  anonymous: ` + anonymous + `
  htpasswd_file: ` + htpasswd(t, "alice:wonder", "bob:builder") + `
  rules:
    - {match: ` + upstreamHost + `/os/image, allow: [alice]}
    - {match: ` + upstreamHost + `/os/open, allow: ["*"]}
    - {match: ` + upstreamHost + `/os/shut, allow: []}
`})
}

// Real clients log in, and get what they may; nothing of what they send reaches the upstream, nor a request for what they
// may not.
func TestLogin(t *testing.T) {
	t.Parallel()
	for _, anonymous := range []string{"false", "true"} {
		t.Run("anonymous "+anonymous, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			for _, repository := range []string{"os/image:v1", "os/open:v1", "os/shut:v1"} {
				u.push(repository, series(true)[0])
			}
			var mu sync.Mutex
			var sent []string
			u.setGate(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.Path, "shut") {
						sent = append(sent, r.URL.Path)
					}
					mu.Unlock()
					next.ServeHTTP(w, r)
				})
			})
			p := newGuarded(t, u, anonymous)
			for _, tc := range []struct {
				image, creds string
				ok           bool
			}{
				{"os/image:v1", "alice:wonder", true}, {"os/image:v1", "alice:wrong", false},
				{"os/image:v1", "bob:builder", false},
				{"os/image:v1", "", false}, {"os/open:v1", "bob:builder", true}, {"os/open:v1", "", anonymous == "true"},
				{"os/shut:v1", "alice:wonder", false}, {"os/none:v1", "alice:wonder", false},
			} {
				t.Run(tc.image+" "+tc.creds, func(t *testing.T) {
					p.tryPull(t, tc.image, tc.creds, tc.ok)
				})
			}
			mu.Lock()
			defer mu.Unlock()
			if len(sent) > 0 {
				t.Errorf("the upstream saw %v", sent)
			}
		})
	}
}

// tryPull asks for an image with the crane library and with skopeo.
func (p *proxy) tryPull(t *testing.T, image, creds string, ok bool) {
	t.Helper()
	auth := authn.Anonymous
	flags := []string{"--no-creds"}
	if user, password, found := strings.Cut(creds, ":"); found {
		auth = &authn.Basic{Username: user, Password: password}
		flags = []string{"--creds", creds}
	}
	ref := reference(t, p.image(image))
	img, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithAuth(auth))
	if err == nil {
		_, err = img.ConfigFile()
	}
	if (err == nil) != ok {
		t.Errorf("crane: %v", err)
	}
	need(t, "skopeo")
	args := append([]string{"inspect", "--tls-verify=false"}, flags...)
	if _, err = try(t, nil, "skopeo", append(args, "docker://"+p.image(image))...); (err == nil) != ok {
		t.Errorf("skopeo: %v", err)
	}
}

func TestPodmanLogin(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("os/image:v1", series(true)[0])
	p := newGuarded(t, u, "false")
	m := newPodman(t)
	file := filepath.Join(m.dir, "auth.json")
	login := func(password string) error {
		_, err := try(t, m.env, "podman",
			m.args("login", "--tls-verify=false", "--authfile", file, "-u", "alice", "-p", password, p.Clients)...)
		return err
	}
	pull := func() error {
		_, err := try(t, m.env, "podman",
			m.args("pull", "--quiet", "--tls-verify=false", "--authfile", file, "--signature-policy",
				m.dir+"/policy.json", p.image("os/image:v1"))...)
		return err
	}
	if err := login("wrong"); err == nil {
		t.Error("podman login takes a wrong password")
	}
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pull(); err == nil {
		t.Error("podman pulls without a login")
	}
	if err := login("wonder"); err != nil {
		t.Fatal(err)
	}
	if err := pull(); err != nil {
		t.Error(err)
	}
}
