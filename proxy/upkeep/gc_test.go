package upkeep

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// series stores four versions, each with one new layer, and a tag on the last; and a tag that was left on the first.
func series(f *fixture) []rechunk.Version {
	f.t.Helper()
	out := []rechunk.Version{f.version(1, "base", "a"), f.version(2, "base", "b"), f.version(3, "base", "c"),
		f.version(4, "base", "d")}
	f.tag("stable", out[3].SourceDigest, out[3].Digest)
	f.clock.advance(time.Hour)
	return out
}

func TestGC(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	versions := series(f)
	f.put("left by a job that failed")
	f.clock.advance(time.Hour)

	dry := f.gc(GCOptions{DryRun: true})
	if len(f.keys(rechunk.KindPlan)) != 4 || !f.has("a") {
		t.Error("a dry run changed something")
	}
	done := f.gc(GCOptions{})
	apart := cmpopts.IgnoreFields(GCReport{}, "DryRun", "StartedAt", "Seconds", "Content")
	if diff := cmp.Diff(dry, done, apart); diff != "" {
		t.Errorf("the dry run said something else: (-dry +done)\n%s", diff)
	}
	listed := Amount{}
	for i, c := range dry.Content {
		if !c.Goes || c.Reason != "no tag and no version that stays leads to it" || c.Stored.IsZero() ||
			i > 0 && c.Bytes > dry.Content[i-1].Bytes {
			t.Errorf("listed: %+v", c)
		}
		listed.add(c.Bytes)
	}
	if listed != dry.Removed || len(done.Content) > 0 {
		t.Errorf("%+v are listed of %+v", listed, dry.Removed)
	}
	if len(done.Versions) != 2 || done.Versions[0].Reason != beyondVersions || done.Records[catalog.KindManifest] != 5 ||
		done.Records[rechunk.KindPlan] != 2 {
		t.Errorf("report: %+v", done)
	}
	f.want(true, "base", "c", "d", "source layer 4")
	f.want(false, "a", "b", "source layer 1", "source layer 3", "left by a job that failed",
		"index of "+versions[0].Layers[1].Digest.String())
	f.wantVersion(versions[2])
	f.wantVersion(versions[3])
	again := f.gc(GCOptions{})
	removed := again.Removed.Objects + again.Waiting.Objects + int64(len(again.Versions)+len(again.Records))
	if removed != 0 || again.Kept != done.Kept {
		t.Errorf("a second run: %+v, kept before %+v", again, done.Kept)
	}
}

// A dry run says what the rest waits for, and lists no more than it may.
func TestDryRunSaysWhy(t *testing.T) {
	t.Parallel()
	for alone, want := range map[bool]string{
		true:  "was stored just now",
		false: "waits for gc.grace: other processes on the store may be about to use it",
	} {
		f := newFixture(t, nil, func(o *Options) { o.Alone = func() bool { return alone } })
		f.put("left by a job that failed")
		listed := f.gc(GCOptions{DryRun: true}).Content
		if len(listed) != 1 || listed[0].Goes || listed[0].Reason != want {
			t.Errorf("alone %t: %+v, want %q", alone, listed, want)
		}
	}
	var r GCReport
	for range maxListed + 3 {
		r.list(IdleContent{})
	}
	if len(r.Content) != maxListed || r.ContentLeftOut != 3 {
		t.Errorf("%d listed, %d left out", len(r.Content), r.ContentLeftOut)
	}
}

// A delta goes with its seed, and with its layer; what was refused and tried goes like that, too.
func TestGCDeltas(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	versions := series(f)
	layer := func(i int) digest.Digest { return versions[i].Layers[1].Digest }
	f.delta(versions[2].Digest, layer(3), "from 3 to 4")
	f.delta(versions[0].Digest, layer(3), "from a version that goes")
	f.delta(versions[3].Digest, layer(0), "of a layer that goes")
	for _, i := range []int{0, 3} {
		f.record("trials", layer(i).String(), map[string]any{"tried": map[string]any{}})
	}
	f.clock.advance(time.Hour)
	if r := f.gc(GCOptions{}); r.Kinds[KindDelta].Objects != 1 || r.Records["delta"] != 2 || r.Records["trials"] != 1 {
		t.Errorf("%+v", r)
	}
	f.want(true, "from 3 to 4")
	f.want(false, "from a version that goes", "of a layer that goes")
	if got := f.keys("trials"); len(got) != 1 || got[0] != layer(3).String() {
		t.Errorf("trials: %v", got)
	}
}

