package header

import "strings"

// fields reads the pieces that HTTP header fields are made of (RFC 9110, section 5.6).
type fields struct{ rest string }

// skip drops leading bytes that are in set.
func (p *fields) skip(set string) { p.rest = strings.TrimLeft(p.rest, set) }

// accept consumes c if it comes next.
func (p *fields) accept(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// token returns the token that comes next, or nothing.
func (p *fields) token() string {
	i := 0
	for i < len(p.rest) && isTokenByte(p.rest[i]) {
		i++
	}
	t := p.rest[:i]
	p.rest = p.rest[i:]
	return t
}

// value returns the token or quoted string that comes next. An unquoted value may hold the bytes that sloppy servers leave
// unquoted in URLs.
func (p *fields) value() (string, bool) {
	if !p.accept('"') {
		i := strings.IndexAny(p.rest, " \t,;\"")
		if i < 0 {
			i = len(p.rest)
		}
		v := p.rest[:i]
		p.rest = p.rest[i:]
		return v, v != ""
	}
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	p.rest = ""
	return "", false
}

func isTokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	default:
		return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
	}
}
