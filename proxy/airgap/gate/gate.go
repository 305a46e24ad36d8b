// Package gate holds what a file brings to the proxy's configuration before it comes in: signatures are looked for in the
// file and in the store, and nobody is asked. It lets tags stand for what may come in, as the proxy itself does, and takes
// images of Stratas into their lineages.
package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/pull/tags"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// Options are what a Gate is made of; all are needed but for Rule, Engine, Leases, Beside and the two choices.
type Options struct {
	Chunks  *chunkstore.Store
	Records *catalog.Records
	// Rule returns the settings of a repository, "host/path"; nil: the defaults.
	Rule func(repository string) config.Rule
	// Engine reads images of Stratas; nil: none are taken into lineages.
	Engine *rechunk.Engine
	// Leases and Beside keep others from a tag while it moves.
	Leases *lease.Leases
	Beside func(ctx context.Context, name string) (unlock func(), err error)
	// Force lets in what is not signed as configured, and earlier images of a tag.
	Force bool
	// Signs says that the proxy signs what Stratas made itself.
	Signs  bool
	Logger *slog.Logger
	Now    func() time.Time
}

// Gate is for one file.
type Gate struct {
	Options
	work  *background.Group
	held  *held
	guard *trust.Guard
	tags  *tags.Tags
	// verdicts are those on images of the file. They are in no store until the file comes in.
	verdicts *catalog.Records
	record   func() error
}

var _ airgap.Gate = (*Gate)(nil)

// New makes a gate. Close ends it.
func New(ctx context.Context, o Options) (*Gate, error) {
	driver, err := chunkstore.OpenDriver(ctx, "inmemory", nil)
	if err != nil {
		return nil, err
	}
	apart, err := chunkstore.NewContext(ctx, driver, chunkstore.Options{Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if o.Rule == nil {
		o.Rule = (&config.Config{}).Rule
	}
	g := &Gate{Options: o, verdicts: catalog.New(apart, o.Logger),
		work: background.New(background.Options{Logger: o.Logger, Now: o.Now})}
	g.held = &held{chunks: o.Chunks, records: o.Records}
	g.guard = trust.NewGuard(trust.GuardOptions{
		Rule: o.Rule, Upstream: source{g.held}, Manifests: g.held, Verdicts: g.verdicts.Verdicts, Metrics: uncounted{},
		Work: g.work, Logger: slog.New(slog.DiscardHandler), Now: o.Now,
	})
	g.tags = tags.New(tags.Options{
		Manifests: g.held, Records: o.Records.Tags, Guard: g.guard, Rule: o.Rule, Work: g.work, Leases: o.Leases,
		Refusals: &trust.Refusals{Records: o.Records.Refusals, Policy: g.guard.Policy, Logger: o.Logger, Now: o.Now},
		Beside:   o.Beside, Logger: o.Logger, Now: o.Now,
	})
	g.record = sync.OnceValue(func() error { return g.keepVerdicts(ctx) })
	return g, nil
}

// Close ends what the gate began.
func (g *Gate) Close(ctx context.Context) error { return g.work.Close(ctx) }

// uncounted counts no verdicts: the proxy's metrics are elsewhere.
type uncounted struct{}

// Verified implements trust.Metrics.
func (uncounted) Verified(bool) {}

func brought(b airgap.Brought) tags.Brought {
	return tags.Brought{Digest: b.Image.Digest, MediaType: b.Image.MediaType, Source: b.Source.Digest,
		SourceType: b.Source.MediaType}
}

// Hold implements airgap.Gate, and so do the next three.
func (g *Gate) Hold(file airgap.Held) { g.held.file = file }

// Check looks for signatures.
func (g *Gate) Check(ctx context.Context, b airgap.Brought) error {
	tag := b.Tag
	if tag.IsDigest() {
		tag = ""
	}
	err := g.tags.MayBring(ctx, b.Repository, tag, brought(b))
	var said *registry.Error
	if err == nil {
		return g.displaces(ctx, b)
	}
	if !errors.As(err, &said) {
		return err
	}
	if g.Force && !b.Tag.AboutImage() {
		g.Logger.WarnContext(ctx, "imported all the same", "image", b.String(), "reason", said.Message)
		return nil
	}
	return fmt.Errorf("%s: %s; nothing was imported, --force does all the same", b, said.Message)
}

// Bring lets a tag stand for an image. Lists and signatures are what images are checked by, and are not checked themselves.
func (g *Gate) Bring(ctx context.Context, b airgap.Brought) error {
	if err := g.record(); err != nil {
		return err
	}
	return g.tags.Bring(ctx, b.Repository, b.Tag, brought(b), g.Force || b.Tag.AboutImage())
}

// keepVerdicts records what was found out about the images. A refusal says why they are not shown while nobody can be asked,
// and takes nothing from what passed before.
func (g *Gate) keepVerdicts(ctx context.Context) error {
	return g.verdicts.Verdicts.Each(ctx, catalog.Prefix[catalog.ContentKey]{},
		func(k catalog.ContentKey, v *catalog.Verdict) error {
			if !v.Passed {
				now, err := g.Records.Verdicts.Get(ctx, k)
				if err != nil {
					return err
				}
				refused := *v
				refused.Was = now.LastPassed()
				v = &refused
			}
			return g.Records.Verdicts.Put(ctx, k, v)
		})
}

// Take takes an image into its lineage. One that the rule would not have rechunked, or in another format, is left: it is
// served as it is, until the upstream has another.
func (g *Gate) Take(ctx context.Context, b airgap.Brought, under name.Reference) error {
	rule := g.Rule(b.Repository.String())
	if g.Engine == nil || rule.Rechunk == config.RechunkNever {
		return nil
	}
	of := rechunk.Made{Source: b.Source.Digest, Proven: b.Made()}
	if m, err := image.ReadManifest(b.Source.Bytes); err == nil && b.Made() {
		of.Layers = m.Layers
	}
	req := jobs.RequestOf(b.Repository, under, rule)
	req.Digest, req.Manifest, req.Source = b.Image.Digest, b.Image.Bytes, g.held
	_, err := g.Engine.Take(ctx, req, of)
	if err != nil && ctx.Err() == nil && !errors.Is(err, chunkstore.ErrNoSpace) {
		g.Logger.WarnContext(ctx, "later versions will not be laid out after an image", "image", b.String(), "digest",
			b.Image.Digest.String(), "error", err)
		return nil
	}
	return err
}
