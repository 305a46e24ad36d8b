// Package rechunk makes a served image of a source image: same filesystem, layers by content, the next update as small as it
// can be. It knows no HTTP and no registry; where bytes come from and go to are interfaces of this file.
//
// One run reads each source layer once as a stream, flattens the layers to a tree (package tree), asks who owns what
// (pkgdb), decides the layout against the images served before (plan), writes the new layers (layer), reads them back and
// compares the result with the tree. Only an image that is the same filesystem is published.
package rechunk

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Source gives the blobs of a source image. It is safe for concurrent use.
type Source interface {
	// Blob opens a blob of the image's manifest from its first byte. A read that reaches io.EOF has verified size and
	// digest; wrong bytes are an error instead. The caller closes it.
	Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
}

// Store keeps blobs by digest. It is safe for concurrent use.
type Store interface {
	// Open opens a stored blob; one that is missing is an error that wraps ErrNotFound. A read that reaches io.EOF has
	// verified the digest; wrong bytes are an error instead, which wraps ErrNotFound, too: what is damaged can be made
	// again.
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	// Has reports whether a blob is stored.
	Has(ctx context.Context, d digest.Digest) (bool, error)
	// Create begins a blob.
	Create(ctx context.Context) (BlobWriter, error)
}

// BlobWriter writes one blob.
type BlobWriter interface {
	io.Writer
	// Commit publishes what was written, atomically, and returns its SHA-256 digest. To commit a blob that is stored already
	// is no error.
	Commit(ctx context.Context) (digest.Digest, error)
	// Cancel drops what was written; after Commit it does nothing.
	Cancel(ctx context.Context) error
}

// Records keep small documents by kind and key. Writing replaces a record atomically. They are safe for concurrent use.
type Records interface {
	// GetRecord returns a record; one that is missing is an error that wraps ErrNotFound.
	GetRecord(ctx context.Context, kind, key string) ([]byte, error)
	PutRecord(ctx context.Context, kind, key string, b []byte) error
}

var (
	// ErrNotFound is what implementations of Store and Records wrap for what they do not have.
	ErrNotFound = errors.New("not found")
	// ErrPassThrough marks an image that is served as it is, by its nature and not by a failure.
	ErrPassThrough = image.ErrPassThrough
	// ErrNotSame marks a result that is not the source's filesystem. Nothing was published; it is a bug in this program
	// or in its storage.
	ErrNotSame = errors.New("rechunked image is not the same filesystem")
)

// Config is what an Engine needs.
type Config struct {
	Store   Store
	Records Records
	// Locker keeps engines of other processes from a lineage; nil when there are none on the same store.
	Locker Locker
	// WorkDir holds temporary files, as large as the uncompressed image.
	WorkDir string
	// Space bounds the contents of images there; nil is no bound.
	Space scan.Space
	// Parallel bounds the layers that are read or written at once; default GOMAXPROCS.
	Parallel int
	// Limits bound source images.
	Limits tree.Limits
	// Deadline bounds the time that one image may take.
	Deadline Deadline
	Logger   *slog.Logger
}

// Engine rechunks images. It is safe for concurrent use; images of one lineage are worked on one after another.
type Engine struct {
	cfg   Config
	mu    sync.Mutex
	locks map[string]*lineageLock
}

// New makes an engine.
func New(cfg Config) *Engine {
	if cfg.Parallel <= 0 {
		cfg.Parallel = runtime.GOMAXPROCS(0)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Limits = cfg.Limits.OrDefault()
	return &Engine{cfg: cfg, locks: map[string]*lineageLock{}}
}

// Request asks for one image.
type Request struct {
	// Lineage names the images that this one is planned against: a repository or a family of them.
	Lineage string
	// Reference names the series that the image is the newest of, such as a repository's tag; it may be empty. Of a lineage
	// that several series share, none is forgotten for the others.
	Reference string
	// Digest and Manifest are the source's platform manifest. The caller has verified them.
	Digest   digest.Digest
	Manifest []byte
	Source   Source
	Options  Options
	// Demand is what clients of the lineage ask for; the zero value is a default mix.
	Demand plan.Demand
	// Progress is told how the work goes on; may be nil. It is called from several goroutines.
	Progress func(Progress)
	// Ready is told of each layer of the image in the making: of kept ones when it is planned, of new ones once they are
	// stored and were read back. The image may still come to nothing. It may be nil, and is called from several goroutines.
	Ready func(ocispec.Descriptor)
}

// Progress is a point in a run.
type Progress struct {
	// Phase is "fetch", "plan", "write" or "verify".
	Phase string
	// Done and Total are bytes of that phase; Total is 0 when unknown.
	Done, Total int64
}

// Result describes a served image.
type Result struct {
	SourceDigest digest.Digest `json:"source_digest"`
	Digest       digest.Digest `json:"digest"`
	MediaType    string        `json:"media_type"`
	Size         int64         `json:"manifest_size"`
	Platform     string        `json:"platform"`
	LayersTotal  int           `json:"layers_total"`
	LayersKept   int           `json:"layers_kept"`
	LayersNew    int           `json:"layers_new"`
	// NewBytes and TotalBytes are compressed; StaleBytes is an estimate.
	NewBytes   int64 `json:"new_bytes"`
	TotalBytes int64 `json:"total_bytes"`
	StaleBytes int64 `json:"stale_bytes"`
	// SourceBytes are the source's layers, SourceNewBytes those that the image before in the lineage did not have.
	SourceBytes    int64   `json:"source_bytes"`
	SourceNewBytes int64   `json:"source_new_bytes"`
	Seconds        float64 `json:"seconds"`
	// NoiseKept counts the files that stayed as they were served before, since the source's differ in build noise only.
	NoiseKept int `json:"noise_kept,omitempty"`
	// UnkeptBytes are those of the layers of the version before that are of another format or form, so that none of them
	// could be kept: hosts download them once more.
	UnkeptBytes int64 `json:"unkept_bytes,omitempty"`
	// Sequence counts the versions of the lineage from 1.
	Sequence int `json:"sequence"`
	// Reused says that an earlier run had made the image, and that this one did nothing.
	Reused bool `json:"-"`
}
