package via

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	// maxImages bounds the images whose layers are remembered, and wholeFor is for how long it is that their layers were all
	// there.
	maxImages = 256
	wholeFor  = time.Minute
	// mostSeeds is how many images a central is offered: more than it ever needs, and no more than it takes.
	mostSeeds = 8
	// mostSiblings bounds the repositories that are looked at for images of the same family.
	mostSiblings = 64
)

// images are the images that came from other Stratas. They are safe for concurrent use.
type images struct {
	Options
	parsed *lru.Cache[digest.Digest, []layer]
	whole  *lru.Cache[digest.Digest, time.Time] // when all layers of an image were seen in the store

	mu sync.Mutex // held while a record changes
}

// layer is a layer of an image that is known here.
type layer struct {
	digest digest.Digest
	size   int64
}

func newImages(o Options) *images {
	parsed, _ := lru.New[digest.Digest, []layer](maxImages) // fails for sizes below 1 only
	whole, _ := lru.New[digest.Digest, time.Time](maxImages)
	return &images{Options: o, parsed: parsed, whole: whole}
}

// layersOf returns the layers of an image, nothing of an index or of an artifact that is no image: signatures come with
// every version.
func layersOf(manifest []byte) []layer {
	m, err := image.ReadManifest(manifest)
	if err != nil {
		return nil
	}
	var out []layer
	for _, l := range m.Layers {
		if !strings.Contains(l.MediaType, ".tar") {
			return nil
		}
		out = append(out, layer{l.Digest, l.Size})
	}
	return out
}

// note remembers an image.
func (i *images) note(ctx context.Context, repo name.Repository, d digest.Digest, manifest []byte) {
	layers := layersOf(manifest)
	if len(layers) == 0 {
		return
	}
	i.parsed.Add(d, layers)
	i.mu.Lock()
	defer i.mu.Unlock()
	rec, err := i.Images.Get(ctx, repo.String())
	if err == nil {
		if rec == nil {
			rec = &catalog.EdgeImages{}
		}
		if len(rec.Images) > 0 && rec.Images[0].Manifest == d {
			return
		}
		// What the record points at is not ours to change.
		kept := slices.DeleteFunc(slices.Clone(rec.Images), func(e catalog.EdgeImage) bool { return e.Manifest == d })
		kept = slices.Insert(kept, 0, catalog.EdgeImage{Manifest: d, At: i.Now().UTC()})
		err = i.Images.Put(ctx, repo.String(), &catalog.EdgeImages{Images: kept[:min(len(kept), catalog.MaxEdgeImages)]})
	}
	if err != nil && ctx.Err() == nil {
		i.Logger.LogAttrs(ctx, slog.LevelWarn, "an image cannot be remembered, its layers will be fetched whole",
			slog.String("repository", repo.String()), slog.Any("error", err))
	}
}

// of lists the images of a repository, "host/path", the latest first.
func (i *images) of(ctx context.Context, repository string) []digest.Digest {
	rec, err := i.Images.Get(ctx, repository)
	if rec == nil || err != nil {
		return nil
	}
	var out []digest.Digest
	for _, e := range rec.Images {
		out = append(out, e.Manifest)
	}
	return out
}

// layers returns the layers of an image whose manifest is stored.
func (i *images) layers(ctx context.Context, manifest digest.Digest) []layer {
	if known, ok := i.parsed.Get(manifest); ok {
		return known
	}
	b, err := i.Stored.Get(ctx, manifest, image.MaxDocument)
	if err != nil {
		return nil
	}
	found := layersOf(b)
	i.parsed.Add(manifest, found)
	return found
}

// layer finds a blob among the layers of a repository's images.
func (i *images) layer(ctx context.Context, repo name.Repository, d digest.Digest) (layer, bool) {
	for _, manifest := range i.of(ctx, repo.String()) {
		for _, l := range i.layers(ctx, manifest) {
			if l.digest == d {
				return l, true
			}
		}
	}
	return layer{}, false
}

// stored lists the images of a repository and then of its family that are stored whole, without those that have a layer.
func (i *images) stored(ctx context.Context, repo name.Repository, without digest.Digest) []digest.Digest {
	out := i.wholeOf(ctx, repo.String(), without)
	family, seen := i.Family(repo.String()), 0
	if len(out) >= mostSeeds || family == repo.String() {
		return out[:min(len(out), mostSeeds)]
	}
	_ = i.Images.List(ctx, catalog.PrefixOf(repo.Host()+"/"), func(repository string, _ time.Time) error {
		if seen++; seen > mostSiblings || len(out) >= mostSeeds {
			return context.Canceled // ends the walk
		}
		if repository != repo.String() && i.Family(repository) == family {
			out = append(out, i.wholeOf(ctx, repository, without)...)
		}
		return nil
	})
	return out[:min(len(out), mostSeeds)]
}

func (i *images) wholeOf(ctx context.Context, repository string, without digest.Digest) (out []digest.Digest) {
	for _, manifest := range i.of(ctx, repository) {
		layers := i.layers(ctx, manifest)
		if len(layers) == 0 || slices.ContainsFunc(layers, func(l layer) bool { return l.digest == without }) {
			continue
		}
		if i.isWhole(ctx, manifest, layers) {
			out = append(out, manifest)
		}
	}
	return out
}

// isWhole reports whether all layers of an image are stored.
func (i *images) isWhole(ctx context.Context, manifest digest.Digest, layers []layer) bool {
	if at, ok := i.whole.Get(manifest); ok && i.Now().Sub(at) < wholeFor {
		return true
	}
	for _, l := range layers {
		if n, err := i.Stored.Stat(ctx, l.digest); err != nil || n != l.size {
			return false
		}
	}
	i.whole.Add(manifest, i.Now())
	return true
}
