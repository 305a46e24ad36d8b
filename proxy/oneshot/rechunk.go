package oneshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// Rechunk rechunks the image src and writes the result to dst. name is the lineage in the state directory. Images that are not
// labelled as bootable are rechunked, too: the caller asked for it.
func Rechunk(ctx context.Context, src, dst, name string, rules rechunk.Options, o Options) (_ *rechunk.Result, err error) {
	to, err := imageref.Parse(dst)
	if err != nil {
		return nil, err
	}
	from, err := openSource(ctx, src, o)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	w, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()

	req := from.request(o)
	req.Lineage, req.Options = name, rules
	req.Options.Always = true
	if err := adopt(ctx, w.engine, req, o); err != nil {
		return nil, err
	}
	result, err := w.engine.Rechunk(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("rechunking %s: %w", src, err)
	}
	out, err := to.Create(ctx, imageref.Options{Insecure: o.Insecure})
	if err != nil {
		return nil, err
	}
	if err := w.copy(ctx, result, out); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return result, out.Close()
}

// adopt lets a lineage that has no versions begin with an image that was rechunked before.
func adopt(ctx context.Context, e *rechunk.Engine, req rechunk.Request, o Options) error {
	if o.Prior == "" {
		return nil
	}
	from, err := openSource(ctx, o.Prior, o)
	if err != nil {
		return err
	}
	defer from.Close()
	prior := from.request(o)
	prior.Lineage, prior.Reference, prior.Options = req.Lineage, req.Reference, req.Options
	if _, err := e.Adopt(ctx, prior); err != nil {
		return fmt.Errorf("earlier image %s: %w", o.Prior, err)
	}
	return nil
}

// copies bounds the blobs that are copied at once: enough to hide how long a destination takes to store one.
const copies = 4

// copy writes a served image from the store to a destination.
func (w *workplace) copy(ctx context.Context, r *rechunk.Result, out imageref.Destination) error {
	raw, err := w.document(ctx, r.Digest)
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("manifest %s: %w", r.Digest, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copies)
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		g.Go(func() error { return w.copyBlob(gctx, d, out) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return out.PutManifest(ctx, r.MediaType, raw)
}

func (w *workplace) copyBlob(ctx context.Context, d ocispec.Descriptor, out imageref.Destination) error {
	if has, err := out.Has(ctx, d.Digest); has || err != nil {
		return err
	}
	rc, err := w.store.Open(ctx, d.Digest)
	if err != nil {
		return err
	}
	defer rc.Close()
	return out.PutBlob(ctx, d, rc)
}

// document reads a stored manifest.
func (w *workplace) document(ctx context.Context, d digest.Digest) ([]byte, error) {
	rc, err := w.store.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(io.LimitReader(rc, image.MaxDocument))
}
