package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/rechunk"
)

var (
	// ErrDamaged says that the bytes of a record are not what its kind says.
	ErrDamaged = errors.New("record is damaged")
	// ErrNewer says that a record was written in a schema that this build doesn't know.
	ErrNewer = errors.New("record has a newer schema")
)

// Damaged reports whether an error says that a record is there and can't be used, so that it counts as missing. Errors of a
// store that does not answer are others.
func Damaged(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer) || errors.Is(err, chunkstore.ErrCorrupt) ||
		errors.Is(err, chunkstore.ErrTooLarge)
}

// Newer reports whether an error says that a record was written in a schema that this build doesn't know.
func Newer(err error) bool { return errors.Is(err, ErrNewer) }

// Use says what content is there for; one may be there for several reasons.
type Use uint8

// The uses of content.
const (
	// Document: a manifest, an index or a config.
	Document Use = 1 << iota
	// ServedLayer: a layer of an image that was made here.
	ServedLayer
	// OriginalLayer: a layer of an image that is served as it is: upstream has it, too.
	OriginalLayer
	// SourceLayer: a layer of the source of a tag's image: upstream has it, too, and clients rarely ask for it.
	SourceLayer
	// LayerIndex: what a layer holds.
	LayerIndex
	// DeltaOf: how to make a layer of an older image. It is made again when somebody asks.
	DeltaOf
	// ChunkOf: a chunk of a layer's tar stream, or of an image's archive. It is made again when somebody asks.
	ChunkOf

	// AnyLayer are the uses of layers.
	AnyLayer = ServedLayer | OriginalLayer | SourceLayer
)

// Target is content that a record leads to.
type Target struct {
	Digest digest.Digest
	// Use is what it is there for; of an image, what its layers are.
	Use Use
	// Image says that it is a manifest or an index, and that the record leads to all that it names, too.
	Image bool
}

// Owner is what a record belongs to: it goes when that is not needed any longer. The zero value is nothing, so that the
// record stays until someone deletes it.
type Owner struct {
	// Manifest is that of an image, or an index.
	Manifest digest.Digest
	// Source is that of an image, or an index, which may be needed for the sake of what was made of it alone.
	Source digest.Digest
	// Content is of any use.
	Content digest.Digest
	// Layer is content that is needed as a layer.
	Layer digest.Digest
	// With is a layer that has to be needed as well.
	With digest.Digest
}

// Leads are what gc wants to know of a record.
type Leads struct {
	Owner Owner
	// To is what it leads to while it stays.
	To []Target
}

// Names of the kinds of which an operator's rules and commands speak.
const (
	KindManifest   = "manifest"
	KindTag        = "tag"
	KindLineage    = rechunk.KindLineage
	KindHistory    = rechunk.KindHistory
	KindRepository = "repository"
	// KindDeltaDemand and KindEdgeImages have the keys of KindRepository.
	KindDeltaDemand = "delta-demand"
	KindEdgeImages  = "edge-images"
	// KindLayerChunks and KindChunkIndex lead to chunks.
	KindLayerChunks = "layer-chunks"
	KindChunkIndex  = "chunk-index"
	// KindRefusal has the keys of KindTag.
	KindRefusal = "refusal"
	// KindRollout has the keys of KindTag.
	KindRollout = "rollout"
	// KindFleetTag has the keys of KindTag.
	KindFleetTag = "fleet-tag"
	// KindSavings has the keys of KindRepository.
	KindSavings = "savings"
	// KindReached has keys that begin with those of KindRollout.
	KindReached = "rollout-reached"
)

// Kind is what is to be known of the records of a kind without knowing the kind.
type Kind struct {
	Name string
	// Vital: content may be reachable through such a record alone, so that nothing is collected while one can't be read.
	Vital bool
	// Retired: nobody reads such records any longer, and they go.
	Retired bool
	// Parse reads a record: a pointer to what it says, and what that means to gc. Errors wrap ErrDamaged or ErrNewer.
	Parse func(key string, b []byte) (any, Leads, error)
}

// Kinds returns all kinds; those first by which an operator's rules decide what stays. A store with records of another one
// was written by a newer build.
func Kinds() []Kind {
	return []Kind{
		manifestKind().any(), tagKind().any(), rolloutKind().any(), lineageKind().any(), servedKind().any(),
		pullsKind().any(),
		repositoryKind().any(),
		artifactKind().any(), // before what belongs to the artifacts' manifests
		proofKind().any(), blobProofKind().any(), memberKind().any(), attemptKind().any(), verdictKind().any(),
		evidenceKind().any(),
		refusalKind().any(), reachedKind().any(), fleetKind().any(), fleetTagKind().any(), savingsKind().any(),
		admittedKind().any(),
		signatureKind().any(), planKind().any(),
		historyKind().any(),
		deltaKind().any(), deltaDemandKind().any(), edgeImagesKind().any(), trialsKind().any(),
		layerChunksKind().any(), chunkIndexKind().any(),
		indexKind().any(), upkeepKind[json.RawMessage]("").any(),
	}
}

// schema is the newest schema of all kinds. A record says by its member "schema" that it has another one than the first.
const schema = 1

// kind describes the records of a kind.
type kind[K, V any] struct {
	name   string
	encode func(K) string
	// decode undoes encode; ok is false for what is no key.
	decode func(string) (_ K, ok bool)
	// check says what is wrong with a record that could be parsed; nil: nothing can be.
	check func(*V) error
	// leads is what Kind.Leads says; nil: nothing.
	leads          func(K, *V) Leads
	vital, retired bool
}

// parse reads a record. Errors wrap ErrDamaged or ErrNewer.
func (k kind[K, V]) parse(b []byte, v *V) error {
	if err := checkSchema(b); err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if k.check != nil {
		if err := k.check(v); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return nil
}

// checkSchema refuses a newer schema. Nearly no record names one, so nearly none is parsed for it.
func checkSchema(b []byte) error {
	if !bytes.Contains(b, []byte(`"schema"`)) {
		return nil
	}
	var says struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(b, &says); err == nil && says.Schema > schema {
		return fmt.Errorf("%w: %d, this build reads %d", ErrNewer, says.Schema, schema)
	}
	return nil
}

// any forgets the types.
func (k kind[K, V]) any() Kind {
	return Kind{Name: k.name, Vital: k.vital, Retired: k.retired, Parse: func(name string, b []byte) (any, Leads, error) {
		key, ok := k.decode(name)
		if !ok {
			return nil, Leads{}, fmt.Errorf("%w: its key is none of a %s record", ErrDamaged, k.name)
		}
		v := new(V)
		if err := k.parse(b, v); err != nil {
			return nil, Leads{}, err
		}
		if k.leads == nil {
			return v, Leads{}, nil
		}
		return v, k.leads(key, v), nil
	}}
}
