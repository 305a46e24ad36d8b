package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	// warmTick is how often progress is told.
	warmTick = 250 * time.Millisecond
	// warmDownloads is how many blobs of an image are warmed at once: as many as clients commonly fetch.
	warmDownloads = 3
)

// Refresher brings tags to their newest versions.
type Refresher interface {
	// Refresh asks the upstream now and waits until a new version is made.
	Refresh(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error)
}

// Originals have manifests by digest, and fetch those that are not stored.
type Originals interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
}

// Guard says which images may be shown, by their signatures.
type Guard interface {
	// Admit returns nil for an image that may be shown under a tag, or, without one, by its digest.
	Admit(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest) error
}

// Blobs get blobs into the store.
type Blobs interface {
	// Keep sees that a blob is stored; size is -1 when unknown.
	Keep(ctx context.Context, repo name.Repository, d digest.Digest, size int64) error
}

// Chunks are what casync and desync fetch of images.
type Chunks interface {
	// Ahead makes those of an image that are to be made before clients ask, and waits for them.
	Ahead(ctx context.Context, repo name.Repository, manifest digest.Digest) error
}

// Warmer pulls images through before clients ask for them. It is safe for concurrent use.
type Warmer struct {
	Tags      Refresher
	Manifests Originals
	Guard     Guard
	Blobs     Blobs
	Queue     Queue
	Names     name.Parser
	// Rule returns the settings of a repository, "host/path".
	Rule func(repository string) config.Rule
	// Chunks may be nil: then there are none.
	Chunks Chunks
	// AsItIs says why what a tag stands for is served as it is; "" where it is not. Nil: nobody knows.
	AsItIs func(ctx context.Context, repo name.Repository, tag name.Reference) string
}

// Warm makes the proxy ready to serve a reference, "host/path:tag" or "host/path@digest": it asks the upstream now,
// whatever refresh says, waits until the new version is made, and sees that all of what a client will ask for is in the
// store. It calls progress, from another goroutine too, until it returns; last for what is served as it is, with the reason.
// Errors do not name the reference.
func (w *Warmer) Warm(ctx context.Context, ref string, progress func(WarmEvent)) error {
	repo, reference, err := w.Names.ParseReference(ref)
	if err != nil {
		return err
	}
	stop := w.tell(ctx, ref, repo, reference, progress)
	m, err := w.manifest(ctx, repo, reference)
	if err == nil {
		err = w.blobs(ctx, repo, m)
	}
	stop()
	if err == nil && w.AsItIs != nil && !reference.IsDigest() {
		if why := w.AsItIs(ctx, repo, reference); why != "" {
			progress(WarmEvent{Reference: ref, State: jobs.Running, AsItIs: why})
		}
	}
	path, _, _ := strings.Cut(strings.TrimSuffix(ref, ":"+string(reference)), "@")
	if defaulted := w.Names.Defaulted(path, repo); defaulted != "" && upstream.Absent(err) {
		return fmt.Errorf("%w; %s", err, defaulted)
	}
	return err
}

func (w *Warmer) manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	if ref.IsDigest() {
		return w.byDigest(ctx, repo, digest.Digest(ref))
	}
	return w.Tags.Refresh(ctx, repo, ref)
}

// byDigest returns a manifest that clients may have: nothing is kept of an image that they are refused.
func (w *Warmer) byDigest(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	m, err := w.Manifests.Get(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	return m, w.Guard.Admit(ctx, repo, "", m)
}

// blobs downloads what the manifest names and the store lacks; of an index, the configured platforms.
func (w *Warmer) blobs(ctx context.Context, repo name.Repository, m *registry.Manifest) error {
	if !image.IsIndex(m.MediaType) {
		return w.image(ctx, repo, m)
	}
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		return err
	}
	for _, child := range idx.Images(w.Rule(repo.String()).Platforms) {
		cm, err := w.byDigest(ctx, repo, child.Digest)
		if err == nil {
			err = w.image(ctx, repo, cm)
		}
		if err != nil {
			return fmt.Errorf("platform %s: %w", child.Platform, err)
		}
	}
	return nil
}

func (w *Warmer) image(ctx context.Context, repo name.Repository, m *registry.Manifest) error {
	doc, err := oci.Parse(m.MediaType, m.Bytes)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", m.Digest, err)
	}
	parent := ctx
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(warmDownloads)
	for _, d := range doc.References().Blobs {
		g.Go(func() error { return w.Blobs.Keep(ctx, repo, d.Digest, d.Size) })
	}
	if err := g.Wait(); err != nil || w.Chunks == nil {
		return err
	}
	return w.Chunks.Ahead(parent, repo, m.Digest)
}

// tell reports the jobs of a reference until the returned function is called.
func (w *Warmer) tell(ctx context.Context, ref string, repo name.Repository, reference name.Reference,
	progress func(WarmEvent)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(warmTick)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for _, j := range w.Queue.Reports() {
				if j.Repository == repo.String() && j.Reference == string(reference) && j.State == jobs.Running {
					progress(WarmEvent{
						Reference: ref, Platform: j.Platform, State: j.State, Phase: j.Phase, DoneBytes: j.DoneBytes,
						TotalBytes: j.TotalBytes,
					})
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
