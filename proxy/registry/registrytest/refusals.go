package registrytest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func checkUnknown(t *testing.T, f Fixture) {
	absent := digest.FromString("strata: no registry has this").String()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		f.refused(t, method, f.manifestPath("no-such-tag"), http.StatusNotFound, "MANIFEST_UNKNOWN")
		f.refused(t, method, f.manifestPath(absent), http.StatusNotFound, "MANIFEST_UNKNOWN")
		f.refused(t, method, f.blobPath(absent), http.StatusNotFound, "BLOB_UNKNOWN")
		for _, path := range []string{
			"/", "/v1/", "/v22/", "/v2/x", "/v2/_catalog/", "/v2/" + f.Repository, "/v2/" + f.Repository + "/",
			"/v2/" + f.Repository + "/tags", "/v2/" + f.Repository + "/tags/", "/v2/" + f.Repository + "/tags/list/",
			f.manifestPath(""), f.blobPath(""), "/v2/manifests/latest", "/v2//manifests/latest", "/v2/tags/list", "/V2/",
		} {
			f.refused(t, method, path, http.StatusNotFound, "UNSUPPORTED")
		}
	}
}

func checkInvalid(t *testing.T, f Fixture) {
	hex := strings.Repeat("a", 64)
	for _, reference := range []string{".x", "-x", "a$b", strings.Repeat("t", 129)} {
		f.refused(t, http.MethodGet, f.manifestPath(reference), http.StatusNotFound, "TAG_INVALID")
	}
	for _, d := range []string{"sha256:" + hex[1:], "sha256:" + strings.ToUpper(hex), "md5:" + hex[32:], "sha256:", ":" +
		hex} {
		f.refused(t, http.MethodGet, f.manifestPath(d), http.StatusBadRequest, "DIGEST_INVALID")
		f.refused(t, http.MethodGet, f.blobPath(d), http.StatusBadRequest, "DIGEST_INVALID")
	}
	f.refused(t, http.MethodGet, f.blobPath("latest"), http.StatusBadRequest, "DIGEST_INVALID")
	for _, name := range []string{
		"ghcr.io/Capital/x", "ghcr.io/a//b", "ghcr.io/../b", "ghcr.io/./b", "ghcr.io", "ghcr.io:0/a", "ghcr.io:port/a",
		"127.1/a",
		"user@ghcr.io/a", "[::1]/a", "ghcr.io/a%2fb", "ghcr.io/%61", "ghcr.io/a%00", "ghcr.io/" + strings.Repeat("a", 256),
	} {
		f.refused(t, http.MethodGet, "/v2/"+name+"/manifests/latest", http.StatusBadRequest, "NAME_INVALID")
	}
	f.refused(t, http.MethodGet, f.manifestPath(f.Tag)+"?ns=another.example", http.StatusBadRequest, "NAME_INVALID")
	f.refused(t, http.MethodGet, f.manifestPath(f.Tag)+"?ns=a.example&ns=b.example", http.StatusBadRequest, "NAME_INVALID")
	f.refused(t, http.MethodGet, f.manifestPath(f.Tag)+"?x=%zz", http.StatusBadRequest, "UNSUPPORTED")
	f.refused(t, http.MethodGet, "/v2/"+strings.Repeat("a/", 600)+"manifests/x", http.StatusRequestURITooLong, "UNSUPPORTED")
	f.refused(t, http.MethodGet, f.manifestPath(f.Tag)+"?x="+strings.Repeat("x", 5000), http.StatusRequestURITooLong,
		"UNSUPPORTED")
	f.refused(t, http.MethodGet, f.manifestPath(f.Tag), http.StatusRequestHeaderFieldsTooLarge, "UNSUPPORTED",
		manyHeaders()...)
	f.get(t, f.blobPath(strings.Replace(f.Blob.Digest().String(), ":", "%3A", 1)), http.StatusOK)
}

func manyHeaders() []string {
	var headers []string
	for range 300 {
		headers = append(headers, "X-Filler", "x")
	}
	return headers
}

func checkReadOnly(t *testing.T, f Fixture) {
	uploads := "/v2/" + f.Repository + "/blobs/uploads"
	paths := []string{
		"/v2/", "/v2/_catalog", "/v2/" + f.Repository + "/tags/list", f.manifestPath("new"),
		f.blobPath(f.Blob.Digest().String()),
		uploads + "/", uploads + "/0b5b1a2c", "/v2/x",
	}
	for _, method := range []string{
		http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PROPFIND",
	} {
		for _, path := range paths {
			f.refused(t, method, path, http.StatusMethodNotAllowed, "UNSUPPORTED").want(t, "Allow", "GET, HEAD")
		}
	}
	for _, path := range []string{uploads, uploads + "/", uploads + "/0b5b1a2c"} {
		f.refused(t, http.MethodGet, path, http.StatusMethodNotAllowed, "UNSUPPORTED")
		f.refused(t, http.MethodHead, path, http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
}
