package upstream

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const maxLinkBytes = 16 << 10

// nextPage returns the address of the next page of a listing, as its Link header names it (RFC 8288, rel="next"), or nil when
// this is the last one. The address must be on the same host, with the same scheme, as the page it was found on.
func nextPage(page *url.URL, header http.Header) (*url.URL, error) {
	for _, value := range header.Values("Link") {
		target, ok := parseLink(value)
		if !ok {
			continue
		}
		ref, err := url.Parse(target)
		if err != nil {
			return nil, fmt.Errorf("%w: Link header holds no URL", ErrRefused)
		}
		next := page.ResolveReference(ref)
		if !sameOrigin(next, page) || next.User != nil {
			return nil, fmt.Errorf("%w: Link header leads from %s to another host", ErrRefused, page.Host)
		}
		next.Fragment = ""
		return next, nil
	}
	return nil, nil
}

// parseLink finds the target of the first link of a Link field whose relation is "next".
func parseLink(value string) (target string, ok bool) {
	if len(value) > maxLinkBytes {
		return "", false
	}
	p := headerParser{rest: value}
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
func (p *headerParser) nextRelation() bool {
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
