// Package artifacts makes the delta artifacts that rules ask for, after an image was published, and lists them: what hosts
// pull that take oci-deltas. docs/delta-artifacts.md has the artifacts, docs/formats.md the record.
//
// They are made one at a time, when there is time: nobody waits for one. What was made is content like any other, belongs to
// its target, and is evicted first.
package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk"
)

// Engine takes images apart.
type Engine interface {
	Inspect(ctx context.Context, req rechunk.Request) (*rechunk.Inspection, error)
}

// Manifests have manifests by digest, for repositories that may have them.
type Manifests interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
}

// History has the versions of a family.
type History interface {
	Walk(ctx context.Context, family string, fn func(family string, versions []rechunk.Version) error) error
}

// Proofs know what a repository may serve.
type Proofs interface {
	Has(ctx context.Context, repo name.Repository, d digest.Digest) bool
	Image(ctx context.Context, repo name.Repository, manifest digest.Digest, made bool)
}

// Options are what Artifacts are made of; all are needed but for Leases.
type Options struct {
	Engine    Engine
	Manifests Manifests
	// Source has the blobs of a repository's images.
	Source  func(repo name.Repository) rechunk.Source
	History History
	Records *catalog.Records
	Chunks  *chunkstore.Store
	Proofs  Proofs
	// Turn waits for the processors that an artifact is made with, and returns how many there are and what gives them back.
	// Nil: none is made.
	Turn func(ctx context.Context) (cpus int, leave func(), err error)
	// Rule returns the settings of a repository, "host/path".
	Rule func(repository string) config.Rule
	// Tools make the deltas.
	Tools imagedelta.Tools
	Work  *background.Group
	// Leases keep other replicas from making the same; nil says that there are none.
	Leases  *lease.Leases
	Metrics Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// Metrics count artifacts.
type Metrics interface {
	ArtifactMade(err error)
	ArtifactsWaiting(images int)
}

// Artifacts makes and lists artifacts. It is safe for concurrent use.
type Artifacts struct {
	Options

	mu      sync.Mutex
	waiting []published
	missed  []published // by a process before, or when there were too many; they come last
	failed  failures
	wake    chan struct{}
}

// published is an image that artifacts may lead to.
type published struct {
	repo     name.Repository
	manifest digest.Digest
}

// maxWaiting bounds the images that wait; with more, the oldest come when all are looked through.
const maxWaiting = 64

// New returns artifacts, which Run makes.
func New(o Options) *Artifacts {
	return &Artifacts{Options: o, wake: make(chan struct{}, 1)}
}

// Published is told of an image that was made just now. It does not wait.
func (a *Artifacts) Published(repo name.Repository, manifest digest.Digest) {
	if a.Turn == nil || len(a.Rule(repo.String()).OCIDeltas.Back) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, published{repo, manifest})
	if n := len(a.waiting) - maxWaiting; n > 0 {
		a.Logger.Warn("too many images wait for delta artifacts, the oldest come later", "images", n)
		a.waiting = a.waiting[n:]
	}
	a.Metrics.ArtifactsWaiting(len(a.waiting) + len(a.missed))
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// image makes the artifacts that lead to an image from those before it that the rule names.
func (a *Artifacts) image(ctx context.Context, p published) error {
	rule := a.Rule(p.repo.String())
	series, err := a.series(ctx, rule.Family, p.manifest)
	if err != nil {
		return err
	}
	var failed error // one that cannot be made is no reason against others
	for _, back := range rule.OCIDeltas.Back {
		if back >= len(series) {
			continue
		}
		for _, pair := range pairs(series[0], series[back], rule.OCIDeltas.Images) {
			failed = errors.Join(failed, a.pair(ctx, p.repo, pair, rule))
		}
	}
	return failed
}

// pair is what an artifact leads to, and from. made is the version that target is the image of, if it was made here.
type pair struct {
	target, source digest.Digest
	made           *rechunk.Version
}

// encoder is what made a layer of the target, as far as that is known.
func (p pair) encoder(layer digest.Digest) string {
	if p.made == nil {
		return ""
	}
	for _, l := range p.made.Layers {
		if l.Digest == layer {
			return l.Encoder
		}
	}
	return ""
}

// pairs lists those between two versions.
func pairs(to, from rechunk.Version, of config.DeltaImages) []pair {
	var out []pair
	if of != config.DeltaUpstream {
		out = append(out, pair{to.Digest, from.Digest, &to})
	}
	if of != config.DeltaServed && to.SourceDigest != from.SourceDigest {
		out = append(out, pair{to.SourceDigest, from.SourceDigest, nil})
	}
	return out
}

// series finds a version of an image, and those before it that were made for the same reference, newest first; none when
// it is of no lineage.
func (a *Artifacts) series(ctx context.Context, family string, manifest digest.Digest) ([]rechunk.Version, error) {
	var out []rechunk.Version
	err := a.History.Walk(ctx, family, func(_ string, versions []rechunk.Version) error {
		for _, s := range history.Series(versions) {
			if i := slices.IndexFunc(s, func(v rechunk.Version) bool { return v.Digest == manifest }); i >= 0 && out == nil {
				out = s[i:]
			}
		}
		return nil
	})
	return out, err
}

// leaseTTL is how long others wait when a replica dies that makes an artifact, patience for how long they leave it to one
// that lives.
const (
	leaseTTL = 15 * time.Second
	patience = time.Hour
)

// pair makes one artifact, unless it is there.
func (a *Artifacts) pair(ctx context.Context, repo name.Repository, p pair, rule config.Rule) error {
	key := catalog.ArtifactKey{Target: p.target, Source: p.source, Format: string(rule.OCIDeltas.Format)}
	release, finished := a.Leases.Turn(ctx, "artifact "+key.String(), leaseTTL, patience, func(ctx context.Context) bool {
		rec, err := a.Records.Artifacts.Get(ctx, key)
		return rec != nil && err == nil && a.read(ctx, rec) != nil
	})
	if finished {
		return nil
	}
	defer release()
	if rec, err := a.Records.Artifacts.Get(ctx, key); err != nil || rec != nil && a.read(ctx, rec) != nil {
		return err
	}
	cpus, leave, err := a.Turn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var made *imagedelta.Made
	err = a.relying(ctx, func(ctx context.Context) error {
		if made, err = a.make(ctx, repo, p, imagedelta.Format(key.Format), cpus); err != nil {
			return err
		}
		return a.keep(ctx, repo, key, made)
	})
	if ctx.Err() == nil {
		a.Metrics.ArtifactMade(err)
	}
	if err != nil {
		return fmt.Errorf("from %s to %s: %w", p.source, p.target, err)
	}
	a.Logger.InfoContext(ctx, "delta artifact was made", "repository", repo.String(), "target", p.target.String(), "source",
		p.source.String(), "bytes", made.Costs.DeltaBytes, "layer_bytes", made.Costs.LayerBytes, "seconds",
		made.Costs.Seconds)
	return nil
}

// relying does work that stores what no record leads to yet, which a gc meanwhile leaves alone.
func (a *Artifacts) relying(ctx context.Context, work func(ctx context.Context) error) error {
	ended := make(chan error, 1)
	begun := a.Work.GoRelying(ctx, "delta artifact", func(ctx context.Context) {
		ended <- a.Work.Catch(ctx, "delta artifact", func() error { return work(ctx) })
	})
	if !begun {
		return background.ErrClosed
	}
	return <-ended
}

// keep stores what was made, the record last.
func (a *Artifacts) keep(ctx context.Context, repo name.Repository, key catalog.ArtifactKey, made *imagedelta.Made) error {
	d := digest.FromBytes(made.Manifest)
	if _, err := a.Chunks.Put(ctx, made.Manifest); err != nil {
		return err
	}
	rec := &catalog.Artifact{Digest: d, Size: int64(len(made.Manifest)), Type: made.Artifact.Type, Repository: repo.String(),
		At: a.Now().UTC(), Costs: *made.Costs}
	if err := a.Records.Artifacts.Put(ctx, key, rec); err != nil {
		return err
	}
	a.Proofs.Image(ctx, repo, d, true)
	return nil
}

func (a *Artifacts) make(ctx context.Context, repo name.Repository, p pair, f imagedelta.Format, cpus int) (
	made *imagedelta.Made, err error) {
	tools := a.Tools
	tools.Parallel = cpus
	err = a.both(ctx, repo, p.source, p.target, func(old, next imagedelta.Image, raw []byte) error {
		next.Encoder = p.encoder
		made, err = imagedelta.Make(ctx, old, next, raw, f, stored{a.Chunks}, tools)
		return err
	})
	return made, err
}

// both takes two images of a repository apart.
func (a *Artifacts) both(ctx context.Context, repo name.Repository, from, to digest.Digest,
	use func(old, next imagedelta.Image, raw []byte) error) error {
	old, _, err := a.inspect(ctx, repo, from)
	if err != nil {
		return err
	}
	defer old.Close()
	next, raw, err := a.inspect(ctx, repo, to)
	if err != nil {
		return err
	}
	defer next.Close()
	return use(old, next, raw)
}

func (a *Artifacts) inspect(ctx context.Context, repo name.Repository, d digest.Digest) (imagedelta.Image, []byte, error) {
	m, err := a.Manifests.Get(ctx, repo, d)
	if err != nil {
		return imagedelta.Image{}, nil, err
	}
	source := a.Source(repo)
	in, err := a.Engine.Inspect(ctx, rechunk.Request{Digest: d, Manifest: m.Bytes, Source: source,
		Progress: func(rechunk.Progress) {}})
	if err != nil {
		return imagedelta.Image{}, nil, fmt.Errorf("taking %s apart: %w", d, err)
	}
	return imagedelta.Image{Inspection: in, Blob: source.Blob}, m.Bytes, nil
}

// stored is the store as what takes blobs.
type stored struct{ chunks *chunkstore.Store }

// PutBlob implements imagedelta.Sink. What is there is written all the same: a gc may be about to remove it.
func (s stored) PutBlob(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	return s.chunks.PutFrom(ctx, chunkstore.Expected{Digest: d.Digest, Size: d.Size}, r)
}
