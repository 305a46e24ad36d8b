package wiring

import (
	"runtime"

	"github.com/strata-oci/strata/proxy/casync/chunks"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/state"
)

// casync makes the room that serves images as chunks.
func (r *Rooms) casync(o Options, manifests *content.Manifests, store *state.Store) {
	r.Casync = chunks.New(chunks.Options{
		Settings: func() chunks.Settings {
			if o.Casync == nil {
				return chunks.Settings{}
			}
			s := o.Casync()
			return chunks.Settings{On: s.Serve, Sizes: s.Sizes(), Keep: int64(s.Keep)}
		},
		Images: r.Images, Manifests: manifests, Proofs: r.proofs, Chunks: o.Chunks, Content: store, Records: r.Records,
		Work: r.Work, Leases: o.Leases, Parallel: max(runtime.GOMAXPROCS(0), 4), Logger: o.Logger, Metrics: o.Metrics,
		Now: o.Now,
	})
}
