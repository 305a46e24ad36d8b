package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/registry"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func BenchmarkManifest(b *testing.B) {
	backend, _, _ := newFake()
	h := registry.AccessLog(backend.handler(), nil, func(registry.Request) {})
	r := httptest.NewRequest(http.MethodGet, "/v2/"+testRepo+"/manifests/"+testTag, nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}

// BenchmarkBlob sends 64 MiB over a loopback connection: from a file, which the kernel sends, and from memory.
func BenchmarkBlob(b *testing.B) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	for _, c := range []struct {
		name string
		open func([]byte) registry.Blob
	}{{"file", openFile(b)}, {"memory", nil}} {
		b.Run(c.name, func(b *testing.B) {
			backend, _, _ := newFake()
			backend.blobs[digest.FromBytes(content)] = content
			backend.open = c.open
			server := httptest.NewServer(registry.AccessLog(backend.handler(), nil, nil))
			defer server.Close()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				resp, err := server.Client().Get(server.URL + blobURL(content))
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || n != int64(len(content)) {
					b.Fatalf("%d bytes: %v", n, err)
				}
			}
		})
	}
}

// BenchmarkRanges asks for 1,024 ranges, as clients of zstd:chunked do.
func BenchmarkRanges(b *testing.B) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<16)
	backend, _, _ := newFake()
	backend.blobs[digest.FromBytes(content)] = content
	h := backend.handler()
	specs := make([]string, 1024)
	for i := range specs {
		specs[i] = fmt.Sprintf("%d-%d", i*4096, i*4096+1023)
	}
	r := httptest.NewRequest(http.MethodGet, blobURL(content), nil)
	r.Header.Set("Range", "bytes="+strings.Join(specs, ","))
	b.SetBytes(1 << 20)
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}
