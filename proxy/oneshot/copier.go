package oneshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// copies bounds the blobs that are copied at once: enough to hide how long a destination takes to store one.
const copies = 4

// copier copies an image from the store to a destination, layers that are ready while others are still being made.
type copier struct {
	from  *workplace
	out   imageref.Destination
	slots chan struct{}

	wg   sync.WaitGroup
	mu   sync.Mutex
	done map[digest.Digest]bool
}

func newCopier(from *workplace, out imageref.Destination) *copier {
	return &copier{from: from, out: out, slots: make(chan struct{}, copies), done: map[digest.Digest]bool{}}
}

// early begins to copy a layer and returns. What fails is copied again by image, which tells why if it fails again.
func (c *copier) early(ctx context.Context, d ocispec.Descriptor) {
	c.wg.Go(func() {
		c.slots <- struct{}{}
		defer func() { <-c.slots }()
		if c.blob(ctx, d) != nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.done[d.Digest] = true
	})
}

// wait waits for all that early began.
func (c *copier) wait() { c.wg.Wait() }

// image copies the rest of a served image, its manifest last. Nothing that early began may be under way.
func (c *copier) image(ctx context.Context, r *rechunk.Result) error {
	raw, err := c.document(ctx, r.Digest)
	if err != nil {
		return err
	}
	m, err := image.ReadManifest(raw)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", r.Digest, err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(copies)
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if !c.done[d.Digest] {
			g.Go(func() error { return c.blob(gctx, d) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.out.PutManifest(ctx, r.MediaType, raw)
}

func (c *copier) blob(ctx context.Context, d ocispec.Descriptor) error {
	if has, err := c.out.Has(ctx, d.Digest); has || err != nil {
		return err
	}
	content, err := c.from.chunks.Open(ctx, d.Digest)
	if err != nil {
		return err
	}
	defer content.Close()
	if linked, err := c.link(ctx, d, content); linked || err != nil {
		return err
	}
	err = c.out.PutBlob(ctx, d, content) // which verifies it
	if errors.Is(err, verify.ErrMismatch) {
		err = fmt.Errorf("%w: %w", chunkstore.ErrCorrupt, err)
		err = errors.Join(err, c.from.store.Quarantine(ctx, d.Digest, err)) // the next run makes it anew
	}
	return err
}

// link has the destination take over a file of a store that nobody else will use. Its bytes were verified when they were
// stored.
func (c *copier) link(ctx context.Context, d ocispec.Descriptor, content *chunkstore.Content) (bool, error) {
	f, ok := content.File()
	to, can := c.out.(imageref.Linker)
	if !c.from.temp || !ok || !can {
		return false, nil
	}
	return to.LinkBlob(ctx, d, f)
}

// document reads a stored manifest.
func (c *copier) document(ctx context.Context, d digest.Digest) ([]byte, error) {
	rc, err := c.from.store.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(io.LimitReader(rc, image.MaxDocument))
}
