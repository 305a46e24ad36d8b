package central_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/delta"
)

// A delta is made when it is asked for, and once: then it is in the store, for the next process, too.
func TestMade(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.want(f.query(), false)
	f.settled()
	f.want(f.query(), true)
	f.stop()
	f.start(nil)
	f.want(f.query(), true)
	if n := f.maker.count(); n != 1 {
		t.Errorf("it was made %d times", n)
	}
	for k, d := range f.deltas() {
		if k.Seed != f.v1.Digest || k.Layer != f.v2.Layers[1].Digest || d.Size != int64(len(f.words())) ||
			d.Repository != testRepo ||
			d.BlobSize != f.v2.Layers[1].Size || d.Digest != digest.FromString(f.words()) {
			t.Errorf("%v: %+v", k, d)
		}
	}
	if s := f.maker.seeds[0]; len(s.Files) != 2 || s.Files[0].Path != "etc/a" || s.Files[0].Layer != 0 ||
		s.Files[1].Layer != 1 {
		t.Errorf("seed %+v", s)
	}
	r := f.central.Report()
	if r.Stored != 1 || r.Bytes != int64(len(f.words())) || len(r.Deltas) != 1 || r.Deltas[0].State != pairs.Stored ||
		r.Deltas[0].Ratio <= 0 {
		t.Errorf("%+v", r)
	}
}

// The maker opens the seed's files, from their layers.
func TestContents(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.maker.set(func(ctx context.Context, w io.Writer, _ delta.Target, s delta.Seed, o delta.Options) error {
		for _, file := range s.Files {
			c, err := o.Contents.Open(ctx, file)
			if err != nil {
				return err
			}
			b := make([]byte, c.Size())
			if _, err := c.ReadAt(b, 0); err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			if err := c.Close(); err != nil {
				return err
			}
		}
		tmp, err := o.Scratch.Create()
		if err != nil {
			return err
		}
		_, err = tmp.Write([]byte("x"))
		return errors.Join(err, tmp.Close())
	})
	if text, _, err := f.get(f.query()); err != nil || text != "oneold and gold" {
		t.Errorf("%q, %v", text, err)
	}
}

// Two hundred ask for one delta: it is made once, and each has what there is before the rest is made.
func TestMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	const clients = 200
	var began sync.WaitGroup
	began.Add(clients)
	rest := make(chan struct{})
	f.maker.set(func(_ context.Context, w io.Writer, _ delta.Target, _ delta.Seed, _ delta.Options) error {
		if _, err := io.WriteString(w, "first"); err != nil {
			return err
		}
		<-rest
		_, err := io.WriteString(w, "rest")
		return err
	})
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			d, err := f.central.OpenDelta(t.Context(), f.repo, f.query())
			if err != nil {
				t.Error(err)
				began.Done()
				return
			}
			first := make([]byte, 5)
			if _, err := io.ReadFull(d, first); err != nil || string(first) != "first" {
				t.Errorf("%q, %v", first, err)
			}
			began.Done()
			b, err := io.ReadAll(d)
			if err := errors.Join(err, d.Close()); err != nil || string(b) != "rest" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	began.Wait()
	close(rest)
	done.Wait()
	if n := f.maker.count(); n != 1 {
		t.Errorf("it was made %d times", n)
	}
	f.settled()
}

