// Package manual writes what shells and man(1) need to know of a command line, from its kong model: completions for bash,
// zsh and fish, and a page for each command. The text is the same for the same model.
package manual

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Completion writes the completion script of a shell: bash, zsh or fish.
func Completion(w io.Writer, app *kong.Application, shell string) error {
	s := &script{name: app.Name, nodes: commands(app.Node)}
	switch shell {
	case "bash":
		bash(s)
	case "zsh":
		zsh(s)
	case "fish":
		fish(s)
	default:
		return fmt.Errorf("no completions for %q: there are bash, zsh and fish", shell)
	}
	_, err := io.WriteString(w, s.text.String())
	return err
}

// script is one that is being written.
type script struct {
	name  string
	nodes []*kong.Node // the program itself, then its commands with theirs
	text  strings.Builder
}

func (s *script) line(format string, args ...any) { fmt.Fprintf(&s.text, format+"\n", args...) }

// commands lists a node and what is below it, as far as people are to see it.
func commands(n *kong.Node) []*kong.Node {
	out := []*kong.Node{n}
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			out = append(out, commands(child)...)
		}
	}
	return out
}

// words is how a command is called, without the program's name.
func words(n *kong.Node) string {
	if n.Parent == nil {
		return ""
	}
	return strings.TrimSpace(words(n.Parent) + " " + n.Name)
}

// flags lists those that a command takes, its parents' too, by their names.
func flags(n *kong.Node) []*kong.Flag {
	out := slices.Concat(n.AllFlags(true)...)
	slices.SortFunc(out, func(a, b *kong.Flag) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// choices are the values that a flag or an argument takes, where they are listed.
func choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

// sentence is a help text on one line.
func sentence(help string) string { return strings.Join(strings.Fields(help), " ") }
