package pages

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/operate"
)

// deltaPage tells of what is made for other Stratas, and of what came from them.
type deltaPage struct {
	operate.DeltaReport
	Refusals  []reason
	More      int // deltas that are not shown
	Edge      *via.Report
	EdgeBytes int64 // of the layers that came as deltas
	Whole     []reason
}

// reason is why something was not done, and how often.
type reason struct {
	Why   string
	Times int64
}

// maxDeltas is how many deltas the page lists.
const maxDeltas = 100

func (h *Handler) deltas(ctx context.Context, _ *http.Request, s *operate.StatusReport) (*view, error) {
	p := &deltaPage{DeltaReport: h.Reports.Deltas(ctx), Edge: s.Edge}
	p.More = max(0, len(p.DeltaReport.Deltas)-maxDeltas)
	p.DeltaReport.Deltas = p.DeltaReport.Deltas[:min(len(p.DeltaReport.Deltas), maxDeltas)]
	p.Came = p.Came[:min(len(p.Came), maxDeltas)]
	p.Refusals = reasons(p.Totals.Refused)
	if s.Edge != nil {
		p.Whole = reasons(s.Edge.Reasons)
		p.EdgeBytes = s.Edge.DeltaBytes + s.Edge.SavedBytes
	}
	return &view{template: "deltas", title: "Deltas", section: "deltas", body: p}, nil
}

// reasons lists them, the most frequent first.
func reasons[N int | int64](of map[string]N) []reason {
	var out []reason
	for _, why := range slices.Sorted(maps.Keys(of)) {
		out = append(out, reason{pairs.Why(why), int64(of[why])})
	}
	slices.SortStableFunc(out, func(a, b reason) int { return int(b.Times - a.Times) })
	return out
}
