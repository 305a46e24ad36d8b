package client

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

// A server that is down costs each caller a few attempts until it is known, and nothing after that.
func TestDownUpstreamFailsFast(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	})
	c, _ := client(t, srv.URL)
	for range 5 {
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		wantKind(t, err, upstream.Unavailable)
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("asked %d times, want 5", n)
	}
	_, err := c.StatBlob(t.Context(), testRepo, digest.FromString("x"))
	if e := wantKind(t, err, upstream.Unavailable); !errors.Is(err, upstream.ErrHeld) || e.RetryAfter <= 0 ||
		e.RetryAfter > 10*time.Second {
		t.Errorf("got %+v", e)
	}
	s := c.Status()
	if len(s) != 1 || s[0].Host != testRepo.Host() || s[0].State != "open" || s[0].Held < 4 || s[0].Running != 0 {
		t.Errorf("status: %+v", s)
	}
}

// A content network that is down does not keep the registry from being asked, nor the other way round.
func TestEachServerHasItsGate(t *testing.T) {
	t.Parallel()
	cdn := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, cdn.URL, http.StatusTemporaryRedirect)
			return
		}
		_, _ = w.Write([]byte("{}"))
	})
	c, _ := client(t, srv.URL)
	for range 3 {
		_, _, err := c.Blob(t.Context(), testRepo, digest.FromString("x"), -1)
		wantKind(t, err, upstream.Unavailable)
	}
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Errorf("the registry is not asked: %v", err)
	}
}

func TestRateIsKept(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	c, clock := client(t, srv.URL, func(s *setup) { s.config.Rate = 2 })
	start := clock.now()
	for range 10 {
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if took := clock.now().Sub(start); took != 4*time.Second { // two at once, then two a second
		t.Errorf("ten requests took %s", took)
	}
}

func TestBandwidthIsKept(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("x", 1<<20)
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(content)) })
	c, clock := client(t, srv.URL, func(s *setup) { s.config.Bandwidth = 64 << 10 })
	start := clock.now()
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromString(content), -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, r); err != nil {
		t.Fatal(err)
	}
	if took := clock.now().Sub(start); took < 14*time.Second || took > 17*time.Second {
		t.Errorf("1 MiB at 64 KiB a second took %s", took)
	}
}

// Of many downloads some run, the others wait; manifests still get through.
func TestDownloadsAreBounded(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("x", 100)
	var now, most atomic.Int64
	full, goOn := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(full) })
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = w.Write([]byte("{}"))
			return
		}
		n := now.Add(1)
		most.Store(max(most.Load(), n))
		if n == 3 {
			once()
		}
		<-goOn
		now.Add(-1)
		_, _ = w.Write([]byte(content))
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.config.MaxConnections, s.config.MaxDownloads = 4, 3 })
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			r, _, err := c.Blob(t.Context(), testRepo, digest.FromString(content), -1)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := readAll(t, r); err != nil {
				t.Error(err)
			}
		})
	}
	<-full
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Errorf("a manifest beside the downloads: %v", err)
	}
	close(goOn)
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d downloads at once", most.Load())
	}
	if s := c.Status()[0]; s.Running != 0 {
		t.Errorf("%d requests run after all have ended", s.Running)
	}
}

func TestRedirectHosts(t *testing.T) {
	t.Parallel()
	content := "layer"
	cdn := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(content)) })
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, cdn.URL+"/x", http.StatusFound) })
	for listed, ok := range map[string]bool{"127.0.0.1": true, "cdn.example.com": false} {
		c, _ := client(t, srv.URL, func(s *setup) { s.config.RedirectHosts = []string{listed} })
		r, _, err := c.Blob(t.Context(), testRepo, digest.FromString(content), -1)
		if ok != (err == nil) {
			t.Errorf("redirect_hosts %s: %v", listed, err)
		}
		if err == nil {
			_, _ = readAll(t, r)
		} else if !errors.Is(err, upstream.ErrRefused) {
			t.Errorf("refused with %v", err)
		}
	}
}
