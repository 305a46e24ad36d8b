package rechunk

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/plan"
)

// PlanRecord says how a served image came about.
type PlanRecord struct {
	SourceDigest digest.Digest `json:"source_digest"`
	Digest       digest.Digest `json:"digest"`
	// Base is the earlier image that the layout builds on; empty when it was planned as new.
	Base      digest.Digest `json:"base,omitempty"`
	Encoder   string        `json:"encoder"`
	MaxLayers int           `json:"max_layers"`
	MaxStale  float64       `json:"max_stale"`
	ExactTime bool          `json:"exact_time"`
	// LayerCost is what a layer was taken to cost a host in each update, in bytes.
	LayerCost int64 `json:"layer_cost,omitempty"`
	// Linked is the number of identical files that became hardlinks; the source has them apart.
	Linked int `json:"linked"`
	// NoiseKept are the files that stayed as they were served before, in path order.
	NoiseKept []KeptFile `json:"noise_kept,omitempty"`
	// Demand is what the plan took clients to ask for.
	Demand plan.Demand `json:"demand"`
	Layers []PlanLayer `json:"layers"`
	// Dropped are the layers of the base that were not kept.
	Dropped []PlanDropped `json:"dropped,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
}

// PlanLayer is a layer in a PlanRecord, lowest first.
type PlanLayer struct {
	Digest    digest.Digest `json:"digest"`
	Kept      bool          `json:"kept"`
	Name      string        `json:"name"`
	Reason    string        `json:"reason,omitempty"`
	Entries   int           `json:"entries"`
	Whiteouts int           `json:"whiteouts"`
	// Size is the blob's, StaleBytes the estimate of what of it is hidden, MovedBytes of what was written again though
	// clients of the base had it; Heat is the expected share of its live bytes that the next version changes.
	Size       int64   `json:"size"`
	StaleBytes int64   `json:"stale_bytes,omitempty"`
	MovedBytes int64   `json:"moved_bytes,omitempty"`
	Heat       float64 `json:"heat"`
}

// PlanDropped is a layer of the base that the plan did not keep.
type PlanDropped struct {
	Digest    digest.Digest `json:"digest"`
	Name      string        `json:"name"`
	Size      int64         `json:"size"`
	LiveBytes int64         `json:"live_bytes"`
	Why       plan.Why      `json:"why"`
	Detail    string        `json:"detail,omitempty"`
}

// publish stores the image: what it refers to first, the records that lead to it last, so that a crash in between leaves
// blobs that nothing names but never a name without its blobs.
func (r *run) publish(ctx context.Context) error {
	layers := r.layers
	in := make([]image.Layer, len(layers))
	for i, l := range layers {
		in[i] = image.Layer{MediaType: l.Type, Digest: l.Digest, Size: l.Size, DiffID: l.DiffID, Name: l.Name,
			Annotations: l.Annotations}
	}
	made := image.Made{Plain: r.plain, KeptNoise: len(r.kept) > 0}
	if r.capsule != nil {
		made.Commit = r.capsule.announced()
		annotations := make([]map[string]string, len(in))
		for i := range in {
			annotations[i] = in[i].Annotations
		}
		var err error
		if made.Commit.HHD, err = r.theirs.label(annotations); err != nil {
			return err
		}
	}
	config, manifest, err := image.Build(r.src, in, made)
	if err != nil {
		return err
	}
	for _, d := range []image.Document{config, manifest} {
		if err := r.storeDocument(ctx, d.Bytes); err != nil {
			return fmt.Errorf("storing the %s: %w", d.MediaType, err)
		}
	}
	v := r.version(layers, config, manifest)
	if err := r.putJSON(ctx, KindPlan, manifest.Digest.String(), r.planRecord(layers, manifest.Digest)); err != nil {
		return err
	}
	v.Created, v.Seconds = r.started.UTC(), time.Since(r.started).Seconds()
	if err := r.extendLineage(ctx, v); err != nil {
		return err
	}
	if err := r.putJSON(ctx, KindServed, servedKey(r.req), v); err != nil {
		return err
	}
	r.result = &v.Result
	return nil
}

// extendLineage makes a version the newest of its lineage.
func (r *run) extendLineage(ctx context.Context, v Version) error {
	older := slices.DeleteFunc(slices.Clone(r.lineage.Versions), func(old Version) bool { return old.Digest == v.Digest })
	versions := foremost(slices.Insert(older, 0, v), v.Reference, max(r.req.Options.Versions, 1))
	return r.putLineage(ctx, lineageKey(r.req.Lineage, r.platform()), r.held, versions, r.layout.History)
}

func (r *run) version(layers []madeLayer, config, manifest image.Document) Version {
	v := Version{Config: config.Digest, Reference: r.req.Reference, Tree: r.sum.String(), Form: r.form(), Result: Result{
		Sequence:     r.sequence(),
		SourceDigest: r.req.Digest, Digest: manifest.Digest, MediaType: manifest.MediaType, Size: int64(len(manifest.Bytes)),
		Platform: r.platform(), LayersTotal: len(layers), StaleBytes: r.layout.StaleBytes, NoiseKept: len(r.kept),
		UnkeptBytes: r.unkept,
	}}
	for _, l := range layers {
		v.Layers = append(v.Layers, l.VersionLayer)
		v.TotalBytes += l.Size
		if l.Kept {
			v.LayersKept++
		} else {
			v.LayersNew++
			v.NewBytes += l.Size
		}
	}
	var had []digest.Digest
	if b := before(r.lineage.Versions, r.req.Reference); b != nil {
		had = b.SourceLayers
	}
	for _, l := range r.src.Manifest.Layers {
		v.SourceLayers = append(v.SourceLayers, l.Digest)
		v.SourceBytes += l.Size
		if !slices.Contains(had, l.Digest) {
			v.SourceNewBytes += l.Size
		}
	}
	return v
}

func (r *run) planRecord(layers []madeLayer, d digest.Digest) PlanRecord {
	decided := r.decision()
	p := PlanRecord{
		SourceDigest: r.req.Digest, Digest: d, Encoder: r.req.Options.Format.Spec().Encoder.String(),
		MaxLayers: r.req.Options.MaxLayers, LayerCost: r.req.Options.LayerCost,
		MaxStale: r.req.Options.MaxStale, ExactTime: r.req.Options.ExactTime, Linked: r.linked,
		Notes:  append(slices.Clone(r.layout.Notes), encoderNotes(layers)...),
		Demand: r.req.Demand.Rounded(), Base: decided.Base(), Dropped: decided.Dropped(), NoiseKept: r.kept,
	}
	for i, l := range layers {
		planned := &r.layout.Layers[i]
		p.Layers = append(p.Layers, PlanLayer{
			Digest: l.Digest, Kept: l.Kept, Name: l.Name, Reason: planned.Reason, Entries: l.content.entries(),
			Whiteouts: l.content.whiteouts(), Size: l.Size, StaleBytes: planned.StaleBytes, MovedBytes: planned.MovedBytes,
			Heat: thousandths(planned.Heat),
		})
	}
	return p
}

// encoderNotes say of which new layers the encoder is not the format's, and why; a line for each reason.
func encoderNotes(layers []madeLayer) []string {
	var out []string
	for i, l := range layers {
		same := func(o madeLayer) bool { return o.why == l.why }
		if l.why == "" || slices.ContainsFunc(layers[:i], same) {
			continue
		}
		count, size, entries := 0, int64(0), 0
		for _, o := range layers[i:] {
			if same(o) {
				count, size, entries = count+1, size+o.Size, entries+o.content.entries()
			}
		}
		out = append(out, fmt.Sprintf("%d new layers with %d entries in %d bytes are written by %s: %s", count, entries,
			size, l.Encoder, l.why))
	}
	return out
}

// thousandths rounds a share as records give it.
func thousandths(share float64) float64 { return math.Round(share*1000) / 1000 }
