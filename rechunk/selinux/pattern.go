package selinux

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// program is what a pattern was made of.
type program struct {
	// needed is in everything that the pattern matches: looking for it costs next to nothing, and most patterns end with it.
	needed string
	size   int            // an upper bound of the instructions
	re     *regexp.Regexp // nil until it is first needed
}

// matches reports whether a rule's pattern matches a whole path, and books what that may take.
func (l *Labels) matches(r *rule, p string) (bool, error) {
	if r.program == nil {
		var err error
		if r.program, err = parse(r.pattern); err != nil {
			return false, err
		}
	}
	if !strings.Contains(p, r.program.needed) {
		return false, l.spend(len(p) / 8)
	}
	if err := l.spend(r.program.size * (len(p) + 1)); err != nil {
		return false, err
	}
	if r.program.re == nil {
		if l.instructions += r.program.size; l.instructions > MaxPrograms {
			return false, fmt.Errorf("%w: its patterns compile to more than %d instructions", ErrPolicy, MaxPrograms)
		}
		var err error
		if r.program.re, err = regexp.Compile(anchored(r.pattern)); err != nil {
			return false, fmt.Errorf("%w: %w", ErrPolicy, err)
		}
	}
	return r.program.re.MatchString(p), nil
}

// anchored is a pattern for whole paths. As in libselinux, a dot is any byte, a line break, too.
func anchored(pattern string) string { return "^(?s:" + pattern + ")$" }

// parse looks at a pattern before it is compiled, which writes repetitions out.
func parse(pattern string) (*program, error) {
	if dear(pattern) {
		return nil, fmt.Errorf("%w: the pattern %.100q has flags or classes of Unicode, as none in file_contexts has",
			ErrPolicy, pattern)
	}
	re, err := syntax.Parse(anchored(pattern), syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	size := sizeOf(re)
	if size > MaxProgram {
		return nil, fmt.Errorf("%w: the pattern %.100q compiles to more than %d instructions", ErrPolicy, pattern,
			MaxProgram)
	}
	return &program{needed: neededBy(re), size: size}, nil
}

// dear reports whether just parsing a pattern takes long: a class of Unicode has thousands of ranges, and with (?i) each
// letter of a range is looked at.
func dear(pattern string) bool {
	for i := 0; i < len(pattern)-1; i++ {
		switch pattern[i] {
		case '\\':
			if i++; pattern[i] == 'p' || pattern[i] == 'P' {
				return true
			}
		case '(':
			if pattern[i+1] == '?' && !strings.HasPrefix(pattern[i:], "(?:") {
				return true
			}
		}
	}
	return false
}

// sizeOf bounds the instructions of a parsed pattern. What is past MaxProgram is not counted on.
func sizeOf(re *syntax.Regexp) int {
	size := 2 + len(re.Rune)
	for _, sub := range re.Sub {
		if size += sizeOf(sub); size > MaxProgram {
			return size
		}
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Max, re.Min+1)
	}
	return size
}

// neededBy returns the longest string behind its stem that must be in whatever a pattern matches, as far as that is easily
// seen.
func neededBy(re *syntax.Regexp) string {
	longest := ""
	switch re.Op {
	case syntax.OpLiteral:
		// This rune also matches what is no UTF-8.
		if !slices.Contains(re.Rune, utf8.RuneError) {
			return string(re.Rune)
		}
	case syntax.OpRepeat:
		if re.Min == 0 {
			return ""
		}
		return neededBy(re.Sub[0])
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		for i, sub := range re.Sub {
			if i == 1 && re.Sub[0].Op == syntax.OpBeginText && sub.Op == syntax.OpLiteral {
				continue // the stem, which was looked for
			}
			if s := neededBy(sub); len(s) > len(longest) {
				longest = s
			}
		}
	}
	return longest
}
