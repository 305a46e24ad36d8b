package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// Defaults of Config.
const (
	DefaultTimeout        = 30 * time.Second
	DefaultMaxWait        = 10 * time.Second
	DefaultMinRate        = 1 << 10
	DefaultMaxConnections = 64
	maxDefaultDownloads   = 32
)

// Config says how the connections to one registry are made. The zero value is a public registry over https.
type Config struct {
	// URL is the registry's base: scheme, host and port. The default is https:// and the host, for docker.io
	// https://registry-1.docker.io; with Insecure it is http:// and the host.
	URL string

	// CAFile is a PEM file of authorities that are trusted beside the system's, for this host and where it leads.
	CAFile string
	// ClientCertFile and ClientKeyFile are PEM files that identify us to this host. They are read for every handshake.
	ClientCertFile, ClientKeyFile string
	// Insecure allows http for a URL without scheme. A URL that says http:// needs no more than that.
	Insecure bool
	// SkipVerify accepts any certificate of this host; hosts that it leads to are verified all the same.
	SkipVerify bool

	// Proxy is the URL of the HTTP proxy by which the registry is reached, and where it leads; "none": without one. Empty:
	// what Options.Proxy says. It may hold a user name and a password.
	Proxy string

	// RedirectHosts are the only hosts that the registry may lead to, by redirect or as its token service, wherever they
	// are: "cdn.example.com", "*.example.com". Empty: any public host, and hosts at addresses of the kind that the
	// registry has.
	RedirectHosts []string

	// Rate bounds the requests in a second and Bandwidth the bytes; zero is no bound. What the registry leads to counts.
	// Requests wait in line; one that would wait longer than MaxWait for its turn fails.
	Rate      float64
	Bandwidth int64
	// MaxConnections bounds the requests at once, from their beginning to the end of the answer's body, and MaxDownloads
	// those of them that fetch whole blobs. The defaults are 64 and, so that questions get through beside downloads,
	// three quarters of MaxConnections, at most 32.
	MaxConnections, MaxDownloads int
	// MinRate is how many bytes in a second an answer's body must bring, measured over a minute of waiting for them. A
	// slower one ends with an error that wraps upstream.ErrStalled. The default is 1 KiB.
	MinRate int64

	// Timeout is how long the host may be silent before an answer's header and between the parts of its body.
	Timeout time.Duration
	// Persistent says that the host, when it failed, is asked again by whoever comes next, one request at a time: it is
	// not left alone for some seconds as others are.
	Persistent bool
	// Traced says that the host is told which trace a request belongs to (W3C Trace Context).
	Traced bool
	// MaxWait is the longest wait for a turn that Rate allows, and the longest Retry-After that is worth waiting for.
	MaxWait time.Duration
}

// withDefaults fills in what is zero and rejects what cannot be.
func (c Config) withDefaults() (Config, error) {
	if c.Timeout < 0 || c.MaxWait < 0 {
		return c, errors.New("timeout and longest wait must not be negative")
	}
	if c.Rate < 0 || c.Bandwidth < 0 || c.MaxConnections < 0 || c.MaxDownloads < 0 || c.MinRate < 0 {
		return c, errors.New("rates, bandwidth, connections and downloads must not be negative")
	}
	if err := checkHosts(c.RedirectHosts); err != nil {
		return c, err
	}
	if (c.ClientCertFile == "") != (c.ClientKeyFile == "") {
		return c, errors.New("a client certificate and its key go together: one of them is missing")
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxWait == 0 {
		c.MaxWait = DefaultMaxWait
	}
	if c.MinRate == 0 {
		c.MinRate = DefaultMinRate
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.MaxDownloads == 0 {
		c.MaxDownloads = min(mostOf(c.MaxConnections), maxDefaultDownloads)
	}
	return c, nil
}

// dockerHub is known by a name where no registry answers.
const dockerHub = "docker.io"

// base returns the URL that paths of the API are added to.
func (c Config) base(host string) (*url.URL, error) {
	raw := c.URL
	switch {
	case raw == "" && host == dockerHub:
		raw = "registry-1.docker.io"
	case raw == "":
		raw = host
	}
	if !strings.Contains(raw, "://") {
		scheme := "https://"
		if c.Insecure {
			scheme = "http://"
		}
		raw = scheme + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the URL cannot be parsed") // the cause would repeat it, and it may hold a password
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the URL holds a user name: use the user name and password settings")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("the URL's scheme is %q: it must be https or http", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL has more than scheme and host: a registry answers at /v2/ of its host")
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}

// Options are what the hosts of one program share. The zero value works.
type Options struct {
	// Logger is told when a breaker changes. The default discards.
	Logger *slog.Logger
	// UserAgent is sent with every request. The default is "strata".
	UserAgent string
	// Via returns what a request says in the header of that name, if anything. The default is nothing.
	Via func(ctx context.Context) string
	// Observer counts; nil is nobody.
	Observer Observer
	// Proxy picks the HTTP proxy of a request. The default is http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Now and Sleep replace the clock in tests. Sleep returns the context's error when that ends first.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// WithDefaults fills in what is missing.
func (o Options) WithDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Via == nil {
		o.Via = func(context.Context) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = Sleep
	}
	if o.UserAgent == "" {
		o.UserAgent = "strata"
	}
	return o
}

// Observer counts what hosts do. Its methods are called often and from many goroutines. Host is as callers name it: where
// any host may be an upstream, clients choose it.
type Observer interface {
	// Request is called after each HTTP exchange with the registry itself or where it redirected to. Status is 0 when
	// there was no answer.
	Request(host, method string, status int)
	// Error is called for each failed attempt.
	Error(host string, kind upstream.Kind)
	// Bytes is called with the number of body bytes received.
	Bytes(host string, n int)
}

// unobserved is the Observer of those who want none.
type unobserved struct{}

func (unobserved) Request(string, string, int) {}
func (unobserved) Error(string, upstream.Kind) {}
func (unobserved) Bytes(string, int)           {}

type proxyFunc = func(*http.Request) (*url.URL, error)

// Sleep waits for d or for the end of the context, whichever comes first, and returns the context's error in that case.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
