package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

const (
	proxyName = "proxy.example"
	logical   = "registry.example/team/os"
	tagged    = logical + ":1"
	own       = proxyName + "/" + tagged
)

var errRefused = errors.New("connection refused")

// world is a proxy with one signed image, and a host that is set up well. Tests spoil it.
type world struct {
	t    *testing.T
	host fstest.MapFS
	o    Options

	key    keys.Private
	claims []string // names that signatures are made for
	layers int
	labels map[string]string

	// Of the proxy.
	from, until time.Time
	certNames   []string
	plain       bool
	login       string // user:password that it wants
	date        time.Time
	strata      bool
	index       bool
	signIndex   bool
	unsigned    bool
	signFor     digest.Digest // in place of the image's
	caPEM       string
	broken      bool   // signatures are answered by 500
	refuses     string // what manifests are answered by: "STATUS BODY"
	tokens      bool   // another host, with a certificate of its own, gives tokens for them
	maxTLS      uint16
	clientCerts bool // it wants a certificate of who asks
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	return &world{
		t: t, host: fstest.MapFS{}, key: key, claims: []string{logical, proxyName + "/" + logical}, layers: 3, strata: true,
		labels: map[string]string{"containers.bootc": "1"}, from: now.Add(-time.Hour), until: now.Add(90 * 24 * time.Hour),
		certNames: []string{proxyName}, signIndex: true,
		o: Options{Platform: "linux/amd64", Bootc: "1.16.9", Free: func() (int64, error) { return 1 << 40, nil }},
	}
}

// write puts a file onto the host; empty content removes it.
func (w *world) write(name, content string) {
	if content == "" {
		delete(w.host, name)
		return
	}
	w.host[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
}

// replace changes a file of the host that has to hold old.
func (w *world) replace(name, old, with string) {
	w.t.Helper()
	f := w.host[name]
	if f == nil || !strings.Contains(string(f.Data), old) {
		w.t.Fatalf("%s has no %q", name, old)
	}
	f.Data = []byte(strings.ReplaceAll(string(f.Data), old, with))
}

// files of client-config.
const (
	confFile   = "etc/containers/registries.conf.d/50-strata-" + proxyName + ".conf"
	signFile   = "etc/containers/registries.d/50-strata-" + proxyName + ".yaml"
	pubFile    = "etc/pki/containers/strata-" + proxyName + ".pub"
	caFile     = "etc/containers/certs.d/" + proxyName + "/ca.crt"
	fleet      = `{"default":[{"type":"reject"}],"transports":{"docker":{"":[{"type":"insecureAcceptAnything"}],"registry.example":[{"type":"sigstoreSigned","keyPath":"/etc/pki/containers/fleet.pub","signedIdentity":{"type":"matchRepository"}}]}}}`
	httpsProxy = proxyName + ":443"
)

// start starts the proxy and sets the host up with client-config.
func (w *world) start() {
	w.t.Helper()
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	w.push(reg)
	s := httptest.NewUnstartedServer(w.front(reg))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	others := map[string]string{}
	if w.tokens {
		others["auth.example:443"] = w.tokenServer()
	}
	if w.plain {
		s.Start()
	} else {
		s.TLS = w.certificate()
		if w.clientCerts {
			s.TLS.ClientAuth, s.TLS.MaxVersion = tls.RequireAnyClientCert, w.maxTLS
		}
		s.StartTLS()
	}
	w.t.Cleanup(s.Close)
	w.o.Resolve = func(_ context.Context, host string) ([]string, error) {
		if host != proxyName {
			return nil, errors.New("no such host")
		}
		return []string{"192.0.2.1"}, nil
	}
	w.o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if at := others[address]; at != "" {
			return (&net.Dialer{}).DialContext(ctx, network, at)
		}
		if address != httpsProxy && !(w.plain && address == proxyName+":80") {
			return nil, errRefused
		}
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	w.o.Root = w.host
	other, err := keys.Generate(keys.P256)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("etc/pki/containers/fleet.pub", string(other.Public().PEM()))
	c, err := hosts.Make(hosts.Setup{Name: proxyName, Images: []string{logical},
		Existing: hosts.Existing{Policy: []byte(fleet)},
		Proxy:    hosts.Proxy{Keys: []string{string(w.key.Public().PEM())}, CA: w.caPEM, Insecure: w.plain}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range c.Files {
		w.write(strings.TrimPrefix(f.Path, "/"), f.Content)
	}
}

// front is what a proxy adds to a registry.
func (w *world) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.date.IsZero() {
			rw.Header().Set("Date", w.date.UTC().Format(http.TimeFormat))
		}
		if user, password, _ := r.BasicAuth(); w.login != "" && user+":"+password != w.login {
			rw.Header().Set("WWW-Authenticate", `Basic realm="strata"`)
			http.Error(rw, `{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}`, http.StatusUnauthorized)
			return
		}
		if w.tokens && r.Header.Get("Authorization") != "Bearer good" {
			rw.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example/token",service="x"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		if w.refuses != "" && strings.Contains(r.URL.Path, "/manifests/") {
			status, body, _ := strings.Cut(w.refuses, " ")
			code, _ := strconv.Atoi(status)
			http.Error(rw, body, code)
			return
		}
		if w.broken && strings.HasSuffix(r.URL.Path, ".sig") {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		if w.strata {
			rw.Header().Set("Strata-Served", "rechunked")
		}
		next.ServeHTTP(rw, r)
	})
}

// tokenServer gives tokens, to who does not show a certificate. Its own is of an authority of the host's bundle.
func (w *world) tokenServer() (address string) {
	w.t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(rw, `{"token":"good"}`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	names, ca := w.certNames, w.caPEM
	w.certNames = []string{"auth.example"}
	s.TLS = w.certificate()
	s.TLS.ClientAuth = tls.RequestClientCert
	w.write("etc/ssl/certs/ca-certificates.crt", w.caPEM)
	w.certNames, w.caPEM = names, ca
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// certificate makes an authority of its own and a certificate for the names.
func (w *world) certificate() *tls.Config {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet"}, NotBefore: w.from,
		NotAfter: w.until.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	authority, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: w.certNames, NotBefore: w.from, NotAfter: w.until}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.caPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority}))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// clientCertificate gives the host a certificate of its own.