// Who leaves in the middle ends nothing; a process that ends leaves nothing half, and the next one makes the delta.
func TestEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	before := contents(t, f)
	f.maker.set(func(ctx context.Context, w io.Writer, _ delta.Target, _ delta.Seed, _ delta.Options) error {
		if _, err := io.WriteString(w, "first"); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	d, err := f.central.OpenDelta(t.Context(), f.repo, f.query())
	if err != nil {
		t.Fatal(err)
	}
	left, err := f.central.OpenDelta(t.Context(), f.repo, f.query())
	if err := errors.Join(err, left.Close()); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(d, first); err != nil || string(first) != "first" {
		t.Errorf("%q, %v", first, err)
	}
	f.end()
	if b, err := io.ReadAll(d); len(b) > 0 || err == nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	f.stop()
	if got := f.deltas(); len(got) > 0 {
		t.Errorf("records: %v", got)
	}
	// the indexes of the layers were stored, which is no half of anything
	if after := contents(t, f); after != before+3 {
		t.Errorf("%d contents, %d before", after, before)
	}
	f.start(nil)
	f.maker.set(nil)
	f.want(f.query(), false)
}

func contents(t *testing.T, f *fixture) int {
	t.Helper()
	n := 0
	if err := f.chunks.Walk(context.Background(), func(chunkstore.Info) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Why there is no delta is remembered for a while; a panic costs one.
func TestRefused(t *testing.T) {
	t.Parallel()
	type do = func(context.Context, io.Writer, delta.Target, delta.Seed, delta.Options) error
	for name, tc := range map[string]struct {
		do     do
		reason string
		began  bool // bytes came before it failed
		again  time.Duration
	}{
		"no gain": {func(_ context.Context, w io.Writer, _ delta.Target, _ delta.Seed, _ delta.Options) error {
			for {
				if _, err := w.Write([]byte("0123456789")); err != nil {
					return errors.Join(errors.New("writing"), err)
				}
			}
		}, "gain", true, 8 * 24 * time.Hour},
		"fails": {func(context.Context, io.Writer, delta.Target, delta.Seed, delta.Options) error {
			return errors.New("x")
		}, "failed", false, 2 * time.Hour},
		"panics": {func(context.Context, io.Writer, delta.Target, delta.Seed, delta.Options) error { panic("hostile") },
			"failed", false, 25 * time.Hour},
		"limit": {func(context.Context, io.Writer, delta.Target, delta.Seed, delta.Options) error { return delta.ErrLimit },
			"size", false, 25 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil, nil)
			f.maker.set(tc.do)
			if _, _, err := f.get(f.query()); err == nil {
				t.Error("there is one")
			} else if none := (*registry.NoDelta)(nil); errors.As(err, &none) == tc.began {
				t.Errorf("%v", err)
			}
			f.settled()
			f.maker.set(nil)
			f.refused(f.query(), tc.reason)
			f.stop()
			f.start(nil)
			f.refused(f.query(), tc.reason)
			if r := f.central.Report(); r.Refused[tc.reason] != 1 && len(r.Deltas) > 0 {
				t.Errorf("%+v", r)
			}
			if n := f.maker.count(); n != 1 {
				t.Errorf("it was tried %d times", n)
			}
			f.clock.advance(tc.again)
			f.want(f.query(), false)
			f.settled()
		})
	}
}

// A store that is full, or out of reach, is said once and not for each delta, and shown; it says nothing of the deltas.
func TestStoreHinders(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	fails := func(cause error) {
		f.maker.set(func(context.Context, io.Writer, delta.Target, delta.Seed, delta.Options) error {
			return fmt.Errorf("writing: %w", cause)
		})
		f.refused(f.query(), "failed")
		f.settled()
	}
	said := func(n int) {
		t.Helper()
		if got := strings.Count(f.log.String(), "level=WARN msg=\"deltas can't be made"); got != n {
			t.Errorf("said %d times, want %d:\n%s", got, n, f.log)
		}
	}
	for range 3 {
		fails(chunkstore.ErrNoSpace)
	}
	said(1)
	r := f.central.Report()
	if r.Refused["failed"] != 1 || len(r.Deltas) != 1 || !strings.Contains(r.Deltas[0].Message, "writing: ") {
		t.Errorf("%+v", r)
	}
	fails(chunkstore.ErrUnreachable)
	said(2)
	f.clock.advance(2 * time.Minute)
	if r := f.central.Report(); len(r.Deltas) != 0 || len(f.deltas()) != 0 {
		t.Errorf("later: %+v", r)
	}
	f.maker.set(nil)
	f.want(f.query(), false)
	f.settled()
	said(2)
}

// One that is hardly smaller than the blob is sent to its end to who has most of it, and is not kept.
func TestNoGainIsSentToItsEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	all := strings.Repeat("x", int(f.v2.Layers[1].Size))
	f.maker.set(func(_ context.Context, w io.Writer, _ delta.Target, _ delta.Seed, _ delta.Options) error {
		_, err := io.WriteString(w, all)
		return err
	})
	if text, _, err := f.get(f.query()); err != nil || text != all {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	f.settled()
	f.refused(f.query(), "gain")
	for k, d := range f.deltas() {
		if d.Digest != "" {
			t.Errorf("%v is kept", k)
		}
	}
	if _, err := f.chunks.Stat(t.Context(), digest.FromString(all)); !errors.Is(err, chunkstore.ErrNotFound) {
		t.Errorf("its bytes are kept: %v", err)
	}
}

// Without proof nothing is made, and seeds without proof are as if they were not there.
func TestAccess(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	q := f.query()
	q.Layer = digest.FromString("unknown")
	var e *registry.Error
	if _, _, err := f.get(q); !errors.As(err, &e) || e.Code != "BLOB_UNKNOWN" {
		t.Errorf("unknown layer: %v", err)
	}
	for what, missing := range map[string]digest.Digest{
		"layer": f.v2.Layers[1].Digest, "seed": f.v1.Digest, "a layer of the seed": f.v1.Layers[0].Digest,
	} {
		f.proofs.lack(missing)
		reason := "seed"
		if what == "layer" {
			reason = "layer"
		}
		f.refused(f.query(), reason)
	}
	f.proofs.lack()
	f.shown.refuse(f.v1.Digest)
	f.refused(f.query(), "seed")
	f.shown.refuse("")
	q = f.query()
	q.Seeds = []digest.Digest{digest.FromString("none")}
	f.refused(q, "seed")
	q.Seeds = []digest.Digest{f.v2.Layers[0].Digest} // stored, and no manifest
	f.refused(q, "seed")
	other, err := name.Parser{}.Repository("registry.test/other", "")
	if err != nil {
		t.Fatal(err)
	}
	var none *registry.NoDelta
	if _, err := f.central.OpenDelta(t.Context(), other, f.query()); !errors.As(err, &none) || none.Reason != "layer" {
		t.Errorf("another repository: %v", err)
	}
	if n := f.maker.count(); n != 0 {
		t.Errorf("%d were made", n)
	}
	// Nor does one that is stored show to who may not have its seed.
	f.want(f.query(), false)
	f.settled()
	f.proofs.lack(f.v1.Digest)
	f.refused(f.query(), "seed")
}

// A layer whose encoder nobody knows can't be made again.
func TestUnknownEncoder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	l := f.layer(map[string]string{"usr/x": "elsewhere"})
	q := f.query()
	q.Layer = l.Digest
	f.refused(q, "layer")
}

