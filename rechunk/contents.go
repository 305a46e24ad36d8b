package rechunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// contents gives file contents from the spool, and small ones from the layers' indexes. Layers that were known by their index
// have not been read; when one of their contents is wanted after all, the layer that holds it is read into the spool then.
type contents struct {
	ctx   context.Context
	run   *run
	small map[tree.Digest][]byte
	mu    sync.Mutex // held while a layer is read
	cold  []coldLayer
	holds map[tree.Digest][]int // content → positions in cold; made when first needed
}

// coldLayer is a layer whose contents are not in the spool.
type coldLayer struct {
	digest digest.Digest
	index  *tree.Index
	open   func(ctx context.Context) (io.ReadCloser, error)
	// stored layers are in the store; others must be fetched again.
	stored bool
	// done layers have been read, damaged ones as far as it went.
	done, damaged bool
}

// fetchCost is how much dearer a byte is that is fetched again than one that the store has.
const fetchCost = 4

// cost is the price of reading a layer.
func (l *coldLayer) cost() float64 {
	if l.stored {
		return float64(l.index.TarSize + 1)
	}
	return fetchCost * float64(l.index.TarSize+1)
}

var _ tree.Contents = (*contents)(nil)

func newContents(ctx context.Context, r *run) *contents {
	c := &contents{ctx: ctx, run: r, small: map[tree.Digest][]byte{}}
	for i, l := range r.src.Manifest.Layers {
		if r.scanned[l.Digest] {
			continue // the spool has all of it
		}
		for _, in := range r.indexes[i].Inline {
			c.small[in.Digest] = in.Content
		}
		c.addCold(coldLayer{digest: l.Digest, index: r.indexes[i], open: func(ctx context.Context) (io.ReadCloser, error) {
			return r.req.Source.Blob(ctx, l)
		}})
	}
	return c
}

// addCold adds a layer that can be read when needed, unless it is there already.
func (c *contents) addCold(l coldLayer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.cold, func(o coldLayer) bool { return o.digest == l.digest }) {
		c.cold = append(c.cold, l)
		c.holds = nil
	}
}

// damaged lists the stored layers that turned out not to be what their digests say.
func (c *contents) damaged() []digest.Digest {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []digest.Digest
	for _, l := range c.cold {
		if l.damaged {
			out = append(out, l.digest)
		}
	}
	return out
}

// Open implements tree.Contents.
func (c *contents) Open(d tree.Digest) (io.ReadCloser, error) {
	if b, ok := c.small[d]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	if c.run.spool.Has(d) {
		return c.run.spool.Open(d)
	}
	if err := c.need(c.ctx, []tree.Digest{d}); err != nil {
		return nil, err
	}
	return c.run.spool.Open(d)
}

// has reports whether a content can be had without reading a layer.
func (c *contents) has(d tree.Digest) bool {
	_, small := c.small[d]
	return small || c.run.spool.Has(d)
}

// need brings contents into the spool, reading as few bytes of layers as a greedy choice finds.
func (c *contents) need(ctx context.Context, want []tree.Digest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := map[tree.Digest]bool{}
	for _, d := range want {
		if !c.has(d) {
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
			if c.has(d) {
				delete(missing, d)
			}
		}
	}
	return nil
}

// choose returns the layer that gives the most missing contents for what reading it costs; -1 when none has any.
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
		if n == 0 || c.cold[i].done {
			continue
		}
		if rate := float64(n) / c.cold[i].cost(); best < 0 || rate > bestRate {
			best, bestRate = i, rate
		}
	}
	return best
}

// load reads a layer into the spool. A stored one that is lost or damaged is done with: others may have the same contents.
func (c *contents) load(ctx context.Context, l *coldLayer) error {
	l.done = true
	err := c.read(ctx, l)
	if l.stored && isDamage(err) {
		l.damaged = true
		c.run.cfg.Logger.WarnContext(ctx, "stored layer is damaged and not built on", "layer", l.digest, "error", err)
		return nil
	}
	return err
}

func (c *contents) read(ctx context.Context, l *coldLayer) error {
	rc, err := l.open(ctx)
	if err != nil {
		return fmt.Errorf("opening layer %s: %w", l.digest, err)
	}
	defer rc.Close()
	if _, err := c.run.scan(ctx, rc, c.run.spool, func(int) {}); err != nil {
		return fmt.Errorf("reading layer %s: %w", l.digest, err)
	}
	return nil
}

// isDamage tells what is wrong with a stored layer for good from a storage that fails, or has no room.
func isDamage(err error) bool {
	return !errors.Is(err, scan.ErrSpoolFull) && (errors.Is(err, ErrNotFound) || errors.Is(err, tree.ErrInvalid) || errors.Is(err, tree.ErrLimit))
}

// readStored opens a served layer for reading into the spool.
func (r *run) readStored(d digest.Digest) func(ctx context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) { return r.cfg.Store.Open(ctx, d) }
}
