package upstream

import (
	"net/http"
	"strings"
)

const (
	maxChallenges      = 8
	maxChallengeParams = 16
	maxChallengeBytes  = 16 << 10
)

// challenge is one challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1): scheme and parameter names in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// pickChallenge returns the challenge to answer: bearer before basic. ok is false when there is neither.
func pickChallenge(header http.Header) (ch challenge, ok bool) {
	for _, value := range header.Values("WWW-Authenticate") {
		for _, c := range parseChallenges(value) {
			switch {
			case c.scheme == "bearer" && c.params["realm"] != "":
				return c, true
			case c.scheme == "basic" && !ok:
				ch, ok = c, true
			}
		}
	}
	return ch, ok
}

// parseChallenges reads one WWW-Authenticate field, which may hold several challenges. What follows the first syntax error is
// dropped.
func parseChallenges(value string) []challenge {
	if len(value) > maxChallengeBytes {
		return nil
	}
	var all []challenge
	p := headerParser{rest: value}
	for {
		p.skip(" \t,")
		word := p.token()
		if word == "" {
			return all
		}
		p.skip(" \t")
		if !p.accept('=') {
			if len(all) == maxChallenges {
				return all
			}
			all = append(all, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
			continue
		}
		p.skip(" \t")
		text, ok := p.value()
		if !ok || len(all) == 0 {
			return all
		}
		if params := all[len(all)-1].params; len(params) < maxChallengeParams {
			if name := strings.ToLower(word); params[name] == "" {
				params[name] = text
			}
		}
	}
}

// headerParser reads the pieces that HTTP header fields are made of (RFC 9110, section 5.6).
type headerParser struct{ rest string }

// skip drops leading bytes that are in set.
func (p *headerParser) skip(set string) { p.rest = strings.TrimLeft(p.rest, set) }

// accept consumes c if it comes next.
func (p *headerParser) accept(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// token returns the token that comes next, or nothing.
func (p *headerParser) token() string {
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
func (p *headerParser) value() (string, bool) {
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
