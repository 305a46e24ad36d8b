package chunks

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/catalog"
)

// tidyLater holds the chunks to the space that they may take, in the background, once at a time.
func (c *Chunks) tidyLater() {
	if c.Settings().Keep <= 0 || !c.tidying.CompareAndSwap(false, true) {
		return
	}
	begun := c.Work.Go("space of chunks", func(ctx context.Context) {
		defer c.tidying.Store(false)
		if err := c.tidy(ctx, c.Settings().Keep); err != nil && ctx.Err() == nil {
			c.Logger.WarnContext(ctx, "chunks could not be held to the space that they may take", "error", err)
		}
	})
	if !begun {
		c.tidying.Store(false)
	}
}

// made is an index, and when it was.
type made struct {
	key catalog.ChunkIndexKey
	at  time.Time
}

// tidy keeps the images that were made last, as many as fit and one at least, and removes what the others alone have.
func (c *Chunks) tidy(ctx context.Context, keep int64) error {
	var all []made
	err := c.Records.ChunkIndexes.List(ctx, catalog.Prefix[catalog.ChunkIndexKey]{},
		func(k catalog.ChunkIndexKey, at time.Time) error {
			all = append(all, made{k, at})
			return nil
		})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b made) int { return b.at.Compare(a.at) })
	kept, full := newShelf(), false
	for i, m := range all {
		more := newShelf()
		if err := c.shelve(ctx, m.key, kept, more); err != nil {
			return err
		}
		if full = full || i > 0 && kept.bytes+more.bytes > keep; !full {
			kept.take(more)
			continue
		}
		if err := c.Records.ChunkIndexes.Delete(ctx, m.key); err != nil {
			return err
		}
		c.tables.drop(m.key)
	}
	if !full {
		return nil
	}
	return c.clear(ctx, kept)
}

// shelf are the chunks that stay.
type shelf struct {
	chunks map[digest.Digest]bool
	layers map[string]bool // "layer sizes"
	bytes  int64
}

func newShelf() *shelf { return &shelf{chunks: map[digest.Digest]bool{}, layers: map[string]bool{}} }

// take adds what another shelf has.
func (s *shelf) take(more *shelf) {
	maps.Copy(s.chunks, more.chunks)
	maps.Copy(s.layers, more.layers)
	s.bytes += more.bytes
}

// add adds chunks that are not on the other shelf.
func (s *shelf) add(l catalog.ChunkList, other *shelf) {
	for i := range l.Len() {
		if chunk := l.At(i); !s.chunks[chunk.Packed] && !other.chunks[chunk.Packed] {
			s.chunks[chunk.Packed] = true
			s.bytes += int64(chunk.PackedSize)
		}
	}
}

// shelve adds what an image has and those that stay have not.
func (c *Chunks) shelve(ctx context.Context, key catalog.ChunkIndexKey, kept, more *shelf) error {
	rec, err := c.Records.ChunkIndexes.Get(ctx, key)
	if rec == nil || err != nil {
		return err
	}
	sizes, err := casync.ParseSizes(key.Sizes)
	if err != nil {
		return err
	}
	for _, r := range rec.Runs {
		more.add(r.Own, kept)
		name := r.Layer.String() + " " + key.Sizes
		if r.Layer == "" || kept.layers[name] || more.layers[name] {
			continue
		}
		more.layers[name] = true
		list, err := c.list(ctx, r.Layer, sizes)
		if err != nil {
			return err
		}
		for i := 0; list != nil && i < len(list.parts); i++ {
			more.add(list.parts[i], kept)
		}
	}
	return nil
}

// clear removes the lists of layers that no image has which stays, and their chunks.
func (c *Chunks) clear(ctx context.Context, kept *shelf) error {
	var gone []catalog.LayerChunksKey
	err := c.Records.LayerChunks.List(ctx, catalog.Prefix[catalog.LayerChunksKey]{},
		func(k catalog.LayerChunksKey, at time.Time) error {
			// What is being made is in no image yet.
			if !kept.layers[k.Layer.String()+" "+k.Sizes] && c.Now().Sub(at) > patience {
				gone = append(gone, k)
			}
			return nil
		})
	for _, k := range gone {
		if err != nil {
			return err
		}
		err = c.clearList(ctx, k, kept)
	}
	return err
}

func (c *Chunks) clearList(ctx context.Context, key catalog.LayerChunksKey, kept *shelf) error {
	rec, err := c.Records.LayerChunks.Get(ctx, key)
	if err == nil {
		err = c.Records.LayerChunks.Delete(ctx, key)
	}
	if err != nil || rec == nil {
		return err
	}
	limit := c.Now().Add(-chunkstore.FreshFor)
	for i := range rec.Chunks.Len() {
		d := rec.Chunks.At(i).Packed
		if kept.chunks[d] {
			continue
		}
		if _, err := c.Chunks.DeleteUnused(ctx, d, limit); err != nil {
			return err
		}
	}
	return nil
}
