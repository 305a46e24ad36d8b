package registry_test

import (
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Nothing of an upstream, and no error, is a page or a script to a browser.
func TestNoPages(t *testing.T) {
	t.Parallel()
	backend, m, _ := newFake()
	h := backend.handler()
	for sent, want := range map[string]string{
		ocispec.MediaTypeImageManifest:                              ocispec.MediaTypeImageManifest,
		"application/vnd.docker.distribution.manifest.v1+prettyjws": "application/vnd.docker.distribution.manifest.v1+prettyjws",
		"application/vnd.oci.image.index.v1+json; charset=utf-8":    "application/vnd.oci.image.index.v1+json; charset=utf-8",
		"application/json":                   "application/json",
		"text/html":                          "application/octet-stream",
		"TEXT/HTML; charset=utf-8":           "application/octet-stream",
		"image/svg+xml":                      "application/octet-stream",
		"application/vnd.page+xml":           "application/octet-stream",
		"application/vnd.page+XML":           "application/octet-stream",
		"application/xhtml+xml":              "application/octet-stream",
		"application/vnd.wap.xhtml+html":     "application/octet-stream",
		"application/javascript":             "application/octet-stream",
		"application/vnd.x\r\nSet-Cookie: a": "application/octet-stream",
		"multipart/x-mixed-replace":          "application/octet-stream",
		"application/vnd.x, text/html":       "application/octet-stream",
		"application/vndx":                   "application/octet-stream",
	} {
		m.MediaType = sent
		for _, path := range []string{"/manifests/" + testTag, "/manifests/" + m.Digest.String(), "/manifests/none",
			"/blobs/x", "/../x", "/tags/list"} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				w := call(h, method, "/v2/"+testRepo+path)
				got := w.Header()
				if got.Get("X-Content-Type-Options") != "nosniff" ||
					!strings.HasPrefix(got.Get("Content-Security-Policy"), "sandbox; default-src 'none'") {
					t.Errorf("%s %s: %v", method, path, got)
				}
				content := w.Code == http.StatusOK && strings.HasPrefix(path, "/manifests/")
				if content && (got.Get("Content-Type") != want || got.Get("Content-Disposition") != "attachment") {
					t.Errorf("%s %s as %q: %v", method, path, sent, got)
				}
				if !content && got.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s: %v", method, path, got)
				}
			}
		}
	}
}
