// Package via fetches an edge's images from another Strata, its central: as they are there, to the byte. Of a layer that the
// edge lacks it asks for a delta, how to make it of the images that are here, and fetches the layer whole where there is
// none or where anything about it goes wrong.
package via

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/delta"
)

// Contents is what registries give, other Stratas among them.
type Contents interface {
	Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error)
	StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
	Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error)
	BlobRange(ctx context.Context, repo name.Repository, d digest.Digest, offset, length int64) (io.ReadCloser, error)
}

// Deltas is what other Stratas give beside it.
type Deltas interface {
	DeltaFormats(ctx context.Context, repo name.Repository) (string, error)
	Delta(ctx context.Context, repo name.Repository, r client.DeltaRequest) (client.Delta, error)
	LeadsBack(ctx context.Context, repo name.Repository) (bool, error)
}

// Central is the way to registries and to other Stratas; a client.Client.
type Central interface {
	Contents
	Deltas
}

// Stored is the edge's own store.
type Stored interface {
	Stat(ctx context.Context, d digest.Digest) (int64, error)
	Get(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// Encoders wrap, and know how fast they are: Pace is how many seconds this machine takes for one of a common one.
type Encoders interface {
	delta.Encoders
	Pace() float64
	// Measure finds that out, in a second of a core.
	Measure(ctx context.Context) error
}

// Root is a root file system whose files are seeds. Image is the manifest that it holds, if it was told; else it is asked.
type Root struct {
	*seed.Root
	Told digest.Digest
}

// holds returns the manifest of the image that a root file system has the files of.
func (r Root) holds() (digest.Digest, error) {
	if r.Told == "" {
		return r.Image()
	}
	files, err := r.Files()
	if err != nil {
		return "", err
	}
	return r.Told, files.Close()
}

// Settings are what may change while the edge runs.
type Settings struct {
	// Wait is how long a delta that is being made is waited for.
	Wait time.Duration
	// FewestBytes asks for deltas that cost the fewest bytes, whatever wrapping takes.
	FewestBytes bool
}

// Options are what a Source is made of; all are needed but for Store, Roots, Encoders, Metrics and Logger.
type Options struct {
	Central Central
	// Behind reports whether a registry's images come from another Strata.
	Behind   func(host string) bool
	Settings func() Settings
	// Family names the lineage of a repository, "host/path"; images of one family resemble each other.
	Family func(repository string) string
	Images *catalog.Table[string, catalog.EdgeImages]
	Stored Stored
	// Store has the files of images whose layers are stored; nil: these are no seeds, and layers are not kept.
	Store *seed.Store
	Roots []Root
	// Encoders wrap again, so many at once; nil: nothing is wrapped.
	Encoders Encoders
	Parallel int
	Scratch  delta.Scratch
	Work     *background.Group
	Metrics  *metrics.Metrics
	Logger   *slog.Logger
	Now      func() time.Time
}

// Source is where contents come from. What is not behind another Strata is the registry's own. It is safe for concurrent
// use.
type Source struct {
	Options
	images *images
	failed *lru.Cache[pair, failure]
	tally  tally
	asking *background.Shared[bool] // what centrals make
	ways   *background.Shared[bool] // where they lead
	slots  chan struct{}            // holds a token for each layer that is being made

	mu       sync.Mutex
	centrals map[string]*central // by host, as repositories are called
}

// leastAtOnce is how many layers are made at the same time, or one for each encoder that may run: each takes up to 256 MiB
// of memory.
const leastAtOnce = 2

// New returns a Source.
func New(o Options) *Source {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Encoders != nil {
		o.Encoders = timed{o.Encoders, o.Metrics}
	}
	o.Parallel = max(o.Parallel, 1)
	failed, _ := lru.New[pair, failure](maxFailed) // fails for sizes below 1 only
	s := &Source{
		Options: o, images: newImages(o), failed: failed,
		tally: tally{reasons: map[string]int64{}, roots: map[string]string{}, recent: pairs.NewRecent()},
		slots: make(chan struct{}, max(leastAtOnce, o.Parallel)), centrals: map[string]*central{},
		asking: background.NewShared[bool](o.Work, "question to a central"),
		ways:   background.NewShared[bool](o.Work, "question for the way"),
	}
	for _, root := range o.Roots { // one that was mistyped is told at the start
		_, err := root.holds()
		s.rootIs(context.Background(), root.Dir(), err)
	}
	return s
}

// Manifest fetches a manifest. That of an image from another Strata is remembered: its layers may be asked for as deltas.
func (s *Source) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error) {
	m, err := s.Central.Manifest(ctx, repo, ref)
	switch {
	case !s.Behind(repo.Host()):
	case err == nil:
		s.images.note(ctx, repo, m.Digest, m.Bytes)
	case upstream.Is(err, upstream.NotFound):
		s.suspect(repo)
	}
	return m, err
}

// StatBlob returns a blob's size without fetching it.
func (s *Source) StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	return s.Central.StatBlob(ctx, repo, d)
}

// BlobRange streams a part of a blob, unverified.
func (s *Source) BlobRange(ctx context.Context, repo name.Repository, d digest.Digest, offset, length int64,
) (io.ReadCloser, error) {
	return s.Central.BlobRange(ctx, repo, d, offset, length)
}

// Blob streams a blob that verifies itself, and returns its size: made here of a delta, or as it is. size is what the caller
// expects, -1 for anything. ctx lasts until Close.
func (s *Source) Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error) {
	if !s.Behind(repo.Host()) {
		return s.Central.Blob(ctx, repo, d, size)
	}
	l, known := s.images.layer(ctx, repo, d)
	if !known || size >= 0 && size != l.size {
		return s.whole(ctx, repo, d, size)
	}
	making, ended := tracing.Start(ctx, "layer from a delta", "repository", repo, "layer", d)
	m, why, err := s.begin(making, repo, l)
	if why != "" {
		tracing.Note(making, "whole", string(why))
		ended(err)
		s.wentWhole(ctx, repo, "", l, why, err)
		body, n, err := s.whole(ctx, repo, d, l.size)
		if err != nil {
			s.forgive(d)
		}
		return body, n, err
	}
	told := m.tell
	m.tell = func(err error) {
		told(err)
		ended(err)
	}
	return m, l.size, nil
}

// whole fetches a blob as it is.
func (s *Source) whole(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64,
	error) {
	body, n, err := s.Central.Blob(ctx, repo, d, size)
	if err != nil {
		return nil, 0, err
	}
	return &measured{ReadCloser: body, link: &s.central(repo.Host()).link, now: s.Now}, n, nil
}

// Transient reports whether a blob is only passed on: a layer, where the host itself has the files.
func (s *Source) Transient(ctx context.Context, repo name.Repository, d digest.Digest) bool {
	if s.Store != nil || !s.Behind(repo.Host()) {
		return false
	}
	_, known := s.images.layer(ctx, repo, d)
	return known
}
