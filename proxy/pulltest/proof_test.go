package pulltest

import (
	"io"
	"time"

	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/pull"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
)

// otherRepo is at the same upstream, which has nothing there.
var otherRepo = nametest.Repository(testRepo.Host() + "/other/os")

// Who may pull from one repository does not get another's content by its digest, whether it comes from the upstream or
// was made here.
func TestProof(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.only(testRepo)
	source := bootable(t, "secret").push(t, h.up)
	h.up.tag("stable", source)
	h.ruled.Store(true)
	closed := h.Images

	served, err := closed.Manifest(t.Context(), testRepo, "stable")
	if err != nil || served.Served != registry.Rechunked {
		t.Fatal(served, err)
	}
	var doc ocispec.Manifest
	if err := json.Unmarshal(served.Bytes, &doc); err != nil {
		t.Fatal(err)
	}
	original, err := closed.Manifest(t.Context(), testRepo, name.Reference(source))
	if err != nil {
		t.Fatal(err)
	}
	blobs := append(content.BlobsOf(served.Bytes), content.BlobsOf(original.Bytes)...)
	// another replica
	fresh := newHarness(t, func(o *harness) {
		o.driver, o.up, o.clock = h.driver, h.up,
			h.clock
		o.ruled.Store(true)
	}).Images
	for _, m := range []*pull.Images{closed, fresh} {
		for _, d := range []digest.Digest{served.Digest, source} {
			if _, err := m.Manifest(t.Context(), testRepo, name.Reference(d)); err != nil {
				t.Errorf("manifest %s where it belongs: %v", d, err)
			}
			denied(t, "manifest "+d.String(),
				func() error { _, err := m.Manifest(t.Context(), otherRepo, name.Reference(d)); return err })
		}
		for _, d := range blobs {
			if _, err := m.StatBlob(t.Context(), testRepo, d); err != nil {
				t.Errorf("blob %s where it belongs: %v", d, err)
			}
			b, err := m.OpenBlob(t.Context(), testRepo, d)
			if err != nil {
				t.Fatalf("blob %s where it belongs: %v", d, err)
			}
			_ = b.Close()
			denied(t, "stat of "+d.String(), func() error { _, err := m.StatBlob(t.Context(), otherRepo, d); return err })
			denied(t, "blob "+d.String(), func() error { _, err := m.OpenBlob(t.Context(), otherRepo, d); return err })
		}
	}
	h.ruled.Store(false)
	if _, err := h.Images.StatBlob(t.Context(), otherRepo, blobs[0]); err != nil {
		t.Errorf("where everybody may pull everything: %v", err)
	}
}

// Content of which nothing is noted is the upstream's to know.
func TestProofOfWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.up.only(testRepo)
	source := bootable(t, "x").push(t, h.up)
	h.up.tag("stable", source)
	h.pull("stable", registry.Rechunked) // before there were rules
	h.ruled.Store(true)
	m := h.Images
	h.same(h.pull("stable", registry.Rechunked), source)
	original, err := m.Manifest(t.Context(), testRepo, name.Reference(source))
	if err != nil {
		t.Fatal(err)
	}
	h.restart()
	again := h.Images
	for _, d := range content.BlobsOf(original.Bytes) {
		if _, err := again.StatBlob(t.Context(), testRepo, d); err != nil {
			t.Errorf("%s: %v", d, err)
		}
	}
}

// only leaves an upstream nothing outside of a repository.
func (u *fakeUpstream) only(repo name.Repository) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v2/"+repo.Path()+"/") || r.URL.Path == "/v2/" {
			return false
		}
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "")
		return true
	}
}

func denied(t *testing.T, what string, f func() error) {
	t.Helper()
	var e *registry.Error
	if err := f(); !errors.As(err, &e) || e.Status != http.StatusNotFound || strings.Contains(e.Message, "belong") {
		t.Errorf("%s under another repository's name: %v", what, err)
	}
}

// evilRepo is mallory's, at an upstream that says what she likes.
var evilRepo = nametest.Repository("evil.test/mallory/os")