// Of several seeds that is taken which has most of the layer.
func TestBestSeed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	far := f.version(3, map[string]string{"etc/z": "nothing in common"})
	near := f.version(4, map[string]string{"usr/b": "new and blue", "usr/other": "x"})
	for _, l := range slices.Concat(far.Layers, near.Layers, f.v1.Layers, f.v2.Layers) {
		f.index(l.Digest)
	}
	q := f.query()
	q.Seeds = []digest.Digest{far.Digest, f.v1.Digest, near.Digest, digest.FromString("none")}
	d, err := f.central.OpenDelta(t.Context(), f.repo, q)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(d)
	if err := errors.Join(err, d.Close()); err != nil || d.Seed != near.Digest || string(b) != words(q.Layer, near.Digest) {
		t.Errorf("%s, %q, %v", d.Seed, b, err)
	}
	f.settled()
	// One that is there goes before one that would have to be made.
	q.Seeds = []digest.Digest{far.Digest, near.Digest}
	if d, err = f.central.OpenDelta(t.Context(), f.repo, q); err != nil || d.Seed != near.Digest || d.Size < 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// A client is given no delta that needs what it lacks; one that needs nothing more is as good as one of its own.
func TestVariants(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	f.maker.needs = []string{"xz/5.4.1"}
	f.start(func(o *central.Options) { o.Encoders = programs{"gzip/1.12", "xz/5.4.1", "zstd/1.5.7"} })
	q := f.query()
	q.Encoders = []string{"xz/5.8.1", "gzip/1.13", "zstd/1.5.4"}
	f.want(q, false)
	f.settled()
	if got := f.maker.last.Encoders.Available(); len(got) != 2 || got[0].Name != "gzip" || got[1].Version != "5.4.1" {
		t.Errorf("it had %v", got)
	}
	q.Encoders = []string{"xz/5.6"}
	f.want(q, true) // needs xz alone, and all that this client has was tried
	q.Encoders = []string{"gzip/1.12"}
	f.want(q, false)
	f.settled()
	q.Encoders = nil
	f.want(q, true) // that of gzip needs none
	q.Worth = 1 << 20
	f.want(q, false)
	f.settled()
	if n := f.maker.count(); n != 3 {
		t.Errorf("%d were made", n)
	}
	q.Worth = 1<<20 + 7
	f.want(q, true)
}

