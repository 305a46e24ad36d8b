package oneshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk"
)

// Inspector takes images apart. It is safe for concurrent use.
type Inspector struct {
	w *workplace
	o Options
}

// NewInspector makes an inspector. Close ends it, after its inspections were closed.
func NewInspector(ctx context.Context, o Options) (*Inspector, error) {
	w, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Inspector{w, o}, nil
}

// Close frees what the inspector holds.
func (i *Inspector) Close() error { return i.w.close() }

// Inspection is an image taken apart, with the place that it came from, which lasts as long. Close it.
type Inspection struct {
	*rechunk.Inspection
	from source
}

// Close frees what the inspection holds.
func (x *Inspection) Close() error { return errors.Join(x.Inspection.Close(), x.from.Close()) }

// Inspect takes the image apart that ref names, in one of the forms of package imageref.
func (i *Inspector) Inspect(ctx context.Context, ref string) (*Inspection, error) {
	from, err := openSource(ctx, ref, i.o)
	if err != nil {
		return nil, err
	}
	in, err := i.w.engine.Inspect(ctx, from.request(i.o))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", ref, err), from.Close())
	}
	return &Inspection{in, from}, nil
}

// withBoth takes two images apart, one after the other, since each of them uses all cores.
func withBoth(ctx context.Context, a, b string, o Options, use func(i *Inspector, a, b *Inspection) error) (err error) {
	i, err := NewInspector(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	x, err := i.Inspect(ctx, a)
	if err != nil {
		return err
	}
	defer x.Close()
	y, err := i.Inspect(ctx, b)
	if err != nil {
		return err
	}
	defer y.Close()
	return use(i, x, y)
}

// inspectBoth is withBoth for who needs no more than the inspections.
func inspectBoth(ctx context.Context, a, b string, o Options, use func(a, b *rechunk.Inspection) error) error {
	return withBoth(ctx, a, b, o, func(_ *Inspector, a, b *Inspection) error { return use(a.Inspection, b.Inspection) })
}
