package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// sample holds one figure per round.
type sample []float64

func (s sample) sorted() sample {
	out := slices.Clone(s)
	slices.Sort(out)
	return out
}

// median is NaN for no figures; of an even number it is the mean of the middle two.
func (s sample) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	o := s.sorted()
	if n := len(o); n%2 == 0 {
		return (o[n/2-1] + o[n/2]) / 2
	}
	return o[len(o)/2]
}

// over divides round by round, so that what slows a whole round down does not count.
func (s sample) over(peer sample) sample {
	out := make(sample, min(len(s), len(peer)))
	for i := range out {
		out[i] = s[i] / peer[i]
	}
	return out
}

// text writes the median, and the extremes where there are several rounds.
func (s sample) text(format func(float64) string) string {
	if len(s) == 0 {
		return "not measured"
	}
	if len(s) == 1 {
		return format(s[0])
	}
	o := s.sorted()
	return fmt.Sprintf("%s (%s–%s)", format(s.median()), format(o[0]), format(o[len(o)-1]))
}

// digits gives a number three significant digits.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1 || a == 0:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.4f", v)
	}
}

// unit returns a format that appends a unit.
func unit(name string) func(float64) string {
	return func(v float64) string { return digits(v) + " " + name }
}

// thousands writes a count with a separator.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && c != '-' && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

func seconds(d time.Duration) float64 { return d.Seconds() }

func mebibytes(n int64) float64 { return float64(n) / mib }

func (s sample) scaled(by float64) sample {
	out := make(sample, len(s))
	for i := range s {
		out[i] = s[i] * by
	}
	return out
}
