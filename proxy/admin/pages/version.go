package pages

import (
	"context"
	"net/http"
	"slices"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/rechunk"
)

// version is the page of an image that was made here.
type version struct {
	*operate.VersionDetail
	Kept      int64 // bytes that a client of the version before has
	Source    int64 // bytes of the source's layers
	New       []layerRow
	Old       []layerRow
	Rewritten []rewritten
	Maps      []treemap // for wide windows, and for narrow ones
	Clients   []lag
	From      string          // the version that it is compared with
	Changes   *operate.Update // nil until somebody asks
	Wrong     string          // why there are none
}

// layerRow is a layer, whose place is counted from 1, lowest first.
type layerRow struct {
	operate.LayerReport
	Place int
	Class string // of its heat
}

// rewritten are the layers of the base that were not kept for one reason.
type rewritten struct {
	Why, Means string
	Layers     []rechunk.PlanDropped
	Bytes      int64
}

// Name is what people call another version of the lineage.
func (v *version) Name(digest string) named {
	for _, other := range v.Others {
		if other.Digest == digest {
			return named{other.Version, digest}
		}
	}
	return named{Digest: digest}
}

// means says what the planner's reasons are.
var means = map[string]string{
	"hidden":            "later layers hide or replace all that it holds",
	"changed directory": "the owner, mode or attributes of a directory in it changed",
	"stale":             "so much of it was hidden that writing the rest again was worth it",
	"room":              "its place was needed, as an image can have only so many layers",
}

func (h *Handler) version(ctx context.Context, r *http.Request, _ *operate.StatusReport) (*view, error) {
	d, err := h.Reports.Image(ctx, r.PathValue("digest"))
	if err != nil {
		return nil, err
	}
	p := &version{VersionDetail: d, Kept: d.TotalBytes - d.NewBytes, Source: d.SourceBytes, Clients: lagsOf(d.Pulls),
		Maps: []treemap{mapOf(d.Layers, mapWidth, mapHeight), mapOf(d.Layers, phoneWidth, phoneHigh)},
		From: d.Before}
	for i, l := range d.Layers {
		row := layerRow{l, i + 1, heatClass(l.Heat)}
		if l.Kept {
			p.Old = append(p.Old, row)
		} else {
			p.New = append(p.New, row)
		}
	}
	slices.Reverse(p.New)
	slices.Reverse(p.Old)
	p.Rewritten = rewrittenOf(d.Dropped)
	q := r.URL.Query()
	if from := q.Get("from"); slices.ContainsFunc(d.Others, func(v operate.VersionName) bool { return v.Digest == from }) {
		p.From = from
	}
	if q.Get("changes") == "1" && p.From != "" {
		if p.Changes, err = h.Update(ctx, p.From, d.Digest, d.Platform); err != nil {
			p.Wrong = err.Error()
		}
	}
	return &view{template: "version", title: "Version " + name(d.Version, d.Digest).String(), section: "repositories",
		body: p}, nil
}

// rewrittenOf sorts what was not kept by why.
func rewrittenOf(dropped []rechunk.PlanDropped) []rewritten {
	var out []rewritten
	for _, d := range dropped {
		i := slices.IndexFunc(out, func(r rewritten) bool { return r.Why == string(d.Why) })
		if i < 0 {
			i = len(out)
			out = append(out, rewritten{Why: string(d.Why), Means: means[string(d.Why)]})
		}
		out[i].Layers, out[i].Bytes = append(out[i].Layers, d), out[i].Bytes+d.LiveBytes
	}
	slices.SortStableFunc(out, func(a, b rewritten) int { return int(min(max(b.Bytes-a.Bytes, -1), 1)) })
	return out
}
