package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// row is a line of the table.
type row struct {
	work, strata, peer, ratio, goal string
}

// goal is what a ratio or a figure is to reach; the zero value is none.
type goal struct {
	limit  float64
	least  bool // the limit is the least and not the most
	suffix string
}

func atMost(limit float64, suffix string) goal { return goal{limit: limit, suffix: suffix} }
func atLeast(limit float64, suffix string) goal {
	return goal{limit: limit, least: true, suffix: suffix}
}

// judge writes the goal and whether a figure reaches it.
func (g goal) judge(v float64) string {
	if g == (goal{}) {
		return "–"
	}
	sign, met := "≤", v <= g.limit
	if g.least {
		sign, met = "≥", v >= g.limit
	}
	text := fmt.Sprintf("%s %g%s", sign, g.limit, g.suffix)
	switch {
	case math.IsNaN(v):
		return text
	case met:
		return text + ": met"
	}
	return text + ": **missed**"
}

// compared makes a row of two samples of the same rounds. The goal is one for the ratio.
func compared(work string, ours, peers sample, peer string, format func(float64) string, g goal) row {
	ratio := ours.over(peers)
	return row{work, ours.text(format), peer + ": " + peers.text(format), ratio.text(digits) + " ×", g.judge(ratio.median())}
}

// alone makes a row without a peer. The goal is one for the figure itself.
func alone(work string, ours sample, format func(float64) string, g goal) row {
	return row{work, ours.text(format), "–", "–", g.judge(ours.median())}
}

// unmeasured says why there is no figure of a peer.
func unmeasured(work, peer, why string) row {
	return row{work: work, strata: "–", peer: peer + ": not measured, " + why, ratio: "–", goal: "–"}
}

// table collects the rows of a run.
type table struct {
	rows []row
}

func (t *table) add(rows ...row) { t.rows = append(t.rows, rows...) }

// write prints the table as markdown, columns aligned.
func (t *table) write(w io.Writer) error {
	lines := [][]string{{"work", "Strata", "peer", "ratio", "goal"}, nil}
	for _, r := range t.rows {
		lines = append(lines, []string{r.work, r.strata, r.peer, r.ratio, r.goal})
	}
	var width [5]int
	for _, l := range lines {
		for i := range l {
			l[i] = strings.ReplaceAll(l[i], "|", `\|`)
			width[i] = max(width[i], len([]rune(l[i])))
		}
	}
	for i := range width {
		lines[1] = append(lines[1], strings.Repeat("-", width[i]))
	}
	var b strings.Builder
	for _, l := range lines {
		for i, cell := range l {
			b.WriteString("| " + cell + strings.Repeat(" ", width[i]-len([]rune(cell))+1))
		}
		b.WriteString("|\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
