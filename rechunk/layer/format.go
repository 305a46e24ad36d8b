// Package layer turns what a layer holds into the bytes of its blob, and reads blobs back: the same bytes for the same list
// on every machine.
//
// A List is the input: entries in the order in which they are written, and where their contents come from. A Format makes a
// blob of it. What bootc's backends demand of every layer is kept here: each ancestor directory is in the layer with its
// final header, before what it holds; hardlinks follow their target; extended attributes are PAX records; there are no
// opaque whiteouts.
//
// The package knows neither plans nor package databases: whoever only has to write layers imports nothing else.
package layer

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Format is a way of writing layers. A layer's bytes, media type and annotations all come from one format. Implementations
// are comparable with == and safe for concurrent use.
type Format interface {
	// Spec says what the format's layers look like from outside.
	Spec() Spec
	// NewWriter makes a writer of layers.
	NewWriter() (Writer, error)
	// NewReader makes a reader of such layers.
	NewReader() Reader
	// Keeps reports whether images whose new layers are of this format may have a layer with this media type and these
	// annotations of its descriptor, one that was written before.
	Keeps(mediaType string, annotations map[string]string) bool
}

// Spec describes a format.
type Spec struct {
	// Name is what configurations and flags call the format.
	Name string
	// MediaType is the OCI media type of its layers.
	MediaType string
	// Encoder says what makes the bytes.
	Encoder Encoder
	// Partial says that clients may fetch of a layer the files that they lack. Those had better stand together
	// (List.PutLast).
	Partial bool
}

// Encoder identifies what turns a layer's tar stream into the bytes of its blob. Equal encoders make equal bytes of equal
// streams, on every machine; other settings never do, and another version of the library may not.
type Encoder struct {
	// Library and Version name the code: "klauspost/compress", "v1.18.0".
	Library, Version string
	// Settings are all that the bytes depend on besides: "zstd level=better window=8MiB crc".
	Settings string
}

// String gives the encoder as records have it: library, version and settings, separated by spaces.
func (e Encoder) String() string { return e.Library + " " + e.Version + " " + e.Settings }

// Unversioned gives the encoder without the library's version, which a choice of options does not depend on.
func (e Encoder) Unversioned() string { return e.Library + " " + e.Settings }

// Writer writes the blobs of layers, one after another, with buffers that it keeps. The bytes do not depend on what it wrote
// before. It is for one goroutine at a time.
type Writer interface {
	// Write writes the blob of one layer to dst. It fails when a content is not as long as its entry says, and soon after
	// ctx ends. Nothing is hashed: who stores the blob knows its digest, and the diff_id is for Reader to find.
	Write(ctx context.Context, dst io.Writer, l *List) (Blob, error)
}

// Reader reads the blobs of layers, one after another, with buffers that it keeps until Close. It is for one goroutine at a
// time.
type Reader interface {
	// Read reads a blob to io.EOF and returns what it holds and its diff_id, the digest of the uncompressed tar stream. A
	// blob that is not what the Writer said of it, in want, is an error that wraps ErrMismatch. The digest of the blob
	// itself is for who gives r to verify.
	Read(ctx context.Context, r io.Reader, want Blob, lim tree.Limits) (x *tree.Index, diffID digest.Digest, err error)
	Close()
}

// Blob describes a layer blob.
type Blob struct {
	// Size is the length of the blob in bytes.
	Size int64
	// TarSize is the length of the uncompressed tar stream in bytes.
	TarSize int64
	// Annotations are those that the layer's descriptor must carry for clients to make use of the format; of these formats
	// only Chunked has any.
	Annotations map[string]string
	// Encoder made the blob, where it was not the format's: Chunked writes a layer as Zstd does of which it makes no table
	// of contents. Else nil.
	Encoder *Encoder
	// Why says for people why the encoder is not the format's; else empty.
	Why string
}

// Formats lists all formats.
func Formats() []Format { return []Format{Zstd, Gzip, Chunked} }

// ParseFormat returns the format with the given name.
func ParseFormat(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		n := f.Spec().Name
		if n == name {
			return f, nil
		}
		names = append(names, n)
	}
	return nil, fmt.Errorf("format %q is not known: use %s or %s", name, strings.Join(names[:len(names)-1], ", "),
		names[len(names)-1])
}

// Write writes the blob of one layer in a format, with a writer of its own.
func Write(ctx context.Context, dst io.Writer, l *List, f Format) (Blob, error) {
	w, err := f.NewWriter()
	if err != nil {
		return Blob{}, err
	}
	return w.Write(ctx, dst, l)
}

// Read reads the blob of one layer of a format, with a reader of its own.
func Read(ctx context.Context, r io.Reader, want Blob, f Format, lim tree.Limits) (*tree.Index, digest.Digest, error) {
	reader := f.NewReader()
	defer reader.Close()
	return reader.Read(ctx, r, want, lim)
}
