package rechunk

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/tree"
)

// fetch gets the index of every source layer: from the records, or by reading the layer, whose contents then are in the spool.
func (r *run) fetch(ctx context.Context) error {
	layers := r.src.Manifest.Layers
	r.indexes = make([]*tree.Index, len(layers))
	var total, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Parallel)
	first := map[digest.Digest]int{}
	var unknown []int
	for i, l := range layers {
		if _, twice := first[l.Digest]; twice {
			continue
		}
		first[l.Digest] = i
		x, err := r.loadIndex(ctx, l.Digest)
		if err != nil {
			return err
		}
		if r.indexes[i] = x; x == nil {
			unknown = append(unknown, i)
			total.Add(l.Size)
		}
	}
	for _, i := range unknown {
		g.Go(func() error {
			var err error
			r.indexes[i], err = r.scanSource(ctx, layers[i], func(n int) {
				r.req.Progress(Progress{"fetch", done.Add(int64(n)), total.Load()})
			})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, l := range layers {
		r.indexes[i] = r.indexes[first[l.Digest]]
	}
	return nil
}

// scanSource reads one source layer into the spool and records its index.
func (r *run) scanSource(ctx context.Context, l ocispec.Descriptor, read func(int)) (*tree.Index, error) {
	rc, err := r.req.Source.Blob(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("fetching layer %s: %w", l.Digest, err)
	}
	defer rc.Close()
	x, err := r.scan(ctx, rc, read)
	if err != nil {
		return nil, fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	return x, r.saveIndex(ctx, l.Digest, x)
}

// scan reads a layer into the spool. The reader's last word is awaited: it is what verifies the digest.
func (r *run) scan(ctx context.Context, rc io.Reader, read func(int)) (*tree.Index, error) {
	src := &progressReader{rc, read}
	s, err := tree.Scan(ctx, src, tree.ScanOptions{Spool: r.spool, Limits: r.cfg.Limits})
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, src); err != nil {
		return nil, err
	}
	return s.Index, nil
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
