package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrMismatch marks a blob that does not hold the bytes it was written with.
var ErrMismatch = errors.New("layer does not read back as written")

// Reader reads the blobs of layers, one after another, with one decoder and its buffers. The zero value is ready. It is for one
// goroutine at a time; Close frees the buffers.
type Reader struct{ decoder scan.Decoder }

// Close frees the buffers.
func (z *Reader) Close() { z.decoder.Close() }

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Read reads the blob of one layer, as Reader.Read does.
func Read(ctx context.Context, r io.Reader, want Blob, lim tree.Limits) (x *tree.Index, diffID digest.Digest, err error) {
	var reader Reader
	defer reader.Close()
	return reader.Read(ctx, r, want, lim)
}

// Read reads a blob to io.EOF and returns what it holds and its diff_id, the digest of the uncompressed tar stream. Its size and the
// length of the tar stream are compared with want; a difference wraps ErrMismatch. The digest is for who gives r to verify.
func (z *Reader) Read(ctx context.Context, r io.Reader, want Blob, lim tree.Limits) (x *tree.Index, diffID digest.Digest, err error) {
	src := &counted{r: r}
	s, err := scan.Layer(ctx, src, scan.Options{Decoder: &z.decoder, DiffID: true, Limits: lim})
	switch {
	case errors.Is(err, tree.ErrInvalid), errors.Is(err, tree.ErrLimit):
		return nil, "", fmt.Errorf("%w: %w", ErrMismatch, err)
	case err != nil:
		return nil, "", err
	case src.n != want.Size:
		return nil, "", fmt.Errorf("%w: %d bytes, want %d", ErrMismatch, src.n, want.Size)
	case s.Index.TarSize != want.TarSize:
		return nil, "", fmt.Errorf("%w: it unpacks to %d bytes, want %d", ErrMismatch, s.Index.TarSize, want.TarSize)
	}
	return s.Index, digest.NewDigestFromEncoded(digest.SHA256, s.DiffID.String()), nil
}
