package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

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

// handshake is the configuration of a handshake: TLS 1.2 or newer, and Go's choice of everything else.
func handshake(t config.TLS, contents [][]byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", t.CertFile, t.KeyFile, err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"}}
	if len(contents) > 2 {
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(contents[2]) {
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
