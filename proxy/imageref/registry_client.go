package imageref

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// registryClient is what sources and destinations in a registry share.
type registryClient struct {
	ref     name.Reference
	options []remote.Option
	idle    func() // closes connections that are not in use
	// What options hold, for requests that the library has no call for.
	transport http.RoundTripper
	keychain  authn.Keychain
}

func newRegistryClient(named string, opts Options) (*registryClient, error) {
	var nameOpts []name.Option
	if opts.Insecure {
		nameOpts = append(nameOpts, name.Insecure)
	}
	ref, err := name.ParseReference(named, nameOpts...)
	if err != nil {
		return nil, err
	}
	c := &registryClient{ref: ref, idle: func() {}}
	base := opts.Transport
	if base == nil {
		own, err := newTransport(opts.Insecure)
		if err != nil {
			return nil, err
		}
		base, c.idle = own, own.CloseIdleConnections
	}
	keychain := opts.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	c.transport, c.keychain = &schemeGuard{base: base, insecure: opts.Insecure}, keychain
	c.options = []remote.Option{
		remote.WithTransport(c.transport),
		remote.WithAuthFromKeychain(keychain),
		remote.WithUserAgent("strata"),
	}
	return c, nil
}

// newTransport returns the library's transport as one of our own, whose connections end with the work.
func newTransport(insecure bool) (*http.Transport, error) {
	preset, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the default HTTP transport was replaced by one that can't be copied; set Options.Transport")
	}
	t := preset.Clone()
	if insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // what Options.Insecure asks for
	}
	return t, nil
}

// fail makes the best of a registry's error.
func (c *registryClient) fail(err error) error {
	return registryError(c.ref.Context().RegistryStr(), err)
}

// Close ends the client's connections.
func (c *registryClient) Close() error {
	c.idle()
	return nil
}

// schemeGuard refuses plain HTTP except to loopback. The registry library would use it for private networks too, and follow
// redirects and token realms to it.
type schemeGuard struct {
	base     http.RoundTripper
	insecure bool
}

func (g *schemeGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	if g.insecure || req.URL.Scheme == "https" || isLoopback(req.URL.Hostname()) {
		return g.base.RoundTrip(req)
	}
	err := fmt.Errorf("plain HTTP to %s is refused; allow it with the insecure option", req.URL.Host)
	if req.Body != nil {
		err = join(err, req.Body.Close())
	}
	return nil, err
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
