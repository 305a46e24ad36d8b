package tree

import (
	"context"
	"crypto/sha256"
	"io"
)

// ScanOptions say what Scan does besides parsing.
type ScanOptions struct {
	// Spool takes the contents of regular files; without one they are only hashed.
	Spool *Spool
	// Inline says which files' contents the index is to carry, as far as they are small; nil is none.
	Inline func(path string) bool
	// Decoder decompresses; nil stands for one of this scan's own, with goroutines of its own.
	Decoder *Decoder
	// DiffID asks for the digest of the uncompressed stream.
	DiffID bool
	Limits Limits
}

// Scanned is the result of Scan.
type Scanned struct {
	Index *Index
	// DiffID is the SHA-256 of the uncompressed layer, when it was asked for.
	DiffID Digest
}

// Scan reads one layer blob to its end, in a single pass and in constant memory but for the index. Formats follow POSIX pax
// with the GNU and star extensions, as in the OCI image specification.
//
// Scan succeeds only when r has come to io.EOF, which is the last word of a reader that verifies a digest. An error that is the layer's
// fault wraps ErrInvalid or ErrLimit and may come before that; who verifies a digest on the way should read the rest before believing
// it. An error of r is returned as it is. Scan waits for a pending Read of r
// before it returns, so r should fail when ctx ends.
func Scan(ctx context.Context, r io.Reader, opts ScanOptions) (*Scanned, error) {
	if opts.Decoder != nil {
		return scan(ctx, r, opts, opts.Decoder.open)
	}
	// Who gives a source's bytes hashes them, and gunzip is as much as one core can do beside.
	src := &faultKeeper{r: r}
	blob := newReadAhead(ctx, src)
	out, err := scan(ctx, blob, opts, Decompress)
	_ = blob.Close()
	if err != nil {
		// What r failed with, perhaps on bytes that nobody looked at any more, says more than what those before looked like.
		return nil, src.fault(err)
	}
	return out, nil
}

func scan(ctx context.Context, r io.Reader, opts ScanOptions, decode func(io.Reader, Limits) (io.ReadCloser, error)) (*Scanned, error) {
	lim := opts.Limits.OrDefault()
	plain, err := decode(r, lim)
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
	s := newScanner(lim, opts.Spool)
	s.inline.want = opts.Inline
	if err := s.run(src); err != nil {
		return nil, err
	}
	// What follows the end of the archive, and of the compressed stream, is nobody's, but it takes part in the blob's digest.
	for _, rest := range []io.Reader{src, r} {
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, rest, s.buf); err != nil {
			return nil, err
		}
	}
	out := &Scanned{}
	if out.Index, err = s.index(); err != nil {
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
