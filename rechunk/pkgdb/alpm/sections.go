package alpm

import (
	"iter"
	"strings"
)

// values returns the lines of a file of pacman's database with the section that each is in. A section is a line "%NAME%",
// values one on a line and an empty line.
func values(text string) iter.Seq2[string, string] {
	return func(yield func(section, value string) bool) {
		section := ""
		for line := range strings.SplitSeq(text, "\n") {
			switch {
			case line == "":
				section = ""
			case section == "" && len(line) > 2 && line[0] == '%' && line[len(line)-1] == '%':
				section = line[1 : len(line)-1]
			case section != "":
				if !yield(section, line) {
					return
				}
			}
		}
	}
}