// Who does not wait is told when to come back, and then it is there.
func TestPatience(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	gate := make(chan struct{})
	f.maker.set(func(_ context.Context, w io.Writer, tg delta.Target, s delta.Seed, _ delta.Options) error {
		<-gate
		_, err := io.WriteString(w, words(tg.Blob, s.Manifest))
		return err
	})
	q := f.query()
	q.Wait = 0
	f.refused(q, "")
	q.Wait = 10 * time.Millisecond
	f.refused(q, "")
	close(gate)
	f.settled()
	f.want(q, true)
	if n := f.maker.count(); n != 1 {
		t.Errorf("it was made %d times", n)
	}
}

// Those that are asked for go before those that are made ahead, and no more than so many wait.
func TestLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	f.start(func(o *central.Options) { o.Queue = 2 })
	gate := make(chan struct{})
	f.maker.set(func(_ context.Context, w io.Writer, tg delta.Target, s delta.Seed, _ delta.Options) error {
		<-gate
		_, err := io.WriteString(w, words(tg.Blob, s.Manifest))
		return err
	})
	q := f.query()
	q.Wait = 0
	for _, worth := range []int64{0, 64 << 10, 256 << 10} {
		q.Worth = worth
		f.refused(q, "")
		f.until("it is in line", func() bool { r := f.central.Totals(); return r.Waiting+r.Running > 0 })
	}
	f.until("the line is full", func() bool { return f.central.Totals().Waiting == 2 })
	q.Worth = 4 << 20
	_, _, err := f.get(q)
	var none *registry.NoDelta
	if !errors.As(err, &none) || none.RetryAfter < 10*time.Second {
		t.Errorf("beyond the line: %v", err)
	}
	close(gate)
	f.settled()
	if n := f.maker.count(); n != 3 {
		t.Errorf("%d were made", n)
	}
}

// What nobody came back for is not made.
func TestUnwanted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	gate := make(chan struct{})
	f.maker.set(func(_ context.Context, w io.Writer, tg delta.Target, s delta.Seed, _ delta.Options) error {
		<-gate
		_, err := io.WriteString(w, words(tg.Blob, s.Manifest))
		return err
	})
	q := f.query()
	q.Wait = 0
	f.refused(q, "")
	f.until("it is being made", func() bool { return f.maker.count() == 1 })
	q.Worth = 64 << 10
	f.refused(q, "")
	f.until("another waits", func() bool { return f.central.Totals().Waiting == 1 })
	f.clock.advance(2 * time.Minute)
	close(gate)
	f.settled()
	if n := f.maker.count(); n != 1 {
		t.Errorf("%d were made", n)
	}
	q.Wait = time.Minute
	f.want(q, false)
}

// Deltas take so much space and no more; what was of no use for longest goes.
func TestKeep(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	size := int64(len(f.words()))
	f.start(func(o *central.Options) { o.Keep = func() int64 { return 2*size + 1 } })
	q := f.query()
	for i, worth := range []int64{0, 64 << 10, 256 << 10} {
		q.Worth = worth
		f.maker.set(func(_ context.Context, w io.Writer, _ delta.Target, _ delta.Seed, _ delta.Options) error {
			_, err := io.WriteString(w, strings.Repeat(string(rune('a'+i)), int(size)))
			return err
		})
		if _, _, err := f.get(q); err != nil {
			t.Fatal(err)
		}
		f.settled()
		f.clock.advance(time.Second)
		if i == 1 { // the first was of use since
			first := q
			first.Worth = 0
			if text, n, err := f.get(first); n != size || err != nil || !strings.HasPrefix(text, "a") {
				t.Errorf("%q, %d, %v", text, n, err)
			}
			f.clock.advance(time.Second)
		}
	}
	f.until("one goes", func() bool { return len(f.deltas()) == 2 })
	for k := range f.deltas() {
		if strings.HasPrefix(k.Variant, "65536-") {
			t.Errorf("%v stays", k)
		}
	}
	if _, err := f.chunks.Stat(t.Context(), digest.FromString(strings.Repeat("b", int(size)))); !errors.Is(err,
		chunkstore.ErrNotFound) {
		t.Errorf("its bytes stay: %v", err)
	}
}

