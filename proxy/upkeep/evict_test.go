package upkeep

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/rechunk"
)

const kib = 1024

// content is so many KiB that begin with a name.
func content(name string, kibs int) string { return name + strings.Repeat(".", kibs*kib-len(name)) }

// crowded is a store with four versions of about 100 KiB, all kept by the rules, their sources, and an image that is served
// as it is.
func crowded(f *fixture) []rechunk.Version {
	f.t.Helper()
	var out []rechunk.Version
	for i, name := range []string{"a", "b", "c", "d"} {
		v := f.version(i+1, content("base", 50), content(name, 50))
		out = append(out, v)
		f.clock.advance(time.Hour)
	}
	f.tag("stable", out[3].SourceDigest, out[3].Digest)
	f.tag("old", out[0].SourceDigest, out[0].Digest)
	o := f.original(content("original", 40))
	f.tag("plain", o, o)
	f.clock.advance(time.Hour)
	return out
}

func keepAllVersions(o *Options) {
	o.Policy = policy(Retention{Versions: 10})
}

// setQuota gives the store a quota of which so much would have to go to reach the low mark.
func (f *fixture) setQuota(missing int64) {
	f.usage.SetQuota((f.usage.Used() - missing) * 100 / lowPercent)
}

// Deltas go before everything else that somebody needs.
func TestEvictDeltasFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, keepAllVersions)
	versions := crowded(f)
	f.delta(versions[2].Digest, versions[3].Layers[1].Digest, content("delta", 30))
	f.clock.advance(time.Hour)
	f.must(f.keeper.Measure(t.Context()))
	f.setQuota(20 * kib)
	r, err := f.keeper.Evict(t.Context())
	if err != nil || !r.Met || r.Evicted[KindDelta].Objects != 1 || r.Evicted[KindSource].Objects != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	f.want(false, content("delta", 30))
	f.want(true, content("original", 40), "source layer 1")
}

func TestEvictOrder(t *testing.T) {
	t.Parallel()
	p := pulls{}
	f := newFixture(t, nil, func(o *Options) { keepAllVersions(o); o.LastPull = p.last })
	versions := crowded(f)
	p[versions[1].Digest] = f.clock.now()
	f.must(f.keeper.Measure(t.Context()))

	if r, err := f.keeper.Evict(t.Context()); err != nil || !r.Met || len(r.Evicted) != 0 {
		t.Errorf("without a quota: %+v, %v", r, err)
	}
	f.gc(GCOptions{})
	f.setQuota(70 * kib) // more than the sources and the original, so that a version has to go
	r, err := f.keeper.Evict(t.Context())
	if err != nil || !r.Met || r.Evicted[KindSource].Objects != 2 || r.Evicted[KindOriginal].Objects != 1 ||
		r.Evicted[KindServed].Objects == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	f.want(false, "source layer 1", "source layer 4", content("original", 40), content("c", 50))
	for _, i := range []int{0, 1, 3} { // the tags', and the one that was pulled
		f.wantVersion(versions[i])
	}
	if f.usage.excess(highPercent) > 0 {
		t.Errorf("%d bytes are used of %d", f.usage.Used(), f.usage.Quota())
	}

	f.setQuota(1000 * kib)
	if f.usage.Quota() > 0 {
		t.Fatal("the fixture is too large")
	}
	f.usage.SetQuota(100 * kib)
	if r, err = f.keeper.Evict(t.Context()); err != nil || r.Met {
		t.Errorf("a quota that can't be met: %+v, %v", r, err)
	}
	f.want(false, content("b", 50))
	f.wantVersion(versions[0])
	f.wantVersion(versions[3])
	if _, err := f.chunks.Put(t.Context(), []byte("more")); !errors.Is(err, chunkstore.ErrNoSpace) {
		t.Errorf("beyond the quota: %v", err)
	}
	f.tag("still", versions[3].SourceDigest, versions[3].Digest) // records are always taken
}

// What is known of the size follows writes and removals, and survives a restart.
func TestUsage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, keepAllVersions)
	crowded(f)
	counted := f.usage.Used()
	f.must(f.keeper.Measure(t.Context()))
	if counted != f.usage.Used() || counted < 290*kib {
		t.Errorf("counted %d, measured %d", counted, f.usage.Used())
	}
	w, err := f.chunks.Create(t.Context())
	f.must(err)
	_, err = w.Write(make([]byte, 10*kib))
	f.must(err)
	if got := f.usage.Used() - counted; got != 10*kib {
		t.Errorf("an upload counts as %d", got)
	}
	f.must(w.Cancel(t.Context()))
	f.clock.advance(time.Hour)
	f.put(content("base", 50)) // written again
	if f.usage.Used() != counted {
		t.Errorf("after a cancelled upload and one of known content: %d, want %d", f.usage.Used(), counted)
	}
	f.keeper.forgetNothing(t.Context())
	f.usage = nil
	f.must(f.open(nil))
	if !f.keeper.recallUsage(t.Context()) || f.usage.Used() != counted {
		t.Errorf("after a restart: %d, want %d", f.usage.Used(), counted)
	}
}

func TestEvictFaults(t *testing.T) {
	t.Parallel()
	const most = 2000
	for n := 1; n < most; n += stride() {
		f := newFixture(t, nil, keepAllVersions)
		versions := crowded(f)
		whole := f.driver
		faulty := storetest.NewFaulty(whole, storetest.DieAt(n))
		f.driver = faulty
		err := f.open(keepAllVersions)
		if err == nil {
			f.usage.SetQuota(230 * kib)
			_, err = f.keeper.Evict(t.Context())
		}
		f.driver = whole
		f.must(f.open(keepAllVersions))
		f.wantVersion(versions[0])
		f.wantVersion(versions[3])
		f.must(f.keeper.Measure(t.Context()))
		r, again := f.keeper.Evict(t.Context())
		if again != nil || !r.Met {
			t.Errorf("after it: %+v, %v", r, again)
		}
		f.wantVersion(versions[0])
		f.wantVersion(versions[3])
		if t.Failed() {
			t.Fatalf("killed in call %d", n)
		}
		if faulty.Calls() < n {
			f.must(err)
			return
		}
	}
	t.Fatalf("it makes more than %d calls", most)
}
