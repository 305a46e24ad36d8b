package rechunk

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/plan"
)

// Decision is what Rechunk would make of an image.
type Decision struct {
	SourceDigest digest.Digest
	Platform     string
	// Made is the image that was made of the same source under the same options before; Rechunk would return it. Empty when
	// there is none.
	Made      digest.Digest
	Options   Options
	Demand    plan.Demand
	Reference string
	// Layout is the plan, with estimates for the sizes of new layers.
	Layout *plan.Layout
	// NoiseKept are the files that would stay as they were served before, in path order.
	NoiseKept []KeptFile
	// Images are the earlier images that were looked at, newest first; Versions is the whole lineage.
	Images   []plan.Image
	Versions []Version
}

// Plan decides the layers of an image as Rechunk does and stops there. The indexes of source layers that are not known yet
// are stored on the way, and nothing else.
func (e *Engine) Plan(ctx context.Context, req Request) (*Decision, error) {
	r := e.newRun(req)
	defer r.close()
	if err := r.do(ctx, toPlan); err != nil {
		return nil, err
	}
	d := r.decision()
	if r.served != nil {
		d.Made = r.served.Digest
	}
	return d, nil
}

// decision is what the run has decided.
func (r *run) decision() *Decision {
	return &Decision{
		SourceDigest: r.req.Digest, Platform: r.platform(), Options: r.req.Options, Demand: r.req.Demand,
		Reference: r.req.Reference,
		Layout:    r.layout, NoiseKept: r.kept, Images: r.images, Versions: r.lineage.Versions,
	}
}

// Base is the earlier image that the layout builds on; empty when there is none.
func (d *Decision) Base() digest.Digest {
	if d.Layout.Base < 0 {
		return ""
	}
	return d.Images[d.Layout.Base].Digest
}

// Dropped are the layers of the base that the layout does not keep.
func (d *Decision) Dropped() []PlanDropped {
	var out []PlanDropped
	for _, l := range d.Layout.Dropped {
		out = append(out, PlanDropped{l.Digest, l.Name, l.Bytes, l.LiveBytes, l.Why, l.Detail})
	}
	return out
}
