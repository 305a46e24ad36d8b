// Package tardiff reads and writes tar-diff files, versions 1 and 2, of github.com/containers/tar-diff: how to make a
// layer's tar stream of the files of an older image. docs/formats.md has the format byte by byte.
//
// A tar-diff names its sources by their paths in the merged filesystem of the old image, as a host that runs it sees them.
// Nothing about the target is in the file, neither length nor digest: who applies one compares the result with the diff_id.
package tardiff

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk/delta"
)

// MediaType is that of a tar-diff blob, of either version.
const MediaType = "application/vnd.tar-diff"

// Version is a version of the format.
type Version int

// The versions: the second adds zstd frames that have a whole source as their dictionary.
const (
	V1 Version = 1
	V2 Version = 2
)

// magic begins a file.
func (v Version) magic() string { return fmt.Sprintf("tardf%d\n\x00", int(v)) }

// magicLen is the length of magic.
const magicLen = 8

// The operations of a stream: one byte, a size as an unsigned varint, and for some of them size bytes.
const (
	opData = iota // emit the bytes
	opOpen        // the bytes are a path: its file is the source, from its first byte
	opCopy        // emit size bytes of the source
	opAdd         // emit the bytes, each plus one of the source, modulo 256
	opSeek        // the source goes on at size
	opDict        // the bytes are a zstd frame with the whole source as its dictionary: emit what it holds
)

// What readers of the format accept.
const (
	maxPath       = 4 << 10
	maxAdd        = 100 << 20
	maxDictionary = 512 << 20
	// maxWindow is what common zstd decoders accept without being told to.
	maxWindow = 128 << 20
)

// The errors of Apply wrap one of these, or are those of its reader, writer and context.
var (
	// ErrInvalid marks bytes that are no tar-diff.
	ErrInvalid = errors.New("invalid tar-diff")
	// ErrLimit marks a tar-diff that asks for more than it may.
	ErrLimit = errors.New("tar-diff exceeds a limit")
	// ErrSource marks a source that is missing or shorter than the tar-diff takes it to be.
	ErrSource = errors.New("tar-diff's source does not fit")
)

// Sources opens files of the old image by the names that tar-diffs have for them. Whatever is wrong with a name or its file
// is an error that wraps ErrSource.
type Sources interface {
	Open(ctx context.Context, path string) (delta.Content, error)
}
