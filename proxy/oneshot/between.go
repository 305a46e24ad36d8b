package oneshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
)

// inspect takes an opened image apart. The source stays the caller's.
func (i *Inspector) inspect(ctx context.Context, s imageref.Source) (*Inspection, error) {
	from := source{kept{s}}
	in, err := i.w.engine.Inspect(ctx, from.request(i.o))
	if err != nil {
		_, _, d := s.Manifest()
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	return &Inspection{in, from}, nil
}

// kept is a source that somebody else closes.
type kept struct{ imageref.Source }

// Close implements imageref.Source.
func (kept) Close() error { return nil }

// Make makes the artifact, of the project's own format, that leads from one image to another. Its blobs go to the sink; the
// manifest is returned. Who applies it needs the encoders that it names.
func (i *Inspector) Make(ctx context.Context, old, next imageref.Source, sink imagedelta.Sink) ([]byte, error) {
	return i.between(ctx, old, next, func(a, b *Inspection) ([]byte, error) {
		return artifact(ctx, a, b, sink, i.tools(ctx))
	})
}

// between takes two opened images apart.
func (i *Inspector) between(ctx context.Context, old, next imageref.Source,
	use func(a, b *Inspection) ([]byte, error)) (_ []byte, err error) {
	a, err := i.inspect(ctx, old)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	b, err := i.inspect(ctx, next)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return use(a, b)
}

func artifact(ctx context.Context, a, b *Inspection, sink imagedelta.Sink, t imagedelta.Tools) ([]byte, error) {
	_, raw, _ := b.from.Manifest()
	made, err := imagedelta.Make(ctx, a.image(), b.image(), raw, imagedelta.Strata, sink, t)
	if err != nil {
		return nil, err
	}
	return made.Manifest, nil
}

// Apply makes the image that an artifact leads to. Its layers and its config go to the sink.
func (i *Inspector) Apply(ctx context.Context, old imageref.Source, artifact []byte, open imagedelta.Open,
	sink imagedelta.Sink) (_ *imagedelta.Applied, err error) {
	a, err := ocidelta.Parse(artifact)
	if err != nil {
		return nil, err
	}
	x, err := i.inspect(ctx, old)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	return imagedelta.Apply(ctx, x.image(), a, open, sink, i.tools(ctx))
}
