package wiring

import (
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/artifacts"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// artifacts makes what makes delta artifacts.
func (r *Rooms) artifacts(o Options, manifests *content.Manifests, store *state.Store, space *workspace.Budget) {
	r.Artifacts = artifacts.New(artifacts.Options{
		Engine: r.Engine, Manifests: manifests, Source: r.Blobs.Source, History: history.New(r.Records.Lineages, r.Tally),
		Records: r.Records, Chunks: o.Chunks, Content: store, Proofs: manifests.Proofs, Rule: o.Rule,
		Tools: imagedelta.Tools{Scratch: scratch.New(o.WorkDir, space), Encoders: encoders(o)},
		Work:  r.Work, Leases: o.Leases, Metrics: o.Metrics, Logger: o.Logger, Now: o.Now,
	})
}

// published tells those of a new image who make something ahead of it.
func (r *Rooms) published(repo name.Repository, manifest digest.Digest) {
	r.Deltas.Published(repo, manifest)
	r.Artifacts.Published(repo, manifest)
}
