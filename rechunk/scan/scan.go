// Package scan reads the layers of source images, which are hostile until read: blob → decompressed → tar headers →
// tree.Index, with the contents of regular files on their way into a Spool.
//
// A blob is read once, as a stream, in memory that its index bounds. Every length, count and name is held to tree.Limits.
// What a layer gets wrong is an error that wraps tree.ErrInvalid or tree.ErrLimit; what its source or the disk gets wrong is
// that error itself.
package scan

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/origin"
)

// Options say what Layer does besides parsing.
type Options struct {
	// Spool takes the contents of regular files; without one they are only hashed.
	Spool *Spool
	// Want says which files' contents the spool takes, and Kept is told when one is in there, to be opened at once; nil is
	// for all of them, when the layer has been read.
	Want func(path string, size int64) bool
	Kept func(tree.Digest)
	// Inline says which files' contents the index is to carry, as far as they are small; nil is none.
	Inline func(path string) bool
	// Decoder decompresses; nil stands for one of this scan's own, and a goroutine that reads ahead.
	Decoder *Decoder
	// DiffID asks for the digest of the uncompressed stream.
	DiffID bool
	Limits tree.Limits
	// Budget is that of the image, whose Limits then count; nil stands for one of this layer's own.
	Budget *tree.Budget
}

// Result is what Layer found.
type Result struct {
	Index *tree.Index
	// DiffID is the SHA-256 of the uncompressed layer, when it was asked for.
	DiffID tree.Digest
}

// Layer reads one layer blob to its end, in a single pass and in constant memory but for the index. Formats follow POSIX pax
// with the GNU and star extensions, as in the OCI image specification.
//
// It succeeds only when r has come to io.EOF, which is the last word of a reader that verifies a digest. An error that is
// the layer's fault wraps tree.ErrInvalid or tree.ErrLimit and may come before that; who verifies a digest on the way should
// read the rest before believing it. An error of r is returned as it is. A panic on the way is a *rescue.PanicError. Layer
// waits for a pending Read of r before it returns, so r should fail when ctx ends.
func Layer(ctx context.Context, r io.Reader, opts Options) (*Result, error) {
	var out *Result
	err := rescue.Call(func() (err error) {
		if opts.Decoder == nil {
			out, err = scanAhead(ctx, r, opts)
		} else {
			out, err = scan(ctx, r, opts)
		}
		return err
	})
	if err == nil {
		return out, nil
	}
	var panicked *rescue.PanicError
	if errors.As(err, &panicked) && opts.Decoder != nil {
		*opts.Decoder = Decoder{} // who knows what state it is in
	}
	return nil, err
}

// scanAhead scans with a goroutine that reads r: who gives a source's bytes hashes them, and gunzip is as much as one core
// can do beside.
func scanAhead(ctx context.Context, r io.Reader, opts Options) (out *Result, err error) {
	src := origin.New(r)
	blob := newReadAhead(ctx, src)
	var decoder Decoder
	defer decoder.Close()
	defer func() {
		_ = blob.Close()
		if err != nil {
			// What r failed with, perhaps on bytes that nobody looked at any more, says more than what those before looked
			// like.
			err = fault(src, err)
		}
	}()
	opts.Decoder = &decoder
	return scan(ctx, blob, opts)
}

func scan(ctx context.Context, r io.Reader, opts Options) (*Result, error) {
	if opts.Budget == nil {
		opts.Budget = tree.NewBudget(opts.Limits)
	}
	lim := opts.Budget.Limits()
	plain, err := opts.Decoder.open(r, lim)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	ahead := newReadAhead(ctx, plain)
	defer ahead.Close()

	src := &meter{r: ahead, limit: lim.LayerBytes}
	if opts.DiffID {
		src.sum = sha256.New()
	}
	s := newScanner(opts.Budget, opts.Spool)
	defer s.layer.Close()
	s.inline.want, s.want, s.kept = opts.Inline, opts.Want, opts.Kept
	if err := s.run(src); err != nil {
		return nil, err
	}
	// What follows the end of the archive, and of the compressed stream, is nobody's, but it takes part in the blob's
	// digest.
	for _, rest := range []io.Reader{src, r} {
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, rest, s.buf); err != nil {
			return nil, err
		}
	}
	if err := s.charge(); err != nil {
		return nil, err
	}
	out := &Result{}
	if out.Index, err = s.layer.Index(); err != nil {
		return nil, err
	}
	out.Index.TarSize, out.Index.Inline = src.n, s.inline.list()
	if s.spool != nil {
		if err := s.spool.flush(); err != nil {
			return nil, err
		}
	}
	if src.sum != nil {
		src.sum.Sum(out.DiffID[:0])
	}
	return out, nil
}
