package client

import (
	"encoding/json"
	"net/http"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/upstream/header"
)

const (
	dockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"

	// manifestTypes is the Accept header for manifests. It ends in */* because registries hold other kinds of artifacts too.
	manifestTypes = imagespec.MediaTypeImageIndex + ", " + imagespec.MediaTypeImageManifest + ", " +
		dockerManifestList + ", " + dockerManifest + ", */*"
)

// mediaType returns the media type of a manifest. What the manifest says of itself is covered by its digest, so it counts
// for more than the header; one that says nothing is told by its header, or by its shape when that is of no use either.
func mediaType(h http.Header, manifest []byte) string {
	var m struct {
		MediaType                 string `json:"mediaType"`
		Manifests, Layers, Config present
	}
	if json.Unmarshal(manifest, &m) == nil && header.ValidMediaType(m.MediaType) {
		return m.MediaType
	}
	switch t := header.ContentType(h); {
	case t != "" && !genericType(t) && header.ValidMediaType(t):
		return t
	case bool(m.Manifests && !m.Layers && !m.Config):
		return imagespec.MediaTypeImageIndex
	case bool(!m.Manifests && m.Config):
		return imagespec.MediaTypeImageManifest
	default:
		return "application/octet-stream"
	}
}

// present tells that a field of a document has a value, without keeping it.
type present bool

// UnmarshalJSON implements json.Unmarshaler.
func (p *present) UnmarshalJSON(value []byte) error {
	*p = string(value) != "null"
	return nil
}

func genericType(t string) bool {
	switch t {
	case "application/json", "application/octet-stream", "binary/octet-stream", "text/plain", "text/html":
		return true
	default:
		return false
	}
}