// What a tag stands for stays, and what is pulled; a version that is too old goes, but the newest two.
func TestGCKeeps(t *testing.T) {
	t.Parallel()
	p := pulls{}
	f := newFixture(t, nil, func(o *Options) {
		o.LastPull = p.last
		o.Policy = policy(Retention{Versions: 3, Age: 30 * 24 * time.Hour})
	})
	versions := series(f)
	f.tag("old", versions[0].SourceDigest, versions[0].Digest)
	p[versions[1].Digest] = f.clock.now()
	by := f.original("pulled by digest")
	f.original("pulled long ago")
	f.clock.advance(6 * 24 * time.Hour)
	f.gc(GCOptions{})
	for _, v := range versions {
		f.wantVersion(v)
	}
	f.want(true, "source layer 1", "pulled by digest", "pulled long ago")
	f.want(false, "source layer 3")

	f.clock.advance(6 * 24 * time.Hour)
	p[by] = f.clock.now()
	f.gc(GCOptions{})
	f.want(true, "a", "b", "pulled by digest")
	f.want(false, "pulled long ago")

	f.clock.advance(30 * 24 * time.Hour)
	r := f.gc(GCOptions{})
	if len(r.Versions) != 1 || r.Versions[0].Digest != versions[1].Digest || r.Versions[0].Reason != beyondDays {
		t.Errorf("versions that go: %+v", r.Versions)
	}
	f.wantVersion(versions[0])
	f.wantVersion(versions[2])
	f.wantVersion(versions[3])
}

// An index stays as long as all images in it that were made here.
func TestGCIndexes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	var indexes []digest.Digest
	for n, v := range series(f) {
		src := f.index(v.SourceDigest)
		x := f.index(v.Digest, digest.FromString("another platform, never pulled"))
		f.record(catalog.KindManifest, src.String(),
			map[string]any{"media_type": "x", "source_digest": src, "served": "original"})
		f.record(catalog.KindManifest, x.String(),
			map[string]any{"media_type": "x", "source_digest": src, "served": catalog.Rechunked})
		indexes = append(indexes, src, x)
		if n == 3 {
			f.tag("stable", src, x)
		}
	}
	f.clock.advance(time.Hour)
	f.gc(GCOptions{})
	var got []bool
	for _, d := range indexes {
		got = append(got, f.hasDigest(d))
	}
	if want := []bool{false, false, false, false, false, true, true, true}; !slices.Equal(got, want) {
		t.Errorf("indexes of sources and images: %v, want %v", got, want)
	}
	f.want(true, "c", "d", "source layer 4")
}

// Where others may be using the store, content goes only when it has been out of reach for the grace time.
func TestGCAmongOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, func(o *Options) { o.Alone = func() bool { return false } })
	versions := series(f)
	f.clock.advance(24 * time.Hour)
	if r := f.gc(GCOptions{}); r.Removed.Objects != 0 || r.Waiting.Objects == 0 || len(r.Versions) != 2 {
		t.Errorf("first run: %+v", r)
	}
	f.clock.advance(5 * time.Hour)
	f.gc(GCOptions{})
	f.want(true, "a", "b")
	// Another process had read the lineage before, and now publishes an image with one of its layers.
	f.version(5, "base", "b")
	// A third writes another layer anew.
	f.put("a")
	f.clock.advance(2 * time.Hour)
	if r := f.gc(GCOptions{}); r.Removed.Objects == 0 {
		t.Errorf("third run: %+v", r)
	}
	f.want(true, "a", "b", "c", "d")
	f.wantVersion(versions[3])
	f.clock.advance(7 * time.Hour)
	f.gc(GCOptions{})
	f.want(false, "a")
	f.want(true, "b")
}

// A version that a stale writer puts back waits anew: somebody may have planned with it.
func TestGCCountsAnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, func(o *Options) { o.Alone = func() bool { return false } })
	series(f)
	before, err := f.chunks.GetRecord(t.Context(), rechunk.KindLineage, testLineage)
	f.must(err)
	before = slices.Clone(before)
	f.clock.advance(24 * time.Hour)
	f.gc(GCOptions{})
	f.must(f.chunks.PutRecord(t.Context(), rechunk.KindLineage, testLineage, before))
	f.clock.advance(7 * time.Hour)
	f.gc(GCOptions{})
	f.want(true, "a", "b")
	f.clock.advance(7 * time.Hour)
	f.gc(GCOptions{})
	f.want(false, "a", "b")
}

