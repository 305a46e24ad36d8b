package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// syntax turns the parser's error into a problem that speaks of the file, not of the parser, and without the lines that the
// parser would quote.
func (d *decoder) syntax(err error, data []byte) Problem {
	var located yaml.Error
	if !errors.As(err, &located) || located.GetToken() == nil || located.GetToken().Position == nil {
		return Problem{Where: d.file, Message: notYAML}
	}
	at := located.GetToken().Position
	m := mistake{lines: strings.Split(string(data), "\n"), line: at.Line, column: at.Column, parser: located.GetMessage()}
	message := m.explain()
	return Problem{Where: fmt.Sprintf("%s:%d:%d", d.file, m.line, m.column), Message: message}
}

// What people get wrong.
const (
	notYAML = "is not valid YAML: look at indentation, colons, quotes and brackets, here and in the line above"
	indent  = "its indentation does not fit the lines above: keys of one mapping start in the same column, and what belongs to a " +
		"key further right"
	quoteIPv6 = "an IPv6 address needs quotes, such as \"[::1]:5000\" or \"fd00::/8\""
)

var (
	twice    = regexp.MustCompile(`^mapping key (".*") already defined at \[(\d+):\d+\]$`)
	quoted   = regexp.MustCompile(`"[^"]*"|'[^']*'|(^|\s)#.*`)
	ipv6     = regexp.MustCompile(`[0-9A-Fa-f]{0,4}::|([0-9A-Fa-f]{1,4}:){5}`)
	reserved = regexp.MustCompile(`^'([@%\x60])' is a reserved character$`)
)

// mistake is a place where the parser gave up, and the parser's words for it. Line and column count from 1.
type mistake struct {
	lines        []string
	line, column int
	parser       string
}

// explain says what is wrong and what to do, and moves to the line that causes it.
func (m *mistake) explain() string {
	says := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(m.parser, p) {
				return true
			}
		}
		return false
	}
	if tab := strings.Index(m.indentation(m.line), "\t"); tab >= 0 {
		m.column = tab + 1
		return "is indented with a tab: YAML takes spaces only"
	}
	if m.bareIPv6() {
		return quoteIPv6
	}
	if first := twice.FindStringSubmatch(m.parser); first != nil {
		key, _ := strconv.Unquote(first[1])
		return fmt.Sprintf("%s is set twice, here and in line %s: keep one", quote(key), first[2])
	}
	switch {
	case reserved.MatchString(m.parser), says("unexpected scalar value type", "could not find alias", "alias name"):
		return "a value that begins with a special character needs quotes, such as \"*\" or \"@name\""
	case says("could not find end character"):
		return "a quote begins here, but does not end"
	case says("must be specified", "end token"):
		return "a list in [ ] or a mapping in { } is not closed, or lacks a comma"
	case says("corresponding to"), strings.ContainsAny(m.at(), "]}"):
		return "a bracket closes here that was not opened"
	case says("unexpected key name", "delimiter ':'", "implicit line break", "non-map value"):
		return "a line has no key and value: write \"key: value\", with a space after the colon"
	case says("mapping value is not allowed"):
		return m.valueInValue()
	case says("not allowed in this context"):
		return indent
	}
	return notYAML
}

// bareIPv6 reports whether an IPv6 address without quotes is in the line, or in the one above, where the parser gave up
// behind it; it moves there.
func (m *mistake) bareIPv6() bool {
	for line := m.line; line >= max(m.line-1, 1) && line <= len(m.lines); line-- {
		if at := ipv6.FindStringIndex(quoted.ReplaceAllStringFunc(m.lines[line-1], blank)); at != nil {
			m.line, m.column = line, at[0]+1
			return true
		}
	}
	return false
}

// blank is as long as a text.
func blank(s string) string { return strings.Repeat(" ", len(s)) }

// valueInValue explains a key where its line has a value already.
func (m *mistake) valueInValue() string {
	if m.line <= len(m.lines) && strings.Count(m.lines[m.line-1], ": ") > 1 {
		return "a value with a colon and a space in it needs quotes"
	}
	for next := m.line + 1; next <= len(m.lines); next++ {
		text := strings.TrimSpace(m.lines[next-1])
		if text == "" || text[0] == '#' {
			continue
		}
		if depth := len(m.indentation(next)); depth > len(m.indentation(m.line)) {
			m.line, m.column = next, depth+1
		}
		break
	}
	return indent
}

// at returns the character at the place, or nothing.
func (m *mistake) at() string {
	if m.line < 1 || m.line > len(m.lines) || m.column < 1 || m.column > len(m.lines[m.line-1]) {
		return ""
	}
	return m.lines[m.line-1][m.column-1 : m.column]
}

// indentation returns the blanks that a line begins with.
func (m *mistake) indentation(line int) string {
	if line < 1 || line > len(m.lines) {
		return ""
	}
	text := m.lines[line-1]
	return text[:len(text)-len(strings.TrimLeft(text, " \t"))]
}
