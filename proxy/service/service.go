// Package service is what the proxy does between a client's request and its answer: it resolves names, asks upstreams,
// decides what a tag stands for, has images rechunked and finds blobs.
//
// It implements the interfaces of package registry for clients, and those of package admin for operators.
package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/keylock"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk"
)

// Rules tell how a repository is treated.
type Rules interface {
	// Rule returns the settings of a repository, "host/path", complete with all defaults.
	Rule(repository string) config.Rule
}

// Options are what a Service is made of. Chunks, Upstream, Rules and WorkDir are needed.
type Options struct {
	Chunks   *chunkstore.Store
	Upstream *client.Client
	Rules    Rules
	// Names reads the references that operators give.
	Names name.Parser
	// Storage says where the store is, for status.
	Storage StorageName
	// Counters keep what clients pulled; records in Chunks by default.
	Counters pulls.Counters
	// Leases let one of several replicas on the same store do a thing; nil says that there are no others.
	Leases *lease.Leases
	// Redis tells status how the Redis fares that replicas share; nil says that there is none.
	Redis func() *admin.RedisReport
	// Metrics may be nil.
	Metrics *metrics.Metrics
	// RecordAge is how old a tag's record may be, as another process may have changed it, when a client is answered by it; that of a
	// manifest may be 60 times as old. 0 asks the store.
	RecordAge time.Duration
	// WorkDir holds temporary files.
	WorkDir string
	// WorkBytes bounds the downloads on their way in WorkDir, in bytes; 0 means no bound.
	WorkBytes int64
	// Jobs is the number of images that are rechunked at once.
	Jobs int
	// Version is that of the program.
	Version string
	Logger  *slog.Logger
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// StorageName says where a store is.
type StorageName struct {
	Driver string
	// Location is a directory or bucket; it holds no secrets.
	Location string
}

// Service is the proxy behind its protocol. It is safe for concurrent use.
type Service struct {
	Options
	records *catalog.Records
	blobs   *state.Store
	tally   *pulls.Tally
	engine  *rechunk.Engine
	flights *flight.Group
	jobs    *jobs
	size    storeSize
	started time.Time

	// ctx is the service's own: work that several clients wait for belongs to none of them.
	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	checks    singleflight.Group // of tags
	fetches   singleflight.Group // of manifests
	stats     singleflight.Group // of blobs
	listings  singleflight.Group // of tags
	tagLocks  keylock.Locks      // held while a tag's record changes
	parts     *parts
	outages   outages
	losses    losses
	tagLists  tagLists
	madeBlobs madeBlobs
	lastKnown lastKnown

	activity activity
	verified verified

	mu      sync.Mutex
	updates map[string]*update // by tag: the one that may move it
	closed  bool
}

var (
	_ registry.Manifests = (*Service)(nil)
	_ registry.Blobs     = (*Service)(nil)
	_ registry.Redirects = (*Service)(nil)
	_ registry.Listings  = (*Service)(nil)
	_ registry.Referrers = (*Service)(nil)
)

// New makes a service. Close ends it.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Counters == nil {
		o.Counters = pulls.NewRecorded(o.Chunks)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	st := state.New(o.Chunks, o.Logger)
	s := &Service{
		Options: o,
		records: catalog.New(o.Chunks, o.Logger),
		blobs:   st,
		tally:   pulls.New(pulls.Options{Counters: o.Counters, Now: o.Now, Logger: o.Logger}),
		engine:  rechunk.New(rechunk.Config{Store: st, Records: st, Locker: locker(o.Leases), WorkDir: o.WorkDir, Logger: o.Logger}),
		flights: flight.New(flight.Options{WorkDir: o.WorkDir, Sink: state.NewSink(o.Chunks), MaxBytes: maxBlob, SpoolBytes: o.WorkBytes, Logger: o.Logger}),
		started: o.Now(),
		ctx:     ctx, stop: stop,
		parts:     newParts(o.Upstream),
		updates:   map[string]*update{},
		madeBlobs: newMadeBlobs(),
		verified:  newVerified(),
		lastKnown: newLastKnown(),
	}
	s.jobs = newJobs(s, max(o.Jobs, 1))
	s.beside(s.tally.Run)
	return s
}

// Pulls counts what clients pull. Manifests it is told of by Manifest; whoever sends blobs tells it of layers.
func (s *Service) Pulls() *pulls.Tally { return s.tally }

// Lineages returns what edits the records of lineages in turn with the jobs that write them.
func (s *Service) Lineages() *rechunk.Engine { return s.engine }

// locker makes the engine wait for other replicas, where there are any.
func locker(leases *lease.Leases) rechunk.Locker {
	if leases == nil {
		return nil
	}
	return state.NewLocker(leases, turnTTL)
}

// maxBlob bounds one blob, in bytes.
const maxBlob = 64 << 30
