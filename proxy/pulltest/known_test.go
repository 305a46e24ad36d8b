package pulltest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk/image"
)

// status asks for a tag and returns what the client is told: 200, or the error's status.
func (h *harness) status(tag name.Reference) int {
	h.t.Helper()
	_, err := h.Images.Manifest(h.t.Context(), testRepo, tag)
	if err == nil {
		return http.StatusOK
	}
	return asClientError(h.t, err).Status
}

// refersTo asks for what refers to an image, and returns the entries or the error's status.
func (h *harness) refersTo(d digest.Digest) ([]ocispec.Descriptor, int) {
	h.t.Helper()
	b, _, err := h.Lists.Referrers(h.t.Context(), testRepo, d, "")
	if err != nil {
		return nil, asClientError(h.t, err).Status
	}
	var idx ocispec.Index
	unmarshal(h.t, b, &idx)
	return idx.Manifests, http.StatusOK
}

// whole reads a manifest about an image and all that it names.
func (h *harness) whole(ref name.Reference) {
	h.t.Helper()
	m, err := h.Images.Manifest(h.t.Context(), testRepo, ref)
	if err != nil {
		h.t.Errorf("%s: %v", ref, err)
		return
	}
	for _, d := range content.BlobsOf(m.Bytes) {
		h.blob(d)
	}
}

// Signatures that an image passed by are there while the upstream is not, also after a restart: under cosign's tag, among
// the referrers, by digest, whole. What was asked for and not there is absent; what nobody asked for is out of reach.
func TestKnownWithoutUpstream(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	for what, c := range map[string]struct {
		sign                func(h *harness, d digest.Digest)
		image, list, absent bool
		bundles             int
	}{
		"signatures": {sign: func(h *harness, d digest.Digest) {
			p := payload(t, testRepo.String(), d)
			h.up.attach(t, d, s.signed(t, p), other.signed(t, payload(t, testRepo.String()+":stable", d)))
		}, image: true},
		"a bundle": {sign: func(h *harness, d digest.Digest) { s.bundled(t, h.up, d, d, bundle.Signed) },
			absent: true, list: true, bundles: 1},
		"a bad signature, and a bundle": {sign: func(h *harness, d digest.Digest) {
			other.sign(t, h.up, d)
			s.bundled(t, h.up, d, d, bundle.Signed)
		}, image: true, list: true, bundles: 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, verifying(s.file))
			src := bootable(t, "one").push(t, h.up)
			c.sign(h, src)
			h.up.tag("stable", src)
			h.pull("stable", registry.Rechunked)
			h.up.failWith("", http.StatusServiceUnavailable)
			for range 2 {
				h.restart()
				sig := name.TagAbout(src, ".sig")
				want := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[c.image]
				if c.absent {
					want = http.StatusNotFound
				}
				if got := h.status(sig); got != want {
					t.Errorf("%s: %d, want %d", sig, got, want)
				}
				if c.image {
					h.whole(sig)
				}
				for _, kind := range []string{".att", ".sbom"} {
					if got := h.status(name.TagAbout(src, kind)); got != http.StatusServiceUnavailable {
						t.Errorf("%s, for which nobody asked: %d", kind, got)
					}
				}
				list, got := h.refersTo(src)
				if want := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[c.list]; got != want ||
					len(list) != c.bundles {
					t.Errorf("referrers: %d, %+v; want %d, %d", got, list, want, c.bundles)
				}
				if got := h.status(name.TagAbout(src, "")); (got == http.StatusOK) != c.list {
					t.Errorf("the list's tag: %d", got)
				}
				for _, r := range list {
					h.whole(name.Reference(r.Digest))
				}
				h.refresh()
			}
		})
	}
}

