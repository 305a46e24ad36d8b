package pulltest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// A key that is added takes nothing away while the upstream is out of reach; one that is removed counts at once.
func TestAddedKeyWithoutUpstream(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(s.file))
	src := bootable(t, "one").push(t, h.up)
	s.sign(t, h.up, src)
	h.up.tag("stable", src)
	served := h.pull("stable", registry.Rechunked)
	h.up.failWith("", http.StatusServiceUnavailable)
	h.rule.Verify.Keys = []string{s.file, next.file}
	h.restart()
	h.pull("stable", registry.Stale)
	h.pull(served.Digest.String(), registry.Rechunked)
	for _, d := range layers(t, served) {
		if !h.given(d) {
			t.Errorf("%s is not given", d)
		}
	}
	h.rule.Verify.Keys = []string{next.file}
	for _, ref := range []string{"stable", served.Digest.String()} {
		h.pullError(ref)
	}
}

// A key file that was another for a while and is put back leaves nothing behind: what is served is signed.
func TestKeyPutBack(t *testing.T) {
	t.Parallel()
	s, wrong := newSigner(t), newSigner(t)
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, verifying(s.file), signingWith(t, k))
	src := bootable(t, "one").push(t, h.up)
	s.sign(t, h.up, src)
	h.up.tag("stable", src)
	served := h.pull("stable", registry.Rechunked)
	h.rule.Verify.Keys = []string{wrong.file}
	h.pullError("stable")
	h.pullError(src.String())
	h.rule.Verify.Keys = []string{s.file}
	h.restart()
	h.pull("stable", registry.Rechunked)
	h.pull(simplesigning.Tag(served.Digest), registry.Original)
	if n := len(h.referrers(served.Digest)); n == 0 {
		t.Error("nothing that was signed refers to the image")
	}
}

// A signature that is not what it was named, or is gone, hides none that is good.
func TestBadSignaturesHideNone(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(s.file))
	src := bootable(t, "one").push(t, h.up)
	bad := payload(t, "registry.test/org/bad", src)
	h.up.attach(t, src, other.signed(t, bad), s.signed(t, payload(t, testRepo.String(), src)))
	h.up.blobs[digest.FromBytes(bad)] = []byte(strings.Repeat("x", len(bad)))
	h.up.tag("stable", src)
	h.pull("stable", registry.Rechunked)

	// Nor does one that cannot be used end as a failure of the upstream: it is none.
	second := bootable(t, "two").push(t, h.up)
	h.up.attach(t, second, s.signed(t, payload(t, testRepo.String(), second)))
	h.up.blobs[digest.FromBytes(payload(t, testRepo.String(), second))] = []byte("x")
	if e := h.pullError(second.String()); e.Status != http.StatusForbidden ||
		!strings.Contains(e.Message, "cannot be used") {
		t.Error(e)
	}
}

// The list that stands in for the referrers API is passed on, whatever it lists next: it is no image, and no older one. An
// index of images under such a tag is refused.
func TestListsOfReferrersPass(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	src := bootable(t, "one").push(t, h.up)
	list := strings.Replace(src.String(), ":", "-", 1)
	s.bundled(t, h.up, src, src, bundle.Signed)
	first := h.up.tags[list]
	h.pull(list, registry.Original)
	s.bundled(t, h.up, src, digest.FromString("other"), bundle.Signed)
	h.refresh()
	if m := h.pull(list, registry.Original); m.Digest == first {
		t.Fatal("the list is the same")
	}
	h.up.tag(list, first)
	h.refresh()
	if m := h.pull(list, registry.Original); m.Digest != first {
		t.Errorf("%s is served", m.Digest)
	}
	h.pull(first.String(), registry.Original)
	evil := bootable(t, "evil").push(t, h.up)
	h.up.tag(list, pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(evil, "linux/amd64")}))
	h.refresh()
	if m := h.pull(list, registry.Stale); m.Digest != first {
		t.Errorf("%s is served", m.Digest)
	}
}

// Where the images of an index are signed one by one, each signature that names a tag is heeded.
func TestTagsOfParts(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	amd, arm := bootable(t, "amd").push(t, h.up), bootable(t, "arm").with(arch("arm64")).push(t, h.up)
	src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex,
		[]any{h.up.member(amd, "linux/amd64"), h.up.member(arm, "linux/arm64")})
	h.up.attach(t, amd, s.signed(t, payload(t, testRepo.String()+":stable", amd)))
	h.up.attach(t, arm, s.signed(t, payload(t, testRepo.String()+":beta", arm)))
	h.up.tag("stable", src)
	h.pull(src.String(), registry.Original) // the images are good
	if e := h.pullError("stable"); e.Status != http.StatusForbidden {
		t.Error(e)
	}
	if rec, err := h.Records.Verdicts.Get(t.Context(), verdictKey(arm)); err != nil ||
		!strings.HasSuffix(rec.Claims, ":beta") {
		t.Errorf("%+v, %v", rec, err)
	}
}

