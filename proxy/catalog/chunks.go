package catalog

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/casync"
)

// Chunk is a stored chunk of an uncompressed stream.
type Chunk struct {
	casync.Chunk
	// Packed and PackedSize are digest (SHA-256) and length of the stored bytes: the chunk as one zstd frame.
	Packed     digest.Digest
	PackedSize int
}

// chunkBytes is the length of a Chunk in a record: ID, 32 bytes of the digest, and both sizes as 32-bit numbers, big-endian.
const chunkBytes = 32 + 32 + 4 + 4

// ChunkList is a list of chunks as records have it.
type ChunkList []byte

// Append appends a chunk. Digests other than SHA-256 are refused.
func (l ChunkList) Append(c Chunk) (ChunkList, error) {
	sum, err := hex.DecodeString(c.Packed.Encoded())
	if err != nil || c.Packed.Algorithm() != digest.SHA256 || len(sum) != 32 {
		return l, fmt.Errorf("chunk %s: %q is no SHA-256 digest", c.ID, c.Packed)
	}
	l = append(append(l, c.ID[:]...), sum...)
	l = binary.BigEndian.AppendUint32(l, uint32(c.Size))
	return binary.BigEndian.AppendUint32(l, uint32(c.PackedSize)), nil
}

// Len is how many chunks are listed.
func (l ChunkList) Len() int { return len(l) / chunkBytes }

// At returns the chunk at a position.
func (l ChunkList) At(i int) (c Chunk) {
	b := l[i*chunkBytes:][:chunkBytes]
	copy(c.ID[:], b)
	c.Packed = digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(b[32:64]))
	c.Size, c.PackedSize = int(binary.BigEndian.Uint32(b[64:])), int(binary.BigEndian.Uint32(b[68:]))
	return c
}

// check says what is wrong with a list.
func (l ChunkList) check() error {
	if len(l)%chunkBytes != 0 || l.Len() > MaxChunkList {
		return errors.New("its list of chunks has another length")
	}
	for i := range l.Len() {
		if c := l.At(i); c.Size < 1 || c.PackedSize < 1 || c.Size > maxChunk || c.PackedSize > 2*maxChunk {
			return errors.New("a chunk has a size that none has")
		}
	}
	return nil
}

// targets adds what a list leads to.
func (l ChunkList) targets(to []Target) []Target {
	for i := range l.Len() {
		to = append(to, Target{Digest: l.At(i).Packed, Use: ChunkOf})
	}
	return to
}

// MaxChunkList bounds the chunks in one list, and so the record; maxChunk bounds one chunk, in bytes.
const (
	MaxChunkList = 8192
	maxChunk     = 128 << 20
)

// LayerChunksKey names a part of the chunks of a layer's tar stream. It is written "layer sizes part".
type LayerChunksKey struct {
	// Layer is the digest of the layer's blob.
	Layer digest.Digest
	// Sizes are those of chunks, "16:64:256" in KiB.
	Sizes string
	// Part counts from 0.
	Part int
}

var chunkSizes = regexp.MustCompile(`^[1-9][0-9]{0,5}:[1-9][0-9]{0,5}:[1-9][0-9]{0,5}$`)

// String returns the key as it is stored.
func (k LayerChunksKey) String() string { return fmt.Sprintf("%s %s %d", k.Layer, k.Sizes, k.Part) }

func parseLayerChunksKey(s string) (k LayerChunksKey, ok bool) {
	layer, rest, _ := strings.Cut(s, " ")
	sizes, part, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(part, 10, 31)
	k = LayerChunksKey{digest.Digest(layer), sizes, int(n)}
	return k, err == nil && k.String() == s && k.Layer.Validate() == nil && chunkSizes.MatchString(sizes)
}

// LayerChunks are chunks of a layer's tar stream: MaxChunkList of them in every part but the last.
type LayerChunks struct {
	Chunks ChunkList `json:"chunks"`
	// Parts is how many parts there are.
	Parts int `json:"parts"`
	// DiffID is the layer's, TarSize the length of its tar stream in bytes.
	DiffID  digest.Digest `json:"diff_id"`
	TarSize int64         `json:"tar_size"`
	// At is when they were made.
	At time.Time `json:"at"`
}

// MaxChunkParts bounds the parts of a layer's chunks.
const MaxChunkParts = 256

// Chunks go with their layer.
func layerChunksKind() kind[LayerChunksKey, LayerChunks] {
	return kind[LayerChunksKey, LayerChunks]{
		name: KindLayerChunks, encode: LayerChunksKey.String, decode: parseLayerChunksKey,
		check: func(c *LayerChunks) error {
			if c.Parts < 1 || c.Parts > MaxChunkParts || c.TarSize < 0 || c.DiffID.Validate() != nil {
				return errors.New("it is inconsistent")
			}
			return c.Chunks.check()
		},
		leads: func(k LayerChunksKey, c *LayerChunks) Leads {
			return Leads{Owner: Owner{Layer: k.Layer}, To: c.Chunks.targets(nil)}
		},
	}
}

// ChunkIndexKey names the index of an image in a repository. It is written "host/path@digest sizes".
type ChunkIndexKey struct {
	ContentKey

	Sizes string
}

// String returns the key as it is stored.
func (k ChunkIndexKey) String() string { return k.ContentKey.String() + " " + k.Sizes }

func parseChunkIndexKey(s string) (k ChunkIndexKey, ok bool) {
	content, sizes, _ := strings.Cut(s, " ")
	k.Sizes = sizes
	k.ContentKey, ok = parseContentKey(content)
	return k, ok && chunkSizes.MatchString(sizes)
}

// ChunkIndexesOf lists the indexes of a repository.
func ChunkIndexesOf(repository string) Prefix[ChunkIndexKey] {
	return Prefix[ChunkIndexKey]{ContentOf(repository).text}
}

// ChunkIndex says what chunks the archive of an image has. It is there for a repository that was proven to have the image
// and its layers.
type ChunkIndex struct {
	// Runs follow each other in the archive.
	Runs []ChunkRun `json:"runs"`
	At   time.Time  `json:"at"`
}

// ChunkRun is a run of chunks: own ones, and behind them some of a layer's.
type ChunkRun struct {
	Own ChunkList `json:"own,omitempty"`
	// Layer is the digest of its blob; From and To are positions among its chunks, To is not included. Empty: none.
	Layer digest.Digest `json:"layer,omitempty"`
	From  int           `json:"from,omitempty"`
	To    int           `json:"to,omitempty"`
}

// maxChunkRuns bounds the runs of an image: one for each layer, and one at the end.
const maxChunkRuns = 2048

// An index goes with its image.
func chunkIndexKind() kind[ChunkIndexKey, ChunkIndex] {
	return kind[ChunkIndexKey, ChunkIndex]{
		name: KindChunkIndex, encode: ChunkIndexKey.String, decode: parseChunkIndexKey,
		check: func(x *ChunkIndex) error {
			if len(x.Runs) > maxChunkRuns {
				return errors.New("it has too many runs")
			}
			for _, r := range x.Runs {
				if r.Layer != "" && r.Layer.Validate() != nil || r.From < 0 || r.To < r.From {
					return errors.New("a run is inconsistent")
				}
				if err := r.Own.check(); err != nil {
					return err
				}
			}
			return nil
		},
		leads: func(k ChunkIndexKey, x *ChunkIndex) Leads {
			out := Leads{Owner: Owner{Manifest: k.Digest}}
			for _, r := range x.Runs {
				out.To = r.Own.targets(out.To)
			}
			return out
		},
	}
}
