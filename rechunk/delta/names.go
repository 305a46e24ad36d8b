package delta

import "strings"

// unversioned is a path without what an update changes in it: numbers of versions, releases and sonames, build ids and
// hashes become a "#". usr/lib/modules/6.12.117+deb13/kernel/x.ko.xz and usr/lib/modules/6.12.118+deb13/kernel/x.ko.xz are
// one.
func unversioned(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); {
		n := version(p[i:], i > 0 && alphanumeric(p[i-1]))
		switch {
		case n > 0:
			b.WriteByte('#')
			i += n
		default:
			b.WriteByte(p[i])
			i++
		}
	}
	return b.String()
}

// version is the length of the number or hash that s begins with, if any. Inside of a word only numbers are.
func version(s string, inside bool) int {
	if !inside {
		if n := digits(s); n > 0 {
			return n
		}
	}
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	for n > 0 && n+1 < len(s) && (s[n] == '.' || s[n] == '_' || s[n] == '-' || s[n] == '~' || s[n] == '+') && digit(s[n+1]) {
		n++
		for n < len(s) && digit(s[n]) {
			n++
		}
	}
	return n
}

// digits is the length of the hexadecimal number that s begins with: a word of at least eight digits, some of them decimal.
func digits(s string) int {
	n, decimal := 0, 0
	for ; n < len(s) && alphanumeric(s[n]); n++ {
		switch c := s[n]; {
		case digit(c):
			decimal++
		case c >= 'a' && c <= 'f':
		default:
			return 0
		}
	}
	if n < 8 || decimal == 0 {
		return 0
	}
	return n
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func alphanumeric(c byte) bool { return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
