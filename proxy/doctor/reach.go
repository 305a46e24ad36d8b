package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"

	"github.com/strata-oci/strata/proxy/hosts/registries"
)

// Limits on what a registry may cost.
const (
	askTimeout = 30 * time.Second // for one answer
	patience   = 3 * time.Minute  // for all
	expirySoon = 14 * 24 * time.Hour
	// skewTold is what is worth a word, skewWrong what makes tokens and certificates fail.
	skewTold, skewWrong = 30 * time.Second, 5 * time.Minute
)

// door is a registry that is asked: how to connect to it, and what its answers told.
type door struct {
	host   string // as in the reference
	at     string // host:port
	client *http.Transport
	plain  bool // it speaks HTTP

	mu     sync.Mutex
	date   string // of the last answer
	asked  time.Time
	served string // Strata-Served of the last manifest
}

// hostPort is where a registry's name leads.
func hostPort(domain string, plain bool) string {
	if domain == "docker.io" {
		domain = "registry-1.docker.io"
	}
	if _, _, err := net.SplitHostPort(domain); err == nil {
		return domain
	}
	port := "443"
	if plain {
		port = "80"
	}
	return net.JoinHostPort(strings.Trim(domain, "[]"), port)
}

// reach asks one registry for the image. It returns nil when that has no sense to go on with.
func (e *examination) reach(ctx context.Context, s registries.Source, first bool) *pulled {
	d := e.open(ctx, s)
	if d == nil {
		return nil
	}
	e.doors = append(e.doors, d)
	p := e.pull(ctx, d, s)
	e.clock(d)
	if p == nil || !first {
		return p
	}
	if d.served == "" {
		e.add(CheckManifest, Wrong, e.clientConfig(proxyKey),
			"%s is asked first, and is no Strata: nothing leads to the proxy", d.host)
	} else {
		e.fine(CheckManifest, "%s serves %s: %s", d.host, p.digest, d.served)
	}
	return p
}

// open connects to a registry, and tells of its name and its certificate.
func (e *examination) open(ctx context.Context, s registries.Source) *door {
	d := &door{host: reference.Domain(s.Named)}
	d.at = hostPort(d.host, false)
	name, _, _ := net.SplitHostPort(d.at)
	addresses, err := e.Resolve(ctx, name)
	if err != nil || len(addresses) == 0 {
		e.add(CheckReach, Wrong, "put the name into DNS or /etc/hosts, or mend it in registries.conf",
			"the name %s does not resolve: %s", name, cause(err))
		return nil
	}
	config, err := e.tlsConfig(d.host, s.Insecure)
	if err != nil {
		e.add(CheckTLS, Wrong, "mend or remove the file", "%v", err)
		return nil
	}
	config.InsecureSkipVerify = s.Insecure
	short, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := e.Dial(short, "tcp", d.at)
	if err != nil && s.Insecure && hostPort(d.host, true) != d.at {
		d.at = hostPort(d.host, true)
		conn, err = e.Dial(short, "tcp", d.at)
	}
	if err != nil {
		e.add(CheckReach, Wrong, "start the proxy, or open the way to it", "nobody answers at %s: %s", d.at, cause(err))
		return nil
	}
	e.fine(CheckReach, "%s is %s, which answers", d.at, addresses[0])
	if !e.handshake(short, d, conn, config, s) {
		return nil
	}
	d.client = &http.Transport{DialContext: e.Dial, DisableCompression: true,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return e.dialTLS(ctx, network, address, d, config)
		},
		ResponseHeaderTimeout: askTimeout, MaxResponseHeaderBytes: 64 << 10}
	return d
}

// dialTLS connects to the registry, or to another host that it leads to, such as one that gives tokens. What the host has
// set up for the registry alone, its own certificate and insecure = true, is not for the other.
func (e *examination) dialTLS(ctx context.Context, network, address string, d *door, config *tls.Config) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address %.200q: %w", address, err)
	}
	config = config.Clone()
	config.ServerName = host
	if address != d.at {
		config.Certificates, config.InsecureSkipVerify = nil, false
	}
	conn, err := e.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// handshake looks at the certificate. It reports whether a client would go on.
func (e *examination) handshake(ctx context.Context, d *door, conn net.Conn, config *tls.Config, s registries.Source) bool {
	defer func() { _ = conn.Close() }() // nothing was said
	config = config.Clone()
	config.ServerName, _, _ = net.SplitHostPort(d.at)
	c := tls.Client(conn, config)
	err := c.HandshakeContext(ctx)
	var plain tls.RecordHeaderError
	entry := "the [[registry]]"
	if s.Mirror {
		entry = "the [[registry.mirror]]"
	}
	switch {
	case err == nil && s.Insecure:
		e.add(CheckTLS, Note, "", "insecure = true in /%s: the certificate of %s is not checked", s.File, d.host)
		return true
	case err == nil:
		e.certificate(d, c.ConnectionState().PeerCertificates[0])
		return true
	case errors.As(err, &plain) && s.Insecure:
		d.plain = true
		e.add(CheckTLS, Note, "", "%s speaks plain HTTP, as insecure = true in /%s allows", d.host, s.File)
		return true
	case errors.As(err, &plain):
		where := "a file in /etc/containers/registries.conf.d"
		if s.File != "" {
			where = "/" + s.File
		}
		e.add(CheckTLS, Wrong, fmt.Sprintf("give the proxy a certificate (tls.cert_file), or insecure = true to %s for %s itself in %s",
			entry, d.host, where), "%s speaks plain HTTP, and the client wants HTTPS", d.host)
	default:
		fix, text := e.explain(d, err)
		e.add(CheckTLS, Wrong, fix, "%s: %s", d.host, text)
	}
	return false
}

