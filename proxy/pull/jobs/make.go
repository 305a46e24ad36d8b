package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// Request asks for what a tag or a digest is to show instead of its original.
type Request struct {
	Repository name.Repository
	Reference  name.Reference
	Rule       config.Rule
	// Digest and MediaType are those of the original, an image or an index.
	Digest    digest.Digest
	MediaType string
	// Whole says that an index is of no use while some of its platforms fail for a passing reason.
	Whole bool
}

// Made is what was made of a manifest or an index.
type Made struct {
	Digest    digest.Digest
	MediaType string
}

// Make has an image rechunked, or the configured platforms of an index, and waits for it. Of an index it may return a
// result and the error that kept some of the platforms from being rechunked. Images that are not to be rechunked are
// rechunk.ErrPassThrough.
func (q *Queue) Make(ctx context.Context, r Request) (*Made, error) {
	if image.IsIndex(r.MediaType) {
		return q.makeIndex(ctx, r)
	}
	doc, err := q.makeImage(ctx, r, "", r.Digest)
	if err != nil {
		return nil, err
	}
	return &Made{doc.Digest, doc.MediaType}, nil
}

// makeImage has one image rechunked and notes what it is, so that it can be asked for by digest.
func (q *Queue) makeImage(ctx context.Context, r Request, platform string, d digest.Digest) (*image.Document, error) {
	src := source{repo: r.Repository, ref: r.Reference, platform: platform, digest: d, rule: r.Rule}
	// Who joins a job, or finds what it made, has to have what it was made of.
	m, err := q.Manifests.Get(ctx, r.Repository, d)
	if err == nil {
		err = q.Blobs.Prove(ctx, r.Repository, m, r.Rule.Rechunk == config.RechunkAlways)
	}
	if err != nil {
		return nil, err
	}
	result, err := q.do(ctx, src)
	if err != nil {
		return nil, err
	}
	b, err := q.Manifests.Bytes(ctx, result.Digest)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of image %s: %w", result.Digest, err)
	}
	doc := &image.Document{MediaType: result.MediaType, Digest: result.Digest, Bytes: b}
	if err := q.publish(ctx, r.Repository, *doc, d, func() error {
		return q.Manifests.Made(ctx, r.Repository, *doc, d)
	}); err != nil {
		return nil, err
	}
	if !result.Reused && q.Published != nil {
		q.Published(r.Repository, result.Digest)
	}
	return doc, nil
}

// publish notes what is to be known of what was made of a source, and has it signed meanwhile: each waits for the disk. Tags
// lead to it once both are done.
func (q *Queue) publish(ctx context.Context, repo name.Repository, doc image.Document, source digest.Digest,
	note func() error) error {
	if q.Signer == nil {
		return note()
	}
	var signing errgroup.Group
	signing.Go(func() error {
		return q.Work.Catch(ctx, "sign", func() error { return q.Signer.Sign(ctx, repo, doc, source) })
	})
	err := note()
	return errors.Join(err, signing.Wait())
}

// makeIndex rechunks the configured platforms of an index. When some of them can't be, the others are served rechunked
// all the same, unless they are out of reach: then a version before is better, if there is one.
func (q *Queue) makeIndex(ctx context.Context, r Request) (*Made, error) {
	children, err := q.children(ctx, r)
	if err != nil {
		return nil, err
	}
	replaced, passed, err := q.makeChildren(ctx, r, children)
	switch {
	case ctx.Err() != nil, err != nil && r.Whole && Passing(err):
		return nil, err
	case len(replaced) == 0 && err == nil && passed != nil:
		return nil, fmt.Errorf("none of its images is to be rechunked: %w", passed)
	case len(replaced) == 0 && err == nil:
		return nil, fmt.Errorf("%w: none of its images is to be rechunked", rechunk.ErrPassThrough)
	case len(replaced) == 0:
		return nil, err
	}
	made, rerr := q.replace(ctx, r, replaced)
	if rerr != nil {
		return nil, errors.Join(rerr, err)
	}
	return made, err
}

// index reads the index that was asked for.
func (q *Queue) index(ctx context.Context, r Request) (*image.Index, error) {
	m, err := q.Manifests.Get(ctx, r.Repository, r.Digest)
	if err != nil {
		return nil, err
	}
	return image.ParseIndex(m.Bytes)
}

// children lists the images of an index that are to be rechunked. The index itself is not held while they are.
func (q *Queue) children(ctx context.Context, r Request) ([]image.Child, error) {
	idx, err := q.index(ctx, r)
	if err != nil {
		return nil, err
	}
	return idx.Images(r.Rule.Platforms), nil
}

// replace keeps an index in which images are replaced by what was made of them.
func (q *Queue) replace(ctx context.Context, r Request, replaced map[digest.Digest]image.Document) (*Made, error) {
	idx, err := q.index(ctx, r)
	if err != nil {
		return nil, err
	}
	doc, err := idx.Replace(replaced)
	if err != nil {
		return nil, err
	}
	rec := catalog.Manifest{MediaType: doc.MediaType, Source: r.Digest, Served: catalog.Rechunked}
	if err := q.publish(ctx, r.Repository, doc, r.Digest, func() error {
		return q.Manifests.Store(ctx, r.Repository, doc.Digest, doc.Bytes, rec)
	}); err != nil {
		return nil, err
	}
	return &Made{doc.Digest, doc.MediaType}, nil
}

// makeChildren rechunks the images of an index: those of one platform, which share a lineage, in their order, different
// platforms at the same time. It returns what was made, by source digest, why others are passed through, and why the rest
// failed.
func (q *Queue) makeChildren(ctx context.Context, r Request, children []image.Child) (
	replaced map[digest.Digest]image.Document, passed, failed error) {
	platforms := map[string][]image.Child{}
	for _, c := range children {
		platforms[c.Platform] = append(platforms[c.Platform], c)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs = map[digest.Digest]error{}
	)
	replaced = map[digest.Digest]image.Document{}
	for _, same := range platforms {
		wg.Go(func() {
			for _, c := range same {
				doc, err := q.makeChild(ctx, r, c)
				mu.Lock()
				if err == nil {
					replaced[c.Digest] = *doc
				} else {
					errs[c.Digest] = fmt.Errorf("platform %s: %w", c.Platform, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var passing, failing []error
	for _, c := range children { // in an order that does not change from try to try
		if err := errs[c.Digest]; errors.Is(err, rechunk.ErrPassThrough) {
			passing = append(passing, err)
		} else {
			failing = append(failing, err)
		}
	}
	return replaced, errors.Join(passing...), errors.Join(failing...)
}

func (q *Queue) makeChild(ctx context.Context, r Request, c image.Child) (doc *image.Document, err error) {
	err = q.Work.Catch(ctx, "index", func() error {
		doc, err = q.makeImage(ctx, r, c.Platform, c.Digest)
		return err
	})
	return doc, err
}
