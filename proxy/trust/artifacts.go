package trust

import (
	"slices"
	"strings"

	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// aboutTypes are media types of what is said about images, as layers of artifacts. No client makes files of such layers.
func aboutTypes() []string {
	return []string{
		simplesigning.PayloadType, "application/vnd.dsse.envelope.v1+json", "application/vnd.in-toto+json",
		"application/vnd.cyclonedx+json", "application/vnd.cyclonedx+xml", "application/vnd.cyclonedx",
		"application/vnd.syft+json", "application/spdx+json", "text/spdx+json", "text/spdx+xml", "text/spdx",
		"application/sarif+json", "application/vnd.cncf.notary.signature", "application/jose+json", "application/cose",
	}
}

// aboutImages reports whether a manifest holds signatures, attestations or the like and nothing else. They are how images
// are checked, so nobody signs them; whoever reads them checks them.
func aboutImages(m *registry.Manifest) bool {
	doc, err := oci.Parse(m.MediaType, m.Bytes)
	if err != nil || doc.Manifest == nil || len(doc.Manifest.Layers) == 0 {
		return false
	}
	about := aboutTypes()
	for _, l := range doc.Manifest.Layers {
		kind, _, _ := strings.Cut(l.MediaType, ";")
		if !slices.Contains(about, kind) && !bundle.Is(l.MediaType) {
			return false
		}
	}
	return true
}