// explain says what is wrong with a certificate.
func (e *examination) explain(d *door, err error) (fix, text string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("put the authority's certificate into /etc/containers/certs.d/%s/ca.crt "+
			"(%s)", d.host, e.clientConfig("--registry-ca CA.crt", proxyKey)), "the authority of the certificate is not known to this host"
	case errors.As(err, &name):
		return "use one of these names, or give the proxy a certificate for this one",
			fmt.Sprintf("the certificate is for %.300s",
				strings.Join(append(name.Certificate.DNSNames, addresses(name.Certificate)...), ", "))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c := invalid.Cert
		if e.Now().Before(c.NotBefore) {
			return "set the clock of this host", "the certificate is not valid before " +
				c.NotBefore.UTC().Format(time.RFC3339)
		}
		return "give the proxy a new certificate (tls.cert_file), or set the clock of this host",
			"the certificate expired at " + c.NotAfter.UTC().Format(time.RFC3339)
	case alerted(err):
		return fmt.Sprintf("put the host's certificate and key into /etc/containers/certs.d/%s/client.cert and client.key",
				d.host),
			"the proxy refuses this client: " + cause(err)
	}
	return "look at the proxy's log and its certificate", "no TLS: " + cause(err)
}

// alerted reports whether the other side ended the connection by an alert: since TLS 1.3 that comes after the handshake.
func alerted(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func addresses(c *x509.Certificate) (out []string) {
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

func (e *examination) certificate(d *door, c *x509.Certificate) {
	left := c.NotAfter.Sub(e.Now())
	if left < expirySoon {
		e.add(CheckTLS, Note, "", "the certificate of %s ends at %s", d.host, c.NotAfter.UTC().Format(time.RFC3339))
		return
	}
	e.fine(CheckTLS, "the certificate of %s holds until %s", d.host, c.NotAfter.UTC().Format(time.DateOnly))
}

// certDirs are looked at in this order; the first that is there counts.
var certDirs = []string{"etc/containers/certs.d/", "etc/docker/certs.d/"}

// bundles are where distributions keep the authorities that a host trusts.
var bundles = []string{"etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/certs/ca-certificates.crt", "etc/ssl/ca-bundle.pem",
	"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}

// tlsConfig trusts what the host trusts: its bundle, else this machine's, and the directory for the registry.
func (e *examination) tlsConfig(host string, insecure bool) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, Time: e.Now, RootCAs: x509.NewCertPool()}
	trusted := false
	for _, name := range bundles {
		if b, err := readFile(e.Root, name); err == nil && config.RootCAs.AppendCertsFromPEM(b) {
			trusted = true
			break
		}
	}
	if system, err := x509.SystemCertPool(); !trusted && err == nil {
		config.RootCAs = system
	}
	for _, dir := range certDirs {
		entries, err := fs.ReadDir(e.Root, dir+host)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("/%s%s: %w", dir, host, err)
		}
		return config, e.addCerts(config, dir+host, entries, insecure)
	}
	return config, nil
}

func (e *examination) addCerts(config *tls.Config, dir string, entries []fs.DirEntry, insecure bool) error {
	for _, entry := range entries {
		name := dir + "/" + entry.Name()
		switch {
		case strings.HasSuffix(name, ".crt"):
			b, err := readFile(e.Root, name)
			if err != nil {
				return fmt.Errorf("/%s: %w", name, err)
			}
			if !config.RootCAs.AppendCertsFromPEM(b) && !insecure {
				return fmt.Errorf("/%s holds no certificate in PEM form", name)
			}
		case strings.HasSuffix(name, ".cert"):
			cert, err := readFile(e.Root, name)
			if err != nil {
				return fmt.Errorf("/%s: %w", name, err)
			}
			key, err := readFile(e.Root, strings.TrimSuffix(name, ".cert")+".key")
			if err != nil {
				return fmt.Errorf("/%s has no key beside it: %w", name, err)
			}
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				return fmt.Errorf("/%s: %w", name, err)
			}
			config.Certificates = append(config.Certificates, pair)
		case strings.HasSuffix(name, ".key"):
			if _, err := fs.Stat(e.Root, strings.TrimSuffix(name, ".key")+".cert"); err != nil {
				return fmt.Errorf("/%s has no certificate (.cert) beside it: %w", name, err)
			}
		}
	}
	return nil
}

// clock compares the host's with the registry's.
func (e *examination) clock(d *door) {
	d.mu.Lock()
	date, asked := d.date, d.asked
	d.mu.Unlock()
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	skew := asked.Sub(at)
	state, fix := Fine, ""
	switch {
	case skew.Abs() >= skewWrong:
		state, fix = Wrong, "set the clock, of this host or of the other: timedatectl set-ntp true"
	case skew.Abs() >= skewTold:
		state = Note
	}
	e.add(CheckClock, state, fix, "this host's clock differs from that of %s by %s", d.host, skew.Round(time.Second))
}

// cause is the last word of a chain of network errors.
func cause(err error) string {
	if err == nil {
		return "nothing was found"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it takes too long"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return err.Error()
}
