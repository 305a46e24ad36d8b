package chunks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// layerList are the chunks of a layer's tar stream.
type layerList struct {
	size   int64 // of the tar stream
	diffID digest.Digest
	parts  []catalog.ChunkList
}

func (l *layerList) len() int {
	n := 0
	for _, p := range l.parts {
		n += p.Len()
	}
	return n
}

func (l *layerList) at(i int) catalog.Chunk {
	return l.parts[i/catalog.MaxChunkList].At(i % catalog.MaxChunkList)
}

// list reads a layer's list, or returns nil where it has to be made.
func (c *Chunks) list(ctx context.Context, layer digest.Digest, s casync.Sizes) (*layerList, error) {
	var out layerList
	for part, parts := 0, 1; part < parts; part++ {
		rec, err := c.Records.LayerChunks.Get(ctx, catalog.LayerChunksKey{Layer: layer, Sizes: s.String(), Part: part})
		if rec == nil || err != nil {
			return nil, err
		}
		if part == 0 {
			parts, out.size, out.diffID = rec.Parts, rec.TarSize, rec.DiffID
		}
		if rec.DiffID != out.diffID || rec.Parts != parts || part < parts-1 && rec.Chunks.Len() != catalog.MaxChunkList {
			return nil, nil
		}
		out.parts = append(out.parts, rec.Chunks)
	}
	var sum int64
	for i := range out.len() {
		sum += int64(out.at(i).Size)
	}
	if sum != out.size {
		return nil, nil
	}
	return &out, nil
}

// leaseTTL is how long others wait when a replica dies that cuts a layer, patience for how long they leave it to one that
// lives.
const (
	leaseTTL = 15 * time.Second
	patience = 30 * time.Minute
)

// layer returns a layer's list, for a repository that is proven to have the layer then. again has it cut anew.
func (c *Chunks) layer(ctx context.Context, repo name.Repository, blob ocispec.Descriptor, diffID digest.Digest,
	s casync.Sizes, again bool) (*layerList, error) {
	key := catalog.LayerChunksKey{Layer: blob.Digest, Sizes: s.String()}.String()
	list, err := c.layers.Do(ctx, key, func(ctx context.Context) (*layerList, error) {
		return c.cutOnce(ctx, repo, blob, diffID, s, key, again)
	})
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", blob.Digest, err)
	}
	if list.diffID != diffID {
		return nil, fmt.Errorf("%w: layer %s has the diff_id %s, not %s", image.ErrInvalid, blob.Digest, list.diffID, diffID)
	}
	if !c.Proofs.Has(ctx, repo, blob.Digest) {
		// It was cut for another repository. One that is named by an image proves nothing; one that came does.
		if err := c.fetch(ctx, repo, blob.Digest); err != nil {
			return nil, fmt.Errorf("layer %s: %w", blob.Digest, err)
		}
	}
	return list, nil
}

// fetch reads a blob to its end, through the repository.
func (c *Chunks) fetch(ctx context.Context, repo name.Repository, d digest.Digest) error {
	b, err := c.Images.OpenBlob(ctx, repo, d)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, b)
	return errors.Join(err, b.Close())
}

func (c *Chunks) cutOnce(ctx context.Context, repo name.Repository, blob ocispec.Descriptor, diffID digest.Digest,
	s casync.Sizes, key string, again bool) (list *layerList, err error) {
	look := func(ctx context.Context) bool {
		list, err = c.list(ctx, blob.Digest, s)
		return err == nil && list != nil
	}
	if !again && look(ctx) {
		return list, nil
	}
	release, finished := c.Leases.Turn(ctx, "chunks "+key, leaseTTL, patience, func(ctx context.Context) bool {
		return !again && look(ctx)
	})
	defer release()
	if finished {
		return list, nil
	}
	return c.cut(ctx, repo, blob, diffID, s)
}

