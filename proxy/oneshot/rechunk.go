package oneshot

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk"
)

// Rechunk rechunks the image src and writes the result to dst. name is the lineage in the state directory. Images that are
// not labelled as bootable are rechunked, too: the caller asked for it.
func Rechunk(ctx context.Context, src, dst, name string, rules rechunk.Options, o Options) (_ *rechunk.Result, err error) {
	to, err := imageref.Parse(dst)
	if err != nil {
		return nil, err
	}
	if err := spareArchive(to, src); err != nil {
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
	if err := w.claim.Write(); err != nil {
		return nil, fmt.Errorf("state directory %s: %w: a proxy that serves from it makes its images itself; have it do so with "+
			"strata warm, or choose another directory", o.State, err)
	}

	if o.Prior == "" {
		if err := noteFirstVersion(ctx, w.chunks, name, o.Logger); err != nil {
			return nil, err
		}
	}
	req := from.request(o)
	req.Lineage, req.Options = name, rules
	req.Options.Always = true
	if err := adopt(ctx, w.engine, req, o); err != nil {
		return nil, err
	}
	out, err := to.Create(ctx, imageref.Options{Insecure: o.Insecure})
	if err != nil {
		return nil, err
	}
	c := newCopier(w, out)
	cctx, stop := context.WithCancel(ctx)
	defer stop()
	req.Ready = func(d ocispec.Descriptor) { c.early(cctx, d) }
	result, err := w.engine.Rechunk(ctx, req)
	if err != nil {
		stop()
	}
	c.wait()
	if err != nil {
		return nil, errors.Join(explain(src, err), out.Close())
	}
	if err := c.image(ctx, result); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return result, out.Close()
}

// spareArchive refuses an archive as the place of what is made of it. A tag may move from an image to what was made of it,
// in a layout or a registry, which keeps the blobs.
func spareArchive(to imageref.Ref, src string) error {
	if !to.IsArchive() {
		return nil
	}
	in, err := imageref.Parse(src)
	if err != nil {
		return err
	}
	return to.Spare(in)
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

// explain says why an image was not rechunked. That a proxy would serve it as it is helps nobody here.
func explain(src string, err error) error {
	_, why, found := strings.Cut(err.Error(), rechunk.ErrPassThrough.Error()+": ")
	if !found || !errors.Is(err, rechunk.ErrPassThrough) {
		return fmt.Errorf("rechunking %s: %w", src, err)
	}
	return fmt.Errorf("%s cannot be rechunked: %s", src, why)
}
