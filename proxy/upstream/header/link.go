package header

import (
	"net/http"
	"strings"
)

const maxLinkBytes = 16 << 10

// NextLink returns the target of the first link whose relation is "next" (RFC 8288), as it was written. ok is false when
// there is none.
func NextLink(h http.Header) (target string, ok bool) {
	for _, value := range h.Values("Link") {
		if target, ok = parseLink(value); ok {
			return target, true
		}
	}
	return "", false
}

// parseLink finds the target of the first link of a Link field whose relation is "next".
func parseLink(value string) (target string, ok bool) {
	if len(value) > maxLinkBytes {
		return "", false
	}
	p := fields{rest: value}
	for {
		p.skip(" \t,")
		if !p.accept('<') {
			return "", false
		}
		uri, rest, found := strings.Cut(p.rest, ">")
		if !found {
			return "", false
		}
		p.rest = rest
		if p.nextRelation() {
			return uri, true
		}
	}
}

// nextRelation reads the parameters of one link and reports whether its relation types include "next".
func (p *fields) nextRelation() bool {
	next := false
	for {
		p.skip(" \t")
		if !p.accept(';') {
			return next
		}
		p.skip(" \t")
		name := p.token()
		p.skip(" \t")
		if !p.accept('=') {
			continue
		}
		p.skip(" \t")
		value, ok := p.value()
		if !ok {
			return next
		}
		if strings.EqualFold(name, "rel") {
			for _, rel := range strings.Fields(value) {
				next = next || strings.EqualFold(rel, "next")
			}
		}
	}
}
