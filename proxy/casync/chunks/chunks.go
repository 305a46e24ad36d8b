// Package chunks serves images as chunks and indexes, for casync and desync.
//
// A layer is cut once, however many images have it and however many ask, on whichever replica: under a lease, one image at a
// time, as a stream. The chunks of an image's archive follow from those of its layers. Chunks are stored like blobs and
// go first when the quota gets tight; what is gone is made again when somebody asks for it.
package chunks

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Images are what clients pull, by the same rules.
type Images interface {
	Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error)
	// Shown returns nil for an image that clients of a repository may have, by proof and signature.
	Shown(ctx context.Context, repo name.Repository, manifest digest.Digest) error
	// Policy names what signatures are checked by. What was shown by another is not known to be shown by this one.
	Policy(repo name.Repository) string
	OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error)
}

// Manifests have manifests by their digest, for work that is no client's.
type Manifests interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
}

// Proofs know what a repository may serve.
type Proofs interface {
	Has(ctx context.Context, repo name.Repository, d digest.Digest) bool
}

// Content is the store as who verifies what it reads sees it.
type Content interface {
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}

// Metrics are told of what is cut.
type Metrics interface {
	// LayerCut tells of a layer, by the bytes of its tar stream.
	LayerCut(bytes int64)
	// ImageCut tells of an image, or of what kept it from being cut.
	ImageCut(err error)
}

// Settings are what the configuration says.
type Settings struct {
	// On says that images are served as chunks at all.
	On bool
	// Sizes are those that clients may ask for; the first is what they get otherwise.
	Sizes []casync.Sizes
	// Keep is how many bytes of chunks stay in the store.
	Keep int64
	// Always says that each new image has chunks of the size by default, whether or not somebody asked for its repository's.
	Always bool
}

// Options are what Chunks are made of; what may be left out says so.
type Options struct {
	Settings  func() Settings
	Images    Images
	Manifests Manifests
	Proofs    Proofs
	Chunks    *chunkstore.Store
	Content   Content
	Records   *catalog.Records
	Work      *background.Group
	// Leases keep other replicas from cutting the same; nil says that there are none.
	Leases *lease.Leases
	// Parallel is how many chunks are compressed and stored at once, 4 by default; Wait how long a client waits for what is
	// made, 45 seconds by default.
	Parallel int
	Wait     time.Duration
	Logger   *slog.Logger
	// Metrics may be nil.
	Metrics Metrics
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Chunks serve images as chunks. They are safe for concurrent use.
type Chunks struct {
	Options
	tables  *tables
	known   *lru.Cache[string, knownIndexes] // by repository
	shown   *lru.Cache[shownBy, time.Time]
	failed  *lru.Cache[string, failure]
	images  *background.Shared[*table]
	layers  *background.Shared[*layerList]
	turn    chan struct{} // held by who makes an image
	waiting atomic.Int64
	tidying atomic.Bool
	jobs    jobList

	mu      sync.Mutex
	packers map[casync.Sizes]*packer
}

const (
	maxKnown = 1024
	// maxWaiting bounds the images that wait for being cut.
	maxWaiting = 32
)

var _ registry.Chunks = (*Chunks)(nil)

// New returns chunks.
func New(o Options) *Chunks {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = nobody{}
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Wait <= 0 {
		o.Wait = 45 * time.Second // desync gives up after a minute
	}
	c := &Chunks{Options: o, tables: newTables(), turn: make(chan struct{}, 1), packers: map[casync.Sizes]*packer{},
		images: background.NewShared[*table](o.Work, "chunks of an image"),
		layers: background.NewShared[*layerList](o.Work, "chunks of a layer")}
	c.known, _ = lru.New[string, knownIndexes](maxKnown) // these fail for sizes below 1 only
	c.shown, _ = lru.New[shownBy, time.Time](maxKnown)
	c.failed, _ = lru.New[string, failure](maxKnown)
	return c
}

// nobody is told of nothing.
type nobody struct{}

func (nobody) LayerCut(int64) {}
func (nobody) ImageCut(error) {}

// packer compresses chunks of some sizes, and takes them apart.
type packer struct {
	*casync.Encoder
	*casync.Decoder
}

// packer returns the one for chunks of these sizes. There are as few as the configuration names sizes.
func (c *Chunks) packer(s casync.Sizes) (*packer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.packers[s]; p != nil {
		return p, nil
	}
	e, err := casync.NewEncoder(s)
	if err != nil {
		return nil, err
	}
	d, err := casync.NewDecoder(s)
	if err != nil {
		return nil, err
	}
	c.packers[s] = &packer{e, d}
	return c.packers[s], nil
}

// ChunkURL implements registry.Chunks.
func (c *Chunks) ChunkURL(r *http.Request, chunk registry.Chunk) string {
	if _, err := c.Chunks.Stat(r.Context(), chunk.Packed); err != nil {
		return "" // it is made again where it is read
	}
	url, err := c.Chunks.RedirectURL(r, chunk.Packed)
	if err != nil {
		c.Logger.WarnContext(r.Context(), "chunk could not be redirected and is served", "chunk", chunk.ID.String(), "error",
			err)
		return ""
	}
	return url
}
