package manual

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Page is a page of the manual, in section 1.
type Page struct {
	Name string // of the file: strata-serve.1
	Text string // man(7)
}

// Pages returns the manual: a page for the program, and one for each of its commands. version is shown below each.
func Pages(app *kong.Application, version string) []Page {
	nodes := commands(app.Node)
	var out []Page
	for _, n := range nodes {
		p := &page{program: app.Name, version: version}
		p.write(n, nodes)
		out = append(out, Page{Name: p.name(n) + ".1", Text: p.text.String()})
	}
	return out
}

type page struct {
	program, version string
	text             strings.Builder
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.text, format+"\n", args...) }

// name is that of a command's page.
func (p *page) name(n *kong.Node) string {
	return strings.ReplaceAll(strings.TrimSpace(p.program+" "+words(n)), " ", "-")
}

func (p *page) write(n *kong.Node, all []*kong.Node) {
	name := p.name(n)
	about := n.Help
	if n.Parent == nil {
		about, _, _ = strings.Cut(about, ":")
	}
	p.line(".TH %s 1 \"\" %s", strings.ToUpper(name), argument(p.program+" "+p.version))
	p.line(".SH NAME\n%s \\- %s", plain(name), plain(strings.TrimSuffix(sentence(about), ".")))
	p.line(".SH SYNOPSIS\n.B %s", plain(strings.TrimSpace(p.program+" "+words(n))))
	p.line("%s", plain(usage(n)))
	p.line(".SH DESCRIPTION")
	p.paragraphs(n.Help)
	p.paragraphs(n.Detail)
	if len(n.Positional) > 0 {
		p.line(".SH ARGUMENTS")
		for _, a := range n.Positional {
			p.line(".TP\n.I %s\n%s", plain(strings.ToUpper(a.Name)), plain(sentence(a.Help)))
		}
	}
	p.line(".SH OPTIONS")
	for _, f := range flags(n) {
		p.flag(f)
	}
	if below := commands(n)[1:]; len(below) > 0 {
		p.line(".SH COMMANDS")
		for _, c := range below {
			p.line(".TP\n.BR %s (1)\n%s", plain(p.name(c)), plain(sentence(c.Help)))
		}
	}
	if n.Parent != nil {
		p.line(".SH SEE ALSO\n.BR %s (1)", plain(p.name(n.Parent)))
	}
}

// usage is what follows a command's name.
func usage(n *kong.Node) string {
	out := "[OPTIONS]"
	if len(commands(n)) > 1 {
		out += " COMMAND"
	}
	for _, a := range n.Positional {
		out += " " + a.Summary()
	}
	return out
}

func (p *page) flag(f *kong.Flag) {
	names := "--" + f.Name
	if f.Short != 0 {
		names = "-" + string(f.Short) + ", " + names
	}
	if f.IsBool() {
		p.line(".TP\n.B %s", plain(names))
	} else {
		p.line(".TP\n.BI %s %s", argument(names+" "), argument(f.FormatPlaceHolder()))
	}
	help := sentence(f.Help)
	if len(f.Envs) > 0 {
		help += " Variable: " + strings.Join(f.Envs, ", ") + "."
	}
	p.line("%s", plain(help))
}

// paragraphs writes a text: lines that are indented stay as they are, others fill paragraphs.
func (p *page) paragraphs(text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	p.line(".PP")
	literal := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if indented := strings.HasPrefix(line, "    "); indented != literal && line != "" {
			literal = indented
			p.line("%s", map[bool]string{true: ".nf", false: ".fi"}[indented])
		}
		if line == "" {
			line = ".PP"
		} else {
			line = plain(line)
		}
		p.line("%s", line)
	}
	if literal {
		p.line(".fi")
	}
}

// plain keeps roff from reading anything in a text.
func plain(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", `...`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// argument is a text as one argument of a request.
func argument(text string) string { return `"` + strings.ReplaceAll(plain(text), `"`, `\(dq`) + `"` }
