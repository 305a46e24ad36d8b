package pulltest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk/image"
)

// labelled is a counter with a label's value.
func labelled(t testing.TB, reg *prometheus.Registry, name, value string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == value {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// Each image that is refused counts once, and operators see which tag it is and why: also of one that stays where it was,
// since what came is not signed, or is an earlier one.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(s.file))
	counted := func(passed, refused, back float64) {
		t.Helper()
		for result, want := range map[string]float64{"passed": passed, "refused": refused, "rollback": back} {
			if n := labelled(t, h.reg, "strata_verified_total", result); n != want {
				t.Errorf("%s: %v, want %v", result, n, want)
			}
		}
	}
	listed := func(tag, served string, words ...string) {
		t.Helper()
		detail, err := h.View.Repository(t.Context(), testRepo.String()+":"+tag)
		if err != nil || len(detail.Tags) != 1 || detail.Tags[0].Served != served {
			t.Fatalf("%s: operators see %+v, %v", tag, detail, err)
		}
		for _, w := range words {
			if !strings.Contains(detail.Tags[0].Refused, w) {
				t.Errorf("%s: %q does not say %s", tag, detail.Tags[0].Refused, w)
			}
		}
	}
	counted(0, 0, 0)
	first, next := bootable(t, "one").push(t, h.up), bootable(t, "two").push(t, h.up)
	for _, d := range []digest.Digest{first, next} {
		s.sign(t, h.up, d)
		h.up.tag("stable", d)
		h.refresh()
		h.pull("stable", registry.Rechunked)
	}
	counted(2, 0, 0)

	h.up.tag("stable", bootable(t, "three").push(t, h.up))
	for range 2 {
		h.refresh()
		h.pull("stable", registry.Stale)
	}
	counted(2, 2, 0) // it is looked at again, since a signature may come later
	listed("stable", string(registry.Stale), s.Public().ID(), "there is no tag sha256-")

	h.up.tag("stable", first)
	for range 2 {
		h.refresh()
		h.pull("stable", registry.Stale)
	}
	counted(2, 2, 1)
	listed("stable", string(registry.Stale), "went back to "+first.String(), "strata release "+testRepo.String()+":stable")

	foreign := bootable(t, "foreign").push(t, h.up)
	other.sign(t, h.up, foreign)
	h.up.tag("new", foreign)
	h.pullError("new")
	counted(2, 3, 1)
	listed("new", operate.Refused, s.Public().ID(), "another key")
	elsewhere := bootable(t, "elsewhere").push(t, h.up)
	h.up.attach(t, elsewhere, s.signed(t, payload(t, "registry.test/org/other", elsewhere)))
	h.up.tag("other", elsewhere)
	h.pullError("other")
	counted(2, 4, 1)
	listed("other", operate.Refused, "another repository, registry.test/org/other")
}

// An image whose verdict is bad is no seed, though a client has it: it gets the layer whole, and that counts.
func TestRefusedSeeds(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(s.file), func(h *harness) { h.deltas = fewDeltas })
	var served []*registry.Manifest
	for _, content := range []string{"one", "two"} {
		src := bootable(t, content).push(t, h.up)
		signed := []simplesigning.Signed{s.signed(t, payload(t, testRepo.String(), src))}
		if content == "two" {
			signed = append(signed, next.signed(t, payload(t, testRepo.String(), src)))
		}
		h.up.attach(t, src, signed...)
		h.up.tag("stable", src)
		h.refresh()
		served = append(served, h.pull("stable", registry.Rechunked))
	}
	h.rule.Verify.Keys = []string{next.file}
	h.refresh()
	h.pull("stable", registry.Rechunked)
	m, err := image.ReadManifest(served[1].Bytes)
	if err != nil {
		t.Fatal(err)
	}
	query := registry.DeltaQuery{Layer: m.Layers[len(m.Layers)-1].Digest, Seeds: []digest.Digest{served[0].Digest},
		Wait: time.Minute}
	_, err = h.Deltas.OpenDelta(t.Context(), testRepo, query)
	var none *registry.NoDelta
	if !errors.As(err, &none) || none.Reason != "seed" {
		t.Errorf("%v", err)
	}
	if n := labelled(t, h.reg, "strata_deltas_refused_total", "seed"); n != 1 {
		t.Errorf("%v are counted as refused for their seeds", n)
	}
	if n := labelled(t, h.reg, "strata_verified_total", "refused"); n != 1 {
		t.Errorf("%v are counted as refused", n)
	}
	if _, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(served[0].Digest)); err == nil {
		t.Error("the seed itself is shown")
	}
}
