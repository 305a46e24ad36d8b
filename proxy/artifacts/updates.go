package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/image"
)

// Update tells what an update from one image to another costs a client, by layers and by deltas. Both are "host/path:tag",
// "host/path@digest" or a manifest's digest, as the store has them; of an index, platform ("linux/amd64") says which image
// is meant. Of deltas that were made, the bytes are theirs; others are taken to be as good as those, and the answer says
// that it is an estimate. An error wraps operate.ErrNotFound when an image is not here.
func (a *Artifacts) Update(ctx context.Context, from, to, platform string) (*compare.Deltas, error) {
	select {
	case a.looking <- struct{}{}:
		defer func() { <-a.looking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	old, err := a.known(ctx, from, platform)
	if err != nil {
		return nil, err
	}
	next, err := a.known(ctx, to, platform)
	if err != nil {
		return nil, err
	}
	costs, err := a.made(ctx, old.digest, next.digest)
	if costs != nil || err != nil {
		return costs, err
	}
	x, err := a.apart(ctx, old)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	y, err := a.apart(ctx, next)
	if err != nil {
		return nil, err
	}
	defer y.Close()
	return a.estimate(ctx, x, y)
}

// knownImage is an image that the store has.
type knownImage struct {
	digest digest.Digest
	raw    []byte
}

// known finds an image in the store.
func (a *Artifacts) known(ctx context.Context, ref, platform string) (knownImage, error) {
	d := digest.Digest(ref)
	if _, after, ok := strings.Cut(ref, "@"); ok {
		d = digest.Digest(after)
	} else if key, ok := catalog.ParseTagKey(ref); ok && strings.Contains(key.Repository, "/") {
		rec, err := a.Records.Tags.Get(ctx, key)
		if err != nil {
			return knownImage{}, err
		}
		if rec != nil {
			d = rec.Digest
		}
	}
	if d.Validate() != nil {
		return knownImage{}, fmt.Errorf("%w: %q is no tag that was pulled through this proxy, and no digest",
			operate.ErrNotFound,
			ref)
	}
	for range image.MaxDepth {
		raw, err := a.Chunks.Get(ctx, d, image.MaxDocument)
		if err != nil {
			return knownImage{}, fmt.Errorf("%w: there is no image %s here", operate.ErrNotFound, d)
		}
		if _, shape := oci.Shape(raw); !image.IsIndex(shape) {
			return knownImage{d, raw}, nil
		}
		idx, err := image.ParseIndex(raw)
		if err != nil {
			return knownImage{}, err
		}
		children := idx.Images([]string{platform})
		if len(children) == 0 {
			return knownImage{}, fmt.Errorf("%w: %s has no image for %s", operate.ErrNotFound, ref, platform)
		}
		d = children[0].Digest
	}
	return knownImage{}, fmt.Errorf("%w: %s nests indexes too deep", operate.ErrNotFound, ref)
}

// made returns what an artifact between two images costs, the smallest if there are several; nil for none.
func (a *Artifacts) made(ctx context.Context, from, to digest.Digest) (*compare.Deltas, error) {
	var best *compare.Deltas
	err := a.Records.Artifacts.Each(ctx, catalog.ArtifactsOf(to), func(k catalog.ArtifactKey, rec *catalog.Artifact) error {
		if k.Source == from && (best == nil || rec.Costs.DeltaBytes < best.DeltaBytes) {
			costs := rec.Costs
			best = &costs
		}
		return ctx.Err()
	})
	return best, err
}

// apart takes a stored image apart.
func (a *Artifacts) apart(ctx context.Context, k knownImage) (*rechunk.Inspection, error) {
	in, err := a.Engine.Inspect(ctx, rechunk.Request{Digest: k.digest, Manifest: k.raw, Source: storeSource{a},
		Progress: func(rechunk.Progress) {}})
	if err != nil {
		return nil, fmt.Errorf("taking %s apart: %w", k.digest, err)
	}
	return in, nil
}

// storeSource has the blobs of the store alone: a question of what something costs fetches nothing.
type storeSource struct{ *Artifacts }

// Blob implements rechunk.Source.
func (s storeSource) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := s.Content.Open(ctx, d.Digest)
	if errors.Is(err, rechunk.ErrNotFound) {
		err = fmt.Errorf("%w: blob %s is not here", operate.ErrNotFound, d.Digest)
	}
	return rc, err
}

// estimate adds up what is known of the deltas between two images.
func (a *Artifacts) estimate(ctx context.Context, x, y *rechunk.Inspection) (*compare.Deltas, error) {
	ratio, err := a.ratio(ctx)
	if err != nil {
		return nil, err
	}
	have := map[digest.Digest]bool{}
	for _, d := range x.Image.Config.RootFS.DiffIDs {
		have[d] = true
	}
	tally := compare.NewDeltaTally(x, y, "strata")
	estimated, seconds := false, 0.0
	for i, l := range y.Image.Manifest.Layers {
		diff := y.Image.Config.RootFS.DiffIDs[i]
		if have[diff] {
			continue
		}
		have[diff] = true
		of := compare.DeltaLayer{Digest: l.Digest, Size: l.Size, DeltaBytes: int64(float64(l.Size) * ratio)}
		best, err := a.delta(ctx, x.Image.Digest, l.Digest)
		if err != nil {
			return nil, err
		}
		if best == nil {
			estimated = true
		} else {
			of.DeltaBytes, of.Exact = best.Size, true
			seconds += best.Cost
		}
		tally.AddEstimated(of, y.Layers[i])
	}
	out := tally.Sum()
	out.Estimated, out.EncoderSeconds = estimated, seconds
	return out, nil
}

// delta returns the smallest delta that makes a layer for who has an image; nil for none.
func (a *Artifacts) delta(ctx context.Context, seed, layer digest.Digest) (*catalog.Delta, error) {
	var best *catalog.Delta
	err := a.Records.Deltas.Each(ctx, catalog.DeltasOf(seed, layer), func(_ catalog.DeltaKey, d *catalog.Delta) error {
		if d.Digest != "" && (best == nil || d.Size < best.Size) {
			best = d
		}
		return ctx.Err()
	})
	return best, err
}

// ratio is what deltas take of their layers, on the whole; 1 when none was made.
func (a *Artifacts) ratio(ctx context.Context) (float64, error) {
	var size, of int64
	err := a.Records.Deltas.Each(ctx, catalog.Prefix[catalog.DeltaKey]{}, func(_ catalog.DeltaKey, d *catalog.Delta) error {
		if d.Digest != "" {
			size, of = size+d.Size, of+d.BlobSize
		}
		return ctx.Err()
	})
	if of == 0 {
		return 1, err
	}
	return float64(size) / float64(of), err
}
