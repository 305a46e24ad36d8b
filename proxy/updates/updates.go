// Package updates tells what an update from one stored image to another costs a client, and what is new in it. Nothing is
// fetched for an answer.
package updates

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxRemembered is of how many updates what is new is remembered: it does not change, and images are taken apart for it.
const maxRemembered = 16

// Engine takes images apart.
type Engine interface {
	Inspect(ctx context.Context, req rechunk.Request) (*rechunk.Inspection, error)
}

// Content is the store as who verifies what it reads sees it.
type Content interface {
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}

// Updates answers one question at a time. It is safe for concurrent use.
type Updates struct {
	engine  Engine
	records *catalog.Records
	chunks  *chunkstore.Store
	content Content
	looking chan struct{} // held by who looks
	news    *lru.Cache[pair, *compare.News]
}

// pair are the manifests of two images.
type pair struct{ from, to digest.Digest }

// New returns updates between the images that a store has.
func New(engine Engine, records *catalog.Records, chunks *chunkstore.Store, content Content) *Updates {
	news, _ := lru.New[pair, *compare.News](maxRemembered) // fails for sizes below 1 only
	return &Updates{engine, records, chunks, content, make(chan struct{}, 1), news}
}

// Update tells what an update from one image to another costs a client, by layers and by deltas, and with contents what is
// new in it. Both images are "host/path:tag", "host/path@digest" or a manifest's digest, as the store has them; of an index,
// platform ("linux/amd64") says which image is meant. Of deltas that were made, the bytes are theirs; others are taken to be
// as good as those, and the answer says that it is an estimate. An error wraps operate.ErrNotFound when an image is not
// here.
func (u *Updates) Update(ctx context.Context, from, to, platform string, contents bool) (*operate.Update, error) {
	select {
	case u.looking <- struct{}{}:
		defer func() { <-u.looking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	old, err := u.known(ctx, from, platform)
	if err != nil {
		return nil, err
	}
	next, err := u.known(ctx, to, platform)
	if err != nil {
		return nil, err
	}
	costs, err := u.made(ctx, old.digest, next.digest)
	if err != nil {
		return nil, err
	}
	var news *compare.News
	if contents {
		news, _ = u.news.Get(pair{old.digest, next.digest})
	}
	if costs == nil || contents && news == nil {
		if costs, news, err = u.lookInto(ctx, old, next, costs, contents); err != nil {
			return nil, err
		}
	}
	return &operate.Update{Deltas: *costs, Contents: news}, nil
}

// lookInto takes two images apart for what is not known yet: what deltas cost, and what is new.
func (u *Updates) lookInto(ctx context.Context, old, next knownImage, costs *compare.Deltas, contents bool) (
	*compare.Deltas, *compare.News, error) {
	x, err := u.apart(ctx, old)
	if err != nil {
		return nil, nil, err
	}
	defer x.Close()
	y, err := u.apart(ctx, next)
	if err != nil {
		return nil, nil, err
	}
	defer y.Close()
	if costs == nil {
		if costs, err = u.estimate(ctx, x, y); err != nil {
			return nil, nil, err
		}
	}
	if !contents {
		return costs, nil, nil
	}
	news, err := compare.WhatIsNew(ctx, x, y)
	if err == nil {
		u.news.Add(pair{old.digest, next.digest}, news)
	}
	return costs, news, err
}

// knownImage is an image that the store has.
type knownImage struct {
	digest digest.Digest
	raw    []byte
}

// known finds an image in the store.
func (u *Updates) known(ctx context.Context, ref, platform string) (knownImage, error) {
	d := digest.Digest(ref)
	if _, after, ok := strings.Cut(ref, "@"); ok {
		d = digest.Digest(after)
	} else if key, ok := catalog.ParseTagKey(ref); ok && strings.Contains(key.Repository, "/") {
		rec, err := u.records.Tags.Get(ctx, key)
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
		raw, err := u.chunks.Get(ctx, d, image.MaxDocument)
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
func (u *Updates) made(ctx context.Context, from, to digest.Digest) (*compare.Deltas, error) {
	var best *compare.Deltas
	err := u.records.Artifacts.Each(ctx, catalog.ArtifactsOf(to), func(k catalog.ArtifactKey, rec *catalog.Artifact) error {
		if k.Source == from && (best == nil || rec.Costs.DeltaBytes < best.DeltaBytes) {
			costs := rec.Costs
			best = &costs
		}
		return ctx.Err()
	})
	return best, err
}

// apart takes a stored image apart.
func (u *Updates) apart(ctx context.Context, k knownImage) (*rechunk.Inspection, error) {
	in, err := u.engine.Inspect(ctx, rechunk.Request{Digest: k.digest, Manifest: k.raw, Source: storeSource{u.content},
		Progress: func(rechunk.Progress) {}})
	if err != nil {
		return nil, fmt.Errorf("taking %s apart: %w", k.digest, err)
	}
	return in, nil
}

// storeSource has the blobs of the store alone: a question of what something costs fetches nothing.
type storeSource struct{ Content }

// Blob implements rechunk.Source.
func (s storeSource) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := s.Open(ctx, d.Digest)
	if errors.Is(err, rechunk.ErrNotFound) {
		err = fmt.Errorf("%w: blob %s is not here", operate.ErrNotFound, d.Digest)
	}
	return rc, err
}

// estimate adds up what is known of the deltas between two images.
func (u *Updates) estimate(ctx context.Context, x, y *rechunk.Inspection) (*compare.Deltas, error) {
	ratio, err := u.ratio(ctx)
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
		best, refused, err := u.delta(ctx, x.Image.Digest, l.Digest)
		if err != nil {
			return nil, err
		}
		switch {
		case best != nil:
			of.DeltaBytes, of.Exact = best.Size, true
			seconds += best.Cost
		case refused:
			of.DeltaBytes, of.Whole, of.Exact = l.Size, true, true
		default:
			estimated = true
		}
		tally.AddEstimated(of, y.Layers[i])
	}
	out := tally.Sum()
	out.Estimated, out.EncoderSeconds = estimated, seconds
	return out, nil
}

// delta returns the smallest delta that makes a layer for who has an image, nil for none, and whether it was found out that
// none pays, so that the layer is sent whole.
func (u *Updates) delta(ctx context.Context, seed, layer digest.Digest) (best *catalog.Delta, refused bool, err error) {
	err = u.records.Deltas.Each(ctx, catalog.DeltasOf(seed, layer), func(_ catalog.DeltaKey, d *catalog.Delta) error {
		refused = refused || d.Refused == catalog.DeltaNoGain || d.Refused == catalog.DeltaTooMuch
		if d.Digest != "" && (best == nil || d.Size < best.Size) {
			best = d
		}
		return ctx.Err()
	})
	return best, refused, err
}

// ratio is what deltas take of their layers, on the whole; 1 when none was made.
func (u *Updates) ratio(ctx context.Context) (float64, error) {
	var size, of int64
	err := u.records.Deltas.Each(ctx, catalog.Prefix[catalog.DeltaKey]{}, func(_ catalog.DeltaKey, d *catalog.Delta) error {
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
