// Package delta makes layers of what a host has: Make writes how the tar stream of a layer comes about from the files of a
// seed, an image that the other side has, and Apply writes that tar stream again. The format is in docs/delta-format.md.
//
// A delta is a list of copies, differences and new bytes, as tar-diff's and bsdiff's are. One thing more: what is compressed
// inside of files (package wrap) is coded by its plain bytes, and wrapped again by the encoder that was seen to make the
// same bytes.
//
// The package is pure: files, temporary files and programs are behind Contents, Scratch and Encoders. Neither side trusts
// the other. A seed's files are not what they should be now and then, so the result counts only if its diff_id is right; and
// a delta is bounded by Limits in everything it can ask for.
package delta

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// MediaType is that of a delta.
const MediaType = "application/vnd.strata.delta.v1"

var (
	// ErrInvalid says that a delta is damaged or breaks the format, or that what Make was given contradicts itself.
	ErrInvalid = errors.New("invalid delta")
	// ErrLimit says that a delta asks for more than Limits allow.
	ErrLimit = errors.New("delta over a limit")
	// ErrSource says that a file of the seed is missing, or is not what the delta was made from.
	ErrSource = errors.New("the seed's file is not the one of the delta")
	// ErrEncoder says that an encoder is missing, fails, or makes other bytes than it did where the delta was made.
	ErrEncoder = errors.New("encoder makes other bytes")
)

// The words of package wrap that are part of this package's interface.
type (
	Encoder  = wrap.Encoder
	Encoders = wrap.Encoders
	Program  = wrap.Program
	Trials   = wrap.Trials
	// Scratch holds what is too large for memory: unwrapped sources, parts that are used again.
	Scratch     = wrap.Scratch
	ScratchFile = wrap.ScratchFile
)

// File is a regular file of the seed's merged tree, which is what a host with that image sees.
type File struct {
	Path   string      // clean, as tree.Entry.Path
	Size   int64       // of the content
	Digest tree.Digest // of the content
	Layer  int         // which layer of the seed's manifest holds it, counted from 0, lowest first
}

// Content is a file's bytes at random. Safe for concurrent ReadAt.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Contents opens the seed's files. What they hold is not trusted. Safe for concurrent use.
type Contents interface {
	// Open fails with an error that wraps ErrSource when there is no such file.
	Open(ctx context.Context, f File) (Content, error)
}

// Target is the layer that a delta makes.
type Target struct {
	// Tar is the layer's uncompressed tar stream, of TarSize bytes. Any archive works; what package tar does not understand
	// is sent as it is.
	Tar     io.Reader
	TarSize int64
	// Entries are those of the layer's index. By them the seed's files are chosen before the stream is read.
	Entries []tree.Entry
	// Blob is the layer as the manifest has it, DiffID the digest of Tar.
	Blob     digest.Digest
	BlobSize int64
	DiffID   digest.Digest
	// Encoder is the layer.Encoder that makes the blob of the tar stream, as a string; "" when only the tar can be made
	// again.
	Encoder string
}

// Seed is the image that the other side has.
type Seed struct {
	Manifest digest.Digest
	Files    []File
}

// Header is what a delta says of itself before anything is made.
type Header struct {
	Blob     digest.Digest // the layer's blob
	BlobSize int64
	DiffID   digest.Digest // of the tar stream that Apply writes
	TarSize  int64
	Encoder  string        // Target.Encoder
	Seed     digest.Digest // Seed.Manifest
	// Sources are the seed's files that the delta may read, in path order. Most of them are read, some may not be.
	Sources []File
	// Programs are those that the delta may run.
	Programs []Program
}
