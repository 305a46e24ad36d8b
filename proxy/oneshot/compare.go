package oneshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Compare works out what an update from one image to another costs a client.
func Compare(ctx context.Context, old, next string, c layer.Compression, o Options) (out *rechunk.Comparison, err error) {
	err = inspectBoth(ctx, old, next, o, func(a, b *rechunk.Inspection) error {
		out, err = rechunk.Compare(ctx, a, b, c)
		return err
	})
	return out, err
}

// Verification is the outcome of Verify.
type Verification struct {
	Same        bool              `json:"same"`
	Differences []tree.Difference `json:"differences"`
}

// Verify compares the filesystems of two images. What Strata drops from plain bootc images, the content of /sysroot, counts in
// neither. At most so many differences are listed; 0 lists all. times compares modification times, too.
func Verify(ctx context.Context, a, b string, times bool, most int, o Options) (*Verification, error) {
	out := &Verification{}
	err := inspectBoth(ctx, a, b, o, func(x, y *rechunk.Inspection) error {
		out.Differences = tree.Diff(x.Tree, y.Tree, tree.DiffOptions{Times: times, Most: most})
		return nil
	})
	if out.Same = len(out.Differences) == 0; out.Same {
		out.Differences = []tree.Difference{}
	}
	return out, err
}

// inspectBoth takes two images apart, one after the other, since each of them uses all cores.
func inspectBoth(ctx context.Context, a, b string, o Options, use func(a, b *rechunk.Inspection) error) (err error) {
	w, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	x, err := w.inspect(ctx, a, o)
	if err != nil {
		return err
	}
	defer x.close()
	y, err := w.inspect(ctx, b, o)
	if err != nil {
		return err
	}
	defer y.close()
	return use(x.Inspection, y.Inspection)
}

// opened is an image taken apart, with the place that it came from, which lasts as long.
type opened struct {
	*rechunk.Inspection
	from source
}

func (x opened) close() {
	_ = x.Inspection.Close()
	_ = x.from.Close()
}

func (w *workplace) inspect(ctx context.Context, ref string, o Options) (opened, error) {
	from, err := openSource(ctx, ref, o)
	if err != nil {
		return opened{}, err
	}
	in, err := w.engine.Inspect(ctx, from.request(o))
	if err != nil {
		return opened{}, errors.Join(fmt.Errorf("reading %s: %w", ref, err), from.Close())
	}
	return opened{in, from}, nil
}
