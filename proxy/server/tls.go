package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/livefile"
)

// certificates are what a listener's handshakes use. Each handshake takes what the files hold then; a new configuration may
// name other files. The zero value has none.
type certificates struct {
	file atomic.Pointer[livefile.File[*tls.Config]]
}

// loadCertificates reads the files of a configuration; nil where it names none.
func loadCertificates(key string, t config.TLS, log *slog.Logger) (*livefile.File[*tls.Config], error) {
	if !t.Enabled() {
		return nil, nil
	}
	paths := []string{t.CertFile, t.KeyFile}
	for _, c := range t.Certificates {
		paths = append(paths, c.CertFile, c.KeyFile)
	}
	if t.ClientCAFile != "" {
		paths = append(paths, t.ClientCAFile)
	}
	file, err := livefile.New(paths, func(contents [][]byte) (*tls.Config, error) { return handshake(t, contents) },
		livefile.Options{What: "certificate", Logger: log})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return file, nil
}

// handshake is the configuration of a handshake: TLS 1.2 or newer, and Go's choice of everything else, of the certificates
// the first that is for the name which the client asks for.
func handshake(t config.TLS, contents [][]byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	for _, files := range append([]config.Certificate{{CertFile: t.CertFile, KeyFile: t.KeyFile}}, t.Certificates...) {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", files.CertFile, files.KeyFile, err)
		}
		c.Certificates, contents = append(c.Certificates, pair), contents[2:]
	}
	if len(contents) > 0 {
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(contents[0]) {
			return nil, fmt.Errorf("%s has no certificate in PEM form", t.ClientCAFile)
		}
	}
	switch t.ClientAuth {
	case config.ClientAuthRequest:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case config.ClientAuthRequire:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// isFor reports whether one of several certificates is for a name.
func isFor(certs []tls.Certificate, host string) bool {
	return slices.ContainsFunc(certs, func(c tls.Certificate) bool {
		return c.Leaf != nil &&
			c.Leaf.VerifyHostname(host) == nil
	})
}

// unshown warns of registries that clients are led here for and that no certificate is for: they refuse to connect.
func unshown(cfg *config.Config, certs *livefile.File[*tls.Config]) (warnings []string) {
	if certs == nil {
		return nil
	}
	for i, host := range cfg.AnswerAs {
		bare, _, _ := strings.Cut(host, ":")
		if bare == "docker.io" {
			bare = "registry-1.docker.io" // where its clients connect to
		}
		if !isFor(certs.Get().Certificates, bare) {
			warnings = append(warnings, fmt.Sprintf("answer_as[%d]: no certificate is for %s, so that its clients refuse to "+
				"connect: add one to tls.certificates", i, bare))
		}
	}
	return warnings
}

// config is what http.Server needs.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			file := c.file.Load()
			if file == nil {
				return nil, errors.New("no certificate is configured")
			}
			return file.Get(), nil
		},
	}
}

// certificateEnds returns when the certificates of the listeners that have one expire, by the listeners' names in metrics.
func (s *Server) certificateEnds() map[string]time.Time {
	ends := map[string]time.Time{}
	for name, l := range map[string]*listener{"clients": &s.clients, "operators": &s.operator} {
		if l.certs == nil {
			continue
		}
		if leaf := l.certs.file.Load().Get().Certificates[0].Leaf; leaf != nil {
			ends[name] = leaf.NotAfter
		}
	}
	return ends
}