// An index that vouched for an image and is gone does not take along an image that has a signature of its own.
func TestVouchingIndexIsGone(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(s.file))
	amd := bootable(t, "amd").push(t, h.up)
	src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(amd, "linux/amd64")})
	s.sign(t, h.up, src)
	h.up.tag("stable", src)
	h.pull("stable", registry.Rechunked)
	next.sign(t, h.up, amd)
	delete(h.up.manifests, src)
	if err := h.Records.Manifests.Delete(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	if err := h.chunks.Delete(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	h.rule.Verify.Keys = []string{next.file}
	h.pull(amd.String(), registry.Original)
}

// What an index names beside images, as BuildKit adds it, is given with a signed index, and not for the mark that it bears.
func TestAttestationEntries(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for _, signed := range []bool{true, false} {
		h := newHarness(t, verifying(s.file))
		amd, odd := bootable(t, "amd").push(t, h.up), bootable(t, "odd").push(t, h.up)
		entry := h.up.member(odd, "unknown/unknown")
		entry["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest",
			"vnd.docker.reference.digest": amd.String()}
		src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(amd, "linux/amd64"), entry})
		if signed {
			s.sign(t, h.up, src)
		} else {
			s.sign(t, h.up, amd)
		}
		h.up.tag("stable", src)
		h.pull("stable", registry.Rechunked)
		if signed {
			h.pull(odd.String(), registry.Original)
		} else if e := h.pullError(odd.String()); e.Status != http.StatusForbidden {
			t.Error(e)
		}
	}
}

// A hot tag costs the upstream its check, and its signatures nothing, however often it is pulled.
func TestHotTagsCostTheirCheck(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	src := bootable(t, "one").push(t, h.up)
	s.sign(t, h.up, src)
	h.up.tag("stable", src)
	served := h.pull("stable", registry.Rechunked)
	before := h.up.total()
	for n := range 100 {
		if n%10 == 0 {
			h.refresh()
		}
		h.pull("stable", registry.Rechunked)
		h.pull(served.Digest.String(), registry.Rechunked)
		for _, d := range layers(t, served) {
			h.blob(d)
		}
	}
	if n := h.up.total() - before; n != 10 || h.up.count("HEAD manifests") < 10 {
		t.Errorf("%d requests in 100 pulls with 10 checks", n)
	}
}

// A release counts, although an update that had begun before it ends after it.
func TestReleaseWhileUpdating(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	var images []digest.Digest
	for _, content := range []string{"one", "two", "three"} {
		d := bootable(t, content).push(t, h.up)
		s.sign(t, h.up, d)
		images = append(images, d)
	}
	for _, d := range images[:2] {
		h.up.tag("stable", d)
		h.refresh()
		h.pull("stable", registry.Rechunked)
	}
	h.up.tag("stable", images[0])
	h.refresh()
	h.pull("stable", registry.Stale)

	asked, gate := make(chan struct{}, 10), make(chan struct{})
	h.up.fail(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/manifests/"+images[2].String()) {
			asked <- struct{}{}
			<-gate
		}
		return false
	})
	h.up.tag("stable", images[2])
	h.refresh()
	done := make(chan error, 1)
	go func() {
		_, err := h.Images.Manifest(t.Context(), testRepo, "stable")
		done <- err
	}()
	<-asked
	if d, err := h.Tags.Release(t.Context(), testRepo, "stable"); err != nil || d != images[0] {
		t.Fatalf("released %s, %v", d, err)
	}
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range 100 { // until the update has ended
		if oldest, _ := h.Work.Activity(); oldest.IsZero() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	rec, err := h.Records.Tags.Get(t.Context(), catalog.TagKey{Repository: testRepo.String(), Tag: "stable"})
	if err != nil || rec.Released != images[0] {
		t.Errorf("released is %s, %v", rec.Released, err)
	}
}

// asBefore writes verdicts as builds did that noted neither their signers nor whom they had to name.
func (h *harness) asBefore(of ...digest.Digest) {
	h.t.Helper()
	for _, d := range of {
		rec, err := h.Records.Verdicts.Get(h.t.Context(), verdictKey(d))
		if err != nil || rec == nil || !rec.Passed {
			h.t.Fatalf("%s: %+v, %v", d, rec, err)
		}
		old := *rec
		old.Signers, old.As, old.Names = nil, "", nil
		if err := h.Records.Verdicts.Put(h.t.Context(), verdictKey(d), &old); err != nil {
			h.t.Fatal(err)
		}
	}
}

