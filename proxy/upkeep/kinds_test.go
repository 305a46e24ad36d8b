package upkeep

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// A store with records that this build doesn't know is not collected, nor pruned, nor evicted from: what they lead to is not
// known.
func TestUnknownRecords(t *testing.T) {
	t.Parallel()
	for what, put := range map[string]func(*fixture){
		`kind "prophecy"`: func(f *fixture) {
			f.record("prophecy", testRepo,
				map[string]any{"image": digest.FromString("x")})
		},
		"newer schema": func(f *fixture) {
			f.record(rechunk.KindPlan, digest.FromString("x").String(), map[string]any{"schema": 2})
		},
		"lineage record": func(f *fixture) {
			f.record(rechunk.KindLineage, "other linux/amd64",
				map[string]any{"schema": 7})
		},
	} {
		f := newFixture(t, nil, nil)
		series(f)
		put(f)
		f.clock.advance(24 * time.Hour)
		f.usage.SetQuota(1)
		_, err := f.keeper.GC(t.Context(), GCOptions{})
		_, evicted := f.keeper.Evict(t.Context())
		for _, err := range []error{err, evicted} {
			if !errors.Is(err, catalog.ErrUnknownKind) && !errors.Is(err, catalog.ErrNewer) ||
				!strings.Contains(err.Error(), what) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if what == `kind "prophecy"` {
			if _, err := f.keeper.Prune(t.Context(), PruneOptions{Name: testRepo}); !errors.Is(err, catalog.ErrUnknownKind) {
				t.Errorf("prune: %v", err)
			}
		}
		f.want(true, "a", "b", "c", "d", "source layer 1")
		if got := f.keys(catalog.KindManifest); len(got) != 8 {
			t.Errorf("%s: %d manifests are left of 8", what, len(got))
		}
	}
}

// The records of a kind of which none are left are no obstacle.
func TestKindThatWasRemoved(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	series(f)
	f.record("prophecy", testRepo, map[string]any{})
	f.must(f.chunks.DeleteRecord(t.Context(), "prophecy", testRepo))
	f.gc(GCOptions{})
}

// What belongs to an image goes with it: proofs, attempts, pulls and plans; what belongs to one that stays, stays.
func TestRecordsGoWithTheirOwners(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	versions := series(f)
	for _, v := range versions {
		key := testRepo + "@" + v.Digest.String()
		f.record("proof", key, map[string]any{"made": true})
		f.record("blob-proof", testRepo+"@"+v.Layers[1].Digest.String(), map[string]any{"at": time.Now()})
		f.record("pulls", v.Digest.String(), map[string]any{})
		f.record("attempt", v.SourceDigest.String(), map[string]any{"source_digest": v.SourceDigest})
	}
	f.must(f.chunks.PutRecord(t.Context(), "pulls", digest.FromString("x").String(), []byte("garbage")))
	f.clock.advance(24 * time.Hour)
	r := f.gc(GCOptions{})
	for kind, want := range map[string][2]int{"proof": {2, 2}, "blob-proof": {2, 2}, "pulls": {2, 3}, "plan": {2, 2},
		"attempt": {1, 3}} {
		if got := len(f.keys(kind)); got != want[0] || r.Records[kind] != int64(want[1]) {
			t.Errorf("%d records of kind %s are left, %d are reported gone; want %d and %d", got, kind, r.Records[kind],
				want[0], want[1])
		}
	}
}

// Verdicts are on sources and stay with what was made of them, although the sources go: what is served on is known to be
// signed. Signatures stay with their images, and so do the packs in which they lie.
func TestVerdictsStayWithWhatWasMade(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	versions := series(f)
	index, odd := f.index(versions[0].SourceDigest), f.original("odd layer")
	all := []digest.Digest{index, odd}
	for _, v := range versions {
		all = append(all, v.SourceDigest)
		f.record("signature", testRepo+"@"+v.Digest.String(), map[string]any{"maker": "00", "image": v.Digest,
			"pack": f.put("pack of " + v.Digest.String())})
	}
	for _, d := range all {
		f.record("verdict", testRepo+"@"+d.String(), map[string]any{"policy": "00", "passed": true})
	}
	f.clock.advance(30 * 24 * time.Hour)
	f.gc(GCOptions{})
	left := f.keys("verdict")
	for n, v := range versions {
		stays := f.hasDigest(v.Digest)
		if got := slices.Contains(left, testRepo+"@"+v.SourceDigest.String()); got != stays {
			t.Errorf("version %d stays: %t, its verdict does: %t", n, stays, got)
		}
		f.want(stays, "pack of "+v.Digest.String())
	}
	for _, d := range []digest.Digest{index, odd} {
		if slices.Contains(left, testRepo+"@"+d.String()) {
			t.Errorf("the verdict on %s stays", d)
		}
	}
	if len(left) != 2 || len(f.keys("signature")) != 2 {
		t.Errorf("%d verdicts and %d signatures are left", len(left), len(f.keys("signature")))
	}
}

// A repository that is dropped takes along what it was proven to have, and no other does.
func TestPruneForgetsProofs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	v := series(f)[3]
	for _, repo := range []string{testRepo, testRepo + "-other"} {
		f.record(catalog.KindRepository, repo, map[string]any{"since": time.Now()})
		f.record("proof", repo+"@"+v.Digest.String(), map[string]any{"all": true})
		f.record(catalog.KindTag, repo+":kept", map[string]any{
			"source_digest": v.SourceDigest, "digest": v.Digest, "served": catalog.Rechunked, "media_type": "x",
		})
		f.record(catalog.KindRefusal, repo+":unsigned", map[string]any{"source_digest": v.SourceDigest, "policy": "00"})
	}
	f.gc(GCOptions{})
	one, err := f.keeper.Prune(t.Context(), PruneOptions{Name: testRepo + ":unsigned", DryRun: true})
	if err != nil || len(one.Tags) != 1 || len(one.Repositories) != 0 {
		t.Errorf("%+v, %v", one, err)
	}
	r, err := f.keeper.Prune(t.Context(), PruneOptions{Name: testRepo})
	if err != nil || len(r.Tags) != 3 || len(r.Repositories) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if got := f.keys(catalog.KindRefusal); len(got) != 1 || got[0] != testRepo+"-other:unsigned" {
		t.Errorf("refusals are left: %q", got)
	}
	if got := f.keys("proof"); len(got) != 1 || !strings.HasPrefix(got[0], testRepo+"-other@") {
		t.Errorf("proofs are left: %q", got)
	}
}
