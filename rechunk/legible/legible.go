// Package legible makes what people read: text from outside that shows as what it is, and numbers with their nouns.
//
// What packages, images, registries and clients say of themselves reaches terminals, logs, pages and release notes. A
// terminal obeys some of it, and of some a reader sees nothing, or sees it in another order than it has. All of that is
// written out here, in one way: as JSON's strings do, so that a document that goes through a Writer has the same values
// behind it.
package legible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// blank is a letter of Braille without dots. Unicode takes it for a symbol.
const blank = '\u2800'

// Shows reports whether a character is seen, and leaves its neighbours where they are. Of spaces, that is the one of ASCII.
// What steers terminals does not show, nor do signs that turn the direction of text, take no room, or join and vary others.
func Shows(r rune) bool {
	if r < utf8.RuneSelf {
		return ' ' <= r && r <= '~'
	}
	return unicode.IsPrint(r) && r != blank && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point,
		unicode.Variation_Selector)
}

// Plain reports whether Line has nothing to change in a text.
func Plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !Shows(r) })
}

// Line returns a text as one line: what does not show is written out, bytes that are no UTF-8 included.
func Line(s string) string {
	if Plain(s) {
		return s
	}
	out := make([]byte, 0, len(s)+16)
	for len(s) > 0 {
		var n int
		out, n = appendFirst(out, s)
		s = s[n:]
	}
	return string(out)
}

// Clip is the beginning of Line, at most so many bytes. It does not end within a character that was written out.
func Clip(s string, most int) string {
	out := make([]byte, 0, min(len(s), max(most, 0)))
	for len(s) > 0 {
		next, n := appendFirst(out, s)
		if len(next) > most {
			break
		}
		out, s = next, s[n:]
	}
	return string(out)
}

// Text returns a text of several lines, which end with "\n", as it would be read aloud: what does not show is left out, and
// any other space is one of ASCII. Tabs stay. What is no UTF-8 becomes U+FFFD.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || Shows(r):
			return r
		case unicode.IsSpace(r) || r == blank:
			return ' '
		}
		return -1
	}, strings.ReplaceAll(s, "\r\n", "\n"))
}

// appendFirst appends the first character of a text, written out if it does not show, and returns its length there.
func appendFirst(out []byte, s string) ([]byte, int) {
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && n == 1:
		return fmt.Appendf(out, `\x%02x`, s[0]), 1
	case Shows(r):
		return append(out, s[:n]...), n
	}
	return appendEscape(out, r), n
}

// appendEscape writes a character out as in a JSON string.
func appendEscape(out []byte, r rune) []byte {
	switch r {
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	}
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}
