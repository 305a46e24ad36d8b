package hostile

import (
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// trickle sends a byte every two seconds of what it says is large.
func trickle(size int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Header().Set("Content-Type", "application/octet-stream")
		if r.Method == http.MethodHead {
			return
		}
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			if _, err := w.Write([]byte{0}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// An upstream that hardly sends anything holds nothing that others need: no job, no digest of another upstream, no
// connection of another host, and not the space of what it claims to send.
func TestTrickle(t *testing.T) {
	t.Parallel()
	good, bad := newUpstream(t), newUpstream(t)
	good.goodImage("os/good", "v1")
	// Images whose layers trickle, and blobs of the good image's digests.
	for i := range 8 {
		repository := fmt.Sprint("os/slow", i)
		l := gzipped(t, treetest.File("slow", repository))
		bad.image(repository, "v1", l)
		bad.lie("/v2/"+repository+"/blobs/"+digest.FromBytes(l.blob).String(), trickle(32<<30))
	}
	_, m := good.image("os/good", "v2", gzipped(t, treetest.Dir("usr"), treetest.File("usr/v2", "two")))
	for _, d := range m.Layers {
		bad.lie("/v2/x/blobs/"+d.Digest.String(), trickle(d.Size))
	}
	p := newProxy(t, map[string]*upstream{"good.test": good, "bad.test": bad})
	gone := make(chan struct{}, 64)
	ask := func(path string) {
		go func() {
			p.get(path)
			gone <- struct{}{}
		}()
	}
	for i := range 8 {
		ask(fmt.Sprintf("/v2/bad.test/os/slow%d/manifests/v1", i))
	}
	for _, d := range m.Layers {
		ask("/v2/bad.test/x/blobs/" + d.Digest.String())
	}
	for i := range 64 { // all connections of a host
		d := digest.FromString(fmt.Sprint(i)).String()
		bad.lie("/v2/x/blobs/"+d, trickle(1<<20))
		if i < 40 {
			ask("/v2/bad.test/x/blobs/" + d)
		}
	}
	eventually(t, "the upstream trickles", func() bool { return bad.count("/blobs/") >= 16 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.good("good.test/os/good", "v1")
		p.good("good.test/os/good", "v2")
	}()
	select {
	case <-done:
	case <-time.After(programtest.Patience):
		t.Error("a good image waits for a bad upstream")
	}
	if used := programtest.DiskUse(t, filepath.Join(p.dir, "strata-work")) + p.NamelessFiles(); used > 64<<20 {
		t.Errorf("%d MiB of disk for bytes that never came", used>>20)
	}
}

// Blobs that claim to be large do not keep others from being stored.
func TestClaimsOfSize(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	p := newProxy(t, map[string]*upstream{"up.test": u}, "work_bytes: 1GiB")
	for i := range 4 {
		d := digest.FromString(fmt.Sprint(i)).String()
		u.lie("/v2/os/x/blobs/"+d, trickle(1<<30))
		go p.get("/v2/up.test/os/x/blobs/" + d)
	}
	eventually(t, "the blobs are asked for", func() bool { return u.count("/os/x/blobs/") >= 4 })
	p.good("up.test/os/good", "v1")
	before := u.count("/os/good/blobs/")
	p.good("up.test/os/good", "v1")
	if after := u.count("/os/good/blobs/"); after != before {
		t.Errorf("%d requests for blobs that should be stored", after-before)
	}
}

// Requests that are given up leave nothing open.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	p := newProxy(t, map[string]*upstream{"up.test": u})
	p.good("up.test/os/good", "v1")
	before := p.OpenFiles()
	requests := 6000
	if testing.Short() {
		requests = 600
	}
	for i := range requests {
		u.lie("/v2/os/x/blobs/"+digest.FromString(fmt.Sprint(i)).String(), silent)
	}
	client := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{MaxConnsPerHost: 200}}
	defer client.CloseIdleConnections()
	var left atomic.Int64
	slots := make(chan struct{}, 200)
	for i := range requests {
		slots <- struct{}{}
		left.Add(1)
		go func() {
			defer func() { <-slots; left.Add(-1) }()
			resp, err := client.Get("http://" + p.Clients + "/v2/up.test/os/x/blobs/" +
				digest.FromString(fmt.Sprint(i)).String())
			if err == nil {
				resp.Body.Close()
			}
		}()
	}
	eventually(t, "all requests are given up", func() bool { return left.Load() == 0 })
	// What was begun upstream may be waited for by nobody for a moment; nothing of it stays.
	eventually(t, "files and connections are closed", func() bool { return p.OpenFiles() <= before+150 })
	u.goodImage("os/good", "v2")
	p.good("up.test/os/good", "v2")
	p.within("abandoned requests")
	if goroutines := p.Metric("go_goroutines"); goroutines > 1000 {
		t.Errorf("%.0f goroutines are left", goroutines)
	}
}

// Unknown names cost the upstream little, and the checks of known tags nothing.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.goodImage("os/good", "v1")
	p := newProxy(t, map[string]*upstream{"up.test": u})
	p.good("up.test/os/good", "v1")
	for range 200 {
		a := p.get("/v2/up.test/os/none/manifests/v1", "Accept", ocispec.MediaTypeImageManifest)
		if a.status != http.StatusNotFound && a.status != http.StatusTooManyRequests {
			t.Fatal(a)
		}
	}
	if asked := u.count("/os/none/"); asked > 10 {
		t.Errorf("the upstream is asked %d times for one unknown name", asked)
	}
	for i := range 300 {
		p.get(fmt.Sprintf("/v2/up.test/os/none%d/manifests/v1", i))
	}
	u.goodImage("os/good", "v2")
	p.good("up.test/os/good", "v2")
}
