// Package wrap knows what is compressed inside of files: where (Parse), what the bytes are without it (Decode), and how
// exactly these compressed bytes are made of them again (Try). A kernel module is one xz stream, an initramfs a chain of
// bare and compressed cpio archives, a manual page one gzip member.
//
// A file that was compressed hides from a binary delta: one changed byte changes all that follow. Its plain bytes do not. So
// a delta of the plain bytes is small, if they can be wrapped again into the same file, to the byte.
//
// Everything here comes from images that anybody may have made: nothing is trusted, all of it is bounded by Limits, and an
// encoder counts as found only after its output was compared with the file's bytes. The package is pure: no files, no clock,
// no programs; those are behind Encoders and Trials.
package wrap

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

var (
	// ErrInvalid says that bytes are not what their decoder reads.
	ErrInvalid = errors.New("not a valid stream")
	// ErrLimit says that a stream is over one of Limits.
	ErrLimit = errors.New("over a limit")
	// ErrUnavailable says that an encoder's program is not here, or not in a version that makes the same bytes.
	ErrUnavailable = errors.New("encoder not available")
)

// Program is one that wraps: xz 5.4.1.
type Program struct{ Name, Version string }

// String gives "name/version", as the header Strata-Encoders lists it.
func (p Program) String() string { return p.Name + "/" + p.Version }

// Encoder wraps plain bytes into exactly a file's.
type Encoder struct {
	Program string // "xz", "gzip", "zstd", "pigz", or "strata" for those of this package
	Version string // of the program where it was tried, as in Program
	Args    []string
}

// String is the command line with the version: "xz/5.4.1 -T2 --check=crc32 --lzma2=dict=1048576".
func (e Encoder) String() string {
	return strings.Join(append([]string{e.Program + "/" + e.Version}, e.Args...), " ")
}

// Encoders runs encoders. Safe for concurrent use.
type Encoders interface {
	// Encode writes to wrapped what e makes of plain. Its bytes are not trusted: who calls compares them or their digest.
	// Errors: ErrUnavailable, ErrLimit for output without end, the error of plain or wrapped, the context's.
	Encode(ctx context.Context, e Encoder, plain io.Reader, wrapped io.Writer) error
	// Available lists the programs that there are, by name.
	Available() []Program
}

// Trials remembers what trying has given, by the digest of the wrapped bytes. Safe for concurrent use.
type Trials interface {
	// Tried returns what is remembered of the wrapped bytes with that digest, and whether anything is.
	Tried(ctx context.Context, wrapped tree.Digest) (Trial, bool, error)
	// Remember keeps t for the next time; the last one stays.
	Remember(ctx context.Context, wrapped tree.Digest, t Trial) error
}

// Trial is the outcome of looking for the encoder of some wrapped bytes.
type Trial struct {
	Encoder *Encoder // nil: none of the programs made the same bytes
	// Programs are those that there were: a trial that found nothing says nothing about others.
	Programs []Program
}

// Content is what a file holds. Safe for concurrent ReadAt.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Part is a run of a file's bytes that holds other bytes: a member of an archive, a compressed stream. Parts of one level
// ascend and do not overlap; what lies between them is plain.
type Part struct {
	Offset, Length int64 // in the parent's plain bytes
	// Decoder makes plain bytes of the part's: "" (they are plain: an archive or its member), or one of Decoders.
	Decoder string
	Name    string   // the path of an archive's member; "" otherwise
	Size    int64    // of the plain bytes
	Encoder *Encoder // that makes the part's bytes of the plain ones, if it was looked for and found
	// Seconds is what the encoder takes on a core like the one that Encoder.Seconds was measured on.
	Seconds float64
	Parts   []Part // of the plain bytes
}
