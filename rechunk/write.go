package rechunk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// madeLayer is a layer of the image in the making, kept or new.
type madeLayer struct {
	VersionLayer
	content layerContent
	why     string // why its encoder is not the format's; "" where it is
}

// write makes the new layers and reads every one back from the store.
func (r *run) write(ctx context.Context) error {
	out := make([]madeLayer, len(r.layout.Layers))
	r.layers = out
	var todo []int
	sizes := make([]int64, len(out))
	var total int64
	var done atomic.Int64
	for i := range r.layout.Layers {
		l := &r.layout.Layers[i]
		if l.Kept != "" {
			var err error
			if out[i], err = r.keep(l.Kept); err != nil {
				return err
			}
			r.ready(out[i])
			continue
		}
		for _, k := range l.Entries {
			sizes[i] += r.tree.Entries[k].Size
		}
		total += sizes[i]
		todo = append(todo, i)
	}
	// The largest first, so that the last ones are small and no core is left without work.
	slices.SortFunc(todo, func(a, b int) int { return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b)) })
	err := r.makeLayers(ctx, todo, func(made madeLayer, i int) {
		out[i] = made
		r.ready(made)
		r.req.Progress(Progress{"write", done.Add(sizes[i]), total})
	})
	if err != nil {
		return err
	}
	// The contents have had their use, and the comparison needs memory.
	if err := r.spool.Close(); err != nil {
		return fmt.Errorf("closing the spool: %w", err)
	}
	return nil
}

// ready tells of a layer.
func (r *run) ready(l madeLayer) {
	if r.req.Ready != nil {
		r.req.Ready(ocispec.Descriptor{MediaType: l.Type, Digest: l.Digest, Size: l.Size, Annotations: l.Annotations})
	}
}

// wanted lists the contents that the new layers hold.
func (r *run) wanted() []tree.Digest {
	count := 0
	for _, l := range r.layout.Layers {
		count += len(l.Entries)
	}
	out := make([]tree.Digest, 0, count)
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
func (r *run) keep(d digest.Digest) (madeLayer, error) {
	var made madeLayer
	for _, v := range r.lineage.Versions {
		if i := slices.IndexFunc(v.Layers, func(l VersionLayer) bool { return l.Digest == d }); i >= 0 {
			made.VersionLayer = v.Layers[i]
			break
		}
	}
	for _, img := range r.images {
		if i := slices.IndexFunc(img.Layers, func(p plan.Prior) bool { return p.Digest == d }); i >= 0 {
			made.content.index = img.Layers[i].Index
			break
		}
	}
	if made.Digest != d || made.content.index == nil {
		return madeLayer{}, fmt.Errorf("the plan keeps layer %s, which the lineage does not have", d)
	}
	made.Kept = true
	return made, nil
}

// sequence is the number of the version in the making.
func (r *run) sequence() int {
	if len(r.lineage.Versions) == 0 {
		return 1
	}
	return r.lineage.Versions[0].Sequence + 1
}

// verify compares what the layers hold, as they were read back, with the tree that was to be served.
func (r *run) verify(ctx context.Context) error {
	r.req.Progress(Progress{Phase: "verify"})
	contents := func(yield func(tree.Layer) bool) {
		for i := range r.layers {
			if !yield(r.layers[i].content.layer(r.layoutTree())) {
				return
			}
		}
	}
	diffs, err := tree.DiffLayers(ctx, r.layoutTree(), contents, r.cfg.Limits,
		tree.DiffOptions{Times: r.req.Options.ExactTime, Most: 5, Each: r.sum.add})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSame, err)
	}
	if len(diffs) == 0 {
		return r.checkKept()
	}
	lines := make([]string, len(diffs))
	for i, d := range diffs {
		lines[i] = d.String()
	}
	return fmt.Errorf("%w: %s", ErrNotSame, strings.Join(lines, "; "))
}
