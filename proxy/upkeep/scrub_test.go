package upkeep

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// restorer stores what it is asked to fetch, and remembers what it is asked for.
type restorer struct {
	f     *fixture
	known map[digest.Digest]string
	asked []string
}

func (r *restorer) Fetch(_ context.Context, repository string, d digest.Digest) error {
	r.asked = append(r.asked, "fetch "+repository)
	if content, ok := r.known[d]; ok {
		r.f.put(content)
		return nil
	}
	return errors.New("the upstream has lost it")
}

func (r *restorer) Remake(_ context.Context, repository, tag string) error {
	r.asked = append(r.asked, "remake "+repository+":"+tag)
	return nil
}

// rot changes stored content, which no client of the store could do.
func (f *fixture) rot(content string) digest.Digest {
	f.t.Helper()
	d := digest.FromString(content)
	path := "/v1/blobs/sha256/" + d.Encoded()[:2] + "/" + d.Encoded()
	f.must(f.driver.PutContent(f.t.Context(), path, []byte(strings.ToUpper(content))))
	return d
}

func TestScrub(t *testing.T) {
	t.Parallel()
	r := &restorer{known: map[digest.Digest]string{digest.FromString("source layer 4"): "source layer 4"}}
	f := newFixture(t, nil, func(o *Options) { keepAllVersions(o); o.Restorer = r })
	r.f = f
	series(f)
	f.put("nobody's")
	if got, err := f.keeper.Scrub(t.Context(), ScrubOptions{}); err != nil || len(got.Damaged) != 0 ||
		got.Content.Objects == 0 || got.Records == 0 {
		t.Fatalf("a sound store: %+v, %v", got, err)
	}
	want := map[string]string{
		f.rot("source layer 4").String(): OutcomeFetched, f.rot("d").String(): OutcomeMade,
		f.rot("a").String():        OutcomeLater,
		f.rot("nobody's").String(): OutcomeUnneeded, "tag " + testRepo + ":broken": OutcomeLater,
		"plan (no key)": OutcomeLater,
	}
	f.must(f.chunks.PutRecord(t.Context(), catalog.KindTag, testRepo+":broken", []byte(`{"digest":`)))
	long := strings.Repeat("long", 100)
	f.must(f.chunks.PutRecord(t.Context(), rechunk.KindPlan, long, []byte(`{}`)))
	found, err := f.driver.List(t.Context(), "/v1/records/plan")
	f.must(err)
	for _, p := range found {
		if strings.HasPrefix(p, "/v1/records/plan/longlong") {
			f.must(f.driver.PutContent(t.Context(), p, []byte("garbage")))
		}
	}
	got, err := f.keeper.Scrub(t.Context(), ScrubOptions{})
	f.must(err)
	if len(got.Damaged) != len(want) {
		t.Errorf("%d damaged, want %d: %+v", len(got.Damaged), len(want), got.Damaged)
	}
	for _, d := range got.Damaged {
		if want[d.Name] != d.Outcome {
			t.Errorf("%s: %s %s, want %s", d.Name, d.Outcome, d.Error, want[d.Name])
		}
	}
	f.want(true, "source layer 4")
	f.want(false, "d", "a", "nobody's")
	quarantined := 0
	f.must(f.chunks.WalkQuarantine(t.Context(), func(chunkstore.Quarantined) error { quarantined++; return nil }))
	if quarantined != len(want) {
		t.Errorf("%d objects in quarantine, want %d", quarantined, len(want))
	}
	f.clock.advance(time.Hour)
	if got, err := f.keeper.Scrub(t.Context(), ScrubOptions{KeepDamaged: time.Minute}); err != nil || len(got.Damaged) != 0 {
		t.Errorf("after it: %+v, %v", got, err)
	}
	f.must(f.chunks.WalkQuarantine(t.Context(),
		func(q chunkstore.Quarantined) error { t.Errorf("%s is still in quarantine", q.Name); return nil }))
}

