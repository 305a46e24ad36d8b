package pulltest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/airgap/gate"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk/image"
)

// A file that holds nothing but what is said of an image replaces no signature that is stored, pulled or imported, unless it
// is signed as configured itself, or forced.
func TestImportKeepsGoodSignatures(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	// alone makes a file of one tag about an image that is signed by somebody.
	alone := func(t *testing.T, d digest.Digest, kind string, by *signer, more ...*signer) string {
		t.Helper()
		elsewhere := newHarness(t)
		var all []simplesigning.Signed
		for _, k := range append(more, by) {
			all = append(all, k.signed(t, payload(t, testRepo.String(), d)))
		}
		elsewhere.up.attach(t, d, all...)
		if kind != ".sig" {
			elsewhere.up.tag(string(name.TagAbout(d, kind)), elsewhere.up.tags[simplesigning.Tag(d)])
		}
		file, _ := elsewhere.exports(t, string(name.TagAbout(d, kind)))
		return file
	}
	for what, have := range map[string]func(h *harness, file string){
		"pulled": func(h *harness, _ string) { h.pull("stable", registry.Rechunked) },
		"imported": func(h *harness, file string) {
			if err := h.imports(t, file); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			central := newHarness(t)
			d := bootable(t, "one").push(t, central.up)
			s.sign(t, central.up, d)
			central.up.tag("stable", d)
			central.pull("stable", registry.Rechunked)
			whole, _ := central.exports(t, "stable")
			h := newHarness(t, verifying(s.file), sameUpstream(central))
			have(h, whole)
			h.up.failWith("", http.StatusServiceUnavailable)

			signature := func() digest.Digest {
				m, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(simplesigning.Tag(d)))
				if err != nil {
					t.Fatal(err)
				}
				return m.Digest
			}
			before := signature()
			bad := alone(t, d, ".sig", other)
			report, err := h.importing(t, bad)
			if err != nil || len(report.Entries) != 0 || len(report.Missing) != 1 ||
				!strings.Contains(report.Missing[0].Why, "another key") ||
				!strings.Contains(report.Missing[0].Why, "--force") {
				t.Errorf("%+v, %v", report, err)
			}
			if now := signature(); now != before {
				t.Errorf("%s was replaced by %s", before, now)
			}
			if err := h.imports(t, alone(t, d, ".sig", s, other)); err != nil {
				t.Fatal(err)
			}
			if now := signature(); now == before {
				t.Error("one that is signed as configured was left out")
			}
			if err := h.imports(t, bad, force); err != nil {
				t.Fatal(err)
			}
			if now := signature(); now == before {
				t.Error("what was forced was left out")
			}

			if err := h.imports(t, alone(t, d, ".att", other)); err != nil { // nothing is known under that tag
				t.Fatal(err)
			}
			first := h.record(t, string(name.TagAbout(d, ".att")))
			report, err = h.importing(t, alone(t, d, ".att", other, s))
			if err != nil || len(report.Missing) != 1 ||
				h.record(t, string(name.TagAbout(d, ".att"))).Digest != first.Digest {
				t.Errorf("an attestation was replaced: %+v, %v", report, err)
			}
		})
	}
}

// What refers to an image by a file comes beside what was seen at the upstream.
func TestImportKeepsReferrers(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	h, elsewhere := newHarness(t, verifying(s.file)), newHarness(t)
	var d digest.Digest
	for _, by := range []struct {
		*signer
		at *harness
	}{{s, h}, {other, elsewhere}} {
		d = bootable(t, "one").push(t, by.at.up)
		by.bundled(t, by.at.up, d, d, bundle.Signed)
		by.at.up.tag("stable", d)
		by.at.pull("stable", registry.Rechunked)
	}
	listed := func() (all []digest.Digest) {
		list, _, err := h.Lists.Referrers(t.Context(), testRepo, d, "")
		if err != nil {
			t.Fatal(err)
		}
		idx, err := image.ParseLayout(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range idx.Manifests() {
			all = append(all, r.Digest)
		}
		return all
	}
	h.up.failWith("", http.StatusServiceUnavailable)
	before := listed()
	file, _ := elsewhere.exports(t, "stable")
	if err := h.imports(t, file, force); err != nil {
		t.Fatal(err)
	}
	now := listed()
	if len(now) <= len(before) || slices.ContainsFunc(before,
		func(d digest.Digest) bool { return !slices.Contains(now, d) }) {
		t.Errorf("%v became %v", before, now)
	}
}

// The signature of an image that a Strata made is left out where the proxy signs such itself.
func TestImportLeavesWhatIsSignedHere(t *testing.T) {
	t.Parallel()
	h, elsewhere, s := newHarness(t), newHarness(t), newSigner(t)
	d := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", d)
	served := h.pull("stable", registry.Rechunked).Digest
	s.sign(t, elsewhere.up, served)
	file, _ := elsewhere.exports(t, simplesigning.Tag(served))
	report, err := h.importing(t, file, func(o *gate.Options) { o.Signs = true })
	if err != nil || len(report.Entries) != 0 || len(report.Missing) != 1 ||
		!strings.Contains(report.Missing[0].Why, "signs the image itself") {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err = h.importing(t, file); err != nil || len(report.Entries) != 1 {
		t.Errorf("without a key of its own: %+v, %v", report, err)
	}
}
