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

// contents gives file contents from the spool, and small ones from the layers' indexes. Layers that were known by their
// index have not been read; when one of their contents is wanted after all, the layer that holds it is read into the spool
// then. It is safe for concurrent use: who wants something waits for a layer that another reads only if that layer has it.
type contents struct {
	run   *run
	small map[tree.Digest][]byte

	mu    sync.Mutex // guards what follows; never held while a layer is read
	cold  []*coldLayer
	holds map[tree.Digest][]int // content → positions in cold; made when first needed
}

// coldLayer is a layer whose contents are not in the spool.
type coldLayer struct {
	digest digest.Digest
	index  *tree.Index
	open   func(ctx context.Context) (io.ReadCloser, error)
	// stored layers are in the store; others must be fetched again.
	stored bool
	// reading is closed when the one who reads the layer is through; nil while nobody does.
	reading chan struct{}
	// done layers have been read, failed ones as far as it went. A damaged one is stored and not what its digest says.
	done, damaged bool
	failed        error
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

func newContents(r *run) *contents {
	c := &contents{run: r, small: map[tree.Digest][]byte{}}
	for i, l := range r.src.Manifest.Layers {
		if r.scanned[l.Digest] {
			continue // the spool has all of it
		}
		c.addSmall(r.indexes[i])
		c.addCold(coldLayer{digest: l.Digest, index: r.indexes[i], open: func(ctx context.Context) (io.ReadCloser, error) {
			return r.req.Source.Blob(ctx, l)
		}})
	}
	return c
}

// addSmall adds the contents that an index carries, before anybody reads any.
func (c *contents) addSmall(x *tree.Index) {
	for _, in := range x.Inline {
		c.small[in.Digest] = in.Content
	}
}

// addCold adds a layer that can be read when needed, unless it is there already.
func (c *contents) addCold(l coldLayer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.cold, func(o *coldLayer) bool { return o.digest == l.digest }) {
		c.cold = append(c.cold, &l)
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

// within gives the contents to who reads them while ctx lasts.
func (c *contents) within(ctx context.Context) tree.Contents {
	return opener(func(d tree.Digest) (io.ReadCloser, error) { return c.open(ctx, d) })
}

// opener is a function as tree.Contents.
type opener func(tree.Digest) (io.ReadCloser, error)

// Open implements tree.Contents.
func (o opener) Open(d tree.Digest) (io.ReadCloser, error) { return o(d) }

func (c *contents) open(ctx context.Context, d tree.Digest) (io.ReadCloser, error) {
	if b, ok := c.small[d]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	if !c.run.spool.Has(d) {
		if err := c.need(ctx, []tree.Digest{d}); err != nil {
			return nil, err
		}
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
	missing := map[tree.Digest]bool{}
	for _, d := range want {
		missing[d] = true
	}
	for {
		for d := range missing {
			if c.has(d) {
				delete(missing, d)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		l, wait, err := c.claim(missing)
		switch {
		case err != nil:
			return err
		case wait == nil:
			if err := c.load(ctx, l); err != nil {
				return err
			}
			continue
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// claim picks the layer to read for missing contents and marks it as being read; or, if another reads one that has any of
// them, says what to wait for.
func (c *contents) claim(missing map[tree.Digest]bool) (l *coldLayer, wait <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index()
	for d := range missing {
		for _, i := range c.holds[d] {
			if l := c.cold[i]; l.reading != nil {
				return nil, l.reading, nil
			}
		}
	}
	best := c.choose(missing)
	if best < 0 {
		return nil, nil, c.nowhere(missing)
	}
	l = c.cold[best]
	l.reading = make(chan struct{})
	return l, nil, nil
}

// nowhere is the error about contents that no layer has that is left to read; a layer that could not be read may be why.
func (c *contents) nowhere(missing map[tree.Digest]bool) error {
	err := fmt.Errorf("%w: %d contents are in no layer at hand", tree.ErrNoContent, len(missing))
	for _, l := range c.cold {
		if l.failed != nil {
			return fmt.Errorf("%w: %w", err, l.failed)
		}
	}
	return err
}

// index notes which layers hold which contents.
func (c *contents) index() {
	if c.holds != nil {
		return
	}
	c.holds = map[tree.Digest][]int{}
	for i, l := range c.cold {
		for j := range l.index.Entries {
			if e := &l.index.Entries[j]; e.Kind == tree.Regular {
				c.holds[e.Digest] = append(c.holds[e.Digest], i)
			}
		}
	}
}

// choose returns the layer that gives the most missing contents for what reading it costs; -1 when none has any.
func (c *contents) choose(missing map[tree.Digest]bool) int {
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

// load reads a layer that claim has marked into the spool. A stored one that is lost or damaged is done with: others may
// have the same contents. One whose reader gave up is left to others.
func (c *contents) load(ctx context.Context, l *coldLayer) (err error) {
	done := false
	defer func() { // also after a panic
		c.mu.Lock()
		defer c.mu.Unlock()
		close(l.reading)
		l.reading, l.done = nil, done
		if done {
			l.failed = err
		}
	}()
	err = c.read(ctx, l)
	done = ctx.Err() == nil
	if l.stored && isDamage(err) {
		c.mu.Lock()
		l.damaged = true
		c.mu.Unlock()
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
	if _, err := c.run.scan(ctx, rc, c.run.spool, tree.NewBudget(c.run.cfg.Limits), func(int) {}); err != nil {
		return fmt.Errorf("reading layer %s: %w", l.digest, err)
	}
	return nil
}

// isDamage tells what is wrong with a stored layer for good from a storage that fails, or has no room.
func isDamage(err error) bool {
	return !errors.Is(err, scan.ErrSpoolFull) &&
		(errors.Is(err, ErrNotFound) || errors.Is(err, tree.ErrInvalid) || errors.Is(err, tree.ErrLimit))
}

// readStored opens a served layer for reading into the spool.
func (r *run) readStored(d digest.Digest) func(ctx context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) { return r.cfg.Store.Open(ctx, d) }
}
