package client

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
)

// nextPage returns the address of the next page of a listing, as its Link header names it, or nil when this is the last
// one. It is always at the registry that the page came from: one behind something that ends TLS, or maps names or paths,
// may know itself by others.
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
	if next.Opaque != "" {
		return nil, fmt.Errorf("%w: Link header holds no path", upstream.ErrRefused)
	}
	next.Scheme, next.Host, next.User, next.Fragment, next.RawFragment = page.Scheme, page.Host, nil, "", ""
	if strings.HasSuffix(next.Path, page.Path) {
		next.Path, next.RawPath = page.Path, page.RawPath
	}
	return next, nil
}
