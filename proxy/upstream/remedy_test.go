package upstream_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// What keeps a connection from being made is said with the key that helps.
func TestRemedy(t *testing.T) {
	t.Parallel()
	const host = "registry.example:5000"
	for name, c := range map[string]struct {
		err    upstream.Error
		remedy string
	}{
		"plain HTTP": {upstream.Error{Err: http.ErrSchemeMismatch}, "insecure"},
		"no TLS record": {upstream.Error{Err: tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}},
			"insecure"},
		"authority": {upstream.Error{Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}},
			"ca_file"},
		"name": {upstream.Error{Err: &tls.CertificateVerificationError{Err: x509.HostnameError{
			Certificate: &x509.Certificate{}, Host: host}}}, "url"},
		"own certificate": {upstream.Error{Err: errors.New("remote error: tls: certificate required")}, "client_cert_file"},
		"private address": {upstream.Error{Err: fmt.Errorf("%w: 127.0.0.1 is %w", upstream.ErrRefused, upstream.ErrNotPublic)},
			"redirect_hosts"},
		"not found":   {upstream.Error{Status: 404, Err: errors.New("NAME_UNKNOWN")}, ""},
		"refused":     {upstream.Error{Err: errors.New("connection refused")}, ""},
		"bad request": {upstream.Error{Status: 400, Err: errors.New("NAME_INVALID")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := c.err
			e.Host, e.Kind = host, upstream.Protocol
			key := "upstreams." + host + "." + c.remedy
			if said := strings.Contains(e.Error(), key); said != e.Untrusted() || said != (c.remedy != "") {
				t.Errorf("%s: want %q; untrusted: %t", e.Error(), c.remedy, e.Untrusted())
			}
		})
	}
}

// A server that speaks HTTPS answers plain HTTP with 400 and no document of a registry; to a HEAD, with no word at all.
func TestPlainHTTPRefused(t *testing.T) {
	t.Parallel()
	const code = `{"errors":[{"code":"NAME_INVALID"}]}`
	for _, c := range []struct {
		url, body string
		status    int
		tls       bool
	}{
		{"http://r.io/v2/", "", 400, true}, {"http://r.io/v2/", "Client sent an HTTP request to an HTTPS server.", 400, true},
		{"http://r.io/v2/", code, 400, false}, {"https://r.io/v2/", "", 400, false}, {"http://r.io/v2/", "", 404, false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		e := upstream.StatusError(&http.Response{StatusCode: c.status, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(c.body)), Request: &http.Request{URL: u}}, time.Now())
		e.Host = "r.io"
		if got := strings.Contains(e.Error(), "write https:// in upstreams.r.io.url"); got != c.tls {
			t.Errorf("%+v: %s", c, e.Error())
		}
	}
}
