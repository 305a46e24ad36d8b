package client

import (
	"net/http"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/oci"
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
	says, suggests := oci.Shape(manifest)
	if header.ValidMediaType(says) {
		return says
	}
	switch t := header.ContentType(h); {
	case t != "" && !genericType(t) && header.ValidMediaType(t):
		return t
	case suggests != "":
		return suggests
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
