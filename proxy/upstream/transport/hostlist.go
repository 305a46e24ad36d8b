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
		suffix, wild := strings.CutPrefix(listed, "*")
		if host == listed || wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix) {
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

// MayCarrySecrets returns the address to send credentials to for one that the registry named, or an error that wraps
// upstream.ErrRefused: it must be https, or the registry itself where that is http, and among the hosts that the registry
// may lead to. A registry behind something that ends TLS for it may name itself by http: it is reached as it is
// configured.
func (h *Host) MayCarrySecrets(u *url.URL) (*url.URL, error) {
	byHTTP := u.Scheme == "http" && (u.Port() == "" || u.Port() == "80")
	if byHTTP && h.base.Scheme == "https" && u.Hostname() == h.base.Hostname() {
		itself := *u
		itself.Scheme, itself.Host = h.base.Scheme, h.base.Host
		u = &itself
	}
	if u.Scheme != "https" && !SameOrigin(u, h.base) {
		return nil, fmt.Errorf("%w: token service at %s://%s: it must be https", upstream.ErrRefused, u.Scheme, u.Host)
	}
	return u, h.mayFollow(u)
}

// checkHosts returns what is wrong with a list.
func checkHosts(list []string) error {
	for _, host := range list {
		rest := strings.TrimPrefix(host, "*.")
		if rest == "" || strings.ContainsAny(rest, "*/:@ ") || rest != strings.ToLower(rest) {
			return fmt.Errorf("redirect host %q: write a host name such as cdn.example.com, or *.example.com, without port",
				upstream.Clean(host))
		}
	}
	return nil
}
