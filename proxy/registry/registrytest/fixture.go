// Package registrytest checks over HTTP that a server keeps the pull side of the OCI distribution protocol as
// docs/protocol.md states it. It knows the server by what it serves only, so the same checks run on the handler of package
// registry with made-up content and on a whole proxy.
package registrytest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Object is a manifest or blob that the server has.
type Object struct {
	MediaType string // of manifests
	Bytes     []byte
}

// Digest returns the sha256 digest of the bytes.
func (o Object) Digest() digest.Digest { return digest.FromBytes(o.Bytes) }

// Fixture names a server and what it holds.
type Fixture struct {
	// Handler is put on a loopback port for the run. Nil: URL is that of a server that runs, without a slash at its end.
	Handler http.Handler
	URL     string
	// Client makes the requests; nil for one that fits Handler.
	Client *http.Client
	// Repository is the name that is asked for, in the form with the registry's host.
	Repository string
	// Tag is one that stands for Manifest for as long as the run lasts.
	Tag      string
	Manifest Object
	// Blob has at least 64 bytes.
	Blob Object
	// Catalog says that the repository is expected in the server's catalog, once Manifest was asked for.
	Catalog bool
}

// Run checks the server, in subtests that can be chosen with -run.
func Run(t *testing.T, f Fixture) {
	t.Helper()
	if f.Handler != nil {
		server := httptest.NewServer(f.Handler)
		t.Cleanup(server.Close)
		f.URL = server.URL
	}
	if f.Client == nil {
		transport := &http.Transport{DisableCompression: true}
		t.Cleanup(transport.CloseIdleConnections)
		f.Client = &http.Client{Transport: transport}
	}
	if len(f.Blob.Bytes) < 64 {
		t.Fatalf("the fixture's blob has %d bytes; 64 are needed", len(f.Blob.Bytes))
	}
	for _, check := range []struct {
		name string
		run  func(*testing.T, Fixture)
	}{
		{"base", checkBase},
		{"manifest", checkManifest},
		{"accept", checkAccept},
		{"blob", checkBlob},
		{"range", checkRange},
		{"multirange", checkMultiRange},
		{"conditional", checkConditional},
		{"tags", checkTags},
		{"catalog", checkCatalog},
		{"referrers", checkReferrers},
		{"unknown", checkUnknown},
		{"invalid", checkInvalid},
		{"read-only", checkReadOnly},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, f) })
	}
}
