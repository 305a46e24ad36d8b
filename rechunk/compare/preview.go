package compare

import (
	"math"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/plan"
)

// Preview is what Rechunk would decide for an image. Sizes of new layers are estimates.
type Preview struct {
	SourceDigest digest.Digest `json:"source_digest"`
	Platform     string        `json:"platform"`
	// Made is the image that was made of the same source under the same options before; Rechunk would return it. Empty when
	// there is none.
	Made digest.Digest `json:"made,omitempty"`
	// Base is the earlier image that the layout builds on; empty when it is planned as new.
	Base        digest.Digest `json:"base,omitempty"`
	MaxLayers   int           `json:"max_layers"`
	MaxStale    float64       `json:"max_stale"`
	LayerCost   int64         `json:"layer_cost,omitempty"`
	Demand      plan.Demand   `json:"demand"`
	LayersTotal int           `json:"layers_total"`
	LayersKept  int           `json:"layers_kept"`
	LayersNew   int           `json:"layers_new"`
	NewBytes    int64         `json:"new_bytes"`
	TotalBytes  int64         `json:"total_bytes"`
	StaleBytes  int64         `json:"stale_bytes"`
	// UpdateBytes are what a client fetches, as the mean over the versions that the demand expects clients to have; 0 where
	// there are none. NextBytes is what the version after this one is expected to change.
	UpdateBytes int64 `json:"update_bytes"`
	NextBytes   int64 `json:"next_bytes"`
	// Layers are lowest first.
	Layers  []PreviewLayer        `json:"layers"`
	Dropped []rechunk.PlanDropped `json:"dropped"`
	// Candidates are the earlier images that were looked at, newest first.
	Candidates []Candidate `json:"candidates"`
	Notes      []string    `json:"notes"`
	// NoiseKept are the files that would stay as they were served before, in path order.
	NoiseKept []rechunk.KeptFile `json:"noise_kept,omitempty"`
}

// PreviewLayer is a layer in a Preview.
type PreviewLayer struct {
	// Digest is that of a kept layer; empty for a new one, which is not written.
	Digest digest.Digest `json:"digest,omitempty"`
	Kept   bool          `json:"kept"`
	Name   string        `json:"name"`
	Reason string        `json:"reason,omitempty"`
	// Size is a kept layer's, and an estimate of a new one's; StaleBytes are the hidden part of it, StaleShare their share,
	// MovedBytes what is written again though clients of the base have it. Heat is the share of its live bytes that the next
	// version is expected to change.
	Size       int64   `json:"size"`
	StaleBytes int64   `json:"stale_bytes"`
	StaleShare float64 `json:"stale_share"`
	MovedBytes int64   `json:"moved_bytes"`
	Heat       float64 `json:"heat"`
	// Entries and Whiteouts count what a new layer holds.
	Entries   int `json:"entries,omitempty"`
	Whiteouts int `json:"whiteouts,omitempty"`
}

// Candidate is an earlier image that a layout could build on.
type Candidate struct {
	Digest    digest.Digest `json:"digest"`
	Sequence  int           `json:"sequence"`
	Reference string        `json:"reference,omitempty"`
	// Base says that the layout builds on it.
	Base bool `json:"base"`
	// LayersKept are how many of its layers the layout keeps, and UpdateBytes what a client that has it would fetch.
	LayersKept  int   `json:"layers_kept"`
	UpdateBytes int64 `json:"update_bytes"`
}

// PreviewOf tells of what the engine decided.
func PreviewOf(d *rechunk.Decision) *Preview {
	p := &Preview{
		SourceDigest: d.SourceDigest, Platform: d.Platform, Made: d.Made, MaxLayers: d.Options.MaxLayers,
		MaxStale: d.Options.MaxStale, LayerCost: d.Options.LayerCost,
		Demand: d.Demand.Rounded(), LayersTotal: len(d.Layout.Layers), StaleBytes: d.Layout.StaleBytes, Base: d.Base(),
		Dropped: append([]rechunk.PlanDropped{}, d.Dropped()...), Candidates: []Candidate{},
		Notes: append([]string{}, d.Layout.Notes...), NoiseKept: d.NoiseKept,
	}
	var next float64
	for i := range d.Layout.Layers {
		l := &d.Layout.Layers[i]
		out := PreviewLayer{
			Digest: l.Kept, Kept: l.Kept != "", Name: l.Name, Reason: l.Reason, Size: l.Bytes, StaleBytes: l.StaleBytes,
			MovedBytes: l.MovedBytes, Heat: thousandths(l.Heat), Entries: len(l.Entries), Whiteouts: len(l.Whiteouts),
			StaleShare: thousandths(float64(l.StaleBytes) / float64(max(l.Bytes, 1))),
		}
		p.Layers = append(p.Layers, out)
		p.TotalBytes += l.Bytes
		next += l.Heat * float64(l.Bytes-l.StaleBytes)
		if out.Kept {
			p.LayersKept++
		} else {
			p.LayersNew++
			p.NewBytes += l.Bytes
		}
	}
	p.NextBytes = int64(next)
	p.addCandidates(d)
	return p
}

// addCandidates tells of the images that were looked at, and what updates from them cost.
func (p *Preview) addCandidates(d *rechunk.Decision) {
	for i, img := range d.Images {
		has := map[digest.Digest]bool{}
		for _, l := range img.Layers {
			has[l.Digest] = true
		}
		c := Candidate{Digest: img.Digest, Base: i == d.Layout.Base}
		for _, l := range p.Layers {
			if l.Kept && has[l.Digest] {
				c.LayersKept++
			} else {
				c.UpdateBytes += l.Size
			}
		}
		for _, v := range d.Versions {
			if v.Digest == img.Digest {
				c.Sequence, c.Reference = v.Sequence, v.Reference
			}
		}
		p.Candidates = append(p.Candidates, c)
	}
	p.UpdateBytes = expected(p.Candidates, d.Reference, p.Demand.Lags)
}

// expected is the mean of what clients of a series fetch, by the lags that are to be expected of them. Those that are
// further behind than the series goes count as its oldest.
func expected(images []Candidate, series string, lags []float64) int64 {
	var of []int64
	for _, c := range images {
		if c.Reference == series {
			of = append(of, c.UpdateBytes)
		}
	}
	if len(of) == 0 {
		return 0
	}
	var sum, all float64
	for k, share := range lags {
		sum += share * float64(of[min(k, len(of)-1)])
		all += share
	}
	return int64(sum / max(all, math.SmallestNonzeroFloat64))
}

// thousandths rounds a share as reports give it.
func thousandths(share float64) float64 { return math.Round(share*1000) / 1000 }