// In stores of builds that did not note who signed, too, an added key takes nothing away while the upstream is out of reach,
// and one that is removed counts at once.
func TestAddedKeyInStoresOfBefore(t *testing.T) {
	t.Parallel()
	s, other, next := newSigner(t), newSigner(t), newSigner(t)
	for what, c := range map[string]struct {
		before []string
		sign   func(h *harness, index, amd digest.Digest)
		now    []string
		kept   bool
	}{
		"a key is added": {[]string{s.file}, func(h *harness, index, _ digest.Digest) { s.sign(t, h.up, index) },
			[]string{s.file, next.file}, true},
		"a key is added, bundle": {[]string{s.file},
			func(h *harness, index, _ digest.Digest) { s.bundled(t, h.up, index, index, bundle.Signed) },
			[]string{s.file, next.file}, true},
		"a key is added, instances": {[]string{s.file}, func(h *harness, _, amd digest.Digest) { s.sign(t, h.up, amd) },
			[]string{s.file, next.file}, true},
		"one of two keys is another": {[]string{other.file, s.file},
			func(h *harness, index, _ digest.Digest) { s.sign(t, h.up, index) }, []string{s.file, next.file}, true},
		"the key is removed": {[]string{s.file, other.file},
			func(h *harness, index, _ digest.Digest) { s.sign(t, h.up, index) }, []string{other.file, next.file}, false},
		"the key is removed, instances": {[]string{s.file, other.file},
			func(h *harness, _, amd digest.Digest) { s.sign(t, h.up, amd) }, []string{other.file}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, verifying(c.before...))
			amd := bootable(t, "amd").push(t, h.up)
			index := pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(amd, "linux/amd64")})
			c.sign(h, index, amd)
			h.up.tag("stable", index)
			served := h.pull("stable", registry.Rechunked)
			h.asBefore(index, amd)
			h.up.failWith("", http.StatusServiceUnavailable)
			h.rule.Verify.Keys = c.now
			h.restart()
			refs := []string{served.Digest.String(), index.String(), amd.String()}
			if !c.kept {
				for _, ref := range append(refs, "stable") {
					h.pullError(ref)
				}
				return
			}
			h.pull("stable", registry.Stale)
			for i, ref := range refs {
				h.pull(ref, []registry.Served{registry.Rechunked, registry.Original, registry.Original}[i])
			}
		})
	}
}

// A refusal in between takes nothing from what was good: once the key is named again, the tag and the digests are served,
// with the upstream or without, and also where it does not have the signature any longer.
func TestKeyPutBackWithoutSignature(t *testing.T) {
	t.Parallel()
	s, other, next := newSigner(t), newSigner(t), newSigner(t)
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	away := func(h *harness, _ digest.Digest) { h.up.failWith("", http.StatusServiceUnavailable) }
	for what, c := range map[string]struct {
		lose func(h *harness, signed digest.Digest)
		now  []string
		want registry.Served
	}{
		"upstream is away":                  {away, []string{s.file, other.file}, registry.Rechunked},
		"upstream is away, a key more":      {away, []string{s.file, other.file, next.file}, registry.Stale},
		"upstream is away, one of two keys": {away, []string{s.file}, registry.Stale},
		"the signature is gone": {func(h *harness, d digest.Digest) { h.up.untag(simplesigning.Tag(d)) },
			[]string{s.file, other.file}, registry.Rechunked},
	} {
		for _, indexed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, index %t", what, indexed), func(t *testing.T) {
				t.Parallel()
				h := newHarness(t, verifying(s.file, other.file), signingWith(t, k))
				src := bootable(t, "one").push(t, h.up)
				top := src
				if indexed {
					top = pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(src, "linux/amd64")})
				}
				s.sign(t, h.up, top)
				h.up.tag("stable", top)
				served := h.pull("stable", registry.Rechunked)
				h.pull(src.String(), registry.Original)
				for _, withdrawn := range [][]string{{next.file, other.file}, {next.file}} { // refused twice
					h.rule.Verify.Keys = withdrawn
					for _, ref := range []string{"stable", src.String(), top.String(), served.Digest.String()} {
						if e := h.pullError(ref); e.Status != http.StatusForbidden {
							t.Errorf("%s without the key: %v", ref, e)
						}
					}
				}
				c.lose(h, top)
				h.rule.Verify.Keys = c.now
				h.restart()
				h.pull(src.String(), registry.Original)
				h.pull(top.String(), registry.Original)
				h.pull(served.Digest.String(), registry.Rechunked)
				h.pull("stable", c.want)
				h.pull(simplesigning.Tag(served.Digest), registry.Original)
				for _, d := range h.blobsOf(src) {
					if !h.given(d) {
						t.Errorf("%s is not given", d)
					}
				}
			})
		}
	}
}