func (w *world) clientCertificate(name string) {
	w.t.Helper()
	ca := w.caPEM
	pair := w.certificate().Certificates[0]
	w.caPEM = ca
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name+".cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	w.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
}

// push puts the image and its signatures into a registry.
func (w *world) push(reg http.Handler) {
	w.t.Helper()
	s := httptest.NewServer(reg)
	defer s.Close()
	repo, err := name.NewRepository(strings.TrimPrefix(s.URL, "http://") + "/" + logical)
	if err != nil {
		w.t.Fatal(err)
	}
	img, err := random.Image(100, int64(w.layers))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Config.Labels = "linux", "amd64", w.labels
	if img, err = mutate.ConfigFile(img, c); err != nil {
		w.t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("1"), img); err != nil {
		w.t.Fatal(err)
	}
	if !w.unsigned {
		w.sign(repo, digest.Digest(d.String()))
	}
	if !w.index {
		return
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
		Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	if err := remote.WriteIndex(repo.Tag("1"), index); err != nil {
		w.t.Fatal(err)
	}
	if d, err = index.Digest(); err == nil && w.signIndex {
		w.sign(repo, digest.Digest(d.String()))
	}
}

// document is one that is pushed as it is.
type document struct {
	mediaType types.MediaType
	raw       []byte
}

func (d document) MediaType() (types.MediaType, error) { return d.mediaType, nil }
func (d document) RawManifest() ([]byte, error)        { return d.raw, nil }

func (w *world) sign(repo name.Repository, d digest.Digest) {
	w.t.Helper()
	var signed []simplesigning.Signed
	for _, claim := range w.claims {
		about := d
		if w.signFor != "" {
			about = w.signFor
		}
		payload, err := simplesigning.Payload(simplesigning.Claim{Reference: claim, Digest: about})
		if err != nil {
			w.t.Fatal(err)
		}
		signature, err := w.key.Sign(payload)
		if err != nil {
			w.t.Fatal(err)
		}
		signed = append(signed, simplesigning.Signed{Payload: payload, Signature: signature})
	}
	img, err := simplesigning.Build(signed)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range append(img.Payloads, img.Config) {
		if err := remote.WriteLayer(repo, staticLayer(b.Bytes)); err != nil {
			w.t.Fatal(err)
		}
	}
	manifest := document{types.OCIManifestSchema1, img.Manifest.Bytes}
	if err := remote.Put(repo.Tag(simplesigning.Tag(d)), manifest); err != nil {
		w.t.Fatal(err)
	}
}
