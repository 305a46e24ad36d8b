package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// passage has the blocks of a document below a heading, up to the next one, that scripts take from it, so that the document
// and what is tried are the same text. Each FROM=TO puts one text in the place of another: names, ports and paths.
type passage struct {
	page, heading string
	replace       []string
}

// parsePassage reads PAGE HEADING and all FROM=TO.
func parsePassage(ts *testscript.TestScript, args []string) passage {
	if len(args) < 2 {
		ts.Fatalf("a page and a heading are needed")
	}
	s := passage{page: args[0], heading: args[1]}
	for _, r := range args[2:] {
		from, to, ok := strings.Cut(r, "=")
		if !ok {
			ts.Fatalf("%q is no FROM=TO", r)
		}
		s.replace = append(s.replace, from, to)
	}
	return s
}

// blocks returns those of the languages, one at least.
func (s passage) blocks(ts *testscript.TestScript, languages ...string) (out []snippet) {
	text, err := os.ReadFile(filepath.Join(ts.Getenv("REPOSITORY"), filepath.FromSlash(s.page)))
	ts.Check(err)
	replacer := strings.NewReplacer(s.replace...)
	for _, b := range snippetsOf(s.page, string(text)) {
		if b.heading == s.heading && slices.Contains(languages, b.language) {
			b.text = replacer.Replace(b.text)
			out = append(out, b)
		}
	}
	if len(out) == 0 {
		ts.Fatalf("%s has no block of %q below %q", s.page, languages, s.heading)
	}
	return out
}

// document PROGRAMS PAGE HEADING FROM=TO… runs the commands of a document, those of some programs (strata,skopeo): what
// begins with another one needs a host, or systemd.
func document(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: document PROGRAMS PAGE HEADING [FROM=TO…]")
	}
	programs, ran := strings.Split(args[0], ","), 0
	for _, s := range parsePassage(ts, args[1:]).blocks(ts, "console", "sh") {
		for line := range strings.Lines(strings.ReplaceAll(s.text, "\\\n", " ")) {
			line = strings.TrimSpace(line)
			if s.language == "console" {
				var prompt bool
				if line, prompt = cutPrompt(line); !prompt {
					continue
				}
			}
			if commands := shellCommands(snippet{language: "sh", text: line}); len(commands) == 0 ||
				!slices.Contains(programs, commands[0][0]) {
				continue
			}
			if err := ts.Exec("sh", "-ec", line); err != nil {
				ts.Fatalf("%s: %s: %v", s.page, line, err)
			}
			ran++
		}
	}
	if ran == 0 {
		ts.Fatalf("nothing was run")
	}
}

// block FILE PAGE HEADING FROM=TO… writes a document's YAML into a file.
func block(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: block FILE PAGE HEADING [FROM=TO…]")
	}
	all := parsePassage(ts, args[1:]).blocks(ts, "yaml")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(all[0].text), 0o600))
}
