package rechunk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxPlanned is the number of earlier images that a plan looks at.
const maxPlanned = 8

// loadLineage reads the earlier images of the lineage with the indexes of their layers. Of one that is no longer complete,
// the layers that are left can still be kept: the fleet has them.
func (r *run) loadLineage(ctx context.Context) error {
	key := lineageKey(r.req.Lineage, r.platform())
	if _, err := r.getJSON(ctx, KindLineage, key, &r.lineage); err != nil {
		return err
	}
	r.lineage.Versions = slices.DeleteFunc(r.lineage.Versions, func(v Version) bool {
		_, ok := v.blobs()
		if !ok {
			r.cfg.Logger.WarnContext(ctx, "version in a record is damaged and left out", "kind", KindLineage, "key", key,
				"image", v.Digest)
		}
		return !ok
	})
	versions := foremost(r.lineage.Versions, r.req.Reference, maxPlanned)
	indexes, err := r.layerIndexes(ctx, versions)
	if err != nil {
		return err
	}
	for i, v := range versions {
		img, unkept, why := r.planImage(v, indexes)
		if i == 0 && unkept > 0 {
			r.unkept = unkept
		}
		if why != "" {
			r.cfg.Logger.InfoContext(ctx, "earlier image is not planned against", "lineage", r.req.Lineage, "image",
				v.Digest, "reason", why)
			continue
		}
		r.images = append(r.images, img)
	}
	return nil
}

// keepServed has the tree carry on what was served before: times, and contents that differ in noise only.
func (r *run) keepServed(ctx context.Context) error {
	exact := r.tree
	if r.form() == FormOSTree {
		return r.keepNoise(ctx, exact) // objects have no times
	}
	if !r.req.Options.ExactTime {
		r.tree = keepTimes(exact, r.images)
	}
	if err := r.keepNoise(ctx, exact); err != nil || r.req.Options.ExactTime {
		return err
	}
	if err := r.keepQuotedTimes(ctx, exact); err != nil {
		return err
	}
	r.noteTimes(exact)
	return nil
}

// unkeptNote says what a change of the format costs; "" for none.
func (r *run) unkeptNote() string {
	if r.unkept == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes of layers are of another format and not kept: hosts download them once more", r.unkept)
}

// planImage makes what the plan is to know of a version, or says why it can't be built on. Contents may be read from its
// layers either way. unkept are the bytes of layers that images of the format must not have.
func (r *run) planImage(v Version, indexes map[digest.Digest]*tree.Index) (img plan.Image, unkept int64, why string) {
	img.Digest, img.Series = v.Digest, v.Reference
	for _, l := range v.Layers {
		x := indexes[l.Digest]
		if x == nil {
			continue
		}
		r.contents.addCold(coldLayer{digest: l.Digest, index: x, stored: true, open: r.readStored(l.Digest)})
		if v.Form != r.form() {
			unkept += l.Size
			why = fmt.Sprintf("its layers are of another form: %q, and new ones %q", v.Form, r.form())
			continue
		}
		if !r.keeps(l.Type, l.Annotations) {
			unkept += l.Size
			why = fmt.Sprintf("layers of format %s do not go with its layers of type %s", r.req.Options.Format.Spec().Name,
				l.Type)
			continue
		}
		if r.form() == FormOSTree {
			r.contents.addSmall(x)
		}
		img.Layers = append(img.Layers, plan.Prior{Digest: l.Digest, Size: l.Size, Name: l.Name, Index: x})
	}
	if len(img.Layers) > 0 {
		why = ""
	} else if why == "" {
		why = "none of its layers is stored"
	}
	return img, unkept, why
}

// leaveDamaged takes damaged layers out of the plan's sight, and reports whether there were any.
func (r *run) leaveDamaged() bool {
	damaged, found := r.contents.damaged(), false
	for i := range r.images {
		img := &r.images[i]
		before := len(img.Layers)
		img.Layers = slices.DeleteFunc(img.Layers, func(p plan.Prior) bool { return slices.Contains(damaged, p.Digest) })
		found = found || len(img.Layers) < before
	}
	r.images = slices.DeleteFunc(r.images, func(img plan.Image) bool { return len(img.Layers) == 0 })
	return found
}

// layerIndexes loads the index of every layer of the versions, nil for a layer that is no longer stored, or for which there
// is no room: all together they have a budget of their own.
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
	loaded, budget := make([]*tree.Index, len(order)), tree.NewBudget(r.cfg.Limits)
	err := r.each(ctx, positions(len(order)), func(ctx context.Context, i int) (err error) {
		loaded[i], err = r.storedIndex(ctx, order[i], budget)
		if errors.Is(err, tree.ErrLimit) {
			r.cfg.Logger.WarnContext(ctx, "layer of an earlier image is not built on", "layer", order[i].Digest, "error",
				err)
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, l := range order {
		out[l.Digest] = loaded[i]
	}
	return out, nil
}

// storedIndex returns what a stored layer holds: from the records, or by reading the layer again when its record was lost.
func (r *run) storedIndex(ctx context.Context, l VersionLayer, b *tree.Budget) (*tree.Index, error) {
	if ok, err := r.cfg.Store.Has(ctx, l.Digest); !ok || err != nil {
		if err == nil {
			r.cfg.Logger.WarnContext(ctx, "layer of an earlier image is lost and not built on", "lineage", r.req.Lineage,
				"layer", l.Digest)
		}
		return nil, err
	}
	x, err := r.loadIndex(ctx, l.Digest, b)
	if x != nil || err != nil {
		return x, err
	}
	x, err = r.scanStored(ctx, l, b)
	if !errors.Is(err, tree.ErrLimit) && isDamage(err) {
		r.cfg.Logger.WarnContext(ctx, "stored layer is damaged and not built on", "layer", l.Digest, "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	return x, r.saveIndex(ctx, l.Digest, x)
}

// scanStored reads a stored layer for its index alone.
func (r *run) scanStored(ctx context.Context, l VersionLayer, b *tree.Budget) (*tree.Index, error) {
	rc, err := r.cfg.Store.Open(ctx, l.Digest)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return r.scan(ctx, rc, nil, b, func(int) {})
}

// keepTimes gives every entry that was served before the modification time that it had then: the newest image that has it
// says which. Builds stamp unchanged files anew, which must not make them changed ones. It returns another tree, or t if no
// image has anything to say.
func keepTimes(t *tree.Tree, images []plan.Image) *tree.Tree {
	if len(images) == 0 {
		return t
	}
	t = t.Clone()
	kept := make([]bool, len(t.Entries))
	seen := map[digest.Digest]bool{}
	for _, img := range images {
		for i := len(img.Layers) - 1; i >= 0; i-- {
			l := img.Layers[i]
			if seen[l.Digest] {
				continue
			}
			seen[l.Digest] = true
			tree.Common(t.Entries, l.Index.Entries, func(now, old *tree.Entry, k int) {
				if !kept[k] && old.Same(now) {
					now.Sec, now.Nsec, kept[k] = old.Sec, old.Nsec, true
				}
			})
		}
	}
	alignGroups(t)
	return t
}

// alignGroups makes the names of a hardlink group agree on the time again: they are one object. It changes t.
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
