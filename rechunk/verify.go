package rechunk

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errDamaged marks a stored blob that is not what its digest says.
var errDamaged = errors.New("stored blob is damaged")

// verifyBlob gives an error instead of io.EOF when a stream is not the blob that the descriptor names.
func verifyBlob(rc io.ReadCloser, d ocispec.Descriptor) io.ReadCloser {
	return &blobVerifier{ReadCloser: rc, want: d, sum: d.Digest.Verifier()}
}

type blobVerifier struct {
	io.ReadCloser
	want ocispec.Descriptor
	sum  digest.Verifier
	n    int64
}

func (v *blobVerifier) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.n += int64(n)
	if _, werr := v.sum.Write(p[:n]); werr != nil {
		return n, werr
	}
	if v.n > v.want.Size || err == io.EOF && (v.n != v.want.Size || !v.sum.Verified()) {
		return n, fmt.Errorf("%w: %s: %d bytes read, want %d with that digest", errDamaged, v.want.Digest, v.n, v.want.Size)
	}
	return n, err
}
