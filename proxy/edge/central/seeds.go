package central

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// seedImage is an image whose files a client has.
type seedImage struct {
	manifest digest.Digest
	layers   []digest.Digest // lowest first
	files    []delta.File
}

// versions lists the versions of a repository's family, on all platforms.
func (c *Central) versions(ctx context.Context, repo name.Repository) ([]rechunk.Version, error) {
	var out []rechunk.Version
	err := c.Records.Lineages.Each(ctx, catalog.LineagesOf(c.Family(repo.String())),
		func(_ catalog.LineageKey, l *rechunk.Lineage) error {
			out = append(out, l.Versions...)
			return nil
		})
	return out, err
}

// known returns those of the seeds that the client may have, and of which the repository was proven to have all: of others
// nothing must show, not even that they are here.
func (a *ask) known(ctx context.Context) ([]digest.Digest, error) {
	var out []digest.Digest
	for _, seed := range a.query.Seeds {
		if !a.Proofs.Has(ctx, a.repo, seed) {
			continue
		}
		layers, err := a.layersOf(ctx, seed)
		if errors.Is(err, chunkstore.ErrUnreachable) || ctx.Err() != nil {
			return nil, err
		}
		if err != nil || len(layers) == 0 {
			continue
		}
		unproven := slices.ContainsFunc(layers, func(l digest.Digest) bool { return !a.Proofs.Has(ctx, a.repo, l) })
		if !unproven && a.Images.Shown(ctx, a.repo, seed) == nil {
			out = append(out, seed)
		}
	}
	return out, nil
}

// whole returns those of the images that are stored with all their layers: what was evicted is no seed.
func (c *Central) whole(ctx context.Context, images []digest.Digest) ([]digest.Digest, error) {
	var out []digest.Digest
	for _, m := range images {
		err := c.isWhole(ctx, m)
		switch {
		case err == nil:
			out = append(out, m)
		case !errors.Is(err, chunkstore.ErrNotFound):
			return nil, err
		}
	}
	return out, nil
}

// wholeFor is for how long it is believed that all of an image is stored.
const wholeFor = time.Minute

func (c *Central) isWhole(ctx context.Context, manifest digest.Digest) error {
	if at, ok := c.seen.Get(manifest); ok && c.Now().Sub(at) < wholeFor {
		return nil
	}
	layers, err := c.layersOf(ctx, manifest)
	if err != nil {
		return err
	}
	for _, l := range layers {
		if _, err := c.Chunks.Stat(ctx, l); err != nil {
			return err
		}
	}
	c.seen.Add(manifest, c.Now())
	return nil
}

// layersOf lists the layers of a stored image.
func (c *Central) layersOf(ctx context.Context, manifest digest.Digest) ([]digest.Digest, error) {
	b, err := c.Chunks.Get(ctx, manifest, image.MaxDocument)
	if err != nil {
		return nil, err
	}
	m, err := image.ParseManifest(b)
	if err != nil {
		return nil, err
	}
	var out []digest.Digest
	for _, l := range m.Layers {
		out = append(out, l.Digest)
	}
	return out, nil
}

// maxCompared is how many seeds are compared; clients give the best first.
const maxCompared = 4

// best returns the seed that has most of a layer's bytes: files that are the same count whole, those at the same path half.
// It is empty where there is none. It looks at what is known of layers, and reads none: that is the work of who makes the
// delta, in the line.
func (c *Central) best(ctx context.Context, seeds []digest.Digest, layer digest.Digest) (digest.Digest, error) {
	switch len(seeds) {
	case 0:
		return "", nil
	case 1:
		return seeds[0], nil
	}
	seeds = seeds[:min(len(seeds), maxCompared)]
	key := layer.String()
	for _, s := range seeds {
		key += " " + s.String()
	}
	if best, ok := c.chosen.Get(key); ok {
		return best, nil
	}
	unlock, err := c.load(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	target, err := c.storedIndex(ctx, layer, tree.NewBudget(tree.Limits{}))
	if target == nil || err != nil {
		return seeds[0], ctx.Err() // which clients give first
	}
	best := seeds[0]
	most := int64(-1)
	for _, seed := range seeds {
		n, err := c.weigh(ctx, seed, target)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			continue // the others may be there
		}
		if n > most {
			best, most = seed, n
		}
	}
	c.chosen.Add(key, best)
	return best, nil
}

// weigh adds up what a seed has of a layer.
func (c *Central) weigh(ctx context.Context, seed digest.Digest, target *tree.Index) (int64, error) {
	paths, contents := map[string]bool{}, map[tree.Digest]bool{}
	for i := range target.Entries {
		if e := &target.Entries[i]; e.Kind == tree.Regular {
			paths[e.Path], contents[e.Digest] = false, false
		}
	}
	layers, err := c.layersOf(ctx, seed)
	if err != nil {
		return 0, err
	}
	for _, l := range layers {
		x, err := c.storedIndex(ctx, l, tree.NewBudget(tree.Limits{}))
		if err != nil {
			return 0, err
		}
		if x == nil {
			continue
		}
		for i := range x.Entries {
			e := &x.Entries[i]
			if e.Kind != tree.Regular {
				continue
			}
			if _, ok := paths[e.Path]; ok {
				paths[e.Path] = true
			}
			if _, ok := contents[e.Digest]; ok {
				contents[e.Digest] = true
			}
		}
	}
	var n int64
	for i := range target.Entries {
		switch e := &target.Entries[i]; {
		case e.Kind != tree.Regular:
		case contents[e.Digest]:
			n += e.Size
		case paths[e.Path]:
			n += e.Size / 2
		}
	}
	return n, nil
}

