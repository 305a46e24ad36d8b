package transport

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/strata-oci/strata/proxy/upstream"
)

const (
	maxRedirects = 5
	maxLocation  = 16 << 10
)

// IsRedirect reports whether an answer leads elsewhere.
func IsRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

// RedirectTarget returns where a Location header leads from a URL. Errors do not repeat the header: it may be a signed URL.
func RedirectTarget(from *url.URL, location string) (*url.URL, error) {
	if location == "" || len(location) > maxLocation {
		return nil, fmt.Errorf("%w: redirect from %s without a usable location", upstream.ErrRefused, from.Host)
	}
	ref, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%w: redirect from %s to something that is no URL", upstream.ErrRefused, from.Host)
	}
	to := from.ResolveReference(ref)
	switch {
	case to.Hostname() == "" || to.User != nil:
		return nil, fmt.Errorf("%w: redirect from %s to a URL without a plain host", upstream.ErrRefused, from.Host)
	case to.Scheme != "https" && (to.Scheme != "http" || from.Scheme != "http"):
		return nil, fmt.Errorf("%w: redirect from %s://%s to %s://%s",
			upstream.ErrRefused, from.Scheme, from.Host, upstream.Clean(to.Scheme), to.Host)
	}
	to.Fragment, to.RawFragment = "", ""
	return to, nil
}