// An upstream's word that it has nothing about an image counts while it is away, for images that are stored, of all kinds
// alike; once it has something, that counts.
func TestKnownAbsence(t *testing.T) {
	t.Parallel()
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(t)
	h := newHarness(t, signingWith(t, k))
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	served := h.pull("stable", registry.Rechunked)
	elsewhere := digest.FromString("nobody has this")
	kinds := []string{".sig", ".att", ".sbom", ""}
	asked := func(of digest.Digest) (out []int) {
		for _, kind := range kinds {
			out = append(out, h.status(name.TagAbout(of, kind)))
		}
		return out
	}
	all := func(status int) []int { return slices.Repeat([]int{status}, len(kinds)) }

	h.up.failWith("", http.StatusServiceUnavailable)
	if got := asked(src); !slices.Equal(got, all(http.StatusServiceUnavailable)) {
		t.Errorf("before anybody asked: %v", got)
	}
	if _, got := h.refersTo(src); got != http.StatusServiceUnavailable {
		t.Errorf("referrers before anybody asked: %d", got)
	}
	h.up.fail(nil)
	h.restart()
	for _, d := range []digest.Digest{src, elsewhere} {
		if got := asked(d); !slices.Equal(got, all(http.StatusNotFound)) {
			t.Errorf("asked: %v", got)
		}
	}
	h.up.failWith("", http.StatusServiceUnavailable)
	h.restart()
	h.refresh()
	if got := asked(src); !slices.Equal(got, all(http.StatusNotFound)) {
		t.Errorf("the upstream had none: %v", got)
	}
	if list, got := h.refersTo(src); got != http.StatusOK || len(list) != 0 {
		t.Errorf("nothing referred to it: %d, %v", got, list)
	}
	if got := h.status(name.TagAbout(served.Digest, ".att")); got != http.StatusNotFound {
		t.Errorf("the source had no attestations: %d", got)
	}
	if got := asked(elsewhere); !slices.Equal(got, all(http.StatusServiceUnavailable)) {
		t.Errorf("of an image that is not stored: %v", got)
	}
	n := 0
	count := func(catalog.ContentKey, time.Time) error { n++; return nil }
	if err := h.Records.Evidence.List(t.Context(), catalog.ContentOf(testRepo.String()), count); err != nil || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}

	h.up.fail(nil)
	s.sign(t, h.up, src)
	h.restart()
	h.clock.advance(time.Hour)
	h.pull(simplesigning.Tag(src), registry.Original)
	h.up.failWith("", http.StatusServiceUnavailable)
	h.refresh()
	h.pull(simplesigning.Tag(src), registry.Stale)
}

// Evidence is bounded, whole, and of one repository; a pack that is lost is no evidence.
func TestEvidenceIsWhole(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	whole, half := bootable(t, "one").push(t, h.up), bootable(t, "two").push(t, h.up)
	s.sign(t, h.up, whole)
	p := payload(t, testRepo.String(), half)
	lost := s.signed(t, payload(t, testRepo.String()+":other", half))
	h.up.attach(t, half, s.signed(t, p), lost)
	delete(h.up.blobs, digest.FromBytes(lost.Payload))
	for tag, d := range map[string]digest.Digest{"stable": whole, "other": half} {
		h.up.tag(tag, d)
		h.pull(tag, registry.Rechunked)
	}
	h.up.failWith("", http.StatusServiceUnavailable)
	h.restart()
	if got := h.status(name.TagAbout(half, ".sig")); got != http.StatusServiceUnavailable {
		t.Errorf("half a signature: %d", got)
	}
	sig := name.TagAbout(whole, ".sig")
	h.whole(sig)
	rec, err := h.Records.Evidence.Get(t.Context(), verdictKey(whole))
	if err != nil || rec == nil {
		t.Fatalf("%+v, %v", rec, err)
	}
	m, err := h.chunks.Get(t.Context(), rec.Pack, image.MaxDocument)
	if err != nil || !json.Valid(m[:rec.Documents[0].Size]) {
		t.Errorf("the pack: %v", err)
	}
	if err := h.chunks.Delete(t.Context(), rec.Pack); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if got := h.status(sig); got != http.StatusServiceUnavailable {
		t.Errorf("its pack is lost: %d", got)
	}
	h.up.fail(nil)
	h.restart()
	if got := h.status(sig); got != http.StatusOK {
		t.Errorf("the upstream is back: %d", got)
	}
}

