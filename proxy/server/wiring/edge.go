package wiring

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// Edge says how images come from other Stratas.
type Edge struct {
	// Behind reports whether a registry's images do.
	Behind   func(host string) bool
	Settings func() via.Settings
	// KeepsLayers says that layers stay in the store and are seeds; Roots are root file systems that are.
	KeepsLayers bool
	Roots       []via.Root
	// Parallel is how many encoders run at once.
	Parallel int
}

// behind reports whether a registry's images come from another Strata.
func (o Options) behind(host string) bool { return o.Edge != nil && o.Edge.Behind(host) }

// edge makes the room that fetches from other Stratas, or returns nil where nothing says that there are any.
func (r *Rooms) edge(o Options, store *state.Store, space *workspace.Budget) *via.Source {
	if o.Edge == nil {
		return nil
	}
	if o.Edge.KeepsLayers {
		r.seeds = seed.NewStore(seed.StoreOptions{Layers: store, Dir: o.WorkDir, Space: space, Logger: o.Logger})
	}
	if o.Encoders != nil {
		r.Work.Go("speed of encoders", func(ctx context.Context) {
			if err := o.Encoders.Measure(ctx); err != nil && ctx.Err() == nil {
				o.Logger.InfoContext(ctx, "how fast encoders are is found out in use", "error", err)
			}
		})
	}
	return via.New(via.Options{
		Central: o.Upstream, Behind: o.Edge.Behind, Settings: o.Edge.Settings,
		Family: func(repository string) string { return o.Rule(repository).Family }, Images: r.Records.EdgeImages,
		Stored: o.Chunks, Store: r.seeds, Roots: o.Edge.Roots, Encoders: o.Encoders, Parallel: o.Edge.Parallel,
		Scratch: scratch.New(o.WorkDir, space), Work: r.Work, Metrics: o.Metrics, Logger: o.Logger, Now: o.Now,
	})
}

// contents are where manifests and blobs come from.
type contents interface {
	content.ManifestSource
	content.BlobSource
}

// source is what the pull path fetches from.
func (r *Rooms) source(o Options) contents {
	if r.Edge != nil {
		return r.Edge
	}
	return o.Upstream
}

// transient tells which blobs are not kept; nil: all are.
func (r *Rooms) transient() func(context.Context, name.Repository, digest.Digest) bool {
	if r.Edge == nil {
		return nil
	}
	return r.Edge.Transient
}

// next asks another Strata for deltas; nil: there is none.
func (r *Rooms) next() central.Next {
	if r.Edge == nil {
		return nil
	}
	return r.Edge.OpenDelta
}

// encoders are those of the options: an interface that is nil where there are none.
func encoders(o Options) delta.Encoders {
	if o.Encoders == nil {
		return nil
	}
	return o.Encoders
}

// edgeReport tells of what comes from other Stratas; nil where nothing does.
func (r *Rooms) edgeReport() func() via.Report {
	if r.Edge == nil {
		return nil
	}
	return r.Edge.Report
}
