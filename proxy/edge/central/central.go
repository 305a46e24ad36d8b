// Package central makes the deltas that other Stratas ask for, keeps them, and makes those ahead that they are going to ask
// for.
//
// A delta is made once, however many ask for it, on whichever replica: under a lease, in a bounded line, as a stream that
// all who wait read at their own pace. It is stored like a blob, and goes before all other content.
package central

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// formats are the versions of the format that are made here.
const formats = delta.Version

// Make makes a delta, as delta.Make does.
type Make func(ctx context.Context, w io.Writer, t delta.Target, s delta.Seed, o delta.Options) (delta.Report, error)

// Next asks the central of this one for a delta: an open one, or a *registry.NoDelta.
type Next func(ctx context.Context, repo name.Repository, q registry.DeltaQuery) (*registry.Delta, error)

// Blobs tell whether a client may have a layer, and how long it is, as they do when it asks for the blob.
type Blobs interface {
	StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
}

// Images tell whether a client may have an image, by its signatures: one that is refused is no seed either.
type Images interface {
	// Shown returns nil for an image that may be shown.
	Shown(ctx context.Context, repo name.Repository, manifest digest.Digest) error
}

// Proofs know what a repository may serve.
type Proofs interface {
	Has(ctx context.Context, repo name.Repository, d digest.Digest) bool
}

// Content is the store as who verifies what it reads sees it.
type Content interface {
	Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}

// Metrics count deltas.
type Metrics interface {
	DeltaMade(bytes, layerBytes int64, seconds float64)
	DeltaRefused(reason string)
	DeltaAnswered(answer string)
	Deltas(waiting, running int, storedBytes int64)
}

// Options are what a Central is made of; what may be left out says so.
type Options struct {
	Chunks  *chunkstore.Store
	Content Content
	Records *catalog.Records
	Blobs   Blobs
	Images  Images
	Proofs  Proofs
	// Family names the lineage of a repository, "host/path".
	Family func(repository string) string
	// Lags tell how far behind clients are; nil: nothing is known.
	Lags Lags
	// Next may be nil: there is no central above this one.
	Next Next
	// Make is delta.Make by default.
	Make Make
	// Encoders may be nil: then nothing is wrapped again.
	Encoders delta.Encoders
	Work     *background.Group
	// Leases keep other replicas from making the same delta; nil says that there are none.
	Leases  *lease.Leases
	Metrics Metrics
	// WorkDir holds temporary files, which Space bounds.
	WorkDir string
	Space   *workspace.Budget
	// CPU is how many processors are used; with 0 no deltas are made.
	CPU int
	// Memory bounds what deltas that are being made hold together, in bytes, Queue how many wait for their turn. 0 stands
	// for 512 MiB and 256.
	Memory int64
	Queue  int
	// Keep is how many bytes of deltas stay in the store.
	Keep   func() int64
	Logger *slog.Logger
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Central makes and serves deltas. It is safe for concurrent use.
type Central struct {
	Options
	flights *flight.Group
	line    *line
	shelf   *shelf
	seeds   *seed.Store
	scratch *scratch.Dir
	images  *lru.Cache[digest.Digest, *seedImage]
	chosen  *lru.Cache[string, digest.Digest] // the best of several seeds for a layer
	asked   *lru.Cache[string, time.Time]     // when a way to ask was noted
	checks  checks
	seen    *lru.Cache[digest.Digest, time.Time] // when all of an image was seen in the store
	loading chan struct{}                        // holds a token while a seed is looked at

	mu       sync.Mutex
	jobs     map[digest.Digest]*job // that wait or are at work, by the digest of their keys
	hindered error                  // what the store failed with when a delta was last to be made; nil: it did not
}

const (
	maxImages = 3 // seeds whose lists of files are held: tens of megabytes each
	maxChosen = 4096
	maxAsked  = 4096
)

var _ registry.Deltas = (*Central)(nil)

// New returns a Central. Close ends it.
func New(o Options) *Central {
	if o.Make == nil {
		o.Make = delta.Make
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Memory <= 0 {
		o.Memory = 512 << 20
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	c := &Central{
		Options: o, line: newLine(o.CPU, o.Queue), shelf: newShelf(), scratch: scratch.New(o.WorkDir, o.Space),
		seeds: seed.NewStore(seed.StoreOptions{Layers: o.Content, Dir: o.WorkDir, Space: o.Space, Logger: o.Logger}),
		jobs:  map[digest.Digest]*job{}, checks: newChecks(), loading: make(chan struct{}, 1),
	}
	c.images, _ = lru.New[digest.Digest, *seedImage](maxImages) // these fail for sizes below 1 only
	c.seen, _ = lru.New[digest.Digest, time.Time](maxChosen)
	c.chosen, _ = lru.New[string, digest.Digest](maxChosen)
	c.asked, _ = lru.New[string, time.Time](maxAsked)
	c.flights = flight.New(flight.Options{
		WorkDir: o.WorkDir, Sink: sink{c}, MaxBytes: maxDelta, Space: o.Space, Logger: o.Logger,
	})
	c.Work.Go("deltas", c.keepShelf)
	return c
}

// maxDelta bounds one delta, in bytes: none is larger than nine tenths of its layer.
const maxDelta = 64 << 30

// Formats implements registry.Deltas.
func (c *Central) Formats() string {
	if c.off() {
		return ""
	}
	return formats
}

// off reports whether there are no deltas here.
func (c *Central) off() bool { return c.CPU <= 0 && c.Next == nil }

// Close ends what is being made, and waits for that or the end of ctx.
func (c *Central) Close(ctx context.Context) error {
	err := c.flights.Close(ctx)
	c.seeds.Close()
	return err
}
