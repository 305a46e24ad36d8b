package manual

import (
	"strings"

	"github.com/alecthomas/kong"
)

// walk is how bash and zsh find out which command the words before the cursor call: in cmd.
func (s *script) walk(list, upto string) {
	s.line(`  for w in %s; do`, list)
	s.line(`    [ "$i" -ge %s ] && break`, upto)
	s.line(`    i=$((i + 1))`)
	s.line(`    case "$cmd${cmd:+ }$w" in`)
	for _, n := range s.nodes[1:] {
		s.line(`    %s) cmd=%s ;;`, quoted(words(n)), quoted(words(n)))
	}
	s.line(`    esac`)
	s.line(`  done`)
}

// values writes the cases of flags whose values are listed: after the flag of the command, do completes.
func (s *script) values(do func(values []string) string) {
	for _, n := range s.nodes {
		for _, f := range flags(n) {
			if values := choices(f.Value); len(values) > 0 {
				s.line(`  %s) %s ;;`, quoted(words(n)+":--"+f.Name), do(values))
			}
		}
	}
}

func bash(s *script) {
	s.line("# bash completion for %s, made by: %s completion bash", s.name, s.name)
	s.line("_%s() {", s.name)
	s.line(`  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" cmd="" w i=1 words=""`)
	s.walk(`"${COMP_WORDS[@]:1}"`, `"$COMP_CWORD"`)
	s.line(`  case "$cmd:$prev" in`)
	s.values(func(values []string) string {
		return `COMPREPLY=($(compgen -W ` + quoted(strings.Join(values, " ")) + ` -- "$cur")); return`
	})
	s.line(`  esac`)
	s.line(`  case "$cmd:$cur" in`)
	for _, n := range s.nodes {
		var names, flagNames []string
		for _, child := range commands(n)[1:] {
			if child.Parent == n {
				names = append(names, child.Name)
			}
		}
		for _, f := range flags(n) {
			flagNames = append(flagNames, "--"+f.Name)
		}
		s.line(`  %s*) words=%s ;;`, quoted(words(n)+":-"), quoted(strings.Join(flagNames, " ")))
		s.line(`  %s*) words=%s ;;`, quoted(words(n)+":"), quoted(strings.Join(append(names, arguments(n)...), " ")))
	}
	s.line(`  esac`)
	s.line(`  COMPREPLY=($(compgen -W "$words" -- "$cur"))`)
	s.line(`}`)
	s.line("complete -o default -F _%s %s", s.name, s.name) // default: names of files where nothing else fits
}

// arguments are the values that a command's arguments take, where they are listed.
func arguments(n *kong.Node) (out []string) {
	for _, p := range n.Positional {
		out = append(out, choices(p)...)
	}
	return out
}

func zsh(s *script) {
	s.line("#compdef %s", s.name)
	s.line("# zsh completion, made by: %s completion zsh", s.name)
	s.line("_%s() {", s.name)
	s.line(`  local cmd="" w i=2 cur="${words[CURRENT]}" prev="${words[CURRENT-1]}"`)
	s.line(`  local -a names flags`)
	s.walk(`"${words[@]:1}"`, `"$CURRENT"`)
	s.line(`  case "$cmd:$prev" in`)
	s.values(func(values []string) string { return `compadd -- ` + strings.Join(values, " ") + `; return` })
	s.line(`  esac`)
	s.line(`  case "$cmd" in`)
	for _, n := range s.nodes {
		s.line(`  %s)`, quoted(words(n)))
		s.line(`    names=(%s)`, strings.Join(described(n), " "))
		var list []string
		for _, f := range flags(n) {
			list = append(list, quoted("--"+f.Name+":"+colons(sentence(f.Help))))
		}
		s.line(`    flags=(%s) ;;`, strings.Join(list, " "))
	}
	s.line(`  esac`)
	s.line(`  if [[ "$cur" == -* ]]; then _describe -o flag flags`)
	s.line(`  elif (( ${#names} )); then _describe command names`)
	s.line(`  else _files; fi`)
	s.line(`}`)
	s.line("if [ \"$funcstack[1]\" = \"_%s\" ]; then _%s \"$@\"; else compdef _%s %s; fi", s.name, s.name, s.name, s.name)
}

// described lists the commands of a node, or the values of its arguments, as _describe of zsh takes them.
func described(n *kong.Node) (out []string) {
	for _, child := range commands(n)[1:] {
		if child.Parent == n {
			out = append(out, quoted(child.Name+":"+colons(sentence(child.Help))))
		}
	}
	for _, value := range arguments(n) {
		out = append(out, quoted(value))
	}
	return out
}

func colons(text string) string { return strings.ReplaceAll(text, ":", `\:`) }

func fish(s *script) {
	s.line("# fish completion for %s, made by: %s completion fish", s.name, s.name)
	for _, n := range s.nodes {
		when := seen(n)
		for _, child := range commands(n)[1:] {
			if child.Parent == n {
				s.line("complete -c %s -f -n %s -a %s -d %s", s.name, quoted(when), child.Name, quoted(sentence(child.Help)))
			}
		}
		for _, value := range arguments(n) {
			s.line("complete -c %s -f -n %s -a %s", s.name, quoted(when), value)
		}
		for _, f := range flags(n) {
			line := "complete -c " + s.name + " -n " + quoted(when) + " -l " + f.Name
			if f.Short != 0 {
				line += " -s " + string(f.Short)
			}
			if values := choices(f.Value); len(values) > 0 {
				line += " -x -a " + quoted(strings.Join(values, " "))
			} else if !f.IsBool() {
				line += " -r"
			}
			s.line("%s -d %s", line, quoted(sentence(f.Help)))
		}
	}
}

// seen is fish's condition that the words so far call a command, and none below it.
func seen(n *kong.Node) string {
	var conditions, below []string
	for of := n; of.Parent != nil; of = of.Parent {
		conditions = append([]string{"__fish_seen_subcommand_from " + of.Name}, conditions...)
	}
	for _, child := range commands(n)[1:] {
		if child.Parent == n {
			below = append(below, child.Name)
		}
	}
	if len(below) > 0 {
		conditions = append(conditions, "not __fish_seen_subcommand_from "+strings.Join(below, " "))
	}
	return strings.Join(conditions, "; and ")
}

// quoted puts a word into single quotes, as all three shells read them.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
