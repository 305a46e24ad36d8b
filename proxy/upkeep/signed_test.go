package upkeep

import (
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// signed gives each version a verdict on its source, a signature with its pack, and a record that it was shown.
func (f *fixture) signed(versions []rechunk.Version) {
	f.t.Helper()
	for _, v := range versions {
		f.record("verdict", testRepo+"@"+v.SourceDigest.String(), map[string]any{"policy": "00", "passed": true})
		f.record("evidence", testRepo+"@"+v.SourceDigest.String(), map[string]any{"at": f.clock.now(), "image": v.Digest,
			"pack": f.put(seenOf(v)), "documents": []any{map[string]any{"digest": v.Digest, "offset": 0, "size": 4}}})
		f.record("admitted", testRepo+"@"+v.Digest.String(), map[string]any{"policy": "00"})
		f.record("signature", testRepo+"@"+v.Digest.String(), map[string]any{"maker": "00", "image": v.Digest,
			"pack": f.put(packOf(v)), "documents": []any{map[string]any{"digest": v.Digest, "offset": 0, "size": 4}}})
	}
}

// packOf is what was signed of a version: signatures and bundles.
func packOf(v rechunk.Version) string { return "pack of " + v.Digest.String() }

// seenOf is what an upstream signed of a version's source.
func seenOf(v rechunk.Version) string { return "evidence of " + v.Digest.String() }

// wantSigned checks that what was signed of a version, and the verdict on it, are there as long as the version is.
func (f *fixture) wantSigned(v rechunk.Version) (stays bool) {
	f.t.Helper()
	stays = f.hasDigest(v.Digest)
	f.want(stays, packOf(v))
	f.want(stays, seenOf(v))
	for kind, of := range map[string]digest.Digest{
		"verdict": v.SourceDigest, "evidence": v.SourceDigest, "signature": v.Digest, "admitted": v.Digest,
	} {
		if got := slices.Contains(f.keys(kind), testRepo+"@"+of.String()); got != stays {
			f.t.Errorf("version %d stays: %t, its %s does: %t", v.Sequence, stays, kind, got)
		}
	}
	return stays
}

// A store that has to shrink gives up sources before versions; verdicts on sources that went stay as long as what was made
// of them, and signatures go with the versions that go, and not before.
func TestEvictKeepsWhatIsSigned(t *testing.T) {
	t.Parallel()
	p := pulls{}
	f := newFixture(t, nil, func(o *Options) { keepAllVersions(o); o.LastPull = p.last })
	versions := crowded(f)
	f.signed(versions)
	f.clock.advance(24 * time.Hour)
	p[versions[1].Digest] = f.clock.now()
	f.must(f.keeper.Measure(t.Context()))
	f.setQuota(20 * kib) // what upstreams have is enough
	if r, err := f.keeper.Evict(t.Context()); err != nil || !r.Met {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, v := range versions {
		if !f.wantSigned(v) {
			t.Errorf("version %d went", v.Sequence)
		}
	}
	f.setQuota(50 * kib) // a version has to go
	if r, err := f.keeper.Evict(t.Context()); err != nil || !r.Met {
		t.Fatalf("%+v, %v", r, err)
	}
	f.clock.advance(24 * time.Hour)
	f.gc(GCOptions{})
	gone := 0
	for _, v := range versions {
		if !f.wantSigned(v) {
			gone++
		}
	}
	if gone == 0 || gone > 2 { // tags stand for the others
		t.Errorf("%d versions went", gone)
	}
}

// What was signed and is damaged is taken away, so that it is signed again, and takes neither its image nor others along.
func TestScrubOfWhatIsSigned(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, keepAllVersions)
	versions := series(f)
	f.signed(versions)
	f.clock.advance(24 * time.Hour)
	if got, err := f.keeper.Scrub(t.Context(), ScrubOptions{}); err != nil || len(got.Damaged) != 0 {
		t.Fatalf("a sound store: %+v, %v", got, err)
	}
	bad, key := f.rot(packOf(versions[3])), testRepo+"@"+versions[3].SourceDigest.String()
	f.must(f.chunks.PutRecord(t.Context(), "verdict", key, []byte(`{"passed":true}`)))
	got, err := f.keeper.Scrub(t.Context(), ScrubOptions{})
	f.must(err)
	want := map[string]string{bad.String(): OutcomeLater, "verdict " + key: OutcomeLater}
	if len(got.Damaged) != len(want) {
		t.Errorf("%+v", got.Damaged)
	}
	for _, d := range got.Damaged {
		if want[d.Name] != d.Outcome {
			t.Errorf("%s: %s %s", d.Name, d.Outcome, d.Error)
		}
	}
	f.want(false, packOf(versions[3]))
	f.gc(GCOptions{})
	for _, v := range versions {
		f.wantVersion(v)
	}
	for _, v := range versions[:3] {
		f.wantSigned(v)
	}
}
