package rechunk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// madeLayer is a layer of the image in the making, kept or new.
type madeLayer struct {
	VersionLayer
	index *tree.Index
}

// write makes the new layers, reads every one back from the store and compares the whole with the tree.
func (r *run) write(ctx context.Context) ([]madeLayer, error) {
	if err := r.contents.need(ctx, r.wanted()); err != nil {
		return nil, err
	}
	out := make([]madeLayer, len(r.layout.Layers))
	var todo []int
	sizes := make([]int64, len(out))
	var total, done atomic.Int64
	for i := range r.layout.Layers {
		l := &r.layout.Layers[i]
		if l.Kept != "" {
			made, err := r.keep(l)
			if err != nil {
				return nil, err
			}
			out[i] = made
			continue
		}
		for _, k := range l.Entries {
			sizes[i] += r.tree.Entries[k].Size
		}
		total.Add(sizes[i])
		todo = append(todo, i)
	}
	// The largest first, so that the last ones are small and no core is left without work.
	slices.SortFunc(todo, func(a, b int) int { return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b)) })
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Parallel)
	for _, i := range todo {
		g.Go(func() (err error) {
			out[i], err = r.makeLayer(gctx, &r.layout.Layers[i])
			r.req.Progress(Progress{"write", done.Add(sizes[i]), total.Load()})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, r.compare(ctx, out)
}

// wanted lists the contents that the new layers hold.
func (r *run) wanted() []tree.Digest {
	var out []tree.Digest
	for _, l := range r.layout.Layers {
		for _, k := range l.Entries {
			if e := &r.tree.Entries[k]; e.Kind == tree.Regular && e.Size > 0 {
				out = append(out, e.Digest)
			}
		}
	}
	return out
}

// keep finds a kept layer in the lineage.
func (r *run) keep(l *plan.Layer) (madeLayer, error) {
	for _, v := range r.lineage.Versions {
		for _, old := range v.Layers {
			if old.Digest != l.Kept {
				continue
			}
			for _, img := range r.images {
				for _, p := range img.Layers {
					if p.Digest == l.Kept {
						old.Kept = true
						return madeLayer{old, p.Index}, nil
					}
				}
			}
		}
	}
	return madeLayer{}, fmt.Errorf("the plan keeps layer %s, which the lineage does not have", l.Kept)
}

// makeLayer writes one layer to the store and reads it back from there.
func (r *run) makeLayer(ctx context.Context, l *plan.Layer) (madeLayer, error) {
	w, err := r.cfg.Store.Create(ctx)
	if err != nil {
		return madeLayer{}, fmt.Errorf("storing layer %q: %w", l.Name, err)
	}
	blob, err := layer.Write(ctx, w, r.tree, l, r.contents, r.req.Options.Compression)
	if err == nil {
		err = w.Commit(ctx, blob.Digest, blob.Size)
	}
	if err != nil {
		return madeLayer{}, errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
	}
	rc, err := r.cfg.Store.Open(ctx, blob.Digest)
	if err != nil {
		return madeLayer{}, fmt.Errorf("reading layer %q back: %w", l.Name, err)
	}
	defer rc.Close()
	x, err := layer.Read(ctx, rc, blob, r.cfg.Limits)
	if err != nil {
		return madeLayer{}, err
	}
	return madeLayer{VersionLayer{
		Digest: blob.Digest, DiffID: blob.DiffID, Size: blob.Size, TarSize: blob.TarSize,
		Type: r.req.Options.Compression.MediaType(), Name: l.Name, Since: r.sequence(),
	}, x}, nil
}

// sequence is the number of the version in the making.
func (r *run) sequence() int {
	if len(r.lineage.Versions) == 0 {
		return 1
	}
	return r.lineage.Versions[0].Sequence + 1
}

// compare flattens what the layers hold and compares it with the tree that was to be served.
func (r *run) compare(ctx context.Context, layers []madeLayer) error {
	r.req.Progress(Progress{Phase: "verify"})
	indexes := make([]*tree.Index, len(layers))
	for i := range layers {
		indexes[i] = layers[i].index
	}
	got, err := tree.Flatten(ctx, indexes, r.cfg.Limits)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSame, err)
	}
	diffs := tree.Diff(r.tree, got, tree.DiffOptions{Times: r.req.Options.ExactTime, Most: 5})
	if len(diffs) == 0 {
		return nil
	}
	lines := make([]string, len(diffs))
	for i, d := range diffs {
		lines[i] = d.String()
	}
	return fmt.Errorf("%w: %s", ErrNotSame, strings.Join(lines, "; "))
}