// What an edge does not know it asks the central above, and keeps.
func TestNext(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	l := f.layer(map[string]string{"usr/x": strings.Repeat("elsewhere ", 100)})
	var mu sync.Mutex // of what follows: jobs ask
	var asked []registry.DeltaQuery
	var answer error
	then := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		answer = err
	}
	f.start(func(o *central.Options) {
		o.Next = func(_ context.Context, repo name.Repository, q registry.DeltaQuery) (*registry.Delta, error) {
			if repo != f.repo {
				t.Errorf("asked for %s", repo)
			}
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, q)
			if answer != nil {
				return nil, answer
			}
			all := io.MultiReader(bytes.NewReader(real(t, l, q.Seeds[0])), ending{f.maker})
			return &registry.Delta{ReadCloser: io.NopCloser(all), Seed: q.Seeds[0], Size: -1}, nil
		}
	})
	q := f.query()
	q.Layer, q.Encoders, q.Seeds = l.Digest, []string{"xz/5.8"}, []digest.Digest{f.v1.Digest}
	then(&registry.NoDelta{Reason: "gain"})
	f.refused(q, "gain")
	f.settled()
	then(&registry.NoDelta{RetryAfter: 3 * time.Second})
	f.refused(q, "")
	f.settled()
	then(nil)
	want := func(stored bool) {
		t.Helper()
		release := f.maker.hold()
		d, err := f.central.OpenDelta(t.Context(), f.repo, q)
		release()
		if err != nil {
			t.Fatal(err)
		}
		text, size, err := f.read(d, q)
		if err != nil || text != string(real(t, l, q.Seeds[0])) || (size >= 0) != stored {
			t.Errorf("%q of %d bytes, %v", text, size, err)
		}
	}
	want(false)
	f.settled()
	want(true)
	questions := func() []registry.DeltaQuery {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}
	if asked := questions(); len(asked) != 3 || asked[2].Encoders[0] != "xz/5.8" {
		t.Errorf("asked %+v", asked)
	}
	f.want(f.query(), false) // what it can make it makes
	f.settled()
	if asked := questions(); len(asked) != 3 || f.maker.count() != 1 {
		t.Errorf("asked %+v, made %d", asked, f.maker.count())
	}
}

// Without processors nothing is made, and nobody is told that anything was.
func TestOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	if f.central.Formats() != delta.Version {
		t.Errorf("formats %q", f.central.Formats())
	}
	f.stop()
	f.start(func(o *central.Options) { o.CPU = 0 })
	f.refused(f.query(), "off")
	if f.central.Formats() != "" {
		t.Errorf("formats %q", f.central.Formats())
	}
}

// Replicas make a delta once.
func TestReplicas(t *testing.T) {
	t.Parallel()
	leases := newLeases()
	shared := func(o *central.Options) { o.Leases = leases }
	a := newFixture(t, nil, nil)
	b := newFixture(t, a.driver, nil)
	b.v1, b.v2 = a.v1, a.v2
	b.maker = a.maker
	for _, f := range []*fixture{a, b} {
		f.stop()
		f.start(shared)
	}
	gate := make(chan struct{})
	a.maker.set(func(_ context.Context, w io.Writer, tg delta.Target, s delta.Seed, _ delta.Options) error {
		<-gate
		_, err := io.WriteString(w, words(tg.Blob, s.Manifest))
		return err
	})
	var wg sync.WaitGroup
	for _, f := range []*fixture{a, b, a, b} {
		wg.Go(func() {
			if text, _, err := f.get(a.query()); err != nil || text != a.words() {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	a.until("one makes it", func() bool { return a.maker.count() > 0 })
	close(gate)
	wg.Wait()
	a.settled()
	b.settled()
	if n := a.maker.count(); n != 1 {
		t.Errorf("it was made %d times", n)
	}
}
