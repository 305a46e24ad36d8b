package complaints

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/config"
)

// nobody is a digest that no registry has.
var nobody = digest.FromString("nobody has this").String()

// What was pulled is pulled again, manifest and blobs, when the upstream is gone.
func cachedWithoutUpstream(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	for name, change := range map[string]func(*config.Config){"original": func(*config.Config) {}, "rechunked": rechunks} {
		p := newProxy(t, u, change)
		had := p.want("/v2/os/image/manifests/stable", http.StatusOK, name)
		if err := p.pull("os/image", "stable"); err != nil {
			t.Fatal(err)
		}
		u.breaks(aborts)
		if got := p.want("/v2/os/image/manifests/stable", http.StatusOK, "stale"); !bytes.Equal(got.body, had.body) {
			t.Errorf("%s: another manifest", name)
		}
		if err := p.pull("os/image", "stable"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		u.breaks(nil)
	}
}

func deletedUpstream(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	p := newProxy(t, u, rechunks)
	had := p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	u.breaks(status(http.StatusNotFound, "NAME_UNKNOWN"))
	got := p.want("/v2/os/image/manifests/stable", http.StatusOK, "stale")
	if !bytes.Equal(got.body, had.body) {
		t.Error("another manifest")
	}
	if err := p.pull("os/image", "stable"); err != nil {
		t.Error(err)
	}
}

func unknownAndOutage(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 1000, "amd64"))
	p := newProxy(t, u)
	paths := map[string]string{
		"/v2/os/image/manifests/none": "MANIFEST_UNKNOWN", "/v2/os/image/manifests/" + nobody: "MANIFEST_UNKNOWN",
		"/v2/os/image/blobs/" + nobody: "BLOB_UNKNOWN",
	}
	for path, code := range paths {
		if a := p.get(path); a.status != http.StatusNotFound || a.code() != code {
			t.Errorf("unknown: %s: %s", path, a)
		}
	}
	u.stop()
	for path := range paths {
		if a := p.get(path); a.status != http.StatusServiceUnavailable || a.code() != "UNAVAILABLE" {
			t.Errorf("outage: %s: %s", path, a)
		}
	}
}

// A rate limit reaches the client with the time to wait, as seconds or as a date; meanwhile the upstream is left alone, and
// what is stored is served.
func rateLimitPassedThrough(t *testing.T) {
	for _, after := range []string{"100", time.Now().Add(100 * time.Second).UTC().Format(http.TimeFormat)} {
		u := newUpstream(t)
		u.push("os/image:stable", image(1, 1000, "amd64"))
		p := newProxy(t, u)
		p.want("/v2/os/image/manifests/stable", http.StatusOK, "original")
		u.breaks(status(http.StatusTooManyRequests, "TOOMANYREQUESTS", "Retry-After", after))
		u.forget()
		for range 3 {
			for _, path := range []string{"/v2/os/image/manifests/other", "/v2/os/image/blobs/" + nobody} {
				a := p.get(path)
				wait, _ := strconv.Atoi(a.header.Get("Retry-After"))
				if a.status != http.StatusTooManyRequests || a.code() != "TOOMANYREQUESTS" || wait < 60 || wait > 100 {
					t.Errorf("%s: %s, Retry-After %q", path, a, a.header.Get("Retry-After"))
				}
			}
		}
		p.want("/v2/os/image/manifests/stable", http.StatusOK, "stale")
		if n := u.count("GET", "") + u.count("HEAD", ""); n != 1 {
			t.Errorf("the upstream was asked %d times after it said to wait", n)
		}
	}
}

