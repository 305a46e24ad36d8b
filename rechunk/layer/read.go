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

// tarReader is the Reader of formats whose blobs are a compressed tar stream, perhaps with a table of its contents. The zero
// value is ready.
type tarReader struct{ decoder scan.Decoder }

// Close implements Reader.
func (z *tarReader) Close() { z.decoder.Close() }

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

// Read implements Reader. The blob's size and the length of its tar stream are compared with want, and the table, where the
// annotations tell of one, with the stream.
func (z *tarReader) Read(ctx context.Context, r io.Reader, want Blob, lim tree.Limits) (*tree.Index, digest.Digest, error) {
	src := &counted{r: r}
	table, err := newTable(want)
	if err != nil {
		return nil, "", err
	}
	src.r = table.tee(r)
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
	if err := table.check(s.Index); err != nil {
		return nil, "", err
	}
	return s.Index, digest.NewDigestFromEncoded(digest.SHA256, s.DiffID.String()), nil
}