// cut cuts a layer, stores its chunks, and writes its list.
func (c *Chunks) cut(ctx context.Context, repo name.Repository, blob ocispec.Descriptor, diffID digest.Digest,
	s casync.Sizes) (_ *layerList, err error) {
	p, err := c.packer(s)
	if err != nil {
		return nil, err
	}
	r, err := c.Images.OpenBlob(ctx, repo, blob.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	lim := tree.Limits{}.OrDefault()
	tar, err := scan.Decompress(r, lim)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tar.Close()) }()
	check := diffID.Verifier()
	counted := &io.LimitedReader{R: tar, N: lim.LayerBytes + 1}
	chunks, err := c.store(ctx, io.TeeReader(counted, check), p, s)
	switch {
	case err != nil:
		return nil, err
	case counted.N <= 0:
		return nil, fmt.Errorf("%w: more than %d bytes when decompressed", tree.ErrLimit, lim.LayerBytes)
	case !check.Verified():
		return nil, fmt.Errorf("%w: its tar stream is not that of its diff_id %s", image.ErrInvalid, diffID)
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // where it shows whether it is what its digest says
		return nil, err
	}
	size := lim.LayerBytes + 1 - counted.N
	c.Metrics.LayerCut(size)
	return c.keepList(ctx, blob.Digest, diffID, s, size, chunks)
}

// keepList writes the records of a layer's list, the first part last: with it the list is there.
func (c *Chunks) keepList(ctx context.Context, layer, diffID digest.Digest, s casync.Sizes, size int64,
	chunks []catalog.Chunk) (*layerList, error) {
	list := &layerList{size: size, diffID: diffID, parts: []catalog.ChunkList{nil}}
	for _, chunk := range chunks {
		last := &list.parts[len(list.parts)-1]
		if last.Len() == catalog.MaxChunkList {
			list.parts = append(list.parts, nil)
			last = &list.parts[len(list.parts)-1]
		}
		var err error
		if *last, err = last.Append(chunk); err != nil {
			return nil, err
		}
	}
	if len(list.parts) > catalog.MaxChunkParts {
		return nil, errTooMany
	}
	for n := len(list.parts) - 1; n >= 0; n-- {
		err := c.Records.LayerChunks.Put(ctx, catalog.LayerChunksKey{Layer: layer, Sizes: s.String(), Part: n},
			&catalog.LayerChunks{Chunks: list.parts[n], Parts: len(list.parts), DiffID: diffID, TarSize: size,
				At: c.Now().UTC()})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// store cuts a stream and stores its chunks, several at once.
func (c *Chunks) store(ctx context.Context, r io.Reader, p *packer, s casync.Sizes) ([]catalog.Chunk, error) {
	var mu sync.Mutex // of out
	var out []catalog.Chunk
	buffers := sync.Pool{New: func() any { return new(bytes.Buffer) }}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.Parallel)
	err := casync.Cut(r, s, func(content []byte) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		id := casync.Sum(content)
		mu.Lock()
		n := len(out)
		out = append(out, catalog.Chunk{Chunk: casync.Chunk{ID: id, Size: len(content)}})
		mu.Unlock()
		b := buffers.Get().(*bytes.Buffer)
		b.Reset()
		b.Write(content)
		g.Go(func() error {
			defer buffers.Put(b)
			packed := p.Append(nil, b.Bytes())
			d, err := c.Chunks.Put(ctx, packed)
			mu.Lock()
			defer mu.Unlock()
			out[n].Packed, out[n].PackedSize = d, len(packed)
			return err
		})
		return nil
	})
	if werr := g.Wait(); werr != nil {
		return nil, werr
	}
	return out, err
}

// reader reads a layer's tar stream from its stored chunks.
type reader struct {
	list  *layerList
	read  func(dst []byte, c catalog.Chunk) ([]byte, error) // appends the chunk's bytes
	layer digest.Digest
	next  int
	left  []byte
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.next == r.list.len() {
			return 0, io.EOF
		}
		chunk := r.list.at(r.next)
		var err error
		if r.left, err = r.read(r.left[:0], chunk); err != nil {
			return 0, &lostError{r.layer, err}
		}
		r.next++
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Close implements io.Closer.
func (*reader) Close() error { return nil }
