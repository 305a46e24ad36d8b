package pages

import (
	"context"
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/savings"
)

// A chart's measures, in units of its view box, which is stretched to the room there is.
const (
	chartWidth, chartHeight = 1000.0, 160.0
	mostDays                = 90
)

// saved tells what pulls took in all, and day by day.
type saved struct {
	Sent, Source, Saved int64 // Saved is below 0 where it cost more
	Chart               *chart
}

// chart shows days as columns, what was sent below what was saved.
type chart struct {
	Width, Height float64
	Columns       []column
	First, Last   time.Time
	Most, Half    int64 // what the highest column stands for
}

// column is a day in a chart.
type column struct {
	Day               time.Time
	Sent, Saved       int64 // Saved is below 0 where it cost more
	Pulls             float64
	X, Width          float64
	SentY, SentHeight float64
	SavedY            float64
	SavedHeight       float64
}

// savedBy tells what pulls took, of all repositories or of one; nil where nobody knows, or nothing was pulled.
func (h *Handler) savedBy(ctx context.Context, repository string) (*saved, *savings.Report, error) {
	if h.Savings == nil {
		return nil, &savings.Report{}, nil
	}
	r, err := h.Savings(ctx, repository)
	if err != nil || len(r.Days) == 0 {
		return nil, r, err
	}
	return &saved{r.Sent, r.Source, r.Source - r.Sent, chartOf(r.Days)}, r, nil
}

// chartOf draws the newest days, of which those without pulls may be missing; oldest first.
func chartOf(days []catalog.SavedDay) *chart {
	out := &chart{Width: chartWidth, Height: chartHeight}
	for _, d := range days {
		at, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			continue // a record that somebody else wrote
		}
		out.Last = at
		out.Columns = append(out.Columns, column{Day: at, Sent: d.Sent, Saved: d.Source - d.Sent, Pulls: d.Pulls})
	}
	out.Columns = slices.DeleteFunc(out.Columns, func(c column) bool { return out.Last.Sub(c.Day) >= mostDays*24*time.Hour })
	for _, c := range out.Columns {
		out.Most = max(out.Most, c.Sent, c.Sent+c.Saved)
	}
	if out.Most == 0 {
		return nil
	}
	out.Half, out.First = out.Most/2, out.Columns[0].Day
	span := out.Last.Sub(out.First).Hours()/24 + 1
	each := min(chartWidth/span, chartWidth/14)
	high := func(n int64) float64 { return chartHeight * float64(max(n, 0)) / float64(out.Most) }
	for i := range out.Columns {
		c := &out.Columns[i]
		c.X, c.Width = c.Day.Sub(out.First).Hours()/24*each, 0.8*each
		c.SentHeight, c.SavedHeight = high(c.Sent), high(c.Saved)
		c.SentY = chartHeight - c.SentHeight
		c.SavedY = c.SentY - c.SavedHeight
	}
	return out
}
