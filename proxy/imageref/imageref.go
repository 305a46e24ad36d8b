// Package imageref gives the image references of the command line a meaning: where one image is read from, or written to.
//
//	oci:DIR[:TAG]           a directory that is an OCI image layout
//	oci-archive:FILE[:TAG]  the same in a tar file; gzip is understood when reading
//	docker://REF, REF       an image in a registry
//
// DIR and FILE hold no colon. TAG is the annotation org.opencontainers.image.ref.name; left out, it stands for the only
// image there is when reading, and for an image without a name when writing. These are the forms of skopeo and podman.
//
// Everything read is verified: manifests before they are returned, blobs before their last byte is.
package imageref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Errors of this package, to be tested with errors.Is.
var (
	// ErrNotFound says that an image, or a file that it needs, is not there.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge says that a document or an archive exceeds a limit, which the message names.
	ErrTooLarge = errors.New("too large")
)

// Options say how references are opened. The zero value is ready for use.
type Options struct {
	// Platform picks an image from an index: "os/arch" or "os/arch/variant". Empty means linux on this machine's
	// architecture. An image that is not in an index is taken as it is.
	Platform string
	// Keychain knows the credentials for registries. Nil means docker's config.json, else podman's auth.json.
	Keychain authn.Keychain
	// Insecure allows plain HTTP and unverified certificates for any registry. Without it, plain HTTP is for loopback only.
	Insecure bool
	// TempDir is for what an archive needs while it is unpacked or made. Empty means os.TempDir().
	TempDir string
	// Whole: a layout that is made here goes, with its blobs, when no image was put into it.
	Whole bool
	// Transport replaces the HTTP transport, certificates included. Nil means a new one with the environment's proxies.
	Transport http.RoundTripper
}

// Source is one image that can be read. It is safe for concurrent use.
type Source interface {
	// Manifest returns the image manifest, OCI or Docker schema 2, of one platform: verified bytes, not to be changed.
	Manifest() (mediaType string, raw []byte, d digest.Digest)
	// Blob opens a blob that the manifest names, of size bytes. Wrong content gives an error that is verify.ErrMismatch,
	// before the last byte of it was returned. The caller closes it; it works until ctx ends.
	Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error)
	// Close frees what the source holds. Open blobs are closed before.
	Close() error
}

// Destination is a place that one image is written to: blobs first, then the manifest, then Close. Methods are safe for
// concurrent use, except for Close.
type Destination interface {
	// Has reports whether a blob is there already, with the right bytes as far as the destination lets one look.
	Has(ctx context.Context, d digest.Digest) (bool, error)
	// PutBlob stores a blob, verified against the descriptor's digest and size. It may return without having read r when
	// the blob is there. It doesn't read r after it returned.
	PutBlob(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error
	// PutManifest stores the manifest and lets the reference's tag point to it. The blobs that it names must be there.
	PutManifest(ctx context.Context, mediaType string, raw []byte) error
	// Close ends the work. An archive comes into being here, if PutManifest went well; the error says whether it did.
	Close() error
}

// Linker is a Destination that may take a file as it is.
type Linker interface {
	// LinkBlob is PutBlob of a file, without a copy. The caller vouches for its bytes, that they are on the disk, and that
	// nobody changes them any more. It reports false, and has done nothing, where the file can't be linked: on another file
	// system, say.
	LinkBlob(ctx context.Context, desc ocispec.Descriptor, f *os.File) (bool, error)
}

// Open opens the image for reading. The caller closes the Source.
func (r Ref) Open(ctx context.Context, opts Options) (Source, error) {
	want, err := parsePlatform(opts.Platform)
	if err != nil {
		return nil, err
	}
	var s Source
	switch r.kind {
	case kindLayout:
		s, err = openLayout(ctx, dirFiles(r.path), r.tag, want)
	case kindArchive:
		s, err = openArchive(ctx, r.path, r.tag, want, opts)
	case kindRegistry:
		s, err = openRegistry(ctx, r.named, want, opts)
	default:
		err = errors.New("empty image reference")
	}
	if _, missing := os.Stat(r.path); err != nil && r.path != "" && errors.Is(missing, fs.ErrNotExist) {
		err = fmt.Errorf("%w: name one that exists, from here or from /", err)
	}
	if err != nil {
		return nil, r.describe("open", err)
	}
	return namedSource{s, r}, nil
}

// Create opens the place for writing. The caller closes the Destination.
//
// An existing layout keeps its other tags. An existing archive is replaced as a whole, and only by a finished one; ctx then
// bounds the Destination's Close too.
func (r Ref) Create(ctx context.Context, opts Options) (Destination, error) {
	var d Destination
	var err error
	switch r.kind {
	case kindLayout:
		var l *layoutDestination
		if l, err = createLayout(r.path, r.tag, true); err == nil {
			l.whole, d = opts.Whole, l
		}
	case kindArchive:
		d, err = createArchive(ctx, r.path, r.tag, opts)
	case kindRegistry:
		d, err = createRegistry(r.named, opts)
	default:
		err = errors.New("empty image reference")
	}
	if err != nil {
		return nil, r.describe("create", err)
	}
	return namedDestination{d, r}, nil
}