// image lists the files of a stored image; nil where it is not stored whole.
func (c *Central) image(ctx context.Context, manifest digest.Digest) (*seedImage, error) {
	unlock, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if known, ok := c.images.Get(manifest); ok {
		return known, nil
	}
	layers, err := c.layersOf(ctx, manifest)
	if err != nil {
		if errors.Is(err, chunkstore.ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	budget := tree.NewBudget(tree.Limits{})
	indexes := make([]*tree.Index, len(layers))
	for i, l := range layers {
		if indexes[i], err = c.indexWithin(ctx, l, budget); err != nil {
			return nil, err
		}
	}
	merged, err := budget.Flatten(ctx, indexes)
	if err != nil {
		return nil, err
	}
	out := &seedImage{manifest: manifest, layers: layers, files: filesOf(merged, indexes)}
	c.images.Add(manifest, out)
	return out, nil
}

// filesOf lists the regular files of a tree, each content of a hardlink group once, with a layer that holds them: the
// highest with the file at that path, else one with the same content.
func filesOf(merged *tree.Tree, indexes []*tree.Index) []delta.File {
	var out []delta.File
	for i := range merged.Entries {
		e := &merged.Entries[i]
		if e.Kind == tree.Regular && e.Size > 0 && (e.Link == "" || e.Link == e.Path) {
			out = append(out, delta.File{Path: e.Path, Size: e.Size, Digest: e.Digest, Layer: -1})
		}
	}
	byContent := map[tree.Digest]int{}
	for n := len(indexes) - 1; n >= 0; n-- {
		for i := range indexes[n].Entries {
			e := &indexes[n].Entries[i]
			if e.Kind != tree.Regular || e.Size == 0 {
				continue
			}
			if _, ok := byContent[e.Digest]; !ok {
				byContent[e.Digest] = n
			}
			at, ok := slices.BinarySearchFunc(out, e.Path,
				func(f delta.File, p string) int { return tree.ComparePaths(f.Path, p) })
			if ok && out[at].Layer < 0 && out[at].Digest == e.Digest {
				out[at].Layer = n
			}
		}
	}
	for i := range out {
		if out[i].Layer < 0 {
			if n, ok := byContent[out[i].Digest]; ok {
				out[i].Layer = n
			}
		}
	}
	out = slices.DeleteFunc(out, func(f delta.File) bool { return f.Layer < 0 })
	slices.SortFunc(out, func(a, b delta.File) int {
		return cmp.Or(tree.ComparePaths(a.Path, b.Path), strings.Compare(a.Path, b.Path))
	})
	return out
}

// index returns what a layer holds.
func (c *Central) index(ctx context.Context, layer digest.Digest) (*tree.Index, error) {
	return c.indexWithin(ctx, layer, tree.NewBudget(tree.Limits{}))
}

// indexWithin reads the index of a layer; one that has none is read once, as those are that were not made here.
func (c *Central) indexWithin(ctx context.Context, layer digest.Digest, b *tree.Budget) (*tree.Index, error) {
	if x, err := c.storedIndex(ctx, layer, b); x != nil || err != nil {
		return x, err
	}
	blob, err := c.Content.Open(ctx, layer)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", layer, err)
	}
	defer blob.Close()
	read, err := scan.Layer(ctx, blob, scan.Options{Budget: b})
	if err != nil {
		return nil, fmt.Errorf("reading layer %s: %w", layer, err)
	}
	if err := c.keepIndex(ctx, layer, read.Index); err != nil {
		c.Logger.WarnContext(ctx, "layer index could not be stored", "layer", layer.String(), "error", err)
	}
	return read.Index, nil
}

// storedIndex returns the index of a layer that was stored; nil where there is none that can be used.
func (c *Central) storedIndex(ctx context.Context, layer digest.Digest, b *tree.Budget) (*tree.Index, error) {
	rec, err := c.Records.Indexes.Get(ctx, layer)
	if rec == nil || err != nil {
		return nil, err
	}
	x, err := c.readIndex(ctx, rec.Digest, b)
	if err == nil || errors.Is(err, tree.ErrLimit) || ctx.Err() != nil {
		return x, err
	}
	c.Logger.WarnContext(ctx, "layer index is lost or damaged and made again", "layer", layer.String(), "error", err)
	return nil, nil
}

// load waits until no other seed is looked at: that takes time and memory.
func (c *Central) load(ctx context.Context) (unlock func(), err error) {
	select {
	case c.loading <- struct{}{}:
		return func() { <-c.loading }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *Central) readIndex(ctx context.Context, d digest.Digest, b *tree.Budget) (*tree.Index, error) {
	rc, err := c.Content.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	x, err := b.ReadIndex(rc)
	if err == nil {
		_, err = io.Copy(io.Discard, rc) // the end is where damage shows
	}
	return x, err
}

// keepIndex stores the index of a layer, as the engine does.
func (c *Central) keepIndex(ctx context.Context, layer digest.Digest, x *tree.Index) error {
	w, err := c.Chunks.Create(ctx)
	if err != nil {
		return err
	}
	n, err := x.WriteTo(w)
	if err != nil {
		return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
	}
	d, err := w.Commit(ctx, chunkstore.Expected{Size: n})
	if err != nil {
		return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
	}
	return c.Records.Indexes.Put(ctx, layer, &rechunk.IndexRecord{Digest: d.Digest, Size: d.Size})
}
