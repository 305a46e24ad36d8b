package imageref

import (
	"context"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// namedSource adds to errors which reference they are about.
type namedSource struct {
	Source
	ref Ref
}

func (n namedSource) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	rc, err := n.Source.Blob(ctx, d, size)
	if err != nil {
		return nil, n.ref.describe("read", err)
	}
	return rc, nil
}

// namedDestination adds to errors which reference they are about.
type namedDestination struct {
	Destination
	ref Ref
}

var _ Linker = namedDestination{}

func (n namedDestination) Has(ctx context.Context, d digest.Digest) (bool, error) {
	has, err := n.Destination.Has(ctx, d)
	return has, n.describe(err)
}

func (n namedDestination) PutBlob(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error {
	return n.describe(n.Destination.PutBlob(ctx, desc, r))
}

// LinkBlob implements Linker.
func (n namedDestination) LinkBlob(ctx context.Context, desc ocispec.Descriptor, f *os.File) (bool, error) {
	l, ok := n.Destination.(Linker)
	if !ok {
		return false, nil
	}
	done, err := l.LinkBlob(ctx, desc, f)
	return done, n.describe(err)
}

func (n namedDestination) PutManifest(ctx context.Context, mediaType string, raw []byte) error {
	return n.describe(n.Destination.PutManifest(ctx, mediaType, raw))
}

func (n namedDestination) Close() error { return n.describe(n.Destination.Close()) }

func (n namedDestination) describe(err error) error {
	if err == nil {
		return nil
	}
	return n.ref.describe("write", err)
}