// An image that is good, and signed for another tag, is refused under the one that it was forced in under, and nobody is
// told to come back: by its digest it is there.
func TestForcedInUnderAnotherTag(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for what, silence := range map[string]func(h *harness){
		"unavailable": func(h *harness) { h.up.failWith("", http.StatusServiceUnavailable) },
		"silent":      func(h *harness) { h.up.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			elsewhere := newHarness(t)
			d := bootable(t, "one").push(t, elsewhere.up)
			elsewhere.up.attach(t, d, s.signed(t, payload(t, testRepo.String()+":testing", d)))
			elsewhere.up.tag("stable", d)
			elsewhere.pull("stable", registry.Rechunked)
			file, _ := elsewhere.exports(t, "stable")
			h := newHarness(t, verifying(s.file))
			silence(h)
			if err := h.imports(t, file); err == nil {
				t.Error("imported without force")
			}
			if err := h.imports(t, file, force); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				e := h.pullError("stable")
				if e.Status != http.StatusForbidden || !strings.Contains(e.Message, testRepo.String()+":testing") ||
					!strings.Contains(e.Message, s.Public().ID()) {
					t.Errorf("stable: %v", e)
				}
				h.refresh()
				h.clock.advance(time.Hour)
				h.restart()
			}
			h.pull(d.String(), registry.Original)
			report, err := h.View.Repository(t.Context(), testRepo.String())
			if err != nil || len(report.Tags) == 0 {
				t.Fatal(report, err)
			}
			for _, tag := range report.Tags {
				if tag.Tag == "stable" && tag.Served != operate.Refused {
					t.Errorf("status says %+v", tag)
				}
			}
		})
	}
}

// A file that is written while the upstream is away has the signatures that the image passed by, in both forms, long after
// they were checked, and comes in at a proxy that asks for them; what it has nothing of is known to be absent there only
// where the file's writer could ask.
func TestExportWithoutUpstream(t *testing.T) {
	t.Parallel()
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(t)
	for what, sign := range map[string]func(h *harness, d digest.Digest){
		"signature": func(h *harness, d digest.Digest) { s.sign(t, h.up, d) },
		"bundle":    func(h *harness, d digest.Digest) { s.bundled(t, h.up, d, d, bundle.Signed) },
	} {
		for _, away := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, away: %t", what, away), func(t *testing.T) {
				t.Parallel()
				h := newHarness(t, verifying(s.file), signingWith(t, k))
				src := bootable(t, "one").push(t, h.up)
				sign(h, src)
				h.up.tag("stable", src)
				served := h.pull("stable", registry.Rechunked)
				if away {
					h.up.failWith("", http.StatusServiceUnavailable)
					h.clock.advance(24 * time.Hour)
					h.restart()
				}
				file, report := h.exports(t, "stable")
				if (len(report.Missing) > 0) != away {
					t.Errorf("%+v", report.Missing)
				}
				next := newHarness(t, verifying(s.file))
				next.up.failWith("", http.StatusServiceUnavailable)
				if err := next.imports(t, file); err != nil {
					t.Fatal(err)
				}
				next.refresh()
				if m := next.pull("stable", registry.Stale); m.Digest != served.Digest || m.Source != src {
					t.Errorf("%s of %s is served", m.Digest, m.Source)
				}
				sig, list := next.status(name.TagAbout(src, ".sig")), 0
				if what == "signature" {
					next.whole(name.TagAbout(src, ".sig"))
				} else {
					all, _ := next.refersTo(src)
					list = len(all)
					for _, r := range all {
						next.whole(name.Reference(r.Digest))
					}
				}
				want := http.StatusServiceUnavailable // the file's writer could not ask for attestations
				if !away {
					want = http.StatusNotFound
				}
				if got := next.status(name.TagAbout(src, ".att")); got != want {
					t.Errorf(".att: %d, want %d", got, want)
				}
				if what == "signature" && sig != http.StatusOK || what == "bundle" && (list != 1 || !away && sig != want) {
					t.Errorf(".sig: %d, %d bundles", sig, list)
				}
			})
		}
	}
}
