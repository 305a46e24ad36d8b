package upkeep

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
)

// use says what content is there for; one may be there for several reasons.
type use uint8

const (
	// document: a manifest, an index or a config.
	document use = 1 << iota
	// layer of an image that was made here.
	servedLayer
	// layer of an image that is served as it is: upstream has it, too.
	originalLayer
	// layer of the source of a tag's image: upstream has it, too, and clients rarely ask for it.
	sourceLayer
	// layerIndex: what a layer holds.
	layerIndex
)

// needs are what the records that stay lead to.
type needs struct {
	records *records
	content map[digest.Digest]use
	// manifests are those that stay.
	manifests map[digest.Digest]bool
	// sources are layers of source images whose indexes are worth keeping although the layers may go.
	sources map[digest.Digest]bool
}

func newNeeds(r *records) *needs {
	return &needs{records: r, content: map[digest.Digest]use{}, manifests: map[digest.Digest]bool{}, sources: map[digest.Digest]bool{}}
}

func (n *needs) add(d digest.Digest, u use) {
	if d != "" {
		n.content[d] |= u
	}
}

func (n *needs) manifest(d digest.Digest) bool { return n.manifests[d] }

// named reports whether content is needed, whatever for.
func (n *needs) named(d digest.Digest) bool { return n.manifests[d] || n.content[d] != 0 }

// indexed reports whether the index of a layer is needed.
func (n *needs) indexed(layer digest.Digest) bool {
	return n.sources[layer] || n.content[layer]&(servedLayer|sourceLayer|originalLayer) != 0
}

// maxDocument bounds manifests, in bytes.
const maxDocument = 4 << 20

// depth bounds indexes in indexes.
const depth = 4

// image marks a manifest and all that it refers to; layers are there for the use given.
func (k *Keeper) image(ctx context.Context, n *needs, d digest.Digest, layers use, level int) error {
	n.manifests[d] = true
	n.add(d, document)
	refs, err := k.references(ctx, d)
	if err != nil {
		return err
	}
	for _, c := range refs.Manifests {
		of := layers
		if n.records.manifests[c.Digest].Served == rechunked {
			of = servedLayer
		}
		if level < depth {
			if err := k.image(ctx, n, c.Digest, of, level+1); err != nil {
				return err
			}
		}
	}
	n.add(refs.Config.Digest, document)
	for _, l := range refs.Layers {
		n.add(l.Digest, layers)
	}
	return nil
}

// references are what a manifest or an index names.
type references struct {
	Config    ocispec.Descriptor   `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

// references reads a manifest. One that is missing or damaged refers to nothing: it cannot be served.
func (k *Keeper) references(ctx context.Context, d digest.Digest) (references, error) {
	var out references
	b, err := k.Chunks.Get(ctx, d, maxDocument)
	switch {
	case errors.Is(err, chunkstore.ErrNotFound), errors.Is(err, chunkstore.ErrCorrupt), errors.Is(err, chunkstore.ErrTooLarge),
		errors.Is(err, chunkstore.ErrInvalid):
		return out, nil
	case err != nil:
		return out, err
	}
	if json.Unmarshal(b, &out) != nil {
		return references{}, nil
	}
	return out, nil
}

// layerIndexes marks the indexes of the layers that need one.
func (n *needs) layerIndexes() {
	for layer, index := range n.records.indexes {
		if n.indexed(layer) {
			n.add(index, layerIndex)
		}
	}
}
