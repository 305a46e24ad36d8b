package imageref

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// verifiedReader lets content through that has the right size and digest, and nothing else: the bytes of the last read are
// returned when all of it was found right, so that a writer who counts can't take wrong content for complete.
type verifiedReader struct {
	r    io.Reader
	want digest.Digest
	size int64
	left int64
	hash hash.Hash
	err  error
}

// verify reads content of a SHA-256 digest and a size from r.
func verify(r io.Reader, d digest.Digest, size int64) *verifiedReader {
	v := &verifiedReader{r: r, want: d, size: size, left: size, hash: sha256.New()}
	if size < 0 {
		v.err = fmt.Errorf("%s can't have %d bytes: %w", d, size, ErrMismatch)
	}
	return v
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := 0, error(nil)
	if v.left > 0 {
		n, err = v.r.Read(p[:min(int64(len(p)), v.left)])
		v.left -= int64(n)
		v.hash.Write(p[:n])
	}
	switch {
	case v.left == 0:
		v.err = v.finish()
	case err == io.EOF:
		v.err = fmt.Errorf("%s ends after %d of %d bytes: %w", v.want, v.size-v.left, v.size, ErrMismatch)
	default:
		v.err = err
	}
	if v.err != nil && v.err != io.EOF {
		return 0, v.err
	}
	if n == 0 {
		return 0, v.err
	}
	return n, nil
}

// finish returns io.EOF when the digest is right and r ends here.
func (v *verifiedReader) finish() error {
	if got := hex.EncodeToString(v.hash.Sum(nil)); got != v.want.Encoded() {
		return fmt.Errorf("%s has the digest sha256:%s: %w", v.want, got, ErrMismatch)
	}
	var more [1]byte
	if _, err := io.ReadFull(v.r, more[:]); err != nil {
		return err // io.EOF, as it should be
	}
	return fmt.Errorf("%s goes on after %d bytes: %w", v.want, v.size, ErrMismatch)
}

// verifiedFile is a verifiedReader with its source's Close.
type verifiedFile struct {
	io.Reader
	io.Closer
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
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
