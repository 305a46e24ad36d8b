package central_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
)

// real makes a delta that says that it makes a layer of an image.
func real(t *testing.T, l rechunk.VersionLayer, seed digest.Digest) []byte {
	t.Helper()
	tar := make([]byte, 1024)
	var out bytes.Buffer
	if _, err := delta.Make(t.Context(), &out, delta.Target{
		Tar: bytes.NewReader(tar), TarSize: int64(len(tar)), Blob: l.Digest, BlobSize: l.Size,
		DiffID: digest.FromBytes(tar), Encoder: l.Encoder,
	}, delta.Seed{Manifest: seed}, delta.Options{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What a central above gives counts only for the layer and the seeds that were asked for, and for its own registry.
func TestAbove(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	l := f.layer(map[string]string{"usr/x": strings.Repeat("elsewhere ", 100)})
	other := f.layer(map[string]string{"usr/y": strings.Repeat("nowhere ", 100)})
	var asked atomic.Int64
	var give func(q registry.DeltaQuery) (io.Reader, digest.Digest)
	f.start(func(o *central.Options) {
		o.Next = func(_ context.Context, _ name.Repository, q registry.DeltaQuery) (*registry.Delta, error) {
			asked.Add(1)
			r, seed := give(q)
			return &registry.Delta{ReadCloser: io.NopCloser(r), Seed: seed, Size: -1}, nil
		}
	})
	q := f.query()
	q.Layer, q.Seeds = l.Digest, []digest.Digest{f.v1.Digest}
	for wrong, b := range map[string]struct {
		bytes []byte
		seed  digest.Digest
	}{
		"no delta":           {[]byte(strings.Repeat("page ", 100)), f.v1.Digest},
		"of another layer":   {real(t, other, f.v1.Digest), f.v1.Digest},
		"of another seed":    {real(t, l, f.v2.Digest), f.v1.Digest},
		"of one not offered": {real(t, l, f.v2.Digest), f.v2.Digest},
		"of another's length": {real(t, rechunk.VersionLayer{Digest: l.Digest, Size: l.Size + 1, Encoder: "test"},
			f.v1.Digest), f.v1.Digest},
	} {
		give = func(registry.DeltaQuery) (io.Reader, digest.Digest) { return bytes.NewReader(b.bytes), b.seed }
		if _, _, err := f.get(q); err == nil {
			t.Errorf("%s: a client got it", wrong)
		}
		f.settled()
	}
	give = func(registry.DeltaQuery) (io.Reader, digest.Digest) {
		return io.MultiReader(bytes.NewReader(real(t, l, f.v1.Digest)), bytes.NewReader(make([]byte, 1<<20))), f.v1.Digest
	}
	if text, _, err := f.get(q); err == nil {
		t.Errorf("without end: %d bytes", len(text))
	}
	f.settled()
	if n := len(f.deltas()); n != 0 {
		t.Errorf("%d are stored", n)
	}
	give = func(q registry.DeltaQuery) (io.Reader, digest.Digest) {
		return bytes.NewReader(real(t, l, q.Seeds[0])), q.Seeds[0]
	}
	for range 2 { // the second is stored
		if text, _, err := f.get(q); err != nil || text != string(real(t, l, f.v1.Digest)) {
			t.Errorf("%q, %v", text, err)
		}
		f.settled()
	}
	before := asked.Load()
	f.proofs.other = "quay.io/team/os"
	elsewhere, err := name.Parser{}.Repository("quay.io/team/os", "")
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.central.OpenDelta(t.Context(), elsewhere, q)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.read(d, q); err != nil || asked.Load() != before+1 {
		t.Errorf("another registry's central was not asked: %v", err)
	}
	f.settled()
	// One that needs an image which is not here is passed on, and not stored.
	stored := len(f.deltas())
	q.Seeds = []digest.Digest{digest.FromString("not here")}
	if _, _, err := f.get(q); err != nil {
		t.Error(err)
	}
	f.settled()
	if n := len(f.deltas()); n != stored {
		t.Errorf("%d are stored, of %d that may be", n, stored)
	}
}

// A seed of which something was evicted is none, and that is no fault of the delta.
func TestEvictedSeed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	v3 := f.version(3, map[string]string{"etc/a": "one"}, map[string]string{"usr/b": "even older"})
	if err := f.chunks.Delete(t.Context(), f.v1.Layers[1].Digest); err != nil {
		t.Fatal(err)
	}
	f.refused(f.query(), "seed")
	if n := len(f.deltas()); n != 0 {
		t.Errorf("%d refusals are remembered", n)
	}
	q := f.query()
	q.Seeds = []digest.Digest{f.v1.Digest, v3.Digest}
	d, err := f.central.OpenDelta(t.Context(), f.repo, q)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.read(d, q); err != nil || d.Seed != v3.Digest {
		t.Errorf("of %s, %v", d.Seed, err)
	}
}

// No delta is made of a layer that the client cannot compress.
func TestLayerEncoders(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	q := f.query()
	q.Layers = []string{"newer"}
	f.refused(q, "layer")
	if n := f.maker.count(); n != 0 {
		t.Errorf("%d were made", n)
	}
	q.Layers = []string{"newer", "test"}
	f.want(q, false)
}

// Who waits for what another replica makes holds no processor.
func TestLeaseFirst(t *testing.T) {
	t.Parallel()
	leases := newLeases()
	a := newFixture(t, nil, func(o *central.Options) { o.Leases = leases })
	b := newFixture(t, a.driver, func(o *central.Options) { o.Leases = leases })
	gate := make(chan struct{})
	a.maker.set(func(_ context.Context, w io.Writer, tg delta.Target, s delta.Seed, _ delta.Options) error {
		<-gate
		_, err := io.WriteString(w, words(tg.Blob, s.Manifest))
		return err
	})
	q := a.query()
	q.Wait = 0
	a.refused(q, "")
	a.until("one is being made", func() bool { return a.maker.count() == 1 })
	b.refused(q, "")
	b.until("the other waits for it", func() bool { return len(b.central.Report().Deltas) == 1 })
	another := b.query()
	another.Worth = 64 << 10
	b.want(another, false)
	close(gate)
	a.settled()
	b.settled()
	if n := slices.Max([]int{a.maker.count(), b.maker.count()}); n != 1 {
		t.Errorf("one replica made %d", n)
	}
}

// While the central above is away, clients get what is stored of the pair, of whichever worth, if they have the programs; a
// central that is away is no reason for a refusal.
func TestAboveAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	var away atomic.Pointer[error]
	var silent atomic.Bool
	gate := make(chan struct{})
	l := f.v2.Layers[1]
	f.start(func(o *central.Options) {
		o.CPU = 0
		o.Next = func(context.Context, name.Repository, registry.DeltaQuery) (*registry.Delta, error) {
			if silent.Load() {
				<-gate
			}
			if err := away.Load(); err != nil {
				return nil, *err
			}
			return &registry.Delta{ReadCloser: io.NopCloser(bytes.NewReader(real(t, l, f.v1.Digest))), Seed: f.v1.Digest,
				Size: -1}, nil
		}
	})
	q := f.query()
	q.Worth = 16 << 20
	if _, _, err := f.get(q); err != nil {
		t.Fatal(err)
	}
	f.settled()
	for _, err := range []error{
		errors.New("connection refused"), context.DeadlineExceeded,
		&registry.NoDelta{Reason: "failed", Message: "not now"}, &registry.NoDelta{Reason: "off", Message: "not now"},
	} {
		away.Store(&err)
		for _, worth := range []int64{0, 4 << 20, 1 << 30} {
			q.Worth = worth
			if _, size, got := f.get(q); got != nil || size < 0 {
				t.Errorf("%v, worth %d: %d bytes, %v", err, worth, size, got)
			}
			f.settled()
		}
		other := q
		other.Seeds = []digest.Digest{f.v2.Digest} // of which nothing is stored
		_, _, got := f.get(other)
		var none *registry.NoDelta
		var told *registry.Error
		switch {
		case errors.As(err, &none):
			if !errors.As(got, &none) || none.Reason == "" {
				t.Errorf("%v: %v", err, got)
			}
		case !errors.As(got, &told) || told.Status != http.StatusServiceUnavailable:
			t.Errorf("%v: %v", err, got)
		}
		f.settled()
	}
	if n := len(f.deltas()); n != 1 {
		t.Errorf("%d records", n)
	}
	// One that says nothing is away, too, once the client's patience is over.
	away.Store(nil)
	silent.Store(true)
	q.Worth, q.Wait = 64<<10, 10*time.Millisecond
	if _, size, err := f.get(q); err != nil || size < 0 {
		t.Errorf("in silence: %d bytes, %v", size, err)
	}
	close(gate)
	f.settled()
}
