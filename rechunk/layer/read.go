package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrMismatch marks a blob that does not hold the bytes it was written with.
var ErrMismatch = errors.New("layer does not read back as written")

// Reader reads the blobs of layers, one after another, with one decoder and its buffers. The zero value is ready. It is for one
// goroutine at a time; Close frees the buffers.
type Reader struct{ decoder tree.Decoder }

// Close frees the buffers.
func (z *Reader) Close() { z.decoder.Close() }

// Read reads the blob of one layer, as Reader.Read does.
func Read(ctx context.Context, r io.Reader, want Blob, lim tree.Limits) (x *tree.Index, diffID digest.Digest, err error) {
	var reader Reader
	defer reader.Close()
	return reader.Read(ctx, r, want, lim)
}

// Read reads a blob to its end and returns what it holds and its diff_id, the digest of the uncompressed tar stream. Digest, size and
// length of the tar stream are compared with want; a difference wraps ErrMismatch.
func (z *Reader) Read(ctx context.Context, r io.Reader, want Blob, lim tree.Limits) (x *tree.Index, diffID digest.Digest, err error) {
	got := newTally(io.Discard)
	s, err := tree.Scan(ctx, io.TeeReader(r, got), tree.ScanOptions{Decoder: &z.decoder, DiffID: true, Limits: lim})
	switch {
	case errors.Is(err, tree.ErrInvalid), errors.Is(err, tree.ErrLimit):
		return nil, "", fmt.Errorf("%w: %s: %w", ErrMismatch, want.Digest, err)
	case err != nil:
		return nil, "", fmt.Errorf("blob %s: %w", want.Digest, err)
	case got.digest() != want.Digest || got.n != want.Size:
		return nil, "", fmt.Errorf("%w: %d bytes %s, want %d bytes %s", ErrMismatch, got.n, got.digest(), want.Size, want.Digest)
	case s.Index.TarSize != want.TarSize:
		return nil, "", fmt.Errorf("%w: %s unpacks to %d bytes, want %d", ErrMismatch, want.Digest, s.Index.TarSize, want.TarSize)
	}
	return s.Index, digest.NewDigestFromEncoded(digest.SHA256, s.DiffID.String()), nil
}
