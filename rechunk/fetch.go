package rechunk

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/selinux"
	"github.com/strata-oci/strata/rechunk/tree"
)

// fetch gets the index of every source layer: from the records, or by reading the layer, whose contents then are in the
// spool.
func (r *run) fetch(ctx context.Context) error {
	layers := r.src.Manifest.Layers
	r.indexes = make([]*tree.Index, len(layers))
	r.budget = tree.NewBudget(r.cfg.Limits)
	first := map[digest.Digest]int{} // an image may have a layer twice
	var distinct []int
	for i, l := range layers {
		if _, twice := first[l.Digest]; !twice {
			first[l.Digest] = i
			distinct = append(distinct, i)
		}
	}
	err := r.each(ctx, distinct, func(ctx context.Context, i int) (err error) {
		r.indexes[i], err = r.loadIndex(ctx, layers[i].Digest, r.budget)
		return err
	})
	if err != nil {
		return err
	}
	var total int64
	unknown := slices.DeleteFunc(distinct, func(i int) bool { return r.indexes[i] != nil })
	r.scanned = map[digest.Digest]bool{}
	for _, i := range unknown {
		total += layers[i].Size
		r.scanned[layers[i].Digest] = true
	}
	var done atomic.Int64
	err = r.each(ctx, unknown, func(ctx context.Context, i int) (err error) {
		r.indexes[i], err = r.scanSource(ctx, layers[i], func(n int) {
			r.req.Progress(Progress{"fetch", done.Add(int64(n)), total})
		})
		return err
	})
	if err != nil {
		return err
	}
	for i, l := range layers {
		r.indexes[i] = r.indexes[first[l.Digest]]
	}
	return nil
}

// positions are the numbers from 0 to n-1.
func positions(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// each does something for every number, several at once. The first error, or panic, ends it.
func (e *Engine) each(ctx context.Context, numbers []int, do func(ctx context.Context, i int) error) error {
	return e.eachOf(ctx, e.cfg.Parallel, numbers, do)
}

// eachOf is each with so many at once.
func (e *Engine) eachOf(ctx context.Context, most int, numbers []int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(most)
	for _, i := range numbers {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return rescue.Call(func() error { return do(ctx, i) })
		})
	}
	return g.Wait()
}

// scanSource reads one source layer into the spool and records its index.
func (r *run) scanSource(ctx context.Context, l ocispec.Descriptor, read func(int)) (*tree.Index, error) {
	rc, err := r.req.Source.Blob(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("fetching layer %s: %w", l.Digest, err)
	}
	defer rc.Close()
	x, err := r.scan(ctx, rc, r.spool, r.budget, read)
	if err != nil {
		return nil, fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	if r.budget.Disputed() != "" {
		return x, nil // an index does not tell of that, so that who comes next has to read the layer, too
	}
	return x, r.saveIndex(ctx, l.Digest, x)
}

// scan reads a layer, into the spool if there is one, within a budget.
func (e *Engine) scan(ctx context.Context, rc io.Reader, spool *scan.Spool, b *tree.Budget, read func(int)) (*tree.Index,
	error) {
	s, err := scan.Layer(ctx, &progressReader{rc, read}, scan.Options{Spool: spool, Inline: inlined, Budget: b})
	if err != nil {
		return nil, err
	}
	return s.Index, nil
}

// inlined says which contents are needed for every image: a layer that is known by its index is not read again for them.
func inlined(path string) bool {
	return pkgdb.IsPackageList(path) || ostree.IsAttributes(path) || selinux.IsPolicy(path)
}

type progressReader struct {
	r    io.Reader
	read func(int)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.read(n)
	}
	return n, err
}