// A pass that was interrupted goes on where it was, and reads every object once.
func TestScrubGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	series(f)
	whole, err := f.keeper.Scrub(t.Context(), ScrubOptions{})
	f.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err = f.keeper.Scrub(ctx, ScrubOptions{Progress: func(string, int64, int64) {
		if n++; n == 5 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	rest := 0
	again, err := f.keeper.Scrub(t.Context(), ScrubOptions{Progress: func(string, int64, int64) { rest++ }})
	f.must(err)
	if again.Content.Objects < whole.Content.Objects || int64(rest) > whole.Content.Objects-4 {
		t.Errorf("%d objects in all, %d of them after the interruption; a whole pass reads %d", again.Content.Objects, rest,
			whole.Content.Objects)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, keepAllVersions)
	versions := series(f)
	f.tag("old", versions[0].SourceDigest, versions[0].Digest)
	f.record(catalog.KindRepository, testRepo, map[string]any{})
	f.record(rechunk.KindHistory, testLineage, map[string]any{})
	f.clock.advance(time.Hour)
	if _, err := f.keeper.Prune(t.Context(), PruneOptions{Name: "registry.test/other"}); !errors.Is(err, ErrUnknownName) {
		t.Errorf("an unknown name: %v", err)
	}
	dry, err := f.keeper.Prune(t.Context(), PruneOptions{Name: testRepo, DryRun: true})
	if err != nil || len(dry.Tags) != 2 || len(dry.Repositories) != 1 || len(dry.Lineages) != 1 ||
		len(f.keys(catalog.KindTag)) != 2 {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	one, err := f.keeper.Prune(t.Context(), PruneOptions{Name: testRepo + ":old"})
	if err != nil || len(one.Tags) != 1 || len(one.Lineages) != 0 {
		t.Errorf("a tag: %+v, %v", one, err)
	}
	f.want(false, "source layer 1")
	f.want(true, "a", "d")
	all, err := f.keeper.Prune(t.Context(), PruneOptions{Name: testRepo})
	if err != nil || all.GC == nil {
		t.Errorf("a repository: %+v, %v", all, err)
	}
	for _, kind := range []string{catalog.KindTag, rechunk.KindLineage, rechunk.KindHistory, catalog.KindRepository} {
		if left := f.keys(kind); len(left) != 0 {
			t.Errorf("%s records are left: %q", kind, left)
		}
	}
	f.want(false, "base", "d", "source layer 4")
}

// A tag of which not all hosts are to get the newest version is pruned only by who says so: all would get it. Nobody can
// tell where the roll-out's record is lost or damaged.
func TestPruneRolledOut(t *testing.T) {
	t.Parallel()
	source, old := digest.FromString("source"), digest.FromString("old")
	version := func(d digest.Digest, share float64) map[string]any {
		return map[string]any{"source_digest": d, "digest": d, "media_type": "x", "served": "original", "share": share}
	}
	complete, partly := version(old, 1), version(source, 0.5)
	for name, tt := range map[string]struct {
		record  any
		refused bool
	}{
		"complete": {map[string]any{"versions": []any{complete}}, false},
		"stepping": {map[string]any{"versions": []any{complete, partly}}, true},
		"held":     {map[string]any{"versions": []any{complete}, "held": map[string]any{"by": "alice"}}, true},
		"damaged":  {"garbage", true},
		"lost":     {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, inmemory.New(), nil)
			key := testRepo + ":stable"
			f.record(catalog.KindTag, key, &catalog.Tag{SourceDigest: source, Digest: source, MediaType: "x",
				Served: catalog.Original, Staged: true})
			if tt.record != nil {
				f.record(catalog.KindRollout, key, tt.record)
			}
			f.record(catalog.KindReached, key+" "+source.String()+" 00", map[string]any{"hosts": ""})
			r, err := f.keeper.Prune(t.Context(), PruneOptions{Name: key, DryRun: true})
			if err != nil || (len(r.Rollouts) > 0) != tt.refused {
				t.Errorf("%+v, %v", r, err)
			}
			if _, err := f.keeper.Prune(t.Context(), PruneOptions{Name: key}); errors.Is(err, ErrRolledOut) != tt.refused {
				t.Errorf("%v", err)
			}
			if _, err := f.keeper.Prune(t.Context(), PruneOptions{Name: key, EndRollouts: true}); tt.refused && err != nil {
				t.Errorf("%v", err)
			}
			for _, kind := range []string{catalog.KindTag, catalog.KindRollout, catalog.KindReached} {
				if keys := f.keys(kind); len(keys) > 0 {
					t.Errorf("%s stays: %v", kind, keys)
				}
			}
		})
	}
}
