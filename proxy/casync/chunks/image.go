package chunks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/ociarchive"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// ChunkIndex implements registry.Chunks.
func (c *Chunks) ChunkIndex(ctx context.Context, repo name.Repository, ref name.Reference,
	q registry.ChunkQuery) (*registry.ChunkIndex, error) {
	sizes, err := c.sizes(q.Sizes)
	if err != nil {
		return nil, err
	}
	platform, err := image.AskedPlatform(q.Platform)
	if err != nil {
		return nil, registry.BadQuery("the query parameter platform: " + err.Error())
	}
	m, err := c.image(ctx, repo, ref, image.PlatformString(platform))
	if err != nil {
		return nil, err
	}
	key := catalog.ChunkIndexKey{ContentKey: catalog.ContentKey{Repository: repo.String(), Digest: m.Digest},
		Sizes: sizes.String()}
	t, err := c.index(ctx, repo, key, m.Bytes)
	if err != nil {
		return nil, clientError(err)
	}
	b, err := t.index()
	if err != nil {
		return nil, err
	}
	return &registry.ChunkIndex{Image: m.Digest, Bytes: b, Digest: t.digest}, nil
}

// sizes are those that a client asks for, if it may have them.
func (c *Chunks) sizes(asked string) (casync.Sizes, error) {
	s := c.Settings()
	if !s.On || len(s.Sizes) == 0 {
		return casync.Sizes{}, registry.NotFound("images are not served as chunks here")
	}
	if asked == "" {
		return s.Sizes[0], nil
	}
	want, err := casync.ParseSizes(asked)
	if err == nil && slices.Contains(s.Sizes, want) {
		return want, nil
	}
	var names []string
	for _, have := range s.Sizes {
		names = append(names, have.String())
	}
	return casync.Sizes{}, registry.BadQuery("the query parameter chunk-size names none of the sizes made here: write " +
		strings.Join(names, " or "))
}

// image finds the manifest of one platform.
func (c *Chunks) image(ctx context.Context, repo name.Repository, ref name.Reference, platform string) (*registry.Manifest,
	error) {
	m, err := c.Images.Manifest(ctx, repo, ref)
	if err != nil || !image.IsIndex(m.MediaType) {
		return m, err
	}
	x, err := image.ParseIndex(m.Bytes)
	if err != nil {
		return nil, clientError(err)
	}
	for _, child := range x.Images([]string{platform}) {
		if m, err = c.Images.Manifest(ctx, repo, name.Reference(child.Digest)); err != nil || !image.IsIndex(m.MediaType) {
			return m, err
		}
	}
	return nil, registry.ManifestUnknown("the index has no image for " + platform + ": ask with ?platform=os/arch")
}

// index returns the table of an image, which is made where there is none.
func (c *Chunks) index(ctx context.Context, repo name.Repository, key catalog.ChunkIndexKey,
	manifest []byte) (*table, error) {
	t, err := c.load(ctx, key)
	if err != nil || t != nil {
		return t, err
	}
	return c.makeForClient(ctx, repo, key, manifest, nil)
}

// makeForClient has a table made and waits for it as long as clients do. again are layers that are cut anew.
func (c *Chunks) makeForClient(ctx context.Context, repo name.Repository, key catalog.ChunkIndexKey, manifest []byte,
	again []digest.Digest) (*table, error) {
	wait, stop := context.WithTimeout(ctx, c.Wait)
	defer stop()
	t, err := c.make(wait, repo, key, manifest, again)
	if err != nil && ctx.Err() == nil && wait.Err() != nil {
		return nil, registry.Unavailable("the chunks are being made", retryMade)
	}
	return t, err
}

// make has a table made, once for all who ask for it at the same time, and waits for it.
func (c *Chunks) make(ctx context.Context, repo name.Repository, key catalog.ChunkIndexKey, manifest []byte,
	again []digest.Digest) (*table, error) {
	if f, ok := c.failed.Get(key.String()); ok && c.Now().Before(f.until) {
		return nil, f.err
	}
	return c.images.Do(ctx, key.String(), func(ctx context.Context) (*table, error) {
		t, err := c.inTurn(ctx, repo, key, manifest, again)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errFull) {
			c.failed.Add(key.String(), failure{err, c.Now().Add(failedFor)})
			c.Metrics.ImageCut(err)
			c.Logger.WarnContext(ctx, "image could not be cut into chunks", "image", key.String(), "error", err)
		}
		return t, err
	})
}

// inTurn makes one image at a time. What it stores no record leads to at first.
func (c *Chunks) inTurn(ctx context.Context, repo name.Repository, key catalog.ChunkIndexKey, manifest []byte,
	again []digest.Digest) (t *table, err error) {
	if c.waiting.Add(1) > maxWaiting {
		c.waiting.Add(-1)
		return nil, errFull
	}
	defer c.waiting.Add(-1)
	job := c.jobs.add(key, c.Now())
	defer func() { c.jobs.end(job, err, c.Now()) }()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	c.jobs.change(job, func(j *Job) { j.Running = true })
	ended := make(chan error, 1)
	begun := c.Work.GoRelying(ctx, "chunks", func(ctx context.Context) {
		ended <- c.Work.Catch(ctx, "chunks", func() (err error) {
			t, err = c.patiently(ctx, repo, key, manifest, again, job)
			return err
		})
	})
	if !begun {
		return nil, background.ErrClosed
	}
	return t, <-ended
}

