package compare

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/rechunk/legible"
)

// maxOthers bounds the components that are listed beside packages.
const maxOthers = 20

// Notes are what release notes of an update are made of.
type Notes struct {
	// From and To name the images.
	From, To string
	News     *News
	// LayerBytes are what clients fetch in layers, DeltaBytes what those fetch that take deltas; 0 for one that is not
	// known.
	LayerBytes, DeltaBytes int64
	// Estimated says that DeltaBytes is a guess by what deltas of other layers took. One that saves nothing, as when there
	// are no others, is not told.
	Estimated bool
	// Sent are these bytes by component.
	Sent map[string]Sent
}

// NotesOf are notes with the bytes that clients fetch.
func NotesOf(from, to string, news *News, costs *Deltas) *Notes {
	n := &Notes{From: from, To: to, News: news, LayerBytes: costs.LayerBytes, DeltaBytes: costs.DeltaBytes,
		Estimated: costs.Estimated, Sent: make(map[string]Sent, len(costs.Components))}
	for _, c := range costs.Components {
		n.Sent[c.Component] = Sent{c.LayerBytes, c.DeltaBytes, c.Unchanged()}
	}
	return n
}

// Sent are a component's bytes of an update, by layers and by deltas.
type Sent struct {
	Layers, Deltas int64
	Unchanged      bool // clients have all of its files
}

// Markdown writes the notes as CommonMark with tables (GitHub's). What images say stands in code, so that none of it is
// taken for markup.
func (n *Notes) Markdown(w io.Writer) error {
	p := &page{w: w}
	p.line("# From %s to %s\n", code(n.From), code(n.To))
	added, changed, removed := n.News.Count()
	p.line("- Packages: %d with another version, %d new, %d removed, %d as before", changed, added, removed,
		n.News.Unchanged)
	f := n.News.Files
	p.line("- Files: %d changed, %d new, %d removed", f.Changed, f.Added, f.Removed)
	if n.LayerBytes > 0 {
		p.line("- To fetch: %s", n.bytes())
	}
	for _, line := range n.News.Warnings {
		p.line("- Package database damaged: %s", code(line))
	}
	if ids := n.News.CVEs; len(ids) > 0 {
		p.line("- Named in changelogs: %s", strings.Join(ids, ", "))
	}
	n.packages(p)
	n.logs(p)
	return p.err
}

func (n *Notes) bytes() string {
	text := humanize.Bytes(uint64(n.LayerBytes)) + " in layers"
	if n.deltas() {
		text += ", " + humanize.Bytes(uint64(n.DeltaBytes)) + " in deltas"
		if n.Estimated {
			text += ", estimated by what deltas of other layers took"
		}
	}
	return text
}

// deltas says whether anything is known of what deltas take.
func (n *Notes) deltas() bool {
	return n.DeltaBytes > 0 && (!n.Estimated || n.DeltaBytes < n.LayerBytes)
}

// columns heads the last two cells of a row.
func (n *Notes) columns() string {
	if n.Estimated && n.deltas() {
		return "in layers | in deltas, estimated"
	}
	return "in layers | in deltas"
}

func (n *Notes) packages(p *page) {
	told := map[string]bool{}
	if len(n.News.Packages) > 0 {
		p.line("\n## Packages\n\n| package | before | now | %s |\n| --- | --- | --- | --- | --- |", n.columns())
	}
	for _, c := range n.News.Packages {
		bytes := "|  |  |"
		if s, ok := n.Sent[c.Component]; ok && !told[c.Component] {
			bytes = n.sent(s) // of all packages of a source, beside its first
		}
		told[c.Component] = true
		p.line("| %s | %s | %s %s", cell(strings.TrimSpace(c.Name+" "+c.Arch)), cell(c.From), cell(c.To), bytes)
	}
	n.others(p, told)
}

// others lists what else is sent: what no package ships, and files that share a layer with changed ones.
func (n *Notes) others(p *page, told map[string]bool) {
	var ids []string
	for id, s := range n.Sent {
		if !told[id] && s.Layers > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.SortFunc(ids, func(a, b string) int {
		x, y := n.Sent[a], n.Sent[b]
		switch {
		case x.Unchanged != y.Unchanged && y.Unchanged:
			return -1
		case x.Unchanged != y.Unchanged:
			return 1
		}
		return cmp.Or(cmp.Compare(y.Layers, x.Layers), cmp.Compare(a, b))
	})
	p.line("\n## Also fetched\n\n| component | %s |\n| --- | --- | --- |", n.columns())
	for _, id := range ids[:min(len(ids), maxOthers)] {
		p.line("| %s %s", cell(id), n.sent(n.Sent[id]))
	}
	if more := len(ids) - maxOthers; more > 0 {
		p.line("\n%s %s unchanged or smaller.", legible.Count(more, "more component"), legible.Word(more, "is", "are"))
	}
}

// sent are the last two cells of a row.
func (n *Notes) sent(s Sent) string {
	if !n.deltas() {
		return "| " + humanize.Bytes(uint64(s.Layers)) + " |  |"
	}
	return "| " + humanize.Bytes(uint64(s.Layers)) + " | " + humanize.Bytes(uint64(s.Deltas)) + " |"
}

func (n *Notes) logs(p *page) {
	for _, s := range n.News.Sources {
		if len(s.Log) == 0 {
			continue
		}
		p.line("\n## %s %s", code(s.Name), code(s.To))
		for _, e := range s.Log {
			p.line("\n%s, %s\n", code(e.Title), e.At.Format("2006-01-02"))
			for line := range strings.Lines(legible.Text(e.Text)) {
				p.line("    %s", strings.TrimRight(line, "\n"))
			}
		}
		if s.More > 0 {
			p.line("\n%s %s left out.", legible.Count(s.More, "earlier entry"), legible.Word(s.More, "is", "are"))
		}
	}
}

// page writes lines until one fails.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// code quotes words for a paragraph, in one line.
func code(s string) string {
	s = strings.TrimSpace(strings.ReplaceAll(legible.Line(s), "`", "'"))
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// cell is code in a table, where a bar is the end of a cell even within code.
func cell(s string) string { return strings.ReplaceAll(code(s), "|", "\\|") }