// secret is a proxy with rules, somebody's private image that was pulled through it, and what mallory must not get.
func secret(t *testing.T) (h *harness, image *testImage, source, served digest.Digest, private []digest.Digest) {
	h = newHarness(t)
	h.ruled.Store(true)
	h.up.only(testRepo)
	image = bootable(t, "secret")
	source = image.push(t, h.up)
	h.up.tag("stable", source)
	m := h.pull("stable", registry.Rechunked)
	original, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(source))
	if err != nil {
		t.Fatal(err)
	}
	return h, image, source, m.Digest, append(content.BlobsOf(original.Bytes), content.BlobsOf(m.Bytes)...)
}

// kept fails the test when a repository gives any of some blobs.
func (h *harness) kept(t *testing.T, repo name.Repository, private []digest.Digest) {
	t.Helper()
	for _, d := range private {
		b, err := h.Images.OpenBlob(t.Context(), repo, d)
		if err != nil {
			continue
		}
		got, err := io.ReadAll(b)
		b.Close()
		if err == nil || digest.FromBytes(got) == d {
			t.Errorf("%s gives %s: %d bytes, %v", repo, d, len(got), err)
		}
	}
}

// What an upstream claims without bytes proves nothing about bytes that another gave.
func TestClaimsProveNothing(t *testing.T) {
	t.Parallel()
	h, _, source, served, private := secret(t)
	h.evil.fail(func(w http.ResponseWriter, r *http.Request) bool { // all is there by HEAD, and nothing by GET
		if r.Method != http.MethodHead {
			return false
		}
		ref := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if ref == "stable" {
			ref = source.String()
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", ref)
		w.Header().Set("Content-Length", "100")
		return true
	})
	for _, d := range private {
		_, _ = h.Images.StatBlob(t.Context(), evilRepo, d) // the upstream's word, passed on
	}
	h.kept(t, evilRepo, private)
	for _, ref := range []name.Reference{"stable", name.Reference(source), name.Reference(served)} {
		denied(t, string(ref), func() error { _, err := h.Images.Manifest(t.Context(), evilRepo, ref); return err })
	}
}

// Whoever has a manifest's bytes and serves them has not got what it names, be it pulled as it is, by an index, or
// rechunked.
func TestNamingProvesNothing(t *testing.T) {
	t.Parallel()
	h, image, source, served, private := secret(t)
	h.evil.put(h.up.manifests[source]) // she knows the manifest, and has none of its blobs
	h.evil.tag("stable", source)
	h.evil.tag("index", pushIndex(t, h.evil, ocispec.MediaTypeImageIndex, []any{
		h.evil.member(source, "linux/amd64"),
		map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": served, "size": 100},
	}))
	// Her own image has a private layer in it; and again as one that lies elsewhere.
	mine := bootable(t, "mallory")
	mine.layers = append(mine.layers, image.layers[1])
	h.evil.tag("mine", mine.push(t, h.evil))
	mine.foreign = true
	h.evil.tag("foreign", mine.push(t, h.evil))
	h.evil.mu.Lock()
	for _, d := range private {
		delete(h.evil.blobs, d)
	}
	h.evil.mu.Unlock()
	for _, tag := range []name.Reference{"stable", "index", "mine", "foreign"} {
		m, err := h.Images.Manifest(t.Context(), evilRepo, tag)
		if err == nil && m.Served == registry.Rechunked {
			t.Errorf("%s was rechunked", tag)
		}
		h.awaitJobs()
		h.kept(t, evilRepo, private)
	}
	denied(t, "a served manifest", func() error {
		_,
			err := h.Images.Manifest(t.Context(), evilRepo, name.Reference(served))
		return err
	})
	// The private image is what it was.
	h.same(h.pull("stable", registry.Rechunked), source)
}

// A proof is one record for an image, however many layers it has.
func TestProofIsOneRecord(t *testing.T) {
	t.Parallel()
	h, _, _, served, private := secret(t)
	images := 0
	err := h.Records.Proofs.List(t.Context(), catalog.ContentOf(testRepo.String()),
		func(catalog.ContentKey, time.Time) error {
			images++
			return nil
		})
	if err != nil || images != 2 { // source and served
		t.Errorf("%d records, %v", images, err)
	}
	rec, err := h.Records.Proofs.Get(t.Context(), catalog.ContentKey{Repository: testRepo.String(), Digest: served})
	if err != nil || rec == nil || !rec.Made {
		t.Errorf("%+v, %v", rec, err)
	}
	h.restart() // blobs of a manifest that another replica served
	for _, d := range private {
		b, err := h.Images.OpenBlob(t.Context(), testRepo, d)
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		b.Close()
	}
}
