package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/strata-oci/strata/proxy/manual"
)

// documents returns the text of every page of the documentation by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "bench/README.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no page %s: %v", pattern, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			pages[f] = string(b)
		}
	}
	return pages
}

// TestDocumentLinks follows the links from page to page, to their headings too.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pages := documents(t)
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(withoutBlocks(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, heading, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
				continue
			}
			if heading != "" && !slices.Contains(anchors(pages[target]), heading) {
				t.Errorf("%s: link to %s: there is no such heading", page, m[1])
			}
		}
	}
}

// anchors returns the names that links use for a page's headings.
func anchors(text string) []string {
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped := regexp.MustCompile("[^a-z0-9 _-]")
	var out []string
	for _, m := range heading.FindAllStringSubmatch(withoutBlocks(text), -1) {
		out = append(out, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return out
}

// codeBlock is a fenced block; its group is the content.
const codeBlock = "(?ms)^[ \\t]*```[a-z]*$(.*?)^[ \\t]*```$"

func withoutBlocks(text string) string {
	return regexp.MustCompile(codeBlock).ReplaceAllString(text, "")
}

// TestDocumentCommands checks that the commands and flags of strata at the prompts in code blocks exist.
func TestDocumentCommands(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(codeBlock)
	command := regexp.MustCompile(`(?m)(?:^\s*[$#] |^ExecStart=)(?:\S*/)?strata ([a-z]+(?:-[a-z]+)*)((?: [^#|&;\n]*)?)`)
	found := 0
	for page, text := range documents(t) {
		for _, b := range block.FindAllStringSubmatch(text, -1) {
			for _, m := range command.FindAllStringSubmatch(b[1], -1) {
				found++
				checkCommand(t, page, parser.Model.Node, m[1], strings.Fields(m[2]))
			}
		}
	}
	if found == 0 {
		t.Error("no command was found")
	}
}

func checkCommand(t *testing.T, page string, root *kong.Node, name string, args []string) {
	t.Helper()
	i := slices.IndexFunc(root.Children, func(n *kong.Node) bool { return n.Name == name })
	if i < 0 {
		t.Errorf("%s: there is no command strata %s", page, name)
		return
	}
	for _, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(flag, "-") || flag == "-" {
			continue
		}
		known := slices.ContainsFunc(slices.Concat(root.Children[i].AllFlags(true)...), func(f *kong.Flag) bool {
			return flag == "--"+f.Name || flag == "-"+string(f.Short)
		})
		if !known {
			t.Errorf("%s: strata %s has no flag %s", page, name, flag)
		}
	}
}

// Manual pages and completions have every flag of every command.
func TestManualHasEveryFlag(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{}, kong.Name("strata"), kong.Vars{"version": ""}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, page := range manual.Pages(parser.Model, "1.2.3") {
		all[page.Name] = strings.ReplaceAll(page.Text, `\-`, "-")
	}
	shells := map[string]string{"bash": "--", "zsh": "--", "fish": "-l "}
	for shell := range shells {
		var b strings.Builder
		if err := manual.Completion(&b, parser.Model, shell); err != nil {
			t.Fatal(err)
		}
		all[shell] = b.String()
	}
	commands := 0
	for _, leaf := range parser.Model.Leaves(true) {
		commands++
		page := regexp.MustCompile(`( <[^>]*>| \[[^\]]*\])+$`).ReplaceAllString(leaf.Path(), "")
		page = strings.ReplaceAll(strings.TrimPrefix(page, "strata "), " ", "-")
		page = "strata-" + strings.TrimPrefix(page, "strata-") + ".1"
		for _, flag := range leaf.Flags {
			if flag.Hidden {
				continue
			}
			if !strings.Contains(all[page], "--"+flag.Name) {
				t.Errorf("%s lacks --%s", page, flag.Name)
			}
			for shell, dashes := range shells {
				of := slices.ContainsFunc(strings.Split(all[shell], "\n"), func(line string) bool {
					return strings.Contains(line, dashes+flag.Name) && (shell != "fish" || strings.Contains(line, leaf.Name))
				})
				if !of {
					t.Errorf("%s: the completion lacks --%s of %s", shell, flag.Name, page)
				}
			}
		}
	}
	if commands < 25 {
		t.Errorf("only %d commands", commands)
	}
}
