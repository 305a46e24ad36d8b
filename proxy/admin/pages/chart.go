package pages

import (
	"slices"
	"time"
)

// A chart's measures, in units of its view box.
const (
	chartWidth, chartHeight = 1000.0, 160.0
	chartFoot               = 20.0 // below it, for words
	mostDays                = 90
)

// Day is what was sent to clients on a day, and what the same pulls would have cost from the source, in bytes.
type Day struct {
	Day          time.Time // its beginning, UTC
	Sent, Source int64
}

// chart shows days as columns, what was sent below what was saved.
type chart struct {
	Width, Height, Foot float64
	Columns             []column
	First, Last         time.Time
	Most                int64 // what the highest column stands for
}

// column is a day in a chart.
type column struct {
	Day
	X, Width          float64
	SentY, SentHeight float64
	SavedY            float64
	SavedHeight       float64
	Saved             int64 // below 0 where it cost more
}

// chartOf draws the newest days, of which those without pulls may be missing; oldest first.
func chartOf(days []Day) *chart {
	if len(days) == 0 {
		return nil
	}
	last := days[len(days)-1].Day
	days = slices.DeleteFunc(slices.Clone(days), func(d Day) bool { return last.Sub(d.Day) >= mostDays*24*time.Hour })
	out := &chart{Width: chartWidth, Height: chartHeight, Foot: chartHeight + chartFoot, First: days[0].Day, Last: last}
	for _, d := range days {
		out.Most = max(out.Most, d.Sent, d.Source)
	}
	if out.Most == 0 {
		return nil
	}
	span := last.Sub(out.First).Hours()/24 + 1
	each := min(chartWidth/span, chartWidth/14)
	high := func(n int64) float64 { return chartHeight * float64(max(n, 0)) / float64(out.Most) }
	for _, d := range days {
		c := column{Day: d, X: d.Day.Sub(out.First).Hours() / 24 * each, Width: 0.8 * each, Saved: d.Source - d.Sent,
			SentHeight: high(d.Sent), SavedHeight: high(d.Source - d.Sent)}
		c.SentY = chartHeight - c.SentHeight
		c.SavedY = c.SentY - c.SavedHeight
		out.Columns = append(out.Columns, c)
	}
	return out
}
