package client

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// nextPage returns the address of the next page of a listing, as its Link header names it, or nil when this is the last one. The
// address must be on the same host, with the same scheme, as the page it was found on.
func nextPage(page *url.URL, h http.Header) (*url.URL, error) {
	target, ok := header.NextLink(h)
	if !ok {
		return nil, nil
	}
	ref, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("%w: Link header holds no URL", upstream.ErrRefused)
	}
	next := page.ResolveReference(ref)
	if !transport.SameOrigin(next, page) || next.User != nil {
		return nil, fmt.Errorf("%w: Link header leads from %s to another host", upstream.ErrRefused, page.Host)
	}
	next.Fragment = ""
	return next, nil
}
