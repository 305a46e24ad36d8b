package registrytest

import (
	"bytes"
	"net/http"
	"testing"
)

// Cache-Control of what a digest names and of what a tag stands for.
const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheChecked = "no-cache, must-revalidate"
)

func (f Fixture) manifestPath(reference string) string {
	return "/v2/" + f.Repository + "/manifests/" + reference
}

func (f Fixture) blobPath(reference string) string {
	return "/v2/" + f.Repository + "/blobs/" + reference
}

func checkBase(t *testing.T, f Fixture) {
	for _, path := range []string{"/v2/", "/v2"} {
		a := f.get(t, path, http.StatusOK)
		a.want(t, "Content-Type", "application/json")
		if string(a.body) != "{}" {
			t.Errorf("%s: %q", path, a.body)
		}
	}
}

func checkManifest(t *testing.T, f Fixture) {
	d := f.Manifest.Digest().String()
	for reference, cache := range map[string]string{f.Tag: cacheChecked, d: cacheForever} {
		a := f.get(t, f.manifestPath(reference), http.StatusOK)
		if !bytes.Equal(a.body, f.Manifest.Bytes) {
			t.Errorf("%s: %.200s", reference, a.body)
		}
		a.want(t,
			"Content-Type", f.Manifest.MediaType, "Docker-Content-Digest", d, "Etag", `"`+d+`"`, "Cache-Control", cache,
		)
		switch served := a.header.Get("Strata-Served"); served {
		case "rechunked", "original", "stale":
		default:
			t.Errorf("%s: Strata-Served: %q", reference, served)
		}
		if a.header.Get("Strata-Source-Digest") == "" {
			t.Errorf("%s: no Strata-Source-Digest", reference)
		}
	}
}

// accepts are the Accept headers that real clients send, and some that none should.
var accepts = map[string][]string{
	"skopeo, podman, bootc": {
		"application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.v1+prettyjws",
		"application/vnd.docker.distribution.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.oci.image.index.v1+json",
	},
	"containerd": {
		"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, " +
			"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*",
	},
	"crane": {
		"application/vnd.docker.distribution.manifest.v1+json,application/vnd.docker.distribution.manifest.v1+prettyjws," +
			"application/vnd.docker.distribution.manifest.v2+json,application/vnd.oci.image.manifest.v1+json," +
			"application/vnd.docker.distribution.manifest.list.v2+json,application/vnd.oci.image.index.v1+json",
	},
	"curl":        {"*/*"},
	"docker only": {"application/vnd.docker.distribution.manifest.v2+json"},
	"index only":  {"application/vnd.oci.image.index.v1+json;q=0.5"},
	"unrelated":   {"text/html", "image/png;q=0"},
	"none wanted": {"*/*;q=0"},
	"malformed":   {";;;,,q=x/", "\"", "a/b;c=\"", ""},
}

func checkAccept(t *testing.T, f Fixture) {
	for client, values := range accepts {
		var headers []string
		for _, v := range values {
			headers = append(headers, "Accept", v)
		}
		for _, reference := range []string{f.Tag, f.Manifest.Digest().String()} {
			a := f.get(t, f.manifestPath(reference), http.StatusOK, headers...)
			if a.header.Get("Content-Type") != f.Manifest.MediaType || !bytes.Equal(a.body, f.Manifest.Bytes) {
				t.Errorf("%s: %s: got %q, %.100s", client, reference, a.header.Get("Content-Type"), a.body)
			}
		}
	}
}

func checkConditional(t *testing.T, f Fixture) {
	m, b := f.Manifest.Digest().String(), f.Blob.Digest().String()
	for path, d := range map[string]string{f.manifestPath(f.Tag): m, f.manifestPath(m): m, f.blobPath(b): b} {
		for _, match := range []string{`"` + d + `"`, `W/"` + d + `"`, `"x", "` + d + `"`, `*`} {
			a := f.get(t, path, http.StatusNotModified, "If-None-Match", match)
			a.want(t, "Etag", `"`+d+`"`, "Docker-Content-Digest", d)
			if len(a.body) != 0 {
				t.Errorf("%s: 304 with a body of %d bytes", path, len(a.body))
			}
		}
		f.get(t, path, http.StatusOK, "If-None-Match", `"sha256:other"`)
		f.get(t, path, http.StatusOK, "If-None-Match", d) // no ETag without quotes
		f.get(t, path, http.StatusOK, "If-Match", `"`+d+`"`)
		f.refused(t, http.MethodGet, path, http.StatusPreconditionFailed, "PRECONDITION_FAILED", "If-Match", `"other"`)
		f.refused(t, http.MethodHead, path, http.StatusPreconditionFailed, "PRECONDITION_FAILED", "If-Match", `"other"`)
	}
}
