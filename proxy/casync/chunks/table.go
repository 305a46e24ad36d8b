package chunks

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/registry"
)

// entry is a chunk in little memory.
type entry struct {
	id, packed       [32]byte
	size, packedSize uint32
	layer            int32 // position among the table's layers, -1 for none
}

// table says what chunks an image has, and where they are.
type table struct {
	key    catalog.ChunkIndexKey
	sizes  casync.Sizes
	chunks []entry  // in the order of the archive
	order  []uint32 // positions, by ID
	layers []digest.Digest
	digest digest.Digest // of the index file
}

// maxImageChunks bounds the chunks of an image: 32 GiB of default ones, 40 MB of memory.
const maxImageChunks = 1 << 19

// add appends a list's chunks; layer is a position among the table's layers, or -1.
func (t *table) add(c catalog.Chunk, layer int) error {
	if len(t.chunks) >= maxImageChunks {
		return fmt.Errorf("%w: more than %d; ask for larger ones", errTooMany, maxImageChunks)
	}
	e := entry{id: c.ID, size: uint32(c.Size), packedSize: uint32(c.PackedSize), layer: int32(layer)}
	if _, err := hex.Decode(e.packed[:], []byte(c.Packed.Encoded())); err != nil {
		return fmt.Errorf("chunk %s: %w", c.ID, err)
	}
	t.chunks = append(t.chunks, e)
	return nil
}

// finish makes a table ready for find.
func (t *table) finish() error {
	t.chunks = slices.Clip(t.chunks)
	t.order = make([]uint32, len(t.chunks))
	for i := range t.order {
		t.order[i] = uint32(i)
	}
	slices.SortFunc(t.order, func(a, b uint32) int { return bytes.Compare(t.chunks[a].id[:], t.chunks[b].id[:]) })
	b, err := t.index()
	if err == nil {
		t.digest = digest.FromBytes(b)
	}
	return err
}

// index returns the index file.
func (t *table) index() ([]byte, error) {
	x := casync.Index{Sizes: t.sizes, Chunks: make([]casync.Chunk, len(t.chunks))}
	for i, c := range t.chunks {
		x.Chunks[i] = casync.Chunk{ID: c.id, Size: int(c.size)}
	}
	out := bytes.NewBuffer(make([]byte, 0, casync.EncodedSize(len(x.Chunks))))
	err := x.Write(out)
	return out.Bytes(), err
}

// find returns a chunk by its ID.
func (t *table) find(id casync.ID) (*entry, bool) {
	i := sort.Search(len(t.order), func(i int) bool { return bytes.Compare(t.chunks[t.order[i]].id[:], id[:]) >= 0 })
	if i == len(t.order) {
		return nil, false
	}
	e := &t.chunks[t.order[i]]
	return e, e.id == id
}

func (e *entry) chunk() registry.Chunk {
	return registry.Chunk{ID: e.id, Size: int64(e.size), PackedSize: int64(e.packedSize),
		Packed: digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(e.packed[:]))}
}

// tables are those of the images that were asked for last. It is safe for concurrent use.
type tables struct {
	mu     sync.Mutex
	all    *lru.Cache[string, *table]
	chunks int
}

// maxTableChunks bounds the chunks of all tables in memory, some 80 bytes each.
const maxTableChunks = 1 << 20

func newTables() *tables {
	all, _ := lru.New[string, *table](maxKnown) // fails for sizes below 1 only
	return &tables{all: all}
}

func (t *tables) get(key catalog.ChunkIndexKey) *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, _ := t.all.Get(key.String())
	return found
}

// put keeps a table, and lets go those that were of no use for longest.
func (t *tables) put(made *table) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.all.Peek(made.key.String()); ok {
		t.chunks -= len(old.chunks)
		t.all.Remove(made.key.String())
	}
	for t.all.Len() > 0 && (t.all.Len() >= maxKnown || t.chunks+len(made.chunks) > maxTableChunks) {
		_, old, _ := t.all.RemoveOldest()
		t.chunks -= len(old.chunks)
	}
	t.all.Add(made.key.String(), made)
	t.chunks += len(made.chunks)
}

func (t *tables) drop(key catalog.ChunkIndexKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.all.Peek(key.String()); ok {
		t.chunks -= len(old.chunks)
		t.all.Remove(key.String())
	}
}

// load reads the table of an image's index, or returns nil where it has to be made.
func (c *Chunks) load(ctx context.Context, key catalog.ChunkIndexKey) (*table, error) {
	if t := c.tables.get(key); t != nil {
		return t, nil
	}
	sizes, err := casync.ParseSizes(key.Sizes)
	if err != nil {
		return nil, err
	}
	rec, err := c.Records.ChunkIndexes.Get(ctx, key)
	if rec == nil || err != nil {
		return nil, err
	}
	t := &table{key: key, sizes: sizes}
	for _, r := range rec.Runs {
		whole, err := c.addRun(ctx, t, r)
		if err != nil || !whole {
			return nil, err
		}
	}
	if err := t.finish(); err != nil {
		return nil, err
	}
	c.tables.put(t)
	return t, nil
}

// addRun adds a run's chunks; false where those of its layer are not known.
func (c *Chunks) addRun(ctx context.Context, t *table, r catalog.ChunkRun) (bool, error) {
	for i := range r.Own.Len() {
		if err := t.add(r.Own.At(i), -1); err != nil {
			return false, err
		}
	}
	if r.Layer == "" {
		return true, nil
	}
	list, err := c.list(ctx, r.Layer, t.sizes)
	if list == nil || err != nil || r.To > list.len() {
		return false, err
	}
	t.layers = append(t.layers, r.Layer)
	for i := r.From; i < r.To; i++ {
		if err := t.add(list.at(i), len(t.layers)-1); err != nil {
			return false, err
		}
	}
	return true, nil
}
