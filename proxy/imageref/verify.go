package imageref

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/verify"
)

// verified reads the content that a descriptor of a SHA-256 digest stands for; a negative size is wrong, not unknown.
func verified(r io.Reader, d digest.Digest, size int64) *verify.Reader {
	if size < 0 {
		size = verify.AnySize - 1
	}
	return verify.NewReader(r, d, size)
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ended func() error // why the context ended, or nil
	r     io.Reader
}

func untilEnd(ctx context.Context, r io.Reader) contextReader {
	return contextReader{func() error {
		if ctx.Err() == nil {
			return nil
		}
		return context.Cause(ctx)
	}, r}
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ended(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Close implements io.Closer for what can be closed.
func (c contextReader) Close() error {
	if rc, ok := c.r.(io.Closer); ok {
		return rc.Close()
	}
	return nil
}

// readBounded reads a small document to its end.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return b, nil
}
