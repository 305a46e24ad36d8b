package wiring

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/artifacts"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/updates"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// artifacts makes what makes delta artifacts.
func (r *Rooms) artifacts(o Options, manifests *content.Manifests, store *state.Store, space *workspace.Budget) {
	limits := o.deltaLimits()
	options := artifacts.Options{
		Engine: r.Engine, Manifests: manifests, Source: r.Blobs.Source, History: r.history,
		Records: r.Records, Chunks: o.Chunks, Proofs: manifests.Proofs, Rule: o.Rule,
		Tools: imagedelta.Tools{Scratch: scratch.New(o.WorkDir, space), Encoders: encoders(o),
			Memory: int64(limits.Memory) / int64(max(limits.CPU, 1))},
		Work: r.Work, Leases: o.Leases, Metrics: o.Metrics, Logger: o.Logger, Now: o.Now,
	}
	if limits.CPU > 0 {
		options.Turn = func(ctx context.Context) (int, func(), error) { return r.Deltas.Turn(ctx) }
	}
	r.Artifacts = artifacts.New(options)
	r.Updates = updates.New(r.Engine, r.Records, o.Chunks, store)
}

// deltaLimits are those of the configuration, or none.
func (o Options) deltaLimits() config.Deltas {
	if o.Deltas == nil {
		return config.Deltas{}
	}
	return o.Deltas()
}

// published tells those of a new image who make something ahead of it.
func (r *Rooms) published(repo name.Repository, manifest digest.Digest) {
	r.Deltas.Published(repo, manifest)
	r.Artifacts.Published(repo, manifest)
	r.Casync.Published(repo, manifest)
}
