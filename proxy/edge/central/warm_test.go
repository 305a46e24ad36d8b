package central_test

import (
	"context"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

func trial(e *delta.Encoder, have []delta.Program) wrap.Trial {
	return wrap.Trial{Encoder: e, Programs: have}
}

// lags tell of clients that are three versions behind, and of hardly any that are two.
type lags struct{}

func (lags) Pulled(_ context.Context, series []rechunk.Version, most int) ([]history.Pulled, error) {
	return []history.Pulled{{Lags: pulls.Lags{Behind: [pulls.MaxLag]float64{50, 1, 20}}}}, nil
}

// Deltas are made ahead where edges ask for some, as they ask: from the version before, and from those that clients have.
func TestAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	f.start(func(o *central.Options) {
		o.Lags, o.Encoders = lags{}, programs{"xz/5.4.1"}
	})
	base := map[string]string{"etc/a": "one"}
	v3 := f.version(3, base, map[string]string{"usr/b": "three"})
	f.central.Published(f.repo, v3.Digest)
	f.settled()
	if n := f.maker.count(); n != 0 {
		t.Errorf("%d were made for nobody", n)
	}
	q := f.query()
	q.Layer, q.Seeds, q.Worth, q.Encoders = v3.Layers[1].Digest, []digest.Digest{f.v2.Digest}, 1<<20, []string{"xz/5.8"}
	f.want(q, false)
	f.settled()
	v4 := f.version(4, base, map[string]string{"usr/b": "four"})
	f.central.Published(f.repo, v4.Digest)
	f.until("it is made ahead", func() bool { return len(f.deltas()) == 3 })
	f.settled()
	q.Layer = v4.Layers[1].Digest
	for _, from := range []digest.Digest{v3.Digest, f.v1.Digest} {
		q.Seeds = []digest.Digest{from}
		f.want(q, true)
	}
	if n := f.maker.count(); n != 3 {
		t.Errorf("%d were made", n)
	}
	// After a month without a question nobody needs any.
	f.clock.advance(31 * 24 * time.Hour)
	v5 := f.version(5, base, map[string]string{"usr/b": "five"})
	f.central.Published(f.repo, v5.Digest)
	f.settled()
	if n := f.maker.count(); n != 3 {
		t.Errorf("%d were made, a month later", n)
	}
}

// Where each version has a tag of its own, they are made from the latest before it, and not from another repository's.
func TestAheadOfTags(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.want(f.query(), false)
	f.settled()
	base := map[string]string{"etc/a": "one"}
	f.reference = "registry.test/team/other:3"
	f.version(3, base, map[string]string{"usr/b": "three"})
	f.reference = testRepo + ":42.4"
	v4 := f.version(4, base, map[string]string{"usr/b": "four"})
	f.central.Published(f.repo, v4.Digest)
	f.until("it is made ahead", func() bool { return len(f.deltas()) == 2 })
	f.settled()
	q := f.query()
	q.Layer, q.Seeds = v4.Layers[1].Digest, []digest.Digest{f.v2.Digest}
	f.want(q, true)
	if n := f.maker.count(); n != 2 {
		t.Errorf("%d were made", n)
	}
}

// However many kinds of edges ask, deltas are made ahead in few ways: those asked for last, and one of two that are nearly
// the same.
func TestAheadInFewWays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	base := map[string]string{"etc/a": "one"}
	v3 := f.version(3, base, map[string]string{"usr/b": "three"})
	for _, worth := range []int64{0, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20} {
		f.clock.advance(time.Minute)
		q := f.query()
		q.Layer, q.Seeds, q.Worth = v3.Layers[1].Digest, []digest.Digest{f.v2.Digest}, worth
		if _, _, err := f.get(q); err != nil {
			t.Fatal(err)
		}
		f.settled()
	}
	before := f.deltas()
	v4 := f.version(4, base, map[string]string{"usr/b": "four"})
	f.central.Published(f.repo, v4.Digest)
	f.until("they are made ahead", func() bool { return len(f.deltas()) >= len(before)+3 })
	f.settled()
	made := map[int64]bool{}
	for k, d := range f.deltas() {
		if k.Layer == v4.Layers[1].Digest {
			made[d.Worth] = true
		}
	}
	if len(made) != 3 || !made[16<<20] || !made[1<<20] || !made[64<<10] {
		t.Errorf("they are made for %v", made)
	}
}