func cachedPullIsOneHead(t *testing.T) {
	u := newUpstream(t)
	u.pushIndex("os/image:stable", 1)
	p := newProxy(t, u, rechunks)
	p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	u.forget()
	p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	if all, heads := u.count("GET", "")+u.count("HEAD", ""), u.count("HEAD", "/manifests/stable"); all != 1 || heads != 1 {
		t.Errorf("%d requests, %d of them for the tag's digest; want one", all, heads)
	}
	p = newProxy(t, u, rechunks, func(c *config.Config) { c.Repositories[0].Refresh = config.Duration(time.Hour) })
	p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	u.forget()
	p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	if n := u.count("GET", "") + u.count("HEAD", ""); n != 0 {
		t.Errorf("%d requests within refresh", n)
	}
}

// An upstream that takes connections and says nothing.
func silentUpstream(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 1000, "amd64"))
	p := newProxy(t, u, upstreamSettings(func(s *config.Upstream) {
		s.Timeout,
			s.Attempts = config.Duration(300*time.Millisecond), 1
	}))
	p.want("/v2/os/image/manifests/stable", http.StatusOK, "original")
	u.breaks(hangs)
	u.forget()
	for range 5 {
		p.want("/v2/os/image/manifests/stable", http.StatusOK, "stale")
	}
	if n := u.count("HEAD", ""); n != 1 {
		t.Errorf("%d pulls waited for the upstream, want one", n)
	}
	if a := p.get("/v2/os/image/manifests/other"); a.status != http.StatusGatewayTimeout || a.code() != "UNAVAILABLE" {
		t.Errorf("a tag that nobody knows: %s", a)
	}
}

