package central_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// inMemory are the files of a seed.
type inMemory map[tree.Digest]string

func (m inMemory) Open(_ context.Context, f delta.File) (delta.Content, error) {
	text, ok := m[f.Digest]
	if !ok {
		return nil, delta.ErrSource
	}
	return memoryFile{strings.NewReader(text)}, nil
}

type memoryFile struct{ *strings.Reader }

func (memoryFile) Close() error { return nil }

// noise is text that does not compress.
func noise(n int, seed uint64) string {
	r := rand.NewChaCha8(sha256.Sum256([]byte{byte(seed)}))
	b := make([]byte, n)
	_, _ = r.Read(b)
	return string(b)
}

// What delta.Make makes of the store's layers gives the layer's tar stream again, streamed and stored.
func TestRealDelta(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.stop()
	f.start(func(o *central.Options) { o.Make = nil })
	old := noise(300_000, 1)
	fresh := old[:100_000] + "changed" + old[100_000:]
	f.v1 = f.version(3, map[string]string{"usr/big": old, "usr/other": noise(1000, 2)},
		map[string]string{"usr/lib/moved.so.1": noise(50_000, 3)})
	f.v2 = f.version(4, map[string]string{"usr/big": fresh, "usr/lib/moved.so.2": noise(50_000, 3)},
		map[string]string{"etc/x": "y"})
	q := f.query()
	q.Layer = f.v2.Layers[0].Digest
	seed := inMemory{}
	for _, text := range []string{old, noise(1000, 2), noise(50_000, 3)} {
		seed[tree.Digest(sha256.Sum256([]byte(text)))] = text
	}
	for _, stored := range []bool{false, true} {
		text, size, err := f.get(q)
		if err != nil || (size >= 0) != stored || len(text) > 5000 {
			t.Fatalf("%d bytes, size %d: %v\n%s", len(text), size, err, f.log)
		}
		d, err := delta.Open(strings.NewReader(text), delta.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if h := d.Header(); h.Blob != q.Layer || h.Seed != f.v1.Digest || h.Encoder != "test" {
			t.Errorf("%+v", h)
		}
		var out bytes.Buffer
		err = d.Apply(t.Context(), &out, delta.ApplyOptions{Contents: seed, Scratch: scratch.New(t.TempDir(), nil)})
		if err != nil || digest.FromBytes(out.Bytes()) != f.v2.Layers[0].DiffID {
			t.Errorf("%d bytes: %v", out.Len(), err)
		}
		f.settled()
	}
}

// What was tried on the files of a layer is remembered, over processes.
func TestTrials(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	xz := &delta.Encoder{Program: "xz", Version: "5.4", Args: []string{"-T2"}}
	a, b := tree.Digest{1}, tree.Digest{2}
	f.maker.set(func(ctx context.Context, w io.Writer, _ delta.Target, _ delta.Seed, o delta.Options) error {
		if _, known, err := o.Trials.Tried(ctx, a); known || err != nil {
			t.Errorf("known before: %v", err)
		}
		have := []delta.Program{{Name: "xz", Version: "5.4"}, {Name: "gzip", Version: "1.12"}}
		for d, e := range map[tree.Digest]*delta.Encoder{a: xz, b: nil} {
			if err := o.Trials.Remember(ctx, d, trial(e, have)); err != nil {
				t.Error(err)
			}
		}
		_, err := io.WriteString(w, "x")
		return err
	})
	if _, _, err := f.get(f.query()); err != nil {
		t.Fatal(err)
	}
	f.settled()
	f.stop()
	f.start(nil)
	f.maker.set(func(ctx context.Context, w io.Writer, _ delta.Target, _ delta.Seed, o delta.Options) error {
		got, known, err := o.Trials.Tried(ctx, a)
		if !known || err != nil || got.Encoder == nil || got.Encoder.String() != xz.String() || len(got.Programs) != 2 {
			t.Errorf("%+v, %t, %v", got, known, err)
		}
		if got, known, err := o.Trials.Tried(ctx, b); !known || err != nil || got.Encoder != nil {
			t.Errorf("%+v, %t, %v", got, known, err)
		}
		_, err = io.WriteString(w, "x")
		return err
	})
	q := f.query()
	q.Worth = 1 << 20
	if _, _, err := f.get(q); err != nil {
		t.Fatal(err)
	}
	f.settled()
	if rec, err := f.records.Trials.Get(t.Context(), q.Layer); err != nil || rec == nil || len(rec.Tried) != 2 ||
		len(rec.Encoders) != 1 {
		t.Errorf("%+v, %v", rec, err)
	}
}
