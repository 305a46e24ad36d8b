package via_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/proxy/verify"
	layers "github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

func TestDelta(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	r := e.pulled(t, after)
	if r.Deltas != 1 || r.Whole != 0 || r.DeltaBytes > int64(len(after.blob))/10 || e.central.blobs != 0 {
		t.Errorf("%+v, %d whole", r, e.central.blobs)
	}
	want := []pairs.Pair{{State: pairs.Applied, Repository: repo.String(), Seed: before.digest().String(),
		Layer: after.layer().String(), LayerBytes: int64(len(after.blob)), Bytes: r.DeltaBytes, At: e.clock.UTC(),
		Ratio: float64(r.DeltaBytes) / float64(len(after.blob))}}
	if diff := cmp.Diff(want, r.Pairs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]client.DeltaRequest{{
		Layer: after.layer(), Seeds: []digest.Digest{before.digest()}, Layers: layers.EncoderNames(),
		Wait: e.settings.Wait, Silence: e.settings.Wait,
	}},
		e.central.asked); diff != "" {
		t.Error(diff)
	}
}

// A layer of an image that nobody asked for, a config, and what is behind no other Strata: as ever.
func TestOrdinary(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	other := nametest.Repository("quay.io/team/os")
	for _, of := range []name.Repository{repo, other} {
		body, _, err := e.Blob(t.Context(), of, after.layer(), -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, after.blob) {
			t.Error(err)
		}
		_ = body.Close()
	}
	if len(e.central.asked)+e.central.probes != 0 {
		t.Error("the upstream was asked for deltas")
	}
	_, _ = e.Manifest(t.Context(), other, name.Reference(after.digest()))
	if _, _, err := e.Blob(t.Context(), other, after.layer(), -1); err != nil || len(e.central.asked) != 0 {
		t.Error(err)
	}
}

// Why layers are fetched whole. They are right in any case.
func TestWhole(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	failing := errors.New("the link broke")
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, e *edge)
		want    via.Reason
	}{
		"no Strata":   {func(_ *testing.T, e *edge) { e.central.formats = "" }, via.NoCentral},
		"a newer one": {func(_ *testing.T, e *edge) { e.central.formats = "98, 99" }, via.NoCentral},
		"no seed": {func(t *testing.T, e *edge) {
			if err := e.chunks.Delete(t.Context(), before.layer()); err != nil {
				t.Fatal(err)
			}
		}, via.NoSeed},
		"refused": {func(_ *testing.T, e *edge) {
			e.central.answer = func(client.DeltaRequest) (client.Delta, error) { return client.Delta{Refused: "gain"}, nil }
		}, via.Refused},
		"not done in time": {func(_ *testing.T, e *edge) {
			e.settings.Wait = 0
			e.central.answer = func(client.DeltaRequest) (client.Delta, error) {
				return client.Delta{RetryAfter: time.Hour}, nil
			}
		}, via.Wait},
		"out of reach": {func(_ *testing.T, e *edge) {
			e.central.answer = func(client.DeltaRequest) (client.Delta, error) { return client.Delta{}, failing }
		}, via.Link},
		"broken off": {func(_ *testing.T, e *edge) {
			e.central.damage = func(b []byte) []byte { return b[:len(b)-10] }
		}, via.Damaged},
		"no delta": {func(_ *testing.T, e *edge) {
			e.central.damage = func(b []byte) []byte { return []byte(strings.Repeat("no delta", 100)) }
		}, via.Damaged},
		"of another layer": {func(_ *testing.T, e *edge) {
			e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
				return client.Delta{Body: io.NopCloser(bytes.NewReader(e.central.make(before, before))), Seed: q.Seeds[0]},
					nil
			}
		}, via.Damaged},
		"of another image": {func(_ *testing.T, e *edge) {
			e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
				return client.Delta{Body: io.NopCloser(bytes.NewReader(nil)), Seed: digest.FromString("other")}, nil
			}
		}, via.Damaged},
		"an altered seed": {func(t *testing.T, e *edge) {
			altered := paint(t, append(append(before.items[:0:0], before.items[:3]...), before.items[4:]...)...)
			if err := e.chunks.Delete(t.Context(), before.layer()); err != nil {
				t.Fatal(err)
			}
			w, err := e.chunks.CreateVerified(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			blob := append(altered.blob, make([]byte, len(before.blob)-len(altered.blob))...)
			if _, err := w.Write(blob); err != nil {
				t.Fatal(err)
			}
			commit(t, w, before.layer())
		}, via.BadSource},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, nil, before, after)
			e.keep(t, repo, before)
			tc.prepare(t, e)
			r := e.pulled(t, after)
			if r.Deltas != 0 || r.Whole != 1 || r.Reasons[string(tc.want)] != 1 || e.central.blobs != 1 {
				t.Errorf("%+v, %d whole", r, e.central.blobs)
			}
			if p := r.Pairs; len(p) != 1 || p[0].State != pairs.Whole || p[0].Refused != string(tc.want) || p[0].Bytes != 0 {
				t.Errorf("pairs: %+v", p)
			}
		})
	}
}

