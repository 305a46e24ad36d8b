package imageref

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

// Archive is an image layout in a tar file, for who reads all that it holds and not one image. It is safe for concurrent
// use.
type Archive struct {
	files  *tarFiles
	layout layoutSource
	// Index is the layout's index.json.
	Index *image.Index
}

// OpenArchive opens an archive. Nothing of it is extracted; a gzip'd one is unpacked into a nameless file in tempDir. The
// caller closes it.
func OpenArchive(ctx context.Context, path, tempDir string) (*Archive, error) {
	f, err := openPlainTar(ctx, path, tempDir, maxUnpacked)
	if err != nil {
		return nil, fmt.Errorf("open archive %s: %w", path, err)
	}
	files, err := indexTar(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", path, join(err, f.Close()))
	}
	a := &Archive{files: files, layout: layoutSource{files: files}}
	if err = checkLayoutFile(files); err == nil {
		var raw []byte
		if raw, err = readLayoutFile(files, ocispec.ImageIndexFile, maxIndexFile); err == nil {
			a.Index, err = parseIndexFile(raw)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", path, join(err, f.Close()))
	}
	return a, nil
}

// Has reports whether a blob is in the archive, under its digest.
func (a *Archive) Has(d digest.Digest) bool {
	_, ok := a.files.parts[blobName(d)]
	return checkDigest(d) == nil && ok
}

// Blob opens a blob of size bytes; wrong content gives an error that is verify.ErrMismatch before its end. The caller closes
// it.
func (a *Archive) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	return a.layout.Blob(ctx, d, size)
}

// Document reads a manifest or an index.
func (a *Archive) Document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	return a.layout.document(ctx, d)
}

// Close closes the file.
func (a *Archive) Close() error { return a.files.Close() }
