package transport

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/strata-oci/strata/proxy/upstream"
)

// hostList are the hosts that an upstream may lead to: "cdn.example", or "*.example" for all below.
type hostList []string

// has reports whether a host name, without port, is listed.
func (l hostList) has(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, listed := range l {
		if suffix, ok := strings.CutPrefix(listed, "*"); ok && strings.HasSuffix(host, suffix) && len(host) > len(suffix) || host == listed {
			return true
		}
	}
	return false
}

// mayFollow returns an error that wraps upstream.ErrRefused when the upstream's configuration does not let it lead to a URL.
func (h *Host) mayFollow(u *url.URL) error {
	if len(h.redirectHosts) == 0 || SameOrigin(u, h.base) || h.redirectHosts.has(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%w: %s is not among the upstream's redirect_hosts", upstream.ErrRefused, u.Host)
}

// checkHosts returns what is wrong with a list.
func checkHosts(list []string) error {
	for _, host := range list {
		rest := strings.TrimPrefix(host, "*.")
		if rest == "" || strings.ContainsAny(rest, "*/:@ ") || rest != strings.ToLower(rest) {
			return fmt.Errorf("redirect host %q: write a host name such as cdn.example.com, or *.example.com, without port", upstream.Clean(host))
		}
	}
	return nil
}
