package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// serveTLS starts an upstream with a certificate of nobody's authority.
func serveTLS(t *testing.T, h http.HandlerFunc, adjust func(*httptest.Server)) (srv *httptest.Server, caFile string) {
	t.Helper()
	srv = httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.EnableHTTP2 = true
	if adjust != nil {
		adjust(srv)
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	write(t, caFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	return srv, caFile
}

// distribution#1898: an upstream with a certificate of the operator's own authority.
func TestUpstreamCA(t *testing.T) {
	t.Parallel()
	srv, caFile := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("HTTP/%d, want 2", r.ProtoMajor)
		}
		fmt.Fprint(w, someIndex)
	}, nil)
	c, _ := client(t, srv.URL, func(s *setup) { s.config.CAFile = caFile })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Error(err)
	}
	c, _ = client(t, srv.URL, func(s *setup) { s.config.SkipVerify = true })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Error(err)
	}
	c, clock := client(t, srv.URL)
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	if e := wantKind(t, err, upstream.Protocol); !strings.Contains(e.Error(), "certificate") || len(clock.waited()) != 0 {
		t.Errorf("got %v after %v", e, clock.waited())
	}
}

func TestPlainServerBehindHTTPS(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("asked without encryption") })
	c, _ := client(t, strings.Replace(srv.URL, "http:", "https:", 1))
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	wantKind(t, err, upstream.Protocol)
}

// The client certificate is for the configured host, and for nobody it redirects to.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	certFile, keyFile := clientCertificate(t)
	ask := func(s *httptest.Server) { s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert} }
	cdn, cdnCA := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 0 {
			t.Error("the content network got the client certificate")
		}
		fmt.Fprint(w, someIndex)
	}, ask)
	srv, _ := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) != 1 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.Redirect(w, r, cdn.URL, http.StatusTemporaryRedirect)
	}, ask)
	c, _ := client(t, srv.URL, func(s *setup) {
		s.config.CAFile, s.config.ClientCertFile, s.config.ClientKeyFile = cdnCA, certFile, keyFile
	})
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Error(err)
	}
}

// SkipVerify is for the configured host as well.
func TestSkipVerifyEndsWithTheHost(t *testing.T) {
	t.Parallel()
	cdn := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		t.Error("an unverified host was reached")
	}))
	cdn.Config.ErrorLog = log.New(io.Discard, "", 0)
	cdn.StartTLS()
	t.Cleanup(cdn.Close)
	srv, _ := serveTLS(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, cdn.URL, http.StatusFound) },
		nil)
	c, _ := client(t, srv.URL, func(s *setup) { s.config.SkipVerify = true })
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	wantKind(t, err, upstream.Protocol)
}

func clientCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "strata"},
		NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return certFile, keyFile
}
