package rechunk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxPlanned is the number of earlier images that a plan looks at.
const maxPlanned = 8

// loadLineage reads the earlier images of the lineage with the indexes of their layers. One that is no longer complete is left
// out.
func (r *run) loadLineage(ctx context.Context) error {
	key := lineageKey(r.req.Lineage, r.platform())
	if _, err := r.getJSON(ctx, KindLineage, key, &r.lineage); err != nil {
		return err
	}
	versions := r.lineage.Versions[:min(len(r.lineage.Versions), maxPlanned)]
	indexes, err := r.layerIndexes(ctx, versions)
	if err != nil {
		return err
	}
	for _, v := range versions {
		img := plan.Image{Digest: v.Digest}
		for _, l := range v.Layers {
			x := indexes[l.Digest]
			if x == nil || l.Type != r.req.Options.Compression.MediaType() {
				img.Layers = nil
				break
			}
			img.Layers = append(img.Layers, plan.Prior{Digest: l.Digest, Size: l.Size, Name: l.Name, Index: x})
			r.contents.addCold(l.Digest, x, r.readStored(l.Digest, l.Size))
		}
		if img.Layers == nil {
			r.cfg.Logger.InfoContext(ctx, "earlier image is not planned against", "lineage", r.req.Lineage, "image", v.Digest)
			continue
		}
		r.images = append(r.images, img)
	}
	if !r.req.Options.ExactTime {
		keepTimes(r.tree, r.images)
	}
	return nil
}

// layerIndexes loads the index of every layer of the versions, nil for a layer that is no longer stored.
func (r *run) layerIndexes(ctx context.Context, versions []Version) (map[digest.Digest]*tree.Index, error) {
	var order []VersionLayer
	out := map[digest.Digest]*tree.Index{}
	for _, v := range versions {
		for _, l := range v.Layers {
			if _, seen := out[l.Digest]; !seen {
				out[l.Digest] = nil
				order = append(order, l)
			}
		}
	}
	loaded := make([]*tree.Index, len(order))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Parallel)
	for i, l := range order {
		g.Go(func() (err error) {
			loaded[i], err = r.storedIndex(ctx, l)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, l := range order {
		out[l.Digest] = loaded[i]
	}
	return out, nil
}

// storedIndex returns what a stored layer holds: from the records, or by reading the layer again when its record was lost.
func (r *run) storedIndex(ctx context.Context, l VersionLayer) (*tree.Index, error) {
	if ok, err := r.cfg.Store.Has(ctx, l.Digest); !ok || err != nil {
		return nil, err
	}
	x, err := r.loadIndex(ctx, l.Digest)
	if x != nil || err != nil {
		return x, err
	}
	rc, err := r.readStored(l.Digest, l.Size)(ctx)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	s, err := tree.Scan(ctx, rc, tree.ScanOptions{Limits: r.cfg.Limits})
	if err == nil {
		_, err = io.Copy(io.Discard, rc)
	}
	if err != nil {
		return nil, fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	return s.Index, r.saveIndex(ctx, l.Digest, s.Index)
}

// keepTimes gives every entry that was served before the modification time that it had then: the newest image that has it
// says which. Builds stamp unchanged files anew, which must not make them changed ones.
func keepTimes(t *tree.Tree, images []plan.Image) {
	kept := make([]bool, len(t.Entries))
	seen := map[digest.Digest]bool{}
	for _, img := range images {
		for i := len(img.Layers) - 1; i >= 0; i-- {
			l := img.Layers[i]
			if seen[l.Digest] {
				continue
			}
			seen[l.Digest] = true
			for j := range l.Index.Entries {
				old := &l.Index.Entries[j]
				k, ok := t.Find(old.Path)
				if ok && !kept[k] && old.Same(&t.Entries[k]) {
					t.Entries[k].Sec, t.Entries[k].Nsec, kept[k] = old.Sec, old.Nsec, true
				}
			}
		}
	}
	alignGroups(t)
}

// alignGroups makes the names of a hardlink group agree on the time again: they are one object.
func alignGroups(t *tree.Tree) {
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Link == "" || e.Link == e.Path {
			continue
		}
		if first := t.Lookup(e.Link); first != nil {
			e.Sec, e.Nsec = first.Sec, first.Nsec
		}
	}
}