// A pair that went wrong is left alone for a while.
func TestNotAgain(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	e.central.damage = func(b []byte) []byte { return b[:100] }
	e.pulled(t, after)
	e.central.damage = nil
	if r := e.pulled(t, after); r.Reasons[string(via.Again)] != 1 || len(e.central.asked) != 1 {
		t.Errorf("%+v", r)
	}
	e.clock = e.clock.Add(7 * time.Hour)
	if r := e.pulled(t, after); r.Deltas != 1 {
		t.Errorf("%+v", r)
	}
}

// When the layer, too, is not as it was said to be, nobody gets its end.
func TestNothingRight(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	e.central.damage = func(b []byte) []byte { return b[:len(b)-10] }
	e.central.blobFail = func(b []byte) []byte { return append([]byte{1}, b[1:]...) }
	got, err := e.pull(t, after)
	if err == nil || len(got) >= len(after.blob) || !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("%d bytes of %d, %v", len(got), len(after.blob), err)
	}
}

// Seeds are the newest image that is stored whole, those of the family after those of the repository.
func TestSeeds(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	older, cousin, part := paint(t, treetest.File("usr/0", "old")), paint(t, treetest.File("usr/0", "cousin")),
		paint(t, treetest.File("usr/0", "part"))
	e := newEdge(t, func(o *via.Options) { o.Family = func(string) string { return "os" } }, before, after, older, cousin,
		part)
	e.keep(t, nametest.Repository("ghcr.io/team/cousin"), cousin)
	e.keep(t, repo, older)
	e.keep(t, repo, before)
	if _, err := e.Manifest(t.Context(), repo, name.Reference(part.digest())); err != nil {
		t.Fatal(err)
	}
	e.pulled(t, after)
	want := []digest.Digest{before.digest(), older.digest(), cousin.digest()}
	if diff := cmp.Diff(want, e.central.asked[0].Seeds); diff != "" {
		t.Error(diff)
	}
}

// A delta that is being made is waited for.
func TestWaits(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.settings.Wait = time.Minute
	e.keep(t, repo, before)
	times := 0
	e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
		if times++; times < 3 {
			e.clock = e.clock.Add(time.Second)
			return client.Delta{RetryAfter: time.Millisecond}, nil
		}
		if q.Wait != 58*time.Second {
			t.Errorf("it is patient for %s", q.Wait)
		}
		return client.Delta{Body: io.NopCloser(bytes.NewReader(e.central.make(before, after))), Seed: q.Seeds[0], Size: -1},
			nil
	}
	if r := e.pulled(t, after); r.Deltas != 1 || times != 3 {
		t.Errorf("%+v, asked %d times", r, times)
	}
}

