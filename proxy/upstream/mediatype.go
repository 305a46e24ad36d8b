package upstream

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	dockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"

	// manifestTypes is the Accept header for manifests. It ends in */* because registries hold other kinds of artifacts too.
	manifestTypes = imagespec.MediaTypeImageIndex + ", " + imagespec.MediaTypeImageManifest + ", " +
		dockerManifestList + ", " + dockerManifest + ", */*"
)

// contentType returns the media type of a response without parameters, in lower case.
func contentType(h http.Header) string {
	value := h.Get("Content-Type")
	if t, _, err := mime.ParseMediaType(value); err == nil {
		return t
	}
	t, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// mediaType returns the media type of a manifest. What the manifest says of itself is covered by its digest, so it counts for
// more than the header; one that says nothing is told by its header, or by its shape when that is of no use either.
func mediaType(h http.Header, manifest []byte) string {
	var m struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
		Layers    []json.RawMessage `json:"layers"`
		Config    json.RawMessage   `json:"config"`
	}
	if json.Unmarshal(manifest, &m) == nil && validMediaType(m.MediaType) {
		return m.MediaType
	}
	switch t := contentType(h); {
	case t != "" && !genericType(t) && validMediaType(t):
		return t
	case m.Manifests != nil && m.Layers == nil && m.Config == nil:
		return imagespec.MediaTypeImageIndex
	case m.Manifests == nil && m.Config != nil:
		return imagespec.MediaTypeImageManifest
	default:
		return "application/octet-stream"
	}
}

func genericType(t string) bool {
	switch t {
	case "application/json", "application/octet-stream", "binary/octet-stream", "text/plain", "text/html":
		return true
	default:
		return false
	}
}

// validMediaType reports whether t is a type and a subtype (RFC 6838, section 4.2), fit to be a header's value.
func validMediaType(t string) bool {
	kind, sub, ok := strings.Cut(t, "/")
	if !ok || kind == "" || sub == "" || len(t) > 255 {
		return false
	}
	for i := range len(t) {
		if t[i] != '/' && !isTokenByte(t[i]) || i > len(kind) && t[i] == '/' {
			return false
		}
	}
	return true
}
