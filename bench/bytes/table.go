package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// report is the whole result.
type report struct {
	Command string          `json:"command"`
	Strata  string          `json:"encoder"`
	Skipped []string        `json:"skipped,omitempty"`
	Series  []*seriesResult `json:"series"`
}

// save writes the report as JSON.
func (r *report) save(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// print writes the report as Markdown.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Update bytes ÷ floor, sums over a series, for clients one, two and four versions behind.\n\n")
	fmt.Fprintln(w, "| series | program | layers | 1 | 2 | 4 | our encoder: 1 | 2 | 4 | fresh, MB | ours | stale |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range r.Series {
		s.print(w)
	}
	for _, s := range r.Series {
		s.steps(w)
	}
	for _, s := range r.Series {
		s.explain(w)
	}
	for _, line := range r.Skipped {
		fmt.Fprintf(w, "\nskipped: %s\n", line)
	}
}

func (s *seriesResult) print(w io.Writer) {
	fmt.Fprintf(w, "| %s, %d versions | floor, MB | – | %s | – | – | – | – | – | – |\n", s.Name, len(s.Versions),
		join(s.Floor[:], func(n int64) string {
			return fmt.Sprintf("%.1f", float64(n)/1e6)
		}))
	for _, p := range s.Programs {
		ratios := func(sums [len(lags)]int64) string {
			var out []string
			for l, n := range sums {
				out = append(out, ratio(n, s.Floor[l]))
			}
			return strings.Join(out, " | ")
		}
		fmt.Fprintf(w, "| | %s | %s | %s | %s | %.1f | %.1f | %s |\n", p.Name, p.limit(), ratios(p.Own), ratios(p.Ours),
			float64(p.FreshOwn)/1e6,
			float64(p.FreshOurs)/1e6, p.staleness())
	}
}

func (p *contenderResult) limit() string {
	if p.Layers == 0 {
		return fmt.Sprintf("%.0f", p.LayersUsed)
	}
	return fmt.Sprintf("%d (%.0f)", p.Layers, p.LayersUsed)
}

func (p *contenderResult) staleness() string {
	if p.Name != "Strata" {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*p.Stale)
}

// ratio writes a quotient; there is none where the floor is not known.
func ratio(n, floor int64) string {
	if floor == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f", float64(n)/float64(floor))
}

func join[T any](list []T, f func(T) string) string {
	var out []string
	for _, x := range list {
		out = append(out, f(x))
	}
	return strings.Join(out, " | ")
}

// steps lists what each step of a series takes, one version behind, with the programs' own compression.
func (s *seriesResult) steps(w io.Writer) {
	fmt.Fprintf(w, "\n%s, step by step: MB with the program's own compression.\n\n| to | kernel | components | list | floor",
		s.Name)
	for _, p := range s.Programs {
		fmt.Fprintf(w, " | %s", p.Name)
		if p.Layers > 0 {
			fmt.Fprintf(w, ", %d", p.Layers)
		}
	}
	fmt.Fprintf(w, " |\n| --- | --- | --- | --- | ---%s |\n", strings.Repeat(" | ---", len(s.Programs)))
	for n, v := range s.Versions {
		fmt.Fprintf(w, "| %s | %s | %d | `%s`", v.Tag, v.Kernel, v.Packages, v.PackageList)
		if n == 0 {
			fmt.Fprintf(w, " | –%s |\n", strings.Repeat(" | –", len(s.Programs)))
			continue
		}
		fmt.Fprintf(w, " | %.2f", float64(v.Floor[0])/1e6)
		for _, p := range s.Programs {
			fmt.Fprintf(w, " | %.2f", float64(p.StepsOwn[n-1])/1e6)
		}
		fmt.Fprintln(w, " |")
	}
}

// explain lists where Strata's steps go that are well above the floor.
func (s *seriesResult) explain(w io.Writer) {
	for _, p := range s.Programs {
		for _, e := range p.Explanation {
			fmt.Fprintf(w, "\n%s, %d layers, %s → %s is %.3f of the floor:", s.Name, p.Layers, e.From, e.To, e.Ratio)
			for _, x := range e.Excess {
				fmt.Fprintf(w, " %s %s sent again (%s);", x.Component, megabytes(x.UnchangedBytes), x.Why)
			}
			fmt.Fprintln(w)
		}
	}
}
