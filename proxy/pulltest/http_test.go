package pulltest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	gname "github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/layer"
)

// serve puts the protocol in front of the service. What requests were is told in the order of their ends.
func (h *harness) serve(t *testing.T) (base string, seen func() []registry.Request) {
	var mu sync.Mutex
	var requests []registry.Request
	handler := registry.New(registry.Options{Manifests: h.Images, Blobs: h.Images, Listings: h.Lists, Referrers: h.Lists,
		Chunks: h.Casync})
	srv := httptest.NewServer(registry.AccessLog(handler, nil, func(q registry.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, q)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []registry.Request {
		srv.Close() // waits for those that are being told
		mu.Lock()
		defer mu.Unlock()
		return requests
	}
}

// go-containerregistry pulls a whole index and checks every digest, size and diff_id in it.
func TestPullOverHTTP(t *testing.T) {
	t.Parallel()
	// the one that the validator knows
	h := newHarness(t, func(h *harness) { h.rule.Format = config.Format(layer.Gzip) })
	amd, arm := bootable(t, "amd").push(t, h.up), bootable(t, "arm").with(arch("arm64")).push(t, h.up)
	h.up.tag("stable", pushIndex(t, h.up, ocispec.MediaTypeImageIndex,
		[]any{h.up.member(amd, "linux/amd64"), h.up.member(arm, "linux/arm64")}))
	base, seen := h.serve(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ref, err := gname.ParseReference(strings.TrimPrefix(base, "http://")+"/"+testRepo.String()+":stable", gname.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref, remote.WithTransport(transport), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	for _, d := range manifest.Manifests {
		img, err := index.Image(d.Digest)
		if err == nil {
			err = validate.Image(img)
		}
		if err != nil {
			t.Errorf("%s: %v", d.Platform, err)
		}
		checkHistory(t, img)
	}
	transport.CloseIdleConnections()
	for _, q := range seen() {
		if q.Route == registry.RouteBlob && q.Status < 300 && q.Method == http.MethodGet && q.Origin != registry.MadeHere {
			t.Errorf("%s %s has the origin %q", q.Method, q.Path, q.Origin)
		}
	}
}

// checkHistory checks what bootc demands of a config: as many entries as layers.
func checkHistory(t *testing.T, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil || len(config.History) != len(config.RootFS.DiffIDs) {
		t.Errorf("config %+v, %v", config, err)
	}
}

func TestRangeOfColdBlobOverHTTP(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	content := bigBlob()
	d := h.up.putBlob(content)
	base, seen := h.serve(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v2/"+testRepo.String()+"/blobs/"+d.String(),
		nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=700001-700100")
	transport := &http.Transport{}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	transport.CloseIdleConnections()
	if err != nil || resp.StatusCode != http.StatusPartialContent || string(got) != string(content[700001:700101]) {
		t.Errorf("status %d, %q, %v", resp.StatusCode, got, err)
	}
	if q := seen(); len(q) != 1 || q[0].Origin != registry.FromUpstream || q[0].Bytes != 100 {
		t.Errorf("requests %+v", q)
	}
	if n := h.up.count("GET blobs"); n != 1 {
		t.Errorf("%d downloads", n)
	}
}
