package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	maxResponseHeader = 256 << 10
	maxCAFile         = 16 << 20
)

// roots returns the system's certificate authorities and those of caFile, or nil, which stands for the system's alone.
func roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := ReadFile(caFile, maxCAFile)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file: %s holds no PEM certificate", caFile)
	}
	return pool, nil
}

// newTLS returns the TLS settings for any host.
func newTLS(pool *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}

// homeTLS returns the TLS settings for the configured host. The client certificate is loaded for each handshake, so a
// renewed one is used; it is loaded once here to find mistakes early.
func (c Config) homeTLS(pool *x509.CertPool) (*tls.Config, error) {
	conf := newTLS(pool)
	conf.InsecureSkipVerify = c.SkipVerify
	if c.ClientCertFile == "" {
		return conf, nil
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(c.ClientCertFile, c.ClientKeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		return &cert, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	conf.GetClientCertificate = load
	return conf, nil
}

// newTransport returns a pooling transport that sends bodies through as they are.
func newTransport(timeout time.Duration, conf *tls.Config, dial dialFunc, proxy proxyFunc) *http.Transport {
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dial,
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    min(timeout, 10*time.Second),
		ResponseHeaderTimeout:  timeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // blobs are compressed themselves, and digests are of the bytes on the wire
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: timeout, PingTimeout: min(timeout, 15*time.Second)},
	}
}

// ReadFile reads a file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is longer than the limit of %d bytes", path, limit)
	}
	return data, nil
}