// What a killed process left behind, in the working directory and in the store, stands in nobody's way.
func staleWorkDirectory(t *testing.T) {
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	p := newProxy(t, u, rechunks, func(c *config.Config) {
		work := filepath.Join(filepath.Dir(c.Storage.Parameters["rootdirectory"].(string)), "strata-work")
		for _, name := range []string{"strata-download-1", "rechunk-1/spool", "lock"} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(work, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(work, name), []byte("left over"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
}

// A download takes at least as long as the cap says.
func bandwidthCap(t *testing.T) {
	u := newUpstream(t)
	content := noise(1, 1_200_000)
	path := u.blob("os/image", content)
	p := newProxy(t, u, upstreamSettings(func(s *config.Upstream) { s.Bandwidth = 1_000_000 }))
	start := time.Now()
	if a := p.get(path); !bytes.Equal(a.body, content) {
		t.Errorf("%s", a)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("1.2 MB at 1 MB/s took %s", took)
	}
}

// After any failure the proxy works again as soon as the upstream does.
func recovers(t *testing.T) {
	u := newUpstream(t)
	content := noise(1, 200_000)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	path := u.blob("os/image", content)
	p := newProxy(t, u, rechunks)
	for name, f := range map[string]fault{
		"500": status(http.StatusInternalServerError, ""), "404": status(http.StatusNotFound, ""),
		"403":   status(http.StatusForbidden, ""),
		"reset": once(aborts), "wrong bytes": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			_, _ = w.Write(noise(9, 1000))
			return true
		},
	} {
		u.breaks(f)
		_ = p.get(path)
		_ = p.get("/v2/os/image/manifests/stable")
		u.breaks(nil)
		if err := p.pull("os/image", "stable"); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if a := p.get(path); !bytes.Equal(a.body, content) {
		t.Errorf("%s", a)
	}
}

// A disk that is full keeps nobody from pulling: what cannot be kept is passed through, what is stored is served, and room
// that is made is used.
func fullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("needs to mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	content := noise(5, 4<<20)
	large := u.largeBlob("os/image", content)
	p := newProxy(t, u, func(c *config.Config) { c.Storage.Parameters["rootdirectory"] = filepath.Join(disk, "data") })
	if err := p.pull("os/image", "stable"); err != nil {
		t.Fatal(err)
	}
	if a := p.get(large); !bytes.Equal(a.body, content) {
		t.Errorf("a blob that is larger than the disk is not passed through: %s", a)
	}
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, noise(6, 3<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	if err := p.pull("os/image", "stable"); err != nil {
		t.Errorf("what is stored: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	u.push("os/image:next", image(2, 200_000, "amd64"))
	if err := p.pull("os/image", "next"); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

// TestOutage breaks the upstream in each of the ways that there are. What is stored is served, marked stale where a tag
// could not be checked; what is not gets an error that says whose fault it is and when to come back.
func TestOutage(t *testing.T) {
	t.Parallel()
	redirect := func(to string) fault {
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
	}
	for name, tc := range map[string]struct {
		fault          fault
		manifest, blob int // what a client gets that asks for something new; 0: a body that ends short
		code           string
		retryAfter     bool
	}{
		"refused":             {nil, 503, 503, "UNAVAILABLE", false},
		"reset":               {aborts, 503, 503, "UNAVAILABLE", false},
		"silent":              {hangs, 504, 504, "UNAVAILABLE", false},
		"401":                 {status(401, "UNAUTHORIZED"), 403, 403, "DENIED", false},
		"403":                 {status(403, "DENIED"), 403, 403, "DENIED", false},
		"404":                 {status(404, ""), 404, 404, "_UNKNOWN", false},
		"429 seconds":         {status(429, "TOOMANYREQUESTS", "Retry-After", "100"), 429, 429, "TOOMANYREQUESTS", true},
		"500":                 {status(500, ""), 503, 503, "UNAVAILABLE", false},
		"502":                 {status(502, ""), 503, 503, "UNAVAILABLE", false},
		"503 Retry-After":     {status(503, "", "Retry-After", "100"), 503, 503, "UNAVAILABLE", true},
		"504":                 {status(504, ""), 503, 503, "UNAVAILABLE", false},
		"418":                 {status(418, ""), 502, 502, "UNAVAILABLE", false},
		"dead host":           {redirect("http://127.0.0.1:1/x"), 503, 503, "UNAVAILABLE", false},
		"other scheme":        {redirect("ftp://127.0.0.1/x"), 502, 502, "UNAVAILABLE", false},
		"file":                {redirect("file:///etc/passwd"), 502, 502, "UNAVAILABLE", false},
		"metadata service":    {redirect("http://169.254.169.254/latest/"), 502, 502, "UNAVAILABLE", false},
		"metadata as IPv6":    {redirect("http://[::ffff:169.254.169.254]/"), 502, 502, "UNAVAILABLE", false},
		"metadata over NAT64": {redirect("http://[64:ff9b::a9fe:a9fe]/"), 502, 502, "UNAVAILABLE", false},
		"unspecified":         {redirect("http://0.0.0.0/"), 502, 502, "UNAVAILABLE", false},
		"user name":           {redirect("http://me:secret@127.0.0.1/"), 502, 502, "UNAVAILABLE", false},
		"circle": {func(w http.ResponseWriter, r *http.Request, h http.Handler) bool {
			return redirect(r.URL.Path)(w, r, h)
		}, 502, 502, "UNAVAILABLE", false},
		"no location": {redirect(""), 502, 502, "UNAVAILABLE", false},
		"token realm inside": {status(401, "", "WWW-Authenticate", `Bearer realm="http://169.254.169.254/token"`), 502, 502,
			"UNAVAILABLE", false},
		"token realm hidden": {status(401, "", "WWW-Authenticate", `Bearer realm="https://[::169.254.169.254]/token"`), 502,
			502, "UNAVAILABLE", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			u.push("os/image:stable", image(1, 50_000, "amd64"))
			u.push("os/image:new", image(2, 50_000, "amd64"))
			newBlob := u.blob("os/image", noise(3, 50_000))
			p := newProxy(t, u, upstreamSettings(func(s *config.Upstream) {
				s.Timeout,
					s.Attempts = config.Duration(500*time.Millisecond), 1
			}))
			p.want("/v2/os/image/manifests/stable", http.StatusOK, "original")
			if err := p.pull("os/image", "stable"); err != nil {
				t.Fatal(err)
			}
			if u.breaks(tc.fault); tc.fault == nil {
				u.stop()
			}
			p.want("/v2/os/image/manifests/stable", http.StatusOK, "stale")
			if err := p.pull("os/image", "stable"); err != nil {
				t.Errorf("what is stored: %v", err)
			}
			for path, want := range map[string]int{"/v2/os/image/manifests/new": tc.manifest, newBlob: tc.blob} {
				a := p.get(path)
				if a.status != want || !strings.Contains(a.code(), tc.code) ||
					(a.header.Get("Retry-After") != "") != tc.retryAfter && !held(a) {
					t.Errorf("%s: %s, Retry-After %q", path, a, a.header.Get("Retry-After"))
				}
				if strings.Contains(string(a.body), "169.254") || strings.Contains(string(a.body), "secret") {
					t.Errorf("the client is told where the upstream led: %s", a.body)
				}
			}
		})
	}
}

// held reports whether an answer comes from an open breaker, which says when it is worth to come back.
func held(a answer) bool { return a.status == http.StatusServiceUnavailable }

// TestBrokenBodies breaks blobs on their way. A break is resumed; what stays broken never looks whole.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	content := noise(1, 400_000)
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	var tokens atomic.Int64
	for name, tc := range map[string]struct {
		fault fault
		whole bool
	}{
		"reset once":  {once(half(abort)), true},
		"stalls once": {once(half(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })), true},
		"truncated once": {once(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			_, _ = w.Write(content[:100_000]) // and a length to match
			return true
		}), false},
		"wrong bytes": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(noise(2, len(content)))
			return true
		}, false},
		"last byte wrong": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			wrong := bytes.Clone(content)
			wrong[len(wrong)-1] ^= 1
			_, _ = w.Write(wrong)
			return true
		}, false},
		"chunked": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			for part := range len(content) / 50_000 {
				_, _ = w.Write(content[part*50_000 : (part+1)*50_000])
				_ = http.NewResponseController(w).Flush()
			}
			return true
		}, true},
		"chunked, wrong": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			_, _ = w.Write(content[:200_000])
			_ = http.NewResponseController(w).Flush()
			return true
		}, false},
		"token expires on the way": {func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool {
			if strings.Contains(r.Header.Get("Authorization"), fmt.Sprint("token-", tokens.Load())) && tokens.Load() > 0 {
				if tokens.Load() > 1 {
					return false
				}
				return half(func(http.ResponseWriter, *http.Request) {
					tokens.Add(1)
					panic(http.ErrAbortHandler)
				})(w, r, registry)
			}
			return status(401, "UNAUTHORIZED", "WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, r.Host))(w,
				r, registry)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			path := u.blob("os/image", content)
			u.breaks(func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool {
				if r.URL.Path == "/token" {
					tokens.CompareAndSwap(0, 1)
					fmt.Fprintf(w, `{"token":"token-%d"}`, tokens.Load())
					return true
				}
				return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && tc.fault(w, r, registry)
			})
			p := newProxy(t, u, upstreamSettings(func(s *config.Upstream) {
				s.Timeout = config.Duration(500 * time.Millisecond)
			}))
			a, err := p.send(t.Context(), http.MethodGet, path)
			a.err = errors.Join(a.err, err) // of a connection that ended before there was a status, too
			if whole := a.status == http.StatusOK && a.err == nil && bytes.Equal(a.body, content); whole != tc.whole {
				t.Errorf("%s", a)
			}
			if !tc.whole && a.status == http.StatusOK && a.err == nil {
				t.Errorf("it looks whole: %s", a)
			}
			u.breaks(nil)
			if a := p.get(path); a.status != http.StatusOK || !bytes.Equal(a.body, content) {
				t.Errorf("when the upstream works again: %s", a)
			}
		})
	}
}
