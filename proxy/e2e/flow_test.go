package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/programtest"
)

// jobs counts the proxy's jobs.
type jobs struct {
	Running int `json:"running"`
	Queued  int `json:"queued"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

func (p *proxy) jobs() jobs {
	p.tb.Helper()
	var status struct {
		Jobs jobs `json:"jobs"`
	}
	strata(p.tb, &status, "status", "--admin", "http://"+p.Operators)
	return status.Jobs
}

// wantManifest asks for a manifest by its path and checks the status and the Strata-Served header; it returns the digest.
func (p *proxy) wantManifest(path string, status int, served string) digest.Digest {
	p.tb.Helper()
	resp := p.get(path)
	b, d := body(p.tb, resp)
	if resp.StatusCode != status {
		p.tb.Fatalf("%s: status %d, want %d: %s", path, resp.StatusCode, status, b)
	}
	if got := resp.Header.Get("Strata-Served"); got != served {
		p.tb.Errorf("%s: Strata-Served %q, want %q", path, got, served)
	}
	if got := resp.Header.Get("Docker-Content-Digest"); got != d.String() {
		p.tb.Errorf("%s: Docker-Content-Digest %q of %s", path, got, d)
	}
	return d
}

// TestManyColdClients lets a fleet pull an image that the proxy does not have.
func TestManyColdClients(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{})
	ref := reference(t, p.image("os/image:v1"))
	var g errgroup.Group
	got := make([]string, 16)
	for i := range got {
		g.Go(func() (err error) {
			got[i], err = pullAll(t.Context(), ref)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(got); got[0] != got[15] {
		t.Errorf("clients got different images: %v", slices.Compact(got))
	}
	for path, n := range u.fetched("/blobs/") {
		if n != 1 {
			t.Errorf("the upstream served %s %d times", path, n)
		}
	}
	if blobs := u.fetched("/blobs/"); len(blobs) != 3 {
		t.Errorf("the upstream served %d blobs, its image has 3", len(blobs))
	}
	if j := p.jobs(); j.Done != 1 || j.Failed+j.Skipped != 0 {
		t.Errorf("jobs: %+v, want one", j)
	}
}

// pullAll pulls an image with all of its layers, checks their digests and returns its own.
func pullAll(ctx context.Context, ref name.Reference) (string, error) {
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return "", err
	}
	layers, err := img.Layers()
	if err != nil {
		return "", err
	}
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return "", err
		}
		r, err := l.Compressed()
		if err != nil {
			return "", err
		}
		if got, err := digest.FromReader(r); err != nil || got.String() != d.String() {
			return "", fmt.Errorf("layer %s arrives as %s: %w", d, got, err)
		}
	}
	d, err := img.Digest()
	return d.String(), err
}

func TestFirstPullOriginal(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	source := u.push("os/image:stable", series(false)[0])
	h := u.holdBlobs(200_000)
	p := newProxy(t, u, proxyOptions{rule: "first_pull: original"})
	if got := p.wantManifest("os/image/manifests/stable", http.StatusOK, "original"); got != source.digest() {
		t.Errorf("the first pull gives %s, the source is %s", got, source.digest())
	}
	h.release()
	until(t, "the served image", func() bool { return p.jobs().Done == 1 })
	until(t, "the tag's move", func() bool {
		return p.get("os/image/manifests/stable").Header.Get("Strata-Served") == "rechunked"
	})
	if got := p.wantManifest("os/image/manifests/stable", http.StatusOK, "rechunked"); got == source.digest() {
		t.Error("the rechunked image has the source's digest")
	}
}

// TestTagMoves pulls a tag whose image changes: the version before is served until the new one is made.
func TestTagMoves(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("os/image:stable", series(false)[0])
	p := newProxy(t, u, proxyOptions{})
	first := p.wantManifest("os/image/manifests/stable", http.StatusOK, "rechunked")
	h := u.holdBlobs(200_000)
	source := u.push("os/image:stable", series(false)[1])
	if got := p.wantManifest("os/image/manifests/stable", http.StatusOK, "rechunked"); got != first {
		t.Errorf("while the second version is made, %s is served, want the first %s", got, first)
	}
	h.release()
	until(t, "the second version", func() bool {
		return p.get("os/image/manifests/stable").Header.Get("Strata-Source-Digest") == source.digest().String()
	})
	if p.wantManifest("os/image/manifests/stable", http.StatusOK, "rechunked") == first {
		t.Error("the tag did not move")
	}
}

func TestUpstreamGone(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	p := newProxy(t, u, proxyOptions{})
	had := p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
	u.stop()
	if got := p.wantManifest("os/image/manifests/v1", http.StatusOK, "stale"); got != had {
		t.Errorf("a tag that was pulled before gives %s, want %s", got, had)
	}
	checkLayers(t, p.image("os/image@"+had.String()), "application/vnd.oci.image.layer.v1.tar+zstd")
	started := time.Now()
	for _, path := range []string{"os/image/manifests/v2", "os/other/manifests/v1", "os/image/blobs/" +
		digest.FromString("none").String()} {
		resp := p.get(path)
		b, _ := body(t, resp)
		switch resp.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			t.Errorf("%s: status %d: %s", path, resp.StatusCode, b)
		}
		var e struct {
			Errors []struct{ Code, Message string }
		}
		if err := json.Unmarshal(b, &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Code == "" {
			t.Errorf("%s: no error document: %s", path, b)
		}
	}
	if took := time.Since(started); took > programtest.Patience/4 {
		t.Errorf("the refusals took %s", took)
	}
}

// TestUpstreamBreaksOff closes the connection within each source layer, again and again; the proxy goes on where it was.
func TestUpstreamBreaksOff(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	want := digests(t, newProxy(t, u, proxyOptions{}), "v1")
	u.setGate(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w = &brokenWriter{ResponseWriter: w, left: 2_000_000}
			}
			next.ServeHTTP(w, r)
		})
	})
	if got := digests(t, newProxy(t, u, proxyOptions{}), "v1"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// brokenWriter closes the connection after some bytes.
type brokenWriter struct {
	http.ResponseWriter
	left int
}

func (w *brokenWriter) Write(b []byte) (int, error) {
	if len(b) > w.left {
		panic(http.ErrAbortHandler)
	}
	w.left -= len(b)
	return w.ResponseWriter.Write(b)
}
