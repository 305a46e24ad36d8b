package rechunk

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// press makes layers: writes them to the store and reads them back. Encoders and decoders have megabytes of buffers and are used
// again; there are as many of each as layers are to be written at once. While a layer is on its way to the disk or is read back,
// the next one has its encoder.
type press struct {
	*run
	writers *toolbox[layer.Writer]
	readers *toolbox[layer.Reader]
}

// makeLayers makes the layers with the given numbers in that order, several at once, and tells done of each. The first error ends it.
func (r *run) makeLayers(ctx context.Context, numbers []int, done func(made madeLayer, i int)) error {
	c := r.req.Options.Compression
	p := &press{
		run:     r,
		writers: newToolbox(r.cfg.Parallel, func() (*layer.Writer, error) { return layer.NewWriter(c) }),
		readers: newToolbox(r.cfg.Parallel, func() (*layer.Reader, error) { return &layer.Reader{}, nil }),
	}
	defer p.readers.clear(func(z *layer.Reader) { z.Close() })
	return r.eachOf(ctx, 2*r.cfg.Parallel, numbers, func(ctx context.Context, i int) error {
		made, err := p.make(ctx, &r.layout.Layers[i])
		if err == nil {
			done(made, i)
		}
		return err
	})
}

// make writes one layer to the store, reads it back from there and records what it holds.
func (p *press) make(ctx context.Context, l *plan.Layer) (madeLayer, error) {
	var blob layer.Blob
	d, err := p.storeBlob(ctx, func(w io.Writer) error {
		return p.writers.lend(ctx, func(z *layer.Writer) (err error) {
			blob, err = z.Write(ctx, w, p.tree, l, p.contents)
			return err
		})
	})
	if err != nil {
		return madeLayer{}, fmt.Errorf("storing layer %q: %w", l.Name, err)
	}
	var x *tree.Index
	var diffID digest.Digest
	if err := p.readers.lend(ctx, func(z *layer.Reader) error {
		x, diffID, err = p.readBack(ctx, z, d, blob)
		return err
	}); err != nil {
		return madeLayer{}, fmt.Errorf("reading layer %q back: %w", l.Name, err)
	}
	if err := p.saveIndex(ctx, d, x); err != nil {
		return madeLayer{}, err
	}
	return madeLayer{VersionLayer{
		Digest: d, DiffID: diffID, Size: blob.Size, TarSize: blob.TarSize,
		Type: p.req.Options.Compression.MediaType(), Name: l.Name, Since: p.sequence(),
	}, heldOf(p.tree, x)}, nil
}

// readBack reads a layer that was stored, and has its digest verified by the store.
func (p *press) readBack(ctx context.Context, z *layer.Reader, d digest.Digest, blob layer.Blob) (*tree.Index, digest.Digest, error) {
	rc, err := p.cfg.Store.Open(ctx, d)
	if err != nil {
		return nil, "", err
	}
	defer rc.Close()
	return z.Read(ctx, rc, blob, p.cfg.Limits)
}
