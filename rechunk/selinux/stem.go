package selinux

import (
	"strings"
	"unicode/utf8"
)

// stemOf returns what a path begins with if a pattern matches it, and whether that is the whole pattern.
func stemOf(pattern string) (stem string, literal bool) {
	var b []byte
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern) && !isWord(pattern[i+1]):
			i++
			b = append(b, pattern[i])
		case strings.IndexByte(`.^$?*+|[({\`, c) >= 0:
			if strings.IndexByte("?*{", c) >= 0 && len(b) > 0 {
				b = b[:len(b)-1] // it need not be there
			}
			if alternatives(pattern[i:]) {
				return "", false
			}
			return validPrefix(b), false
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

// isWord reports whether a backslash before c makes a class of it.
func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// alternatives reports whether there may be a | outside of parentheses.
func alternatives(pattern string) bool {
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth <= 0 {
				return true
			}
		}
	}
	return false
}

// validPrefix returns what comes before the first byte that is no UTF-8, or that a rune stands for which matches such bytes.
func validPrefix(b []byte) string {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError {
			return string(b[:i])
		}
		i += n
	}
	return string(b)
}
