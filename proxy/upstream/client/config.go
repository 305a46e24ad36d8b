package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/strata-oci/strata/proxy/upstream/auth"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

// Defaults of Config.
const (
	DefaultAttempts = 4
	DefaultBackoff  = 200 * time.Millisecond
)

const (
	maxAttempts     = 20
	defaultSessions = 1024
	maxNewcomers    = 256
)

// Config says how one registry is reached. The zero value is a public registry: https, credentials from the user's docker or
// podman login if there are any.
type Config struct {
	transport.Config
	auth.Login

	// Via says that URL is another Strata's, which knows the registry's repositories by host and path.
	Via bool

	// Attempts is how often a request is made before it fails, at most 20.
	Attempts int
	// Backoff is the first wait between two attempts; it doubles up to five seconds.
	Backoff time.Duration
}

// withDefaults fills in what is zero and rejects what cannot be.
func (c Config) withDefaults() (Config, error) {
	if c.Attempts < 0 || c.Backoff < 0 {
		return c, errors.New("attempts and backoff must not be negative")
	}
	if c.Attempts > maxAttempts {
		return c, fmt.Errorf("%d attempts: the limit is %d", c.Attempts, maxAttempts)
	}
	if c.Attempts == 0 {
		c.Attempts = DefaultAttempts
	}
	if c.Backoff == 0 {
		c.Backoff = DefaultBackoff
	}
	if c.MaxWait == 0 {
		c.MaxWait = transport.DefaultMaxWait
	}
	return c, nil
}

// Options are what a Client is made of. Only Hosts or AllowUnlisted is needed.
type Options struct {
	// Hosts holds the upstreams by the host that stands in repository names: "ghcr.io", "docker.io", "localhost:5000".
	Hosts map[string]Config
	// AllowUnlisted lets any other host be an upstream, with the defaults of Config, as long as its address is public.
	AllowUnlisted bool
	// Logger is told about failures that are swallowed. The default discards.
	Logger *slog.Logger
	// UserAgent is sent with every request. The default is "strata".
	UserAgent string
	// Via returns what a request says in the header of that name, if anything. The default is nothing.
	Via func(ctx context.Context) string
	// Observer counts; nil is nobody.
	Observer transport.Observer
	// Keychain has the logins of hosts that are configured without one. The default is authn.DefaultKeychain: docker's
	// config.json, podman's auth.json, credential helpers.
	Keychain authn.Keychain
	// Proxy picks the HTTP proxy of a request. The default is http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Sessions is how many repositories' authorizations are kept, beside those of 256 in which nothing was found yet. The
	// default is 1024.
	Sessions int

	// Now and Sleep replace the clock in tests. Sleep returns the context's error when that ends first.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// withDefaults fills in what is missing.
func (o Options) withDefaults() Options {
	t := o.transport().WithDefaults()
	o.Logger, o.UserAgent, o.Observer, o.Proxy, o.Now, o.Sleep = t.Logger, t.UserAgent, t.Observer, t.Proxy, t.Now, t.Sleep
	if o.Sessions <= 0 {
		o.Sessions = defaultSessions
	}
	return o
}

// transport is what of the options is about connections.
func (o Options) transport() transport.Options {
	return transport.Options{
		Logger: o.Logger, UserAgent: o.UserAgent, Via: o.Via, Observer: o.Observer, Proxy: o.Proxy, Now: o.Now,
		Sleep: o.Sleep,
	}
}
