package complaints

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Many clients pull an image that the proxy does not have, some whole, some rechunked: the upstream serves everything once.
func coldPullsCoalesce(t *testing.T) {
	for _, tag := range []string{"tag", "digest"} {
		u := newUpstream(t)
		ref := "stable"
		if d := u.push("os/image:stable", image(1, 300_000, "amd64")); tag == "digest" {
			ref = d.String()
		}
		u.forget()
		p := newProxy(t, u, rechunks)
		var g errgroup.Group
		for range 40 {
			g.Go(func() error { return p.pull("os/image", ref) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if twice := u.repeated("GET", ""); len(twice) > 0 {
			t.Errorf("by %s, asked more than once: %v", tag, twice)
		}
		if n := u.count("GET", "/blobs/"); n != 2 {
			t.Errorf("by %s, %d blobs of 2", tag, n)
		}
	}
}

// heldBlob is a blob of 24 MiB whose download stops after 64 KiB until it is let go.
func heldBlob(t *testing.T, u *upstream) (path string, content []byte, release func()) {
	t.Helper()
	content = noise(7, 24<<20)
	path = u.largeBlob("os/image", content)
	u.forget()
	gate := make(chan struct{})
	u.blobsBreak(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Header.Get("Range") != "" {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:64<<10])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-gate:
			_, _ = w.Write(content[64<<10:])
		case <-r.Context().Done():
		}
		return true
	})
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return path, content, release
}

// A range of a cold blob is answered with exactly this range while the blob is still on its way: at its start, in what has
// arrived; at its end, by a part.
func coldRange(t *testing.T) {
	u := newUpstream(t)
	path, content, _ := heldBlob(t, u)
	p := newProxy(t, u)
	for rng, want := range map[string][]byte{
		"bytes=0-99": content[:100], "bytes=1000-1999": content[1000:2000], "bytes=-500": content[len(content)-500:],
		"bytes=20000000-20000099": content[20_000_000:20_000_100],
	} {
		a := p.get(path, "Range", rng)
		if a.status != http.StatusPartialContent || !bytes.Equal(a.body, want) {
			t.Errorf("%s: %s", rng, a)
		}
	}
	// A part of the upstream for each place, and nothing twice: two of the ranges lie in one part.
	if whole, ranged := u.count("GET", "/blobs/"), u.count("GET+range", "/blobs/"); whole != 0 || ranged != 3 {
		t.Errorf("%d downloads, %d ranges", whole, ranged)
	}
}

func coldRangeOnce(t *testing.T) {
	u := newUpstream(t)
	path, content, release := heldBlob(t, u)
	p := newProxy(t, u)
	if a := p.get(path, "Range", "bytes=10-19"); !bytes.Equal(a.body, content[10:20]) {
		t.Errorf("range: %s", a)
	}
	release()
	if a := p.get(path); !bytes.Equal(a.body, content) {
		t.Errorf("whole: %s", a)
	}
	if a := p.get(path, "Range", "bytes=-10"); !bytes.Equal(a.body, content[len(content)-10:]) {
		t.Errorf("the end: %s", a)
	}
	// One part for the range that came first; the download that follows is the only one.
	if whole, ranged := u.count("GET", "/blobs/"), u.count("GET+range", "/blobs/"); whole != 1 || ranged != 1 {
		t.Errorf("%d downloads, %d ranges", whole, ranged)
	}
}

func coldHead(t *testing.T) {
	u := newUpstream(t)
	path, content, _ := heldBlob(t, u)
	p := newProxy(t, u)
	for range 3 {
		a := p.ask(http.MethodHead, path)
		if a.status != http.StatusOK || a.header.Get("Content-Length") != fmt.Sprint(len(content)) {
			t.Errorf("%s, length %s", a, a.header.Get("Content-Length"))
		}
	}
	if n := u.count("GET", "/blobs/") + u.count("GET+range", "/blobs/"); n != 0 {
		t.Errorf("%d downloads", n)
	}
}

// The client that started a download leaves in its middle: others that read it notice nothing, and the blob is kept.
func clientLeaves(t *testing.T) {
	u := newUpstream(t)
	path, content, release := heldBlob(t, u)
	p := newProxy(t, u)
	ctx, leave := context.WithCancel(t.Context())
	req := must(http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil))
	first := must(p.web.Do(req))
	other := must(p.web.Get(p.url + path))
	if _, err := io.ReadFull(first.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	leave()
	_ = first.Body.Close()
	release()
	got, err := io.ReadAll(other.Body)
	_ = other.Body.Close()
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the other client got %d bytes, %v", len(got), err)
	}
	u.stop()
	eventually(t, "the blob is kept", func() bool { return bytes.Equal(p.get(path).body, content) })
}

// A body that breaks is continued by a range, which the upstream answers with the whole blob.
func resumeAnsweredWhole(t *testing.T) {
	u := newUpstream(t)
	content := noise(3, 1<<20)
	path := u.blob("os/image", content)
	u.blobsBreak(func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool {
		if r.Header.Get("Range") == "" {
			return half(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })(w, r, registry)
		}
		whole := r.Clone(r.Context())
		whole.Header.Del("Range")
		registry.ServeHTTP(w, whole)
		return true
	})
	p := newProxy(t, u)
	if a := p.get(path); a.status != http.StatusOK || !bytes.Equal(a.body, content) {
		t.Errorf("%s", a)
	}
	if n := u.count("GET+range", "/blobs/"); n != 1 {
		t.Errorf("%d ranges", n)
	}
}

func largeLayer(t *testing.T) {
	u := newUpstream(t)
	content := noise(4, 80<<20)
	path := u.largeBlob("os/image", content)
	p := newProxy(t, u)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			resp, err := p.web.Get(p.url + path)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			d, err := digest.FromReader(resp.Body)
			if err == nil && !strings.HasSuffix(path, d.String()) {
				err = fmt.Errorf("got %s", d)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// The first bytes of a cold blob arrive while the rest is still to come.
func firstPullStreams(t *testing.T) {
	u := newUpstream(t)
	path, content, release := heldBlob(t, u)
	p := newProxy(t, u)
	resp, err := p.web.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	start := make([]byte, 10_000)
	if _, err := io.ReadFull(resp.Body, start); err != nil || !bytes.Equal(start, content[:10_000]) {
		t.Fatalf("the start does not arrive: %v", err)
	}
	release()
	if rest, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(rest, content[10_000:]) {
		t.Errorf("%d more bytes, %v", len(rest), err)
	}
}
