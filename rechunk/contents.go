package rechunk

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/tree"
)

// contents gives file contents from the spool. Layers that were known by their index have not been read; when one of their
// contents is wanted after all, the layer that holds it is read into the spool then.
type contents struct {
	ctx   context.Context
	run   *run
	mu    sync.Mutex // held while a layer is read
	cold  []coldLayer
	holds map[tree.Digest][]int // content → positions in cold; made when first needed
}

// coldLayer is a layer whose contents are not in the spool.
type coldLayer struct {
	digest digest.Digest
	index  *tree.Index
	open   func(ctx context.Context) (io.ReadCloser, error)
	loaded bool
}

var _ tree.Contents = (*contents)(nil)

func newContents(ctx context.Context, r *run) *contents {
	c := &contents{ctx: ctx, run: r}
	for i, l := range r.src.Manifest.Layers {
		c.addCold(l.Digest, r.indexes[i], func(ctx context.Context) (io.ReadCloser, error) {
			return r.req.Source.Blob(ctx, l)
		})
	}
	return c
}

// addCold adds a layer that can be read when needed.
func (c *contents) addCold(d digest.Digest, x *tree.Index, open func(ctx context.Context) (io.ReadCloser, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.cold, func(l coldLayer) bool { return l.digest == d }) {
		c.cold = append(c.cold, coldLayer{digest: d, index: x, open: open})
		c.holds = nil
	}
}

// Open implements tree.Contents.
func (c *contents) Open(d tree.Digest) (io.ReadCloser, error) {
	if c.run.spool.Has(d) {
		return c.run.spool.Open(d)
	}
	if err := c.need(c.ctx, []tree.Digest{d}); err != nil {
		return nil, err
	}
	return c.run.spool.Open(d)
}

// need brings contents into the spool, reading as few bytes of layers as a greedy choice finds.
func (c *contents) need(ctx context.Context, want []tree.Digest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := map[tree.Digest]bool{}
	for _, d := range want {
		if !c.run.spool.Has(d) {
			missing[d] = true
		}
	}
	for len(missing) > 0 {
		best := c.choose(missing)
		if best < 0 {
			return fmt.Errorf("%w: %d contents are in no layer at hand", tree.ErrNoContent, len(missing))
		}
		if err := c.load(ctx, &c.cold[best]); err != nil {
			return err
		}
		for d := range missing {
			if c.run.spool.Has(d) {
				delete(missing, d)
			}
		}
	}
	return nil
}

// choose returns the layer that gives the most missing contents for each byte that must be read; -1 when none has any.
func (c *contents) choose(missing map[tree.Digest]bool) int {
	if c.holds == nil {
		c.holds = map[tree.Digest][]int{}
		for i, l := range c.cold {
			for j := range l.index.Entries {
				if e := &l.index.Entries[j]; e.Kind == tree.Regular {
					c.holds[e.Digest] = append(c.holds[e.Digest], i)
				}
			}
		}
	}
	found := make([]int, len(c.cold))
	for d := range missing {
		for _, i := range slices.Compact(slices.Clone(c.holds[d])) {
			found[i]++
		}
	}
	best := -1
	var bestRate float64
	for i, n := range found {
		if n == 0 || c.cold[i].loaded {
			continue
		}
		if rate := float64(n) / float64(c.cold[i].index.TarSize+1); best < 0 || rate > bestRate {
			best, bestRate = i, rate
		}
	}
	return best
}

func (c *contents) load(ctx context.Context, l *coldLayer) error {
	rc, err := l.open(ctx)
	if err != nil {
		return fmt.Errorf("opening layer %s: %w", l.digest, err)
	}
	defer rc.Close()
	if _, err := c.run.scan(ctx, rc, func(int) {}); err != nil {
		return fmt.Errorf("reading layer %s: %w", l.digest, err)
	}
	l.loaded = true
	return nil
}

// readStored opens a served layer for reading into the spool.
func (r *run) readStored(d digest.Digest, size int64) func(ctx context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		rc, err := r.cfg.Store.Open(ctx, d)
		if err != nil {
			return nil, err
		}
		return verifyBlob(rc, ocispec.Descriptor{Digest: d, Size: size}), nil
	}
}