// patiently makes a table; a layer whose chunks turn out to be gone is cut anew, once.
func (c *Chunks) patiently(ctx context.Context, repo name.Repository, key catalog.ChunkIndexKey, manifest []byte,
	again []digest.Digest, job *Job) (*table, error) {
	for {
		began := c.Now()
		t, err := c.join(ctx, repo, key, manifest, again, job)
		var gone *lostError
		if errors.As(err, &gone) && lost(err) && !slices.Contains(again, gone.layer) {
			again = append(again, gone.layer)
			continue
		}
		if err != nil {
			return nil, err
		}
		c.tables.put(t)
		c.note(key)
		c.Metrics.ImageCut(nil)
		c.Logger.InfoContext(ctx, "image was cut into chunks", "image", key.String(), "chunks", len(t.chunks), "seconds",
			c.Now().Sub(began).Seconds())
		c.tidyLater()
		return t, nil
	}
}

// join finds the chunks of an image's archive from those of its layers.
func (c *Chunks) join(ctx context.Context, repo name.Repository, key catalog.ChunkIndexKey, manifest []byte,
	again []digest.Digest, job *Job) (*table, error) {
	sizes, err := casync.ParseSizes(key.Sizes)
	if err != nil {
		return nil, err
	}
	p, err := c.packer(sizes)
	if err != nil {
		return nil, err
	}
	archive, err := c.archive(ctx, repo, manifest)
	if err != nil {
		return nil, err
	}
	w := &work{Chunks: c, packer: p, sizes: sizes}
	c.jobs.change(job, func(j *Job) {
		j.Done, j.Total = 0, 0
		for _, blob := range archive.Blobs() {
			j.Total += blob.Size
		}
	})
	for i, blob := range archive.Blobs() {
		list, err := c.layer(ctx, repo, blob, archive.Layers()[i], sizes, slices.Contains(again, blob.Digest))
		if err != nil {
			return nil, err
		}
		before, err := archive.Layer(list.size)
		if err != nil {
			return nil, err
		}
		w.add(ctx, before, list, blob.Digest)
		c.jobs.change(job, func(j *Job) { j.Done += blob.Size })
	}
	end, err := archive.End()
	if err != nil {
		return nil, err
	}
	w.add(ctx, end, nil, "")
	return w.finish(ctx, key)
}

// archive reads what an image's archive consists of.
func (c *Chunks) archive(ctx context.Context, repo name.Repository, manifest []byte) (*ociarchive.Plain, error) {
	m, err := image.ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	b, err := c.Images.OpenBlob(ctx, repo, m.Config.Digest)
	if err != nil {
		return nil, err
	}
	config, err := io.ReadAll(io.LimitReader(b, image.MaxDocument+1))
	if err = errors.Join(err, b.Close()); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return ociarchive.NewPlain(manifest, config)
}

// work joins the parts of one archive.
type work struct {
	*Chunks
	packer *packer
	sizes  casync.Sizes
	parts  []casync.Part
	lists  []*layerList // of the parts, nil for bytes
	layers []digest.Digest
	runs   []catalog.ChunkRun
	own    catalog.ChunkList
	table  *table
}

// add adds bytes and a layer behind them, if there is one.
func (w *work) add(ctx context.Context, before []byte, list *layerList, layer digest.Digest) {
	w.parts, w.lists, w.layers = append(w.parts, casync.Part{Bytes: before}), append(w.lists, nil), append(w.layers, "")
	if list == nil {
		return
	}
	read := func(dst []byte, c catalog.Chunk) ([]byte, error) {
		b, err := w.packed(ctx, c.Packed, int64(c.PackedSize))
		if err != nil {
			return nil, err
		}
		return w.packer.Decode(dst, c.ID, b)
	}
	part := casync.Part{Open: func(chunk int) (io.ReadCloser, error) {
		return &reader{list: list, read: read, layer: layer, next: chunk}, nil
	}}
	for i := range list.len() {
		part.Chunks = append(part.Chunks, list.at(i).Chunk)
	}
	w.parts, w.lists, w.layers = append(w.parts, part), append(w.lists, list), append(w.layers, layer)
}

// finish joins all, and writes the index's record.
func (w *work) finish(ctx context.Context, key catalog.ChunkIndexKey) (*table, error) {
	w.table = &table{key: key, sizes: w.sizes}
	own := func(content []byte) error { return w.storeOwn(ctx, content) }
	err := casync.Join(w.parts, w.sizes, casync.Joined{Own: own, Kept: w.keep})
	if err != nil {
		return nil, err
	}
	if w.own.Len() > 0 {
		w.runs = append(w.runs, catalog.ChunkRun{Own: w.own})
	}
	if err := w.table.finish(); err != nil {
		return nil, err
	}
	return w.table, w.Records.ChunkIndexes.Put(ctx, key, &catalog.ChunkIndex{Runs: w.runs, At: w.Now().UTC()})
}

func (w *work) storeOwn(ctx context.Context, content []byte) error {
	packed := w.packer.Append(nil, content)
	d, err := w.Chunks.Chunks.Put(ctx, packed)
	if err != nil {
		return err
	}
	chunk := catalog.Chunk{Chunk: casync.Chunk{ID: casync.Sum(content), Size: len(content)}, Packed: d,
		PackedSize: len(packed)}
	if w.own.Len() == catalog.MaxChunkList {
		w.runs, w.own = append(w.runs, catalog.ChunkRun{Own: w.own}), nil
	}
	if w.own, err = w.own.Append(chunk); err != nil {
		return err
	}
	return w.table.add(chunk, -1)
}

func (w *work) keep(part, from, to int) error {
	layer := w.layers[part]
	w.runs, w.own = append(w.runs, catalog.ChunkRun{Own: w.own, Layer: layer, From: from, To: to}), nil
	w.table.layers = append(w.table.layers, layer)
	for i := from; i < to; i++ {
		if err := w.table.add(w.lists[part].at(i), len(w.table.layers)-1); err != nil {
			return err
		}
	}
	return nil
}
