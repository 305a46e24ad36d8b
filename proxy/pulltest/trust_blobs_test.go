package pulltest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// given reports whether clients get a blob, by GET and by HEAD.
func (h *harness) given(d digest.Digest) bool {
	h.t.Helper()
	_, err := h.Images.StatBlob(h.t.Context(), testRepo, d)
	b, other := h.Images.OpenBlob(h.t.Context(), testRepo, d)
	if b != nil {
		b.Close()
	}
	if (err == nil) != (other == nil) {
		h.t.Errorf("%s: HEAD says %v, GET %v", d, err, other)
	}
	var said *registry.Error
	if err != nil && (!errors.As(err, &said) || said.Status != http.StatusForbidden) {
		h.t.Errorf("%s: %v", d, err)
	}
	return err == nil
}

// blobsOf lists config and layers of an image of the upstream.
func (h *harness) blobsOf(d digest.Digest) []digest.Digest {
	return content.BlobsOf(h.up.manifests[d].bytes)
}

// Where signatures are asked for, a blob is given when an image names it that is shown, and only then: not one of an image
// that is refused, however its digest is known, nor one that nobody names.
func TestBlobsOfRefusedImages(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t), newSigner(t)
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, verifying(s.file), signingWith(t, k))
	good, evil := bootable(t, "good").push(t, h.up), bootable(t, "evil").push(t, h.up)
	s.sign(t, h.up, good)
	h.up.tag("stable", evil)
	h.pullError("stable")
	h.pullError(evil.String())
	stray := h.up.put(document{"x", []byte("stray")}, []byte("nobody names it"))
	never := append(h.blobsOf(evil), evil, stray, digest.FromString("nobody names it"))
	check := func(want bool, all ...digest.Digest) {
		t.Helper()
		for _, d := range all {
			if h.given(d) != want {
				t.Errorf("%s is given: %t", d, !want)
			}
		}
	}
	check(false, never...)
	check(false, h.blobsOf(good)...) // nobody has asked for it

	h.up.tag("stable", good)
	h.clock.advance(time.Hour)
	served := h.pull("stable", registry.Rechunked)
	h.pull(good.String(), registry.Original)
	sig := h.pull(simplesigning.Tag(good), registry.Original)
	ours := h.pull(simplesigning.Tag(served.Digest), registry.Original)
	var all []digest.Digest
	for _, b := range [][]byte{served.Bytes, h.up.manifests[good].bytes, sig.Bytes, ours.Bytes} {
		all = append(all, content.BlobsOf(b)...)
	}
	shared := map[digest.Digest]bool{}
	for _, d := range all {
		shared[d] = true
	}
	never = nil
	for _, d := range append(h.blobsOf(evil), evil, digest.FromString("nobody names it")) {
		if !shared[d] {
			never = append(never, d)
		}
	}
	if len(never) < 3 {
		t.Fatal("the images do not differ")
	}
	check(true, all...)
	check(false, never...)
	h.restart() // and another replica
	check(true, all...)
	check(false, never...)

	// What was checked by keys that are not used any longer is given no more, until it is checked again.
	h.rule.Verify.Keys = []string{next.file}
	check(false, content.BlobsOf(served.Bytes)...)
	next.sign(t, h.up, good)
	h.clock.advance(time.Hour)
	h.pull(served.Digest.String(), registry.Rechunked)
	check(true, content.BlobsOf(served.Bytes)...)
	h.rule.Verify.Keys = nil
	check(true, never...)
}

// A blob that another replica's manifest names is given at once.
func TestBlobsAcrossReplicas(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	first := h.Images
	h.start() // another process on the same store
	for i, content := range []string{"one", "two", "three"} {
		src := bootable(t, content).push(t, h.up)
		s.sign(t, h.up, src)
		tag := "v" + string(rune('0'+i))
		h.up.tag(tag, src)
		if _, err := first.Manifest(t.Context(), testRepo, name.Reference(src.String())); err != nil {
			t.Fatal(err)
		}
		for _, d := range h.blobsOf(src) {
			if !h.given(d) {
				t.Errorf("%s is not given", d)
			}
		}
	}
}

// A store of before has no records of what was shown: what has passed is given all the same, also while the upstream is away
// and nobody asks for a manifest first, as edges and clients in the middle of a pull do not.
func TestBlobsOfStoresOfBefore(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(s.file))
	var all []digest.Digest
	var served *registry.Manifest
	for n := range 2 {
		src := bootable(t, numbered(n)).push(t, h.up)
		s.sign(t, h.up, src)
		h.up.tag("stable", src)
		h.refresh()
		for served = h.pull("stable", registry.Rechunked); served.Source != src; {
			time.Sleep(20 * time.Millisecond)
			m, err := h.Images.Manifest(t.Context(), testRepo, "stable")
			if err != nil {
				t.Fatal(err)
			}
			served = m
		}
		h.pull(src.String(), registry.Original)
		all = append(all, content.BlobsOf(served.Bytes)...)
		all = append(all, h.blobsOf(src)...)
	}
	err := h.Records.Admitted.List(t.Context(), catalog.ContentOf(testRepo.String()),
		func(k catalog.ContentKey, _ time.Time) error { return h.Records.Admitted.Delete(t.Context(), k) })
	if err != nil {
		t.Fatal(err)
	}
	h.up.failWith("", http.StatusServiceUnavailable)
	h.restart()
	for _, d := range all {
		if !h.given(d) {
			t.Errorf("%s is not given", d)
		}
	}
	h.refresh()
	h.pull("stable", registry.Stale)
	h.rule.Verify.Keys = []string{next.file}
	for _, d := range all {
		if h.given(d) {
			t.Errorf("%s is given by keys of before", d)
		}
	}
}

// Delta artifacts lead to images, whose signatures speak for them.
func TestDeltaArtifactsOfSignedImages(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file), func(h *harness) {
		h.deltas = fewDeltas
		h.rule.OCIDeltas = config.OCIDeltas{Back: []int{1}, Images: config.DeltaServed, Format: config.DeltaTarDiff1}
	})
	var last *registry.Manifest
	for n := range 2 {
		src := bootable(t, numbered(n)).push(t, h.up)
		s.sign(t, h.up, src)
		h.up.tag("stable", src)
		h.refresh()
		for last = h.pull("stable", registry.Rechunked); last.Source != src; last = h.pull("stable", registry.Rechunked) {
			time.Sleep(20 * time.Millisecond)
		}
	}
	for _, r := range h.madeArtifacts(last.Digest) {
		m := h.pull(r.Digest.String(), registry.Original)
		for _, d := range content.BlobsOf(m.Bytes) {
			if !h.given(d) {
				t.Errorf("%s of an artifact is not given", d)
			}
		}
	}
}
