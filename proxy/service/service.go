// Package service is what the proxy does between a client's request and its answer: it resolves names, asks upstreams,
// decides what a tag stands for, has images rechunked and finds blobs.
//
// It implements the interfaces of package registry for clients, and those of package admin for operators.
package service

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/upstream"
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
	Upstream *upstream.Client
	Rules    Rules
	// Names reads the references that operators give.
	Names name.Parser
	// Storage says where the store is, for status.
	Storage StorageName
	// Metrics may be nil.
	Metrics *metrics.Metrics
	// WorkDir holds temporary files.
	WorkDir string
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
	engine  *rechunk.Engine
	flights *flight.Group
	jobs    *jobs
	size    storeSize
	started time.Time

	// ctx is the service's own: work that several clients wait for belongs to none of them.
	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	checks  singleflight.Group
	mu      sync.Mutex
	updates map[string]*update
	// offline remembers when a tag could not be checked, so that an upstream that is out of reach is not asked on every pull.
	offline map[string]time.Time
	closed  bool
}

var (
	_ registry.Manifests = (*Service)(nil)
	_ registry.Blobs     = (*Service)(nil)
	_ registry.Listings  = (*Service)(nil)
	_ registry.Referrers = (*Service)(nil)
)

// errClosed is the cause with which the work of a closed service ends.
var errClosed = errors.New("the proxy is shutting down")

// New makes a service. Close ends it.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancelCause(context.Background())
	st := state.New(o.Chunks)
	s := &Service{
		Options: o,
		engine:  rechunk.New(rechunk.Config{Store: st, Records: st, WorkDir: o.WorkDir, Logger: o.Logger}),
		flights: flight.New(flight.Options{WorkDir: o.WorkDir, Sink: state.NewSink(o.Chunks), MaxBytes: maxBlob, Logger: o.Logger}),
		started: o.Now(),
		ctx:     ctx, stop: stop,
		updates: map[string]*update{},
		offline: map[string]time.Time{},
	}
	s.jobs = newJobs(s, max(o.Jobs, 1))
	return s
}

// maxBlob bounds one blob, in bytes.
const maxBlob = 64 << 30

// Stop stops jobs, which leave nothing half, and starts no more. Answers that are under way go on.
func (s *Service) Stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop(errClosed)
}

// Close stops jobs and downloads and waits for them until ctx ends.
func (s *Service) Close(ctx context.Context) error {
	s.Stop()
	err := s.flights.Close(ctx)
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

// background runs work that belongs to the service; it reports false when the service is closed.
func (s *Service) background(work func(ctx context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(func() { work(s.ctx) })
	return true
}

// tagKey names a tag in records and maps.
func tagKey(repo name.Repository, tag name.Reference) string {
	return repo.String() + ":" + string(tag)
}

// maxManifest bounds manifests, in bytes.
const maxManifest = 4 << 20

// manifestBytes returns a stored manifest.
func (s *Service) manifestBytes(ctx context.Context, d digest.Digest) ([]byte, error) {
	return s.Chunks.Get(ctx, d, maxManifest)
}