// While work is under way, what it may have found in the records stays.
func TestGCDuringWork(t *testing.T) {
	t.Parallel()
	var oldest time.Time
	var begun int64
	f := newFixture(t, nil, func(o *Options) { o.Activity = func() (time.Time, int64) { begun++; return oldest, begun } })
	series(f)
	f.clock.advance(time.Hour)
	f.gc(GCOptions{})
	f.want(true, "a", "b") // work began and ended while it ran
	begun = 0
	oldest = f.clock.now().Add(-2 * time.Hour)
	f.clock.advance(time.Hour)
	f.gc(GCOptions{})
	f.want(true, "a", "b") // condemned after the work began
	oldest = f.clock.now()
	f.clock.advance(time.Hour)
	f.gc(GCOptions{})
	f.want(false, "a", "b")
}

// A damaged record that content may hang on stops the removal of content, and is named.
func TestGCDamaged(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{catalog.KindTag, rechunk.KindLineage} {
		f := newFixture(t, nil, nil)
		series(f)
		f.must(f.chunks.PutRecord(t.Context(), kind, testRepo+":other", []byte("garbage")))
		f.clock.advance(time.Hour)
		r := f.gc(GCOptions{})
		if r.Removed.Objects != 0 || !slices.Equal(r.Damaged, []string{kind + " " + testRepo + ":other"}) {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestGCOneAtATime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	series(f)
	var inner error
	f.gc(GCOptions{Progress: func(string, int64, int64) { _, inner = f.keeper.GC(t.Context(), GCOptions{}) }})
	if !errors.Is(inner, ErrBusy) {
		t.Errorf("a second gc: %v", inner)
	}
}

// Whatever call of the storage fails, and wherever the process is killed, what is needed is there, and the next run ends as
// one that nothing happened to.
func TestGCFaults(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]func(int) storetest.Rule{
		"fails once": storetest.FailNth, "is done but fails": storetest.FailNthAfter, "dies": storetest.DieAt,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testGCFaults(t, rule)
		})
	}
}

func testGCFaults(t *testing.T, rule func(int) storetest.Rule) {
	const most = 2000
	for n := 1; n < most; n += stride() {
		f := newFixture(t, nil, nil)
		versions := series(f)
		f.put("left by a job that failed")
		f.clock.advance(time.Hour)
		whole := f.driver
		faulty := storetest.NewFaulty(whole, rule(n))
		f.driver = faulty
		err := f.open(nil)
		if err == nil {
			_, err = f.keeper.GC(t.Context(), GCOptions{})
		}
		finished := faulty.Calls() < n
		if finished {
			t.Logf("%d calls", n)
		}
		if finished && err != nil {
			t.Fatalf("without a fault: %v", err)
		}
		f.driver = whole
		f.must(f.open(nil))
		f.wantVersion(versions[2])
		f.wantVersion(versions[3])
		f.want(true, "source layer 4")
		f.gc(GCOptions{})
		f.wantVersion(versions[2])
		f.wantVersion(versions[3])
		f.want(false, "a", "b", "source layer 1", "left by a job that failed")
		if got := f.keys(rechunk.KindPlan); len(got) != 2 {
			t.Errorf("%d plans", len(got))
		}
		if t.Failed() {
			t.Fatalf("with a fault in call %d", n)
		}
		if finished {
			return
		}
	}
	t.Fatalf("a gc makes more than %d calls", most)
}

// A store that lost its memory of the condemned starts anew; a long list is cut.
func TestCondemnedList(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.must(f.chunks.PutRecord(t.Context(), "upkeep", "condemned", []byte("garbage")))
	got, err := f.keeper.readCondemned(t.Context())
	if err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	long := condemned{}
	for i := range maxCondemned + 10 {
		long[digest.FromString(fmt.Sprint(i))] = time.Unix(int64(i%3), 0)
	}
	f.must(f.keeper.saveCondemned(t.Context(), turn{}, long))
	if got, err = f.keeper.readCondemned(t.Context()); err != nil || len(got) != maxCondemned {
		t.Errorf("%d entries, %v", len(got), err)
	}
	b, err := f.chunks.GetRecord(t.Context(), "upkeep", "condemned")
	if err != nil || len(b) > chunkstore.MaxRecordBytes {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