// A reader that leaves in the middle leaves nothing behind; goleak looks.
func TestLeaves(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.keep(t, repo, before)
	if _, err := e.Manifest(t.Context(), repo, name.Reference(after.digest())); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 1000, len(after.blob) - 1} {
		ctx, cancel := context.WithCancel(t.Context())
		body, _, err := e.Blob(ctx, repo, after.layer(), -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, make([]byte, n)); err != nil {
			t.Error(err)
		}
		if n%2 == 0 {
			cancel()
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// What is not known of a central is told as such, and why.
func TestUnknown(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	told := func(pulls picture, want via.CentralReport) {
		t.Helper()
		r := e.pulled(t, pulls)
		for i := range r.Centrals {
			r.Centrals[i].Rate = 0
		}
		if diff := cmp.Diff([]via.CentralReport{want}, r.Centrals); diff != "" {
			t.Error(diff)
		}
	}
	e.keep(t, repo, before)
	e.central.away = errors.New("no route to host " + strings.Repeat("x", 1000))
	told(after, via.CentralReport{Host: "ghcr.io", Unknown: e.central.away.Error()[:300]})
	e.central.away = nil
	e.clock = e.clock.Add(time.Minute)
	told(after, via.CentralReport{Host: "ghcr.io", Makes: true})
	e.central.formats = ""
	e.clock = e.clock.Add(time.Hour)
	told(after, via.CentralReport{Host: "ghcr.io"})
	// A blob that is no known layer's says nothing of it.
	e = newEdge(t, nil, before)
	body, _, err := e.Blob(t.Context(), repo, before.layer(), -1)
	if err := errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	if r := e.Report(); len(r.Centrals) != 1 || r.Centrals[0].Unknown != "it was not asked yet" {
		t.Errorf("%+v", r)
	}
}

// What an edge behind this one asks for is passed on.
func TestChain(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	q := registry.DeltaQuery{Layer: after.layer(), Seeds: []digest.Digest{before.digest()}, Worth: 65536,
		Encoders: []string{"xz/5.4"}, Wait: time.Second}
	d, err := e.OpenDelta(t.Context(), repo, q)
	if err != nil || d.Seed != before.digest() {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(d)
	if err := d.Close(); err != nil || int64(len(got)) != d.Size {
		t.Error(err)
	}
	if a := e.central.asked[0]; a.Worth != q.Worth || a.Wait != q.Wait || len(a.Encoders) != 1 {
		t.Errorf("%+v", a)
	}
	var none *registry.NoDelta
	e.central.answer = func(client.DeltaRequest) (client.Delta, error) { return client.Delta{RetryAfter: time.Second}, nil }
	if _, err := e.OpenDelta(t.Context(), repo, q); !errors.As(err, &none) || none.RetryAfter != time.Second {
		t.Error(err)
	}
	e.central.answer = func(client.DeltaRequest) (client.Delta, error) { return client.Delta{Refused: "gain"}, nil }
	if _, err := e.OpenDelta(t.Context(), repo, q); !errors.As(err, &none) || none.Reason != "gain" {
		t.Error(err)
	}
	if _, err := e.OpenDelta(t.Context(), nametest.Repository("quay.io/a/b"), q); !errors.As(err, &none) ||
		none.Reason != "layer" {
		t.Error(err)
	}
	broken := upstream.Errorf(upstream.Unavailable, "away")
	e.central.answer = func(client.DeltaRequest) (client.Delta, error) { return client.Delta{}, broken }
	if _, err := e.OpenDelta(t.Context(), repo, q); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// So many layers are made at once; who opens more than it reads gets the others whole.
func TestSlots(t *testing.T) {
	t.Parallel()
	before, after := versions(t)
	e := newEdge(t, nil, before, after)
	e.settings.Wait = 0
	e.keep(t, repo, before)
	b := e.central.make(before, after) // at once, not within the time that is waited for an answer
	e.central.answer = func(q client.DeltaRequest) (client.Delta, error) {
		return client.Delta{Body: io.NopCloser(bytes.NewReader(b)), Seed: q.Seeds[0], Size: int64(len(b))}, nil
	}
	if _, err := e.Manifest(t.Context(), repo, name.Reference(after.digest())); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		body, _, err := e.Blob(t.Context(), repo, after.layer(), -1)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
	}
	if r := e.Report(); r.Reasons[string(via.Wait)] != 3 {
		t.Errorf("%+v", r)
	}
}
