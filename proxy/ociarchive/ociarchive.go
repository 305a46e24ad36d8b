// Package ociarchive says how the OCI image layouts lie in tar files that are written here, so that equal images give equal
// bytes. docs/formats.md has the orders of the files.
package ociarchive

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Header returns that of a file of so many bytes: 0644, owner 0, time 0.
func Header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
}

// BlobName returns where a blob lies.
func BlobName(d digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// LayoutFile returns what oci-layout holds.
func LayoutFile() ([]byte, error) {
	b, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", ocispec.ImageLayoutFile, err)
	}
	return b, nil
}

// IndexFile returns what index.json holds with these entries.
func IndexFile(entries []ocispec.Descriptor) ([]byte, error) {
	b, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: entries})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", ocispec.ImageIndexFile, err)
	}
	return b, nil
}
