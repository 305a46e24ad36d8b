package chunks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// knownIndexes are the latest indexes of a repository, the newest first, and when they were listed.
type knownIndexes struct {
	keys []catalog.ChunkIndexKey
	at   time.Time
}

// shownBy is an image that was found to be shown by a policy.
type shownBy struct {
	image  catalog.ContentKey
	policy string
}

const (
	// maxIndexes bounds the indexes of a repository in which a chunk is looked for.
	maxIndexes = 32
	// listedFor is how long a list of indexes is believed when a chunk is in none of them.
	listedFor = 5 * time.Second
	// shownFor is how long an image that may be shown is taken for one while the policy stays: a client fetches thousands
	// of chunks.
	shownFor = 10 * time.Second
)

// FindChunk implements registry.Chunks.
func (c *Chunks) FindChunk(ctx context.Context, repo name.Repository, id casync.ID) (registry.Chunk, error) {
	if !c.Settings().On {
		return registry.Chunk{}, registry.NotFound("images are not served as chunks here")
	}
	e, _, err := c.find(ctx, repo, id)
	if err != nil {
		return registry.Chunk{}, clientError(err)
	}
	return e.chunk(), nil
}

// find looks for a chunk in the images of a repository that the client may have.
func (c *Chunks) find(ctx context.Context, repo name.Repository, id casync.ID) (*entry, *table, error) {
	refused := error(registry.ChunkUnknown(
		"no image of this repository has this chunk whose index was asked for: ask for the index first"))
	known, _ := c.known.Get(repo.String())
	for _, look := range []bool{false, true} {
		if look {
			if c.Now().Sub(known.at) < listedFor {
				break
			}
			var err error
			if known, err = c.indexes(ctx, repo); err != nil {
				return nil, nil, err
			}
		}
		for _, key := range known.keys {
			t, err := c.load(ctx, key)
			if err != nil {
				return nil, nil, err
			}
			if t == nil {
				continue
			}
			e, ok := t.find(id)
			if !ok {
				continue
			}
			if err := c.may(ctx, repo, key.ContentKey); err != nil {
				refused = err
				continue
			}
			return e, t, nil
		}
	}
	return nil, nil, refused
}

// indexes lists the indexes of a repository.
func (c *Chunks) indexes(ctx context.Context, repo name.Repository) (knownIndexes, error) {
	out := knownIndexes{at: c.Now()}
	type listed struct {
		key catalog.ChunkIndexKey
		at  time.Time
	}
	var all []listed
	err := c.Records.ChunkIndexes.List(ctx, catalog.ChunkIndexesOf(repo.String()),
		func(k catalog.ChunkIndexKey, at time.Time) error {
			all = append(all, listed{k, at})
			return nil
		})
	if err != nil {
		return out, err
	}
	slices.SortFunc(all, func(a, b listed) int { return b.at.Compare(a.at) })
	for _, l := range all[:min(len(all), maxIndexes)] {
		out.keys = append(out.keys, l.key)
	}
	c.known.Add(repo.String(), out)
	return out, nil
}

// note adds an index that was made here to what is known of its repository.
func (c *Chunks) note(key catalog.ChunkIndexKey) {
	known, _ := c.known.Get(key.Repository)
	keys := append([]catalog.ChunkIndexKey{key}, slices.DeleteFunc(slices.Clone(known.keys),
		func(k catalog.ChunkIndexKey) bool { return k == key })...)
	c.known.Add(key.Repository, knownIndexes{keys[:min(len(keys), maxIndexes)], known.at})
}

// may returns nil for an image that a client of the repository may have.
func (c *Chunks) may(ctx context.Context, repo name.Repository, image catalog.ContentKey) error {
	// The policy is named before it is asked: what passed by an older one never counts for a newer.
	key := shownBy{image, c.Images.Policy(repo)}
	if at, ok := c.shown.Get(key); ok && c.Now().Sub(at) < shownFor {
		return nil
	}
	if !c.Proofs.Has(ctx, repo, image.Digest) {
		return registry.ChunkUnknown("the repository is not proven to have the image of this chunk: pull that first")
	}
	if err := c.Images.Shown(ctx, repo, image.Digest); err != nil {
		return err
	}
	c.shown.Add(key, c.Now())
	return nil
}

// ReadChunk implements registry.Chunks. What is gone or damaged is made again.
func (c *Chunks) ReadChunk(ctx context.Context, repo name.Repository, chunk registry.Chunk, packed bool) ([]byte, error) {
	e, t, err := c.find(ctx, repo, chunk.ID)
	if err != nil {
		return nil, clientError(err)
	}
	b, err := c.read(ctx, t, e, packed)
	if err != nil && lost(err) {
		if t, err = c.again(ctx, repo, t, e); err == nil {
			if found, ok := t.find(chunk.ID); ok {
				b, err = c.read(ctx, t, found, packed)
			} else {
				err = registry.ChunkUnknown("the chunk is in no image any more")
			}
		}
	}
	if err != nil {
		return nil, clientError(err)
	}
	return b, nil
}

func (c *Chunks) read(ctx context.Context, t *table, e *entry, packed bool) ([]byte, error) {
	chunk := e.chunk()
	b, err := c.packed(ctx, chunk.Packed, chunk.PackedSize)
	if err != nil || packed {
		return b, err
	}
	p, err := c.packer(t.sizes)
	if err != nil {
		return nil, err
	}
	return p.Decode(nil, chunk.ID, b)
}

// packed reads a stored chunk, and compares it with its digest.
func (c *Chunks) packed(ctx context.Context, d digest.Digest, size int64) ([]byte, error) {
	r, err := c.Content.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = io.Copy(&out, io.LimitReader(r, size+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if int64(out.Len()) != size {
		return nil, fmt.Errorf("%w: a stored chunk has %d bytes, not %d", casync.ErrInvalid, out.Len(), size)
	}
	return out.Bytes(), nil
}

// again makes the chunks anew among which one is gone.
func (c *Chunks) again(ctx context.Context, repo name.Repository, t *table, e *entry) (*table, error) {
	m, err := c.Manifests.Get(ctx, repo, t.key.Digest)
	if err != nil {
		return nil, err
	}
	var layers []digest.Digest
	if e.layer >= 0 {
		layers = append(layers, t.layers[e.layer])
	}
	return c.makeForClient(ctx, repo, t.key, m.Bytes, layers)
}
